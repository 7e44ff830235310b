//! Starts that fail, and how a stop ends.

use crate::ask::Node;
use crate::checks::LOOPBACK;
use crate::{Hydra, stderr};
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Output, Stdio};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

/// Runs the program as a user that may not use this directory.
fn without_rights(hydra: &Hydra, dir: &Path, args: &[&str]) -> Output {
    let mode = |mode| fs::set_permissions(dir, Permissions::from_mode(mode)).unwrap();
    let mut command = hydra.command(args);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        fs::set_permissions(hydra.dir.path(), Permissions::from_mode(0o755)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    mode(0o000);
    let output = command.output().unwrap();
    mode(0o700);
    output
}

/// Such a directory is neither one whose seed was lost, nor a backend that may come back.
#[test]
fn a_data_directory_without_rights_is_told_as_such() {
    let hydra = Hydra::new();
    Node::start(&hydra).stop();
    let data = hydra.dir.path().join("hydra-data");
    for dir in [data.clone(), data.join("ids"), data.join("records")] {
        let mut args = ["run"].to_vec();
        args.extend(LOOPBACK);
        let output = without_rights(&hydra, &dir, &args);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{}: {message}", dir.display());
        assert!(message.contains("Permission denied"), "{}: {message}", dir.display());
        assert!(!message.contains("is missing"), "{}: {message}", dir.display());
    }
    Node::start(&hydra).stop();
}

#[test]
fn a_busy_port_of_the_http_endpoints_is_told_with_a_remedy_before_a_file_is_made() {
    let hydra = Hydra::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("telemetry.http.listen={}", taken.local_addr().unwrap());
    let output = hydra.run(&[&["run"], &LOOPBACK[..4], &["--set", &listen]].concat());
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    let remedy = "listens there: stop it, set another address, or set `telemetry.http.enabled = false`";
    assert!(message.contains("telemetry.http.listen") && message.contains(remedy), "{message}");
    assert!(!hydra.dir.path().join("hydra-data").exists());
}

#[test]
fn the_last_line_of_the_log_says_that_a_node_stopped_cleanly() {
    let hydra = Hydra::new();
    let log = hydra.file("log", "");
    Node::start_with(&hydra, &[], fs::File::create(&log).unwrap().into()).stop();
    let log = fs::read_to_string(&log).unwrap();
    let last = log.lines().last().unwrap();
    assert!(last.contains("stopped: the queued records are written and the store is closed"), "{log}");
}

#[test]
fn a_peer_of_another_network_is_told_with_a_remedy() {
    let hydra = Hydra::new();
    let node = Node::start_with(&hydra, &["--set", "network.protocol=/mine/kad/1.0.0"], Stdio::null());
    let key = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
    let output = hydra.run(&["ask", "closest", key]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("does not serve /") && message.contains("`network.protocol`"), "{message}");
    let right = hydra.run(&["ask", "closest", key, "--set", "network.protocol=/mine/kad/1.0.0"]);
    assert!(right.status.success(), "{}", stderr(&right));
    node.stop();
}

/// As the node does it: a relative path starts at the data directory.
#[test]
fn config_check_looks_for_relative_files_in_the_data_directory() {
    let hydra = Hydra::new();
    hydra.file("deny.txt", "version: 1\n---\n");
    let text = "data_dir = \"data\"\n[[admission]]\nkind = \"denylist\"\nfiles = [\"deny.txt\"]\n";
    hydra.file("hydra.toml", text);
    let output = hydra.run(&["config", "check", "--config", "hydra.toml"]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "it is beside the config: {message}");
    assert!(message.contains("data/deny.txt"), "{message}");
    fs::create_dir(hydra.dir.path().join("data")).unwrap();
    hydra.file("data/deny.txt", "version: 1\n---\n");
    hydra.prints(&["config", "check", "--config", "hydra.toml"]);
}
