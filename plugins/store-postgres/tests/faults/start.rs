//! A server that freezes while the store opens.

use crate::{BACK_WITHIN, Config, Server, config, trial};
use hydra_api::{Causes, OpenError, OpenErrorKind, Plugin, Purpose, Scope};
use hydra_store_postgres::Postgres;
use libtest_mimic::Trial;
use std::net::TcpListener as Listener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// More messages than an open sends.
const MESSAGES_MAX: usize = 40;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_server_that_freezes_at_any_step_of_the_start_ends_it_in_time",
            &["max_connections=400"],
            start,
        ),
        trial(
            "a_server_that_freezes_at_any_step_of_a_check_ends_it_in_time",
            &["max_connections=400"],
            check,
        ),
    ]
}

async fn start(server: Server) {
    frozen(server, Purpose::Serve).await;
}

async fn check(server: Server) {
    frozen(server, Purpose::Check).await;
}

/// Opens through links that fall silent after more and more messages.
async fn frozen(server: Server, purpose: Purpose) {
    let port = server.port();
    let mut opens = JoinSet::new();
    for messages in 0..MESSAGES_MAX {
        // A migration takes a lock of its database.
        server.execute("postgres", &format!("CREATE DATABASE start_{messages}")).unwrap();
    }
    for messages in 0..MESSAGES_MAX {
        opens.spawn(async move {
            let config =
                Config { database: format!("start_{messages}"), ..config(link(port, messages).await) };
            let since = Instant::now();
            let opened = tokio::time::timeout(Duration::from_secs(90), open(config, purpose)).await;
            (messages, opened.expect("it takes no end"), since.elapsed())
        });
    }
    let (mut failed, mut opened) = (0, 0);
    while let Some(ended) = opens.join_next().await {
        let (messages, result, took) = ended.unwrap();
        assert!(took < 4 * BACK_WITHIN, "after {messages} messages: {took:?}");
        match result {
            Ok(()) => opened += 1,
            Err(error) => {
                failed += 1;
                let shown = format!("{error}: {}", Causes(&error));
                assert_eq!(error.kind(), &OpenErrorKind::Unavailable, "after {messages} messages: {shown}");
                assert!(shown.contains("timed out"), "after {messages} messages: {shown}");
            }
        }
    }
    assert!(failed >= 5 && opened >= 5, "{failed} of {MESSAGES_MAX} failed");
}

async fn open(config: Config, purpose: Purpose) -> Result<(), OpenError> {
    Postgres::open(config, &Scope::new(std::env::temp_dir()).with_purpose(purpose)).await.map(drop)
}

/// The port of a link that carries this many messages of its clients and then nothing any more, without an end.
async fn link(to: u16, messages: usize) -> u16 {
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (listener, left) = (TcpListener::from_std(listener).unwrap(), Arc::new(AtomicUsize::new(messages)));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, left) = (TcpStream::connect(("127.0.0.1", to)).await.unwrap(), Arc::clone(&left));
            tokio::spawn(carry(client, server, left));
        }
    });
    port
}

async fn carry(client: TcpStream, server: TcpStream, left: Arc<AtomicUsize>) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let answers = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut message = vec![0; 1 << 16];
    while let Ok(len @ 1..) = from_client.read(&mut message).await {
        let is_carried =
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if is_carried && to_server.write_all(&message[..len]).await.is_err() {
            break;
        }
    }
    // The client has gone: so does its session.
    answers.abort();
}
