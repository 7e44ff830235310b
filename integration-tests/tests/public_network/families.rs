//! Machines without some family of sockets: what can work works, and what cannot is told with its cause.

use hydra_integration_tests::network::PROTOCOL;
use hydra_integration_tests::node::{Home, Node, command, program};
use hydra_integration_tests::peer::Peer;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use std::process::{Command, Output};

const INET6: u64 = 10;
const NETLINK: u64 = 16;
/// `EAFNOSUPPORT`.
const NO_FAMILY: u32 = 97;
const EVERYWHERE: &str = "heads.listen=[\"0.0.0.0\", \"::\"]";

/// From now on this thread, and what it starts, makes no socket of this family.
fn forbid(family: u64) {
    let socket = if cfg!(target_arch = "aarch64") { 198 } else { 41 };
    let is_family = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family).unwrap();
    let rules = [(socket, vec![SeccompRule::new(vec![is_family]).unwrap()])].into();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(NO_FAMILY), arch);
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter(&program).unwrap();
}

/// Runs a test on a thread that may make no socket of this family.
fn without(family: u64, test: impl AsyncFnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        forbid(family);
        runtime.block_on(test());
    });
    thread.join().unwrap();
}

fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

pub(crate) async fn no_netlink() {
    without(NETLINK, async || {
        let home = Home::new().unwrap();
        let mut node = command(&program().unwrap(), &home, &["heads.count=2", EVERYWHERE]);
        let output = node.output().await.unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{log}");
        let told = log.lines().last().unwrap();
        assert!(told.starts_with("error: cannot start: head 0 cannot listen"), "{log}");
        for part in ["netlink", "os error 97", "AF_NETLINK", "heads.listen"] {
            assert!(told.contains(part), "{part}: {log}");
        }
        // Addresses by number need none.
        let node = Node::start(&["heads.count=1"]).await.unwrap();
        Peer::client(PROTOCOL).find_node(node.heads()[0].tcp(), b"anything").await.unwrap();
    });
}

/// Serves on the family that is left, and says so at once.
async fn serves(family: &str, settings: &[&str]) {
    let settings: Vec<_> = ["heads.count=2", EVERYWHERE].iter().chain(settings).copied().collect();
    let node = Node::start(&settings).await.unwrap();
    let addresses: Vec<_> = node.heads()[0].addresses.iter().map(ToString::to_string).collect();
    assert!(
        !addresses.is_empty() && addresses.iter().all(|address| address.starts_with(family)),
        "{addresses:?}"
    );
    for address in [node.heads()[0].tcp(), node.heads()[1].quic()] {
        Peer::client(PROTOCOL).find_node(address, b"anything").await.unwrap_or_else(|error| {
            panic!("{address}: {error}; the log:\n{}", node.home().log());
        });
    }
    assert_eq!(node.page("/readyz").await.unwrap().status, 200);
    let down = node.metrics().await.unwrap().sum("hydra_listeners", &[("state", "down")]);
    assert!(down < 1.0, "{down} listeners of a family that is not there are tried again");
}

pub(crate) async fn one_of_two() {
    without(INET6, async || serves("/ip4/", &[]).await);
    run("sysctl", &["-w", "net.ipv6.conf.all.disable_ipv6=1"]);
    serves("/ip4/", &[]).await;
    run("sysctl", &["-w", "net.ipv6.conf.all.disable_ipv6=0"]);
    run("ip", &["-6", "addr", "replace", "::1/128", "dev", "lo"]);
    run("ip", &["-4", "addr", "flush", "dev", "lo"]);
    serves("/ip6/", &["telemetry.http.listen=\"[::1]:0\""]).await;
}
