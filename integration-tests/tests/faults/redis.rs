//! Faults of a single Redis server.

use super::disk::SmallDisk;
use super::scenario::{Ground, Loss, Needs, Scenario};
use super::stranger;
use super::way::Way;
use hydra_conformance::servers::Redis as Server;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PAUSE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the last connections of the node are ended until others have them.
const ROUNDS_MAX: usize = 200;
/// What the documentation of `appendfsync everysec` permits a crash to lose.
const EVERY_SECOND: Duration = Duration::from_secs(2);
const APPEND: [&str; 2] = ["--appendonly", "yes"];
/// A restart reads each key in 4 ms, and answers meanwhile.
const SLOW_START: [&str; 6] =
    ["--save", "3600 1", "--key-load-delay", "4000", "--loading-process-events-interval-bytes", "1024"];
/// Takes as many keys as a restart is to read at least.
const FILL: &str = "for number = 1, 500 do redis.call('SET', 'filler' .. number, '') end";
/// What the README of the store names.
const RIGHTS: [&str; 5] = ["~hydra:*", "+@read", "+@write", "+@connection", "+@scripting"];

type Started = io::Result<Box<dyn Ground>>;

const fn scenario(fault: &'static str, cause: &'static [&'static str], start: fn() -> Started) -> Scenario {
    Scenario { backend: "Redis", fault, start, cause, loss: Loss::Nothing, needs: Needs::Nothing }
}

pub(crate) const SCENARIOS: [Scenario; 12] = [
    Scenario {
        loss: Loss::Last(EVERY_SECOND),
        ..scenario("kill -9 and restart", &["Connection refused"], || on(&APPEND, killed))
    },
    scenario("SIGSTOP", &["has stalled", "no answer within"], || on(&[], frozen)),
    scenario("port closed", &["Connection refused"], || behind(Way::by_link)),
    scenario("connections exhausted by another client", &["max number of clients"], || {
        on(&["--maxclients", "40"], crowded_out)
    }),
    scenario("a rotated password", &["WRONGPASS"], with_password),
    Scenario {
        needs: Needs::MountNamespace,
        ..scenario("DNS that moves", &["Connection refused", "time limit"], || behind(Way::by_name))
    },
    Scenario {
        loss: Loss::Counted,
        ..scenario("maxmemory reached", &["no room for more records"], || on(&[], out_of_memory))
    },
    scenario("CLIENT PAUSE", &["has stalled", "no answer within"], || on(&[], paused)),
    scenario("MISCONF", &["MISCONF"], || on(&["--save", "3600 1"], cannot_persist)),
    Scenario { needs: Needs::Root, ..scenario("disk full", &["MISCONF"], with_small_disk) },
    scenario("BUSY with a script", &["BUSY", "no answer within"], || on(&["--lua-time-limit", "200"], busy)),
    scenario("restart with LOADING for seconds", &["LOADING"], || on(&SLOW_START, loading)),
];

/// A server, what stands before it, and what is to be done to it.
struct OnRedis {
    server: Server,
    way: Way,
    /// The file of the password with which the node logs in, if it has to.
    password: Option<PathBuf>,
    home: TempDir,
    /// After the server, so that it ends later.
    disk: Option<SmallDisk>,
    inflict: fn(&mut Self, Duration) -> io::Result<()>,
}

fn ground(settings: &[&str], inflict: fn(&mut OnRedis, Duration) -> io::Result<()>) -> io::Result<OnRedis> {
    let server = Server::start(&program()?, settings)?;
    let (way, home) = (Way::Straight(server.port()), tempfile::tempdir()?);
    Ok(OnRedis { server, way, password: None, home, disk: None, inflict })
}

fn on(settings: &[&str], inflict: fn(&mut OnRedis, Duration) -> io::Result<()>) -> Started {
    Ok(Box::new(ground(settings, inflict)?))
}

pub(crate) fn program() -> io::Result<PathBuf> {
    Server::installed().ok_or_else(|| io::Error::other("redis-server is not installed, see .ci/install"))
}

impl Ground for OnRedis {
    fn config(&self) -> &'static str {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../config/redis.toml")
    }

    fn settings(&self) -> Vec<String> {
        let mut settings =
            vec![format!("store.hosts=[{:?}]", self.way.host()), "store.buckets_log2=10".to_owned()];
        if let Some(password) = &self.password {
            settings.push("store.username=\"node\"".to_owned());
            settings.push(format!("store.password={{ file = {password:?} }}"));
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

impl OnRedis {
    fn command(&self, command: &[&str]) -> io::Result<String> {
        self.server.command(command)
    }

    /// Waits until a part of INFO has this line.
    fn until(&self, part: &str, line: &str) -> io::Result<()> {
        let since = Instant::now();
        while !self.command(&["INFO", part])?.contains(line) {
            if since.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("never {line}")));
            }
            sleep(PAUSE);
        }
        Ok(())
    }
}

fn killed(ground: &mut OnRedis, during: Duration) -> io::Result<()> {
    ground.server.kill()?;
    sleep(during);
    ground.server.launch()
}

fn frozen(ground: &mut OnRedis, during: Duration) -> io::Result<()> {
    ground.server.signal("STOP")?;
    sleep(during);
    ground.server.signal("CONT")
}

fn behind(way: fn(u16) -> io::Result<Way>) -> Started {
    let mut ground = ground(&[], |ground, during| ground.way.fail(during))?;
    ground.way = way(ground.server.port())?;
    Ok(Box::new(ground))
}

/// Another client takes each connection that is free, those of the node as well.
fn crowded_out(ground: &mut OnRedis, during: Duration) -> io::Result<()> {
    let port = ground.server.port();
    let mut first = stranger::of_redis(port)?.ok_or_else(|| io::Error::other("no room at all"))?;
    let mut strangers = Vec::new();
    for _ in 0..ROUNDS_MAX {
        while let Some(stranger) = stranger::of_redis(port)? {
            strangers.push(stranger);
        }
        let clients = stranger::redis(&mut first, "CLIENT LIST")?;
        let of_node: Vec<_> = clients.lines().filter(|client| client.contains("name=hydra")).collect();
        if of_node.is_empty() {
            sleep(during);
            return Ok(());
        }
        for client in of_node {
            let id = client.split_whitespace().find_map(|word| word.strip_prefix("id=")).unwrap_or_default();
            stranger::redis(&mut first, &format!("CLIENT KILL ID {id}"))?;
        }
    }
    Err(io::Error::other("the node keeps its connections"))
}

fn with_password() -> Started {
    let mut ground = ground(&[], |ground, during| {
        ground.command(&["ACL", "SETUSER", "node", "resetpass", ">second"])?;
        ground.command(&["CLIENT", "KILL", "TYPE", "normal"])?;
        sleep(during);
        std::fs::write(ground.home.path().join("password"), "second\n")
    })?;
    ground.command(&[&["ACL", "SETUSER", "node", "reset", "on", ">first"][..], &RIGHTS].concat())?;
    let password = ground.home.path().join("password");
    std::fs::write(&password, "first\n")?;
    ground.password = Some(password);
    Ok(Box::new(ground))
}

fn out_of_memory(ground: &mut OnRedis, during: Duration) -> io::Result<()> {
    ground.command(&["CONFIG", "SET", "maxmemory", "1"])?;
    sleep(during);
    ground.command(&["CONFIG", "SET", "maxmemory", "0"]).map(drop)
}

fn paused(ground: &mut OnRedis, during: Duration) -> io::Result<()> {
    ground.command(&["CLIENT", "PAUSE", &during.as_millis().to_string(), "ALL"])?;
    sleep(during);
    Ok(())
}

/// The snapshot cannot take the place of a directory.
fn cannot_persist(ground: &mut OnRedis, during: Duration) -> io::Result<()> {
    let snapshot = ground.server.home().join("dump.rdb");
    if snapshot.exists() {
        std::fs::remove_file(&snapshot)?;
    }
    std::fs::create_dir(&snapshot)?;
    ground.command(&["BGSAVE"])?;
    ground.until("persistence", "rdb_last_bgsave_status:err")?;
    sleep(during);
    std::fs::remove_dir(&snapshot)?;
    ground.command(&["BGSAVE"])?;
    ground.until("persistence", "rdb_last_bgsave_status:ok")
}

/// The log of the commands is on a disk of its own.
fn with_small_disk() -> Started {
    let disk = SmallDisk::mount("16m")?;
    let dir = disk.path().display().to_string();
    let mut ground = ground(&["--dir", &dir, "--appendonly", "yes"], |ground, during| {
        let disk = ground.disk.as_ref().ok_or(io::ErrorKind::NotFound)?;
        disk.fill()?;
        ground.until("persistence", "aof_last_write_status:err")?;
        sleep(during);
        disk.clear()?;
        ground.until("persistence", "aof_last_write_status:ok")
    })?;
    ground.disk = Some(disk);
    Ok(Box::new(ground))
}

fn busy(ground: &mut OnRedis, during: Duration) -> io::Result<()> {
    let mut client = stranger::of_redis(ground.server.port())?.ok_or(io::ErrorKind::NotFound)?;
    std::thread::scope(|scope| {
        // It is told that its script was killed, or loses its connection.
        let script = scope.spawn(move || stranger::redis(&mut client, "EVAL \"while true do end\" 0"));
        sleep(during);
        ground.command(&["SCRIPT", "KILL"])?;
        drop(script.join());
        Ok(())
    })
}

fn loading(ground: &mut OnRedis, _: Duration) -> io::Result<()> {
    ground.command(&["EVAL", FILL, "0"])?;
    ground.server.stop();
    ground.server.launch()?;
    let since = Instant::now();
    while ground.command(&["PING"]).is_err() {
        if since.elapsed() > PATIENCE {
            return Err(io::Error::other("it loads for ever"));
        }
        sleep(PAUSE);
    }
    Ok(())
}
