use super::*;
use futures::future::poll_fn;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::compat::TokioAsyncReadCompatExt;

const STREAMS_MAX: usize = 8;
const OPENED: usize = 100;

#[tokio::test]
async fn surplus_streams_are_reset_though_nobody_asks_for_any() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (there, here) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let mut client = Connection::new(there.unwrap().compat(), yamux::Config::default(), Mode::Client);
    let mut server = Multiplex { streams_max: STREAMS_MAX }.over(here.unwrap().0.compat(), Mode::Server);
    let mut opened = Vec::new();
    for _ in 0..OPENED {
        opened.push(poll_fn(|cx| client.poll_new_outbound(cx)).await.unwrap());
    }
    let driven =
        tokio::spawn(
            async move { while let Some(Ok(_)) = poll_fn(|cx| client.poll_next_inbound(cx)).await {} },
        );
    let mut unread: FuturesUnordered<_> = opened
        .into_iter()
        .map(async |mut stream| {
            // As much as a stream may send before anything of it is read.
            let sent = stream.write_all(&vec![1; STREAM_BYTES]).await;
            sent.is_err() || !matches!(stream.read(&mut [0]).await, Ok(1..))
        })
        .collect();
    let surplus_reset = async {
        for _ in STREAMS_MAX..OPENED {
            assert!(unread.next().await.unwrap());
        }
    };
    tokio::select! {
        ended = poll_fn(|cx| Pin::new(&mut server).poll(cx)) => panic!("the connection has ended: {ended:?}"),
        () = surplus_reset => {}
    }
    assert_eq!(server.waiting.len(), STREAMS_MAX);
    assert_eq!(Arc::strong_count(&server.streams), STREAMS_MAX + 1);
    server.waiting.clear();
    assert_eq!(Arc::strong_count(&server.streams), 1, "their places are free");
    driven.abort();
}
