//! Faults of a PostgreSQL server.

use super::disk::SmallDisk;
use super::link::Link;
use super::names::{NAME, Names};
use super::scenario::{Ground, Loss, Needs, Scenario};
use super::stranger;
use hydra_conformance::servers::Postgres as Server;
use std::io;
use std::net::TcpStream;
use std::path::Path;
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

pub(crate) const SCENARIOS: [Scenario; 11] = [
    scenario("kill -9 and restart", &["Connection refused"], || on(&[], killed)),
    scenario("SIGSTOP", &["has stalled", "has not answered within"], || on(&[], frozen)),
    scenario("default_transaction_read_only", &["read-only transaction"], || on(&[], read_only)),
    scenario("pg_terminate_backend of all", &["terminating connection"], || on(&[], terminated)),
    Scenario { needs: Needs::Root, ..scenario("disk full", &["No space left"], || on(&[], full)) },
    scenario("port closed", &["Connection refused", "Connection reset"], behind_link),
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
        ..scenario("DNS that moves", &["Connection refused", "Connection reset"], under_name)
    },
];

/// A server, what stands before it, and what is to be done to it.
struct OnPostgres {
    server: Server,
    /// Where the node looks for it.
    host: String,
    /// As whom the node logs in, if not as the superuser.
    user: Option<&'static str>,
    secrets: TempDir,
    link: Option<Link>,
    names: Option<Names>,
    inflict: fn(&mut Self, Duration) -> io::Result<()>,
}

fn ground(
    settings: &[&str],
    inflict: fn(&mut OnPostgres, Duration) -> io::Result<()>,
) -> io::Result<OnPostgres> {
    let server = Server::start(settings)?;
    let (host, secrets) = (format!("127.0.0.1:{}", server.port()), tempfile::tempdir()?);
    Ok(OnPostgres { server, host, user: None, secrets, link: None, names: None, inflict })
}

fn on(settings: &[&str], inflict: fn(&mut OnPostgres, Duration) -> io::Result<()>) -> Started {
    Ok(Box::new(ground(settings, inflict)?))
}

impl Ground for OnPostgres {
    fn config(&self) -> &'static str {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../config/postgres.toml")
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![format!("store.hosts=[{:?}]", self.host)];
        if let Some(user) = self.user {
            settings.push(format!("store.user={user:?}"));
            settings.push(format!("store.password={{ file = {:?} }}", self.password_file()));
        }
        settings
    }

    fn hosts_file(&self) -> Option<&Path> {
        self.names.as_ref().map(Names::file)
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

fn behind_link() -> Started {
    let mut ground = ground(&[], |ground, during| {
        let link = ground.link.as_mut().ok_or(io::ErrorKind::NotFound)?;
        link.cut();
        sleep(during);
        link.restore()
    })?;
    let link = Link::open(([127, 0, 0, 1], 0).into(), ground.server.port())?;
    ground.host = format!("127.0.0.1:{}", link.port());
    ground.link = Some(link);
    Ok(Box::new(ground))
}

fn under_name() -> Started {
    let mut ground = ground(&[], |ground, during| {
        ground.names.as_mut().ok_or(io::ErrorKind::NotFound)?.move_away(during)
    })?;
    let names = Names::new(ground.server.port())?;
    ground.host = format!("{NAME}:{}", names.port());
    ground.names = Some(names);
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
