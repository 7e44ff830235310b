//! The memory guard and heap profiles of the program.
//!
//! The tests that need a control group are ignored where none can be made, as without root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod group;
mod node;

use flate2::read::GzDecoder;
use group::Group;
use libtest_mimic::{Arguments, Trial};
use node::{Node, program};
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The limit of a node under load. At its start it uses about a fifth of it.
const LIMIT_BYTES: u64 = 128 << 20;
/// Clients that take more memory, at about 45 kB each, than the limit leaves.
const CLIENTS: &str = "4000";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let no_group = Group::new("trial", LIMIT_BYTES).is_err();
    let trial = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let trials = vec![
        trial("a_profile_is_had_on_request_and_by_signal", a_profile_is_had_on_request_and_by_signal),
        trial("many_signals_are_answered_with_few_profiles", many_signals_are_answered_with_few_profiles),
        trial("a_limit_of_the_config_is_guarded", a_limit_of_the_config_is_guarded),
        trial("a_node_without_a_guard_says_so", a_node_without_a_guard_says_so),
        trial("a_node_full_of_connections_outlives_its_limit", a_node_full_of_connections_outlives_its_limit)
            .with_ignored_flag(no_group),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Whether these bytes are a compressed profile with the addresses of the program.
fn assert_profile(bytes: &[u8]) {
    let mut decoded = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut decoded).unwrap();
    let program = env!("CARGO_BIN_EXE_hydra").as_bytes();
    for word in [&b"inuse_space"[..], program] {
        assert!(decoded.windows(word.len()).any(|part| part == word));
    }
}

fn a_profile_is_had_on_request_and_by_signal() {
    let mut node = Node::start(&["memory.profiles.files_max=2"], |node| node);
    let page = node.page("/debug/pprof/heap").unwrap();
    assert!(page.status.contains("200"), "{}", page.status);
    assert_profile(&page.body);
    assert_eq!(node.profiles().len(), 0, "it is kept nowhere");
    for written in 1..=3 {
        node.signal("-USR2");
        let series = "hydra_heap_profiles_total{outcome=\"written\"}";
        node.until("a profile", |node| node.metric(series) >= f64::from(written));
    }
    let profiles = node.profiles();
    assert_eq!(profiles.len(), 2, "{profiles:?}");
    for profile in profiles {
        assert!(profile.to_str().unwrap().ends_with("-signal.pb.gz"), "{}", profile.display());
        assert_profile(&std::fs::read(profile).unwrap());
    }
    assert!(node.metric("hydra_heap_bytes{kind=\"allocated\"}") > 1e6);
    node.stop();
}

fn many_signals_are_answered_with_few_profiles() {
    let mut node = Node::start(&[], |node| node);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        node.signal("-USR2");
    }
    let written = |node: &Node| node.metric("hydra_heap_profiles_total{outcome=\"written\"}");
    node.until("a profile", |node| written(node) >= 1.0);
    let at_most = begun.elapsed().as_secs_f64() + 2.0;
    assert!(written(&node) <= at_most, "{} profiles in less than {at_most} s", written(&node));
    node.stop();
}

fn a_limit_of_the_config_is_guarded() {
    // Every process has more.
    let mut node = Node::start(&["memory.limit_mib=1", "engine.cache.mib_max=8"], |node| node);
    node.until("all steps", |node| node.metric("hydra_memory_step{step=\"close\"}") == 1.0);
    assert_eq!(node.metric("hydra_memory_limit_bytes"), f64::from(1 << 20));
    assert_eq!(node.metric("hydra_cache_max_bytes"), f64::from(4 << 20));
    assert!(node.text("/readyz?verbose").contains("[!]memory: "), "{}", node.text("/readyz?verbose"));
    assert!(node.text("/api/v1/status").contains("\"steps\":[\"shrink\",\"refuse\",\"close\"]"));
    node.until("a profile", |node| node.profiles().len() == 1);
    assert!(node.profiles()[0].to_str().unwrap().ends_with("-close.pb.gz"));
    let load = ["load", &node.tcp, "--clients", "1", "--duration", "1s"];
    assert!(!program().args(load).output().unwrap().status.success(), "no client gets in");
    assert!(node.metric("hydra_connections_refused_total{reason=\"memory\"}") > 0.0);
    node.stop();
}

fn a_node_without_a_guard_says_so() {
    let node = Node::start(&["memory.limit_mib=0"], |node| node);
    assert!(!node.text("/metrics").contains("hydra_memory_used_bytes"));
    assert!(node.text("/api/v1/status").contains("\"limit_bytes\":null"));
    node.stop();
}

fn a_node_full_of_connections_outlives_its_limit() {
    let group = Group::new("load", LIMIT_BYTES).unwrap();
    let settings = [
        "connections.per_head_max=100000",
        "connections.per_head_high=100000",
        "connections.per_node_max=100000",
        "connections.per_node_high=100000",
        "memory.profiles.files_max=3",
        "memory.profiles.mib_max=8",
    ];
    let mut node = Node::start(&settings, |node| group.holding(&node));
    let limit = node.metric("hydra_memory_limit_bytes");
    assert_eq!(limit, LIMIT_BYTES as f64, "it found its control group");
    let load = ["load", &node.tcp, "--clients", CLIENTS, "--rate", "500", "--duration", "10s"];
    let mut load = load_of(&load);
    let mut used_max: f64 = 0.0;
    while load.try_wait().unwrap().is_none() {
        assert!(node.has_not_ended(), "the node was killed at {used_max}\n{}", node.log());
        used_max = used_max.max(node.metric("hydra_memory_used_bytes"));
        std::thread::sleep(Duration::from_millis(200));
    }
    let begun = |step: &str| node.metric(&format!("hydra_memory_steps_total{{step=\"{step}\"}}"));
    assert!(begun("shrink") >= 1.0 && begun("refuse") >= 1.0, "at most {used_max} bytes\n{}", node.log());
    assert!(used_max < limit, "{used_max}");
    let profiles = node.profiles();
    assert!((1..=3).contains(&profiles.len()), "{profiles:?}");
    let bytes: u64 = profiles.iter().map(|profile| profile.metadata().unwrap().len()).sum();
    assert!(bytes <= 8 << 20, "{bytes}");
    assert_profile(&std::fs::read(&profiles[0]).unwrap());
    node.until("the steps end", |node| {
        ["refuse", "close"]
            .iter()
            .all(|step| node.metric(&format!("hydra_memory_step{{step=\"{step}\"}}")) == 0.0)
    });
    node.stop();
}

fn load_of(args: &[&str]) -> std::process::Child {
    let mut command: Command = program();
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
