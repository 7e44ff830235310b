//! A network of its own for a test: public addresses that lead nowhere but to this machine, and mounts that nobody else sees.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

/// Set for the test that runs inside.
const INSIDE: &str = "HYDRA_TEST_IN_NAMESPACE";
/// The public hosts of the network, each in an address group of its own.
pub(crate) const HOSTS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(1, 2, 3, 4),
    Ipv4Addr::new(1, 3, 3, 4),
    Ipv4Addr::new(1, 4, 3, 4),
    Ipv4Addr::new(1, 5, 3, 4),
];

/// With user namespaces, or as root of a machine that has none.
const WAYS: [&[&str]; 2] = [&["--user", "--map-root-user", "--net", "--mount"], &["--net", "--mount"]];

/// Whether this machine lets its users make one.
pub(crate) fn is_possible() -> bool {
    is_inside() || way().is_some()
}

/// Whether the test runs inside already.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs one test of this program inside, and fails as it does.
pub(crate) fn run(name: &str) -> Result<(), String> {
    let way = way().ok_or("no network namespace can be made")?;
    let program = std::env::current_exe().map_err(|cause| cause.to_string())?;
    let status = command(way, "exec \"$0\" --exact \"$1\" --nocapture")
        .arg(program)
        .arg(name)
        .env(INSIDE, "1")
        .status()
        .map_err(|cause| cause.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("inside: {status}")) }
}

fn way() -> Option<&'static [&'static str]> {
    let works = |way: &&[&str]| {
        let mut command = command(way, "true");
        command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    WAYS.into_iter().find(works)
}

fn command(way: &[&str], then: &str) -> Command {
    let hosts: String = HOSTS.iter().map(|host| format!("ip addr add {host}/32 dev lo && ")).collect();
    let mut command = Command::new("unshare");
    command.args(way).args(["sh", "-c"]);
    command.arg(format!("ip link set lo up && {hosts}{then}")).stdin(Stdio::null());
    command
}
