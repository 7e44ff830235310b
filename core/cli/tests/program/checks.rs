//! `hydra config check`, which touches nothing, and `hydra check`, which connects and creates nothing.

use crate::{Hydra, project, stderr};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::SystemTime;

/// A node on loopback, in the directory of `hydra`.
struct Running {
    child: Child,
    lines: Vec<String>,
}

pub(crate) const LOOPBACK: [&str; 6] = [
    "--set",
    "heads.listen=[\"127.0.0.1\"]",
    "--set",
    "ids.port_base=0",
    "--set",
    "telemetry.http.listen=127.0.0.1:0",
];

impl Running {
    fn start(hydra: &Hydra, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let log = std::fs::File::create(hydra.dir.path().join("log")).unwrap();
        let mut command = hydra.command(&[&["run"], args].concat());
        let command = command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines.last().is_some_and(|line| line == "ready") {
                return Self { child, lines };
            }
        }
        child.wait().unwrap();
        panic!("{}", std::fs::read_to_string(hydra.dir.path().join("log")).unwrap());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        drop(Command::new("kill").args(["-TERM", &pid]).status());
        drop(self.child.wait());
    }
}

/// Every file below a directory, with its length and its time.
fn files(dir: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let (path, about) = (entry.as_ref().unwrap().path(), entry.unwrap().metadata().unwrap());
        if about.is_dir() {
            all.extend(files(&path));
        }
        all.insert(path.display().to_string(), (about.len(), about.modified().unwrap()));
    }
    all
}

fn limited(hydra: &Hydra, descriptors: u32, args: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.current_dir(hydra.dir.path()).env_clear();
    command.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$@\"")).arg("sh");
    command.arg(env!("CARGO_BIN_EXE_hydra")).args(args).output().unwrap()
}

#[test]
fn config_check_tells_all_mistakes_at_once_and_touches_nothing() {
    let hydra = Hydra::new();
    hydra.file(
        "node.toml",
        "data_dir = 'data'\nbogus = 1\n[heads]\nlisten = ['nowhere']\nannounce = ['/ip4/10.0.0.1/tcp/0']\n\
         [network]\naddresses = 'public'\n[store]\nkind = 'postgres'\npassword = { file = '/nowhere/password' }\n\
         [store.tls]\n[[admission]]\nkind = 'denylist'\nfiles = ['/nowhere/list.deny']\n\
         [telemetry.otlp.headers]\nauthorization = { env = 'NOT_SET_ANYWHERE' }\n",
    );
    let before = files(hydra.dir.path());
    let output =
        hydra.command(&["config", "check", "--config", "node.toml"]).env("HYDRA_HOME", "x").output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    for word in [
        "environment variable HYDRA_HOME: ",
        "node.toml:2:1: bogus: unknown key",
        "node.toml:4:11: heads.listen[0]: ",
        "node.toml:5:13: heads.announce[0]: ",
        "node.toml:10:12: store.password: ",
        "/nowhere/password",
        "admission[0].files[0]: ",
        "/nowhere/list.deny",
        "telemetry.otlp.headers.authorization: ",
        "NOT_SET_ANYWHERE",
    ] {
        assert!(message.contains(word), "no {word} in {message}");
    }
    assert!(message.lines().all(|line| line.starts_with("error: ")), "{message}");
    assert_eq!(files(hydra.dir.path()), before, "nothing is created or changed");
}

/// What a plugin alone can judge, of tables inside tables too.
#[test]
fn config_check_tells_what_spans_several_keys_of_a_plugin() {
    const FILE: &str = r#"[store]
kind = "tiered"
[[store.tiers]]
kind = "redis"
hosts = ["redis://one:6379"]
[[store.tiers]]
kind = "postgres"
hosts = ["one"]
tls.client_cert_file = "/dev/null"

[[admission]]
kind = "token-bucket"
peer.burst = 1
read_cost = 2

[[admission]]
kind = "queue-depth"
waiting.degrade_percent = 95
waiting.decline_percent = 90

[[admission]]
kind = "fair"
degrade_percent = 50
decline_percent = 30

[[admission]]
kind = "denylist"
files = []
"#;
    let hydra = Hydra::new();
    std::fs::write(hydra.dir.path().join("node.toml"), FILE).unwrap();
    let output = hydra.run(&["config", "check", "--config", "node.toml"]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    for (line, key) in [
        (5, "store.tiers[0].hosts[0]"),
        (9, "store.tiers[1].tls.client_cert_file"),
        (13, "admission[0].peer.burst"),
        (18, "admission[1].waiting.degrade_percent"),
        (23, "admission[2].degrade_percent"),
        (28, "admission[3].files"),
    ] {
        let place = format!("node.toml:{line}");
        assert!(
            told.lines().any(|told| told.contains(&place) && told.contains(key)),
            "{place} {key}: {told}"
        );
    }
}

#[test]
fn config_check_passes_what_is_right_and_creates_nothing() {
    for file in ["config/hydra.toml", "config/amino.toml", "config/private.toml"] {
        let hydra = Hydra::new();
        let printed = hydra.prints(&["config", "check", "--config", project(file).to_str().unwrap()]);
        assert!(printed.lines().last().is_some_and(|line| line.starts_with("ok")), "{file}: {printed}");
        assert!(files(hydra.dir.path()).is_empty());
    }
}

/// The number that `config show --json` prints of a key.
fn shown(hydra: &Hydra, key: &str) -> u64 {
    let all: Vec<serde_json::Value> =
        serde_json::from_str(&hydra.prints(&["config", "show", "--json"])).unwrap();
    all.iter().find(|one| one["key"] == key).and_then(|one| one["value"].as_u64()).unwrap()
}

/// The budget of the node is not reached before the ladder degrades, and a busy store is no overload.
#[test]
fn the_defaults_fit_together() {
    let hydra = Hydra::new();
    let peak = shown(&hydra, "engine.peak.requests_per_second");
    assert!(shown(&hydra, "admission[0].node.rate_per_s") > peak);
    assert_eq!(shown(&hydra, "admission[1].in_flight.degrade_percent"), 0);
    assert_eq!(shown(&hydra, "admission[1].in_flight.decline_percent"), 0);
}

#[test]
fn joining_the_public_network_with_private_addresses_is_warned_of() {
    let hydra = Hydra::new();
    let amino = project("config/amino.toml");
    let check = |more: &[&str]| {
        let output = hydra.run(&[&["config", "check", "--config", amino.to_str().unwrap()], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stderr(&output).contains("network.addresses: the node joins the public IPFS DHT")
    };
    assert!(!check(&[]));
    assert!(check(&["--set", "network.addresses=any"]));
    assert!(!check(&["--set", "network.addresses=any", "--set", "network.protocol=/mine/kad/1.0.0"]));
    assert!(!check(&["--set", "network.addresses=any", "--set", "network.bootstrap=[]"]));
}

#[test]
fn config_check_warns_of_heads_that_advertise_no_address() {
    let hydra = Hydra::new();
    let check = |settings: &[&str]| {
        let args: Vec<_> = settings.iter().flat_map(|setting| ["--set", *setting]).collect();
        let output = hydra.run(&[&["config", "check"], &args[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{settings:?}: {}", stderr(&output));
        stderr(&output)
    };
    let (public, private) = ("network.addresses=public", "heads.listen=[\"10.0.0.1\", \"fd00::1\"]");
    let only = "heads.announce_only=[\"/ip4/192.0.2.1/tcp/0\"]";
    for (settings, key) in [
        (&[private, "heads.never_announce=[\"10.0.0.0/8\", \"fc00::/7\"]"][..], "heads.never_announce"),
        (&[only, "heads.never_announce=[\"192.0.2.0/24\"]"], "heads.never_announce"),
        (&["heads.never_announce=[\"0.0.0.0/0\", \"::/0\"]"], "heads.never_announce"),
        (&[private, public], "network.addresses"),
    ] {
        let message = check(settings);
        let start = format!("warning: --set {key}: {key}: ");
        assert!(message.starts_with(&start), "{settings:?}: {message}");
        for word in ["advertise none", "heads.announce_only"] {
            assert!(message.contains(word), "{settings:?}: no {word} in {message}");
        }
    }
    for settings in [
        &[public][..],
        &[private, "heads.never_announce=[\"10.0.0.0/8\"]"],
        &[private, public, "heads.announce=[\"/ip4/1.2.3.4/tcp/0\"]"],
        &["heads.never_announce=[\"0.0.0.0/0\"]"],
        &["heads.never_announce=[\"0.0.0.0/8\", \"::/1\"]"],
        &[only, "heads.never_announce=[\"10.0.0.0/8\"]"],
    ] {
        assert_eq!(check(settings), "", "{settings:?}");
    }
    let refused =
        ["config", "check", "--set", public, "--set", "heads.announce_only=[\"/ip4/10.0.0.1/tcp/0\"]"];
    let message = stderr(&hydra.run(&refused));
    assert!(message.contains("error: --set heads.announce_only: heads.announce_only[0]: "), "{message}");
}

#[test]
fn config_check_compares_the_heads_with_slots_and_ports() {
    let hydra = Hydra::new();
    for (count, ids, room) in
        [(50, "ids.slots_max=5", 5), (5, "ids.port_base=65534", 2), (3, "ids.first_slot=60000", 0)]
    {
        let count = format!("heads.count={count}");
        let output =
            hydra.run(&["config", "check", "--set", &count, "--set", ids, "--set", "ids.port_base=65534"]);
        assert_eq!(output.status.code(), Some(2), "{ids}: {}", stderr(&output));
        let room = format!("has room for {}", room.min(2));
        assert!(stderr(&output).contains(&room), "{ids}: {}", stderr(&output));
    }
    let output = hydra.run(&["config", "check", "--set", "heads.count=50", "--set", "ids.slots_max=5"]);
    assert!(
        stderr(&output).contains("error: --set heads.count: heads.count: 50 heads"),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("has room for 5"), "{}", stderr(&output));
}

#[test]
fn config_check_compares_the_descriptors_with_the_limit() {
    let hydra = Hydra::new();
    let output = limited(&hydra, 256, &["config", "check", "--set", "heads.count=500"]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    // Four listeners for each: two addresses, two transports. Each watches the interfaces, and one of QUIC has two.
    for word in ["256", "5000", "heads.count", "LimitNOFILE"] {
        assert!(message.contains(word), "no {word} in {message}");
    }
    let output = limited(&hydra, 4096, &["config", "check"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("warning: ") && stderr(&output).contains("4096"), "{}", stderr(&output));
    assert!(stderr(&output).contains("per_node_max"), "{}", stderr(&output));
    let few = "connections.per_node_max=500";
    let low = ["connections.per_node_high=400", "connections.per_node_low=300", "connections.pending_max=16"];
    let args = ["config", "check", "--set", few, "--set", low[0], "--set", low[1], "--set", low[2]];
    let output = limited(&hydra, 4096, &args);
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
}

#[test]
fn a_check_refuses_a_port_of_the_pages_that_is_taken() {
    let hydra = Hydra::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("telemetry.http.listen={}", taken.local_addr().unwrap());
    let output = hydra.run(&["check", "--set", &listen]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.starts_with("error: --set telemetry.http.listen: telemetry.http.listen: "), "{message}");
    assert!(
        message.contains(&taken.local_addr().unwrap().to_string()) && message.contains("in use"),
        "{message}"
    );
    hydra.prints(&["check", "--set", "telemetry.http.listen=127.0.0.1:0"]);
    assert!(files(hydra.dir.path()).is_empty(), "a check creates nothing");
    let output = hydra.run(&["config", "check", "--set", &listen]);
    assert!(output.status.success(), "it opens nothing: {}", stderr(&output));
}

#[test]
fn with_strict_ports_a_node_does_not_start_on_another_port() {
    let hydra = Hydra::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let base = format!("ids.port_base={port}");
    let set = [&LOOPBACK[..2], &["--set", &base, "--set", "heads.count=1"], &LOOPBACK[4..]].concat();
    let is_refused = || {
        let output = hydra.run(&[&["run"], &set[..], &["--set", "heads.ports=strict"]].concat());
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{message}");
        let on =
            format!("head 0 cannot listen on /ip4/127.0.0.1/tcp/{port}, /ip4/127.0.0.1/udp/{port}/quic-v1: ");
        assert!(message.contains(&on) && message.contains("heads.ports"), "{message}");
    };
    is_refused();
    let moved = Running::start(&hydra, &set, &[]);
    assert!(!moved.lines[0].contains(&format!("/{port}/")), "{:?}", moved.lines);
    drop(moved);
    // The port that it has moved to is not one of the firewall's rule either.
    is_refused();
}

#[test]
fn both_checks_work_beside_a_running_node_and_change_nothing() {
    let hydra = Hydra::new();
    let home = [("HYDRA_HOME", "/opt"), ("HYDRA_METRICS_PORT", "tcp://10.0.0.1:9464")];
    let running = Running::start(&hydra, &LOOPBACK, &home);
    let http = running.lines.iter().find_map(|line| line.strip_prefix("http http://")).unwrap();
    let log = std::fs::read_to_string(hydra.dir.path().join("log")).unwrap();
    assert!(log.contains("HYDRA_HOME") && !log.contains("HYDRA_METRICS"), "{log}");

    let printed = hydra.prints(&[&["config", "check"], &LOOPBACK[..]].concat());
    assert!(printed.lines().last().is_some_and(|line| line.starts_with("ok")), "{printed}");

    let names = |all: BTreeMap<String, (u64, SystemTime)>| all.into_keys().collect::<Vec<_>>();
    let before = names(files(&hydra.dir.path().join("hydra-data")));
    let listen = format!("telemetry.http.listen={http}");
    let printed = hydra.prints(&[&["check"], &LOOPBACK[..4], &["--set", &listen]].concat());
    assert!(printed.contains("in use by the node that runs on ./hydra-data"), "{printed}");
    assert!(printed.lines().last().is_some_and(|line| line.starts_with("ok, ")), "{printed}");
    assert_eq!(names(files(&hydra.dir.path().join("hydra-data"))), before);

    drop(running);
    let printed = hydra.prints(&[&["check"], &LOOPBACK[..]].concat());
    assert!(!printed.contains("in use by"), "{printed}");
}
