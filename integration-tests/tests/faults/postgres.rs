//! Faults of a PostgreSQL server.

use super::disk::SmallDisk;
use super::scenario::{Ground, Loss, Needs, Scenario};
use super::stranger;
use super::way::Way;
use hydra_conformance::servers::Postgres as Server;
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

/// How often the last connections of the node are ended until others have them.
const ROUNDS_MAX: usize = 200;
/// Ends the sessions of the node.
const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hydra'";
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hydra'";
/// The table grows no more once this has failed.
const FILL: &str = "DO $$ BEGIN LOOP
    INSERT INTO hydra.records (key, provider, expires)
    VALUES (sha256(random()::text::bytea), 0, -2147483647);
    COMMIT;
END LOOP; END $$";

type Started = io::Result<Box<dyn Ground>>;

const fn scenario(fault: &'static str, cause: &'static [&'static str], start: fn() -> Started) -> Scenario {
    Scenario { backend: "PostgreSQL", fault, start, cause, loss: Loss::Nothing, needs: Needs::Nothing }
}

pub(crate) const SCENARIOS: [Scenario; 12] = [
    scenario("kill -9 and restart", &["Connection refused"], || on(&[], killed)),
    scenario("SIGSTOP", &["has stalled", "has not answered within"], || on(&[], frozen)),
    scenario("default_transaction_read_only", &["read-only transaction"], || on(&[], read_only)),
    scenario("pg_terminate_backend of all", &["terminating connection"], || on(&[], terminated)),
    Scenario { needs: Needs::Root, ..scenario("disk full", &["No space left"], || on(&[], full)) },
    Scenario {
        needs: Needs::Root,
        ..scenario(
            "disk of the log full",
            &["recovery mode", "not yet accepting", "Connection refused"],
            with_small_log,
        )
    },
    scenario("port closed", &["Connection refused", "Connection reset"], || behind(Way::by_link)),
    scenario(
        "connections exhausted by another client",
        &["too many clients", "connection slots are reserved"],
        crowded_out,
    ),
    scenario("a lock held on the table", &["lock timeout"], || on(&[], locked)),
    scenario("a half-done migration", &["hydra.peers"], || on(&[], half_migrated)),
    scenario("a rotated password", &["password authentication failed"], with_password),
    Scenario {
        needs: Needs::MountNamespace,
        ..scenario("DNS that moves", &["Connection refused", "Connection reset"], || behind(Way::by_name))
    },
];

/// A server, what stands before it, and what is to be done to it.
struct OnPostgres {
    server: Server,
    way: Way,
    /// As whom the node logs in, if not as the superuser.
    user: Option<&'static str>,
    secrets: TempDir,
    /// After the server, so that it ends later.
    disk: Option<SmallDisk>,
    inflict: fn(&mut Self, Duration) -> io::Result<()>,
}

fn ground(
    settings: &[&str],
    inflict: fn(&mut OnPostgres, Duration) -> io::Result<()>,
) -> io::Result<OnPostgres> {
    let server = Server::start(settings)?;
    let (way, secrets) = (Way::Straight(server.port()), tempfile::tempdir()?);
    Ok(OnPostgres { server, way, user: None, secrets, disk: None, inflict })
}

fn on(settings: &[&str], inflict: fn(&mut OnPostgres, Duration) -> io::Result<()>) -> Started {
    Ok(Box::new(ground(settings, inflict)?))
}

impl Ground for OnPostgres {
    fn config(&self) -> &'static str {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../config/postgres.toml")
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![format!("store.hosts=[{:?}]", self.way.host())];
        if let Some(user) = self.user {
            settings.push(format!("store.user={user:?}"));
            settings.push(format!("store.password={{ file = {:?} }}", self.password_file()));
        }
        settings
    }

    fn hosts_file(&self) -> Option<&Path> {
        self.way.hosts_file()
    }

    fn inflict(&mut self, during: Duration) -> io::Result<()> {
        (self.inflict)(self, during)
    }
}

impl OnPostgres {
    fn password_file(&self) -> std::path::PathBuf {
        self.secrets.path().join("password")
    }

    /// The node logs in as a role of its own, which has to prove itself by this method.
    fn with_role(mut self, method: &str) -> io::Result<Self> {
        self.server.execute(
            "hydra",
            "CREATE ROLE app LOGIN PASSWORD 'first'; GRANT ALL ON DATABASE hydra TO app; CREATE ROLE stranger LOGIN",
        )?;
        let rules = format!(
            "local all all trust\nhost all hydra,stranger 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 {method}\n"
        );
        std::fs::write(self.server.home().join("data/pg_hba.conf"), rules)?;
        self.server.execute("hydra", "SELECT pg_reload_conf()")?;
        std::fs::write(self.password_file(), "first\n")?;
        self.user = Some("app");
        Ok(self)
    }

    fn count(&self, query: &str) -> io::Result<u64> {
        let rows = self.server.query("hydra", query)?;
        rows.first().and_then(|row| row.parse().ok()).ok_or_else(|| io::Error::other("no number"))
    }

    /// Replaces what was set with ALTER SYSTEM, also in a session that may not write.
    fn reset_settings(&self) -> io::Result<()> {
        std::fs::write(self.server.home().join("data/postgresql.auto.conf"), "")?;
        self.server.execute("hydra", "SELECT pg_reload_conf()")
    }
}

fn killed(ground: &mut OnPostgres, during: Duration) -> io::Result<()> {
    ground.server.signal_all("KILL")?;
    ground.server.stop();
    sleep(during);
    ground.server.launch()
}

fn frozen(ground: &mut OnPostgres, during: Duration) -> io::Result<()> {
    ground.server.signal_all("STOP")?;
    sleep(during);
    ground.server.signal_all("CONT")
}

fn read_only(ground: &mut OnPostgres, during: Duration) -> io::Result<()> {
    ground.server.execute("hydra", "ALTER SYSTEM SET default_transaction_read_only = on")?;
    ground.server.execute("hydra", "SELECT pg_reload_conf()")?;
    sleep(during);
    ground.reset_settings()
}

/// At the begin and in the middle.
fn terminated(ground: &mut OnPostgres, during: Duration) -> io::Result<()> {
    for _ in 0..2 {
        ground.server.execute("hydra", END)?;
        sleep(during / 2);
    }
    Ok(())
}

/// The records are on a disk of their own.
fn full(ground: &mut OnPostgres, during: Duration) -> io::Result<()> {
    let disk = SmallDisk::mount("8m")?;
    ground.server.own(disk.path())?;
    let place = disk.path().display();
    ground.server.execute("hydra", &format!("CREATE TABLESPACE small LOCATION '{place}'"))?;
    ground.server.execute("hydra", "ALTER TABLE hydra.records SET TABLESPACE small")?;
    disk.fill()?;
    match ground.server.execute("hydra", FILL) {
        Err(cause) if cause.to_string().contains("No space left") => {}
        filled => return Err(io::Error::other(format!("the table is not full: {filled:?}"))),
    }
    sleep(during);
    disk.clear()?;
    // The disk outlives the server.
    ground.server.execute("hydra", "ALTER TABLE hydra.records SET TABLESPACE pg_default")
}

/// The write-ahead log is on a disk of its own. A server that cannot write it ends, and is started when there is room.
fn with_small_log() -> Started {
    let settings = ["min_wal_size=32MB", "max_wal_size=32MB"];
    let mut ground = ground(&settings, |ground, during| {
        let disk = ground.disk.as_ref().ok_or(io::ErrorKind::NotFound)?;
        disk.fill()?;
        // Each switch needs a file of 16 MiB.
        while ground
            .server
            .execute("hydra", "SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")
            .is_ok()
        {}
        sleep(during);
        disk.clear()?;
        ground.server.stop();
        ground.server.launch()
    })?;
    let disk = SmallDisk::mount("96m")?;
    ground.server.own(disk.path())?;
    ground.server.stop();
    let log = ground.server.home().join("data/pg_wal");
    let moved = Command::new("cp").arg("-a").arg(format!("{}/.", log.display())).arg(disk.path()).status()?;
    if !moved.success() {
        return Err(io::Error::other("the log cannot be moved"));
    }
    std::fs::remove_dir_all(&log)?;
    std::os::unix::fs::symlink(disk.path(), &log)?;
    ground.server.launch()?;
    ground.disk = Some(disk);
    Ok(Box::new(ground))
}

fn behind(way: fn(u16) -> io::Result<Way>) -> Started {
    let mut ground = ground(&[], |ground, during| ground.way.fail(during))?;
    ground.way = way(ground.server.port())?;
    Ok(Box::new(ground))
}

fn with_password() -> Started {
    let ground = ground(&[], |ground, during| {
        ground.server.execute("hydra", "ALTER ROLE app PASSWORD 'second'")?;
        ground.server.execute("hydra", END)?;
        sleep(during);
        std::fs::write(ground.password_file(), "second\n")
    })?;
    Ok(Box::new(ground.with_role("scram-sha-256")?))
}

/// Another client takes each connection that is free, those of the node as well.
fn crowded_out() -> Started {
    let settings = ["max_connections=20", "superuser_reserved_connections=3"];
    let ground = ground(&settings, |ground, during| {
        let mut strangers: Vec<TcpStream> = Vec::new();
        let mut rounds = 0..ROUNDS_MAX;
        loop {
            while let Some(stranger) = stranger::of_postgres(ground.server.port())? {
                strangers.push(stranger);
            }
            if ground.count(SESSIONS)? == 0 {
                break;
            }
            rounds.next().ok_or_else(|| io::Error::other("the node keeps its connections"))?;
            ground.server.execute("hydra", END)?;
        }
        sleep(during);
        drop(strangers);
        Ok(())
    })?;
    Ok(Box::new(ground.with_role("trust")?))
}

fn locked(ground: &mut OnPostgres, during: Duration) -> io::Result<()> {
    let hold = format!(
        "BEGIN; LOCK TABLE hydra.records IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep({}); COMMIT",
        during.as_secs_f64()
    );
    ground.server.execute("hydra", &hold)
}

/// A migration that stands in the middle of a step and is rolled back, and one by hand that has ended half-way.
fn half_migrated(ground: &mut OnPostgres, during: Duration) -> io::Result<()> {
    let step = format!(
        "BEGIN; ALTER TABLE hydra.records ADD COLUMN half int; SELECT pg_sleep({}); ROLLBACK",
        (during / 2).as_secs_f64()
    );
    ground.server.execute("hydra", &step)?;
    ground.server.execute("hydra", "ALTER TABLE hydra.peers RENAME TO away")?;
    sleep(during / 2);
    ground.server.execute("hydra", "ALTER TABLE hydra.away RENAME TO peers")
}
