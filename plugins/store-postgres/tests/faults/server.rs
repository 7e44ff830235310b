//! A server that is killed, frozen, restarted, locked, full or read-only.

use crate::{PATIENCE, Server, Store, config, has, insert, is_back, open, trial};
use hydra_api::{StoreError, StoreErrorKind};
use libtest_mimic::Trial;
use std::time::{Duration, Instant};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_killed_server_fails_at_once_and_is_found_again", &["log_connections=on"], killed),
        trial("a_frozen_server_fails_in_time_and_gives_no_foreign_answers", &[], frozen),
        trial("ended_sessions_are_replaced", &[], terminated),
        trial("a_server_that_turns_read_only_is_read_from", &[], read_only),
        trial("a_statement_does_not_wait_for_a_lock_for_long", &[], locked),
        trial(
            "the_capacity_is_what_others_leave",
            &["max_connections=10", "superuser_reserved_connections=3"],
            crowded,
        ),
        trial("a_table_that_is_away_is_named_and_found_again", &[], missing_table),
        trial("a_full_disk_refuses_writes_and_not_reads", &[], full).with_ignored_flag(!is_root()),
    ]
}

fn kind<T>(result: Result<T, StoreError>) -> Option<StoreErrorKind> {
    result.err().map(|error| error.kind())
}

async fn opened(server: &Server) -> Store {
    let store = open(config(server.port())).await.unwrap();
    insert(&store, 1).await.unwrap();
    store
}

async fn killed(mut server: Server) {
    let store = opened(&server).await;
    server.signal_all("KILL").unwrap();
    server.stop();
    let since = Instant::now();
    while kind(has(&store, 1).await).is_none() {}
    for _ in 0..1000 {
        assert_eq!(kind(has(&store, 1).await), Some(StoreErrorKind::Unavailable));
        assert_eq!(kind(insert(&store, 2).await), Some(StoreErrorKind::Unavailable));
    }
    assert!(since.elapsed() < PATIENCE, "2,000 calls took {:?}", since.elapsed());
    server.launch().unwrap();
    // The harness itself connects as the server starts, as often as it is refused.
    let before = connections(&server);
    let since = Instant::now();
    is_back(&store, 2).await;
    assert!(has(&store, 1).await.unwrap(), "what was acknowledged is there");
    let (opened, seconds) = (connections(&server) - before, since.elapsed().as_secs_f64());
    assert!(opened as f64 <= 2.0 * seconds + 4.0, "{opened} connections in {seconds} s");
    store.close().await.unwrap();
}

/// How often a client has connected, as the log has it.
fn connections(server: &Server) -> usize {
    let log = std::fs::read_to_string(server.home().join("log")).unwrap();
    log.matches("connection received").count()
}

async fn frozen(server: Server) {
    let store = opened(&server).await;
    server.signal_all("STOP").unwrap();
    let since = Instant::now();
    assert!(has(&store, 1).await.is_err());
    // A statement has one second, and its answer two more.
    assert!(since.elapsed() < PATIENCE, "a call took {:?}", since.elapsed());
    server.signal_all("CONT").unwrap();
    is_back(&store, 2).await;
    for number in 1..200 {
        insert(&store, number).await.unwrap();
        assert!(has(&store, number).await.unwrap() && !has(&store, number + 10_000).await.unwrap());
    }
}

async fn terminated(server: Server) {
    let store = opened(&server).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hydra'";
    assert!(!server.query("hydra", end).unwrap().is_empty());
    is_back(&store, 2).await;
    assert!(has(&store, 1).await.unwrap());
}

async fn read_only(server: Server) {
    let store = opened(&server).await;
    let set = |value: &str| {
        server
            .execute("hydra", &format!("ALTER SYSTEM SET default_transaction_read_only = {value}"))
            .unwrap();
        server.execute("hydra", "SELECT pg_reload_conf()").unwrap();
    };
    set("on");
    let since = Instant::now();
    while kind(insert(&store, 2).await) != Some(StoreErrorKind::Unavailable) {
        assert!(since.elapsed() < PATIENCE, "it takes writes");
    }
    for _ in 0..100 {
        assert!(has(&store, 1).await.unwrap(), "reads go on");
    }
    // A session that is read-only cannot change settings.
    std::fs::write(server.home().join("data/postgresql.auto.conf"), "").unwrap();
    server.execute("hydra", "SELECT pg_reload_conf()").unwrap();
    is_back(&store, 2).await;
}

async fn locked(server: Server) {
    let store = opened(&server).await;
    let hold = "BEGIN; LOCK TABLE hydra.records IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3); COMMIT";
    std::thread::scope(|scope| {
        scope.spawn(|| server.execute("hydra", hold).unwrap());
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                assert_eq!(kind(has(&store, 1).await), Some(StoreErrorKind::Overloaded));
            });
        });
    });
    is_back(&store, 2).await;
}

async fn crowded(mut server: Server) {
    server.execute("hydra", "CREATE ROLE app LOGIN; GRANT ALL ON DATABASE hydra TO app").unwrap();
    let config = crate::Config { user: "app".to_owned(), ..config(server.port()) };
    let store = open(config).await.unwrap();
    insert(&store, 1).await.unwrap();
    let capacity = || store.profile().concurrency_max.get();
    wait_for(|| capacity() == 4).await;
    // Ten connections, three of them for superusers: five of a stranger leave two.
    server.execute("hydra", "CREATE ROLE stranger LOGIN").unwrap();
    server.stop();
    server.launch().unwrap();
    let strangers: Vec<_> = (0..5)
        .map(|_| {
            let mut psql = server.psql("stranger", "hydra");
            psql.args(["-c", "SELECT pg_sleep(60)"]);
            psql.stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    is_back(&store, 2).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!((1..=2).contains(&capacity()), "{} calls at a time", capacity());
    assert!(has(&store, 1).await.unwrap(), "with what is left");
    for mut stranger in strangers {
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
    server
        .execute("hydra", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'stranger'")
        .unwrap();
    wait_for(|| capacity() == 4).await;
}

async fn wait_for(mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn missing_table(server: Server) {
    let store = opened(&server).await;
    server.execute("hydra", "ALTER TABLE hydra.peers RENAME TO away").unwrap();
    let failed = insert(&store, 2).await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::Unavailable);
    assert!(hydra_api::Causes(&failed).to_string().contains("hydra.peers"), "{}", hydra_api::Causes(&failed));
    server.execute("hydra", "ALTER TABLE hydra.away RENAME TO peers").unwrap();
    is_back(&store, 2).await;
}

/// Only root may mount the small disk.
fn is_root() -> bool {
    std::process::Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

async fn full(server: Server) {
    let store = opened(&server).await;
    let disk = SmallDisk::mount(&server);
    let place = disk.0.path().display();
    server.execute("hydra", &format!("CREATE TABLESPACE small LOCATION '{place}'")).unwrap();
    server.execute("hydra", "ALTER TABLE hydra.records SET TABLESPACE small").unwrap();
    insert(&store, 2).await.unwrap();
    let filler = disk.0.path().join("filler");
    let full = std::fs::write(&filler, vec![1; 64 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let mut taken = 2;
    let failed = loop {
        match insert(&store, taken + 1).await {
            Ok(_) => taken += 1,
            Err(failed) => break failed,
        }
    };
    assert_eq!(failed.kind(), StoreErrorKind::Unavailable);
    assert!(
        hydra_api::Causes(&failed).to_string().contains("No space left"),
        "{}",
        hydra_api::Causes(&failed)
    );
    for number in 1..=taken {
        assert!(has(&store, number).await.unwrap(), "reads go on, and what was acknowledged is there");
    }
    std::fs::remove_file(filler).unwrap();
    is_back(&store, taken + 1).await;
}

/// A disk of 8 MB that belongs to the server.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(server: &Server) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(disk.0.path());
        assert!(mount.status().unwrap().success());
        server.own(disk.0.path()).unwrap();
        disk
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The server may have files open there.
        let unmounted = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}
