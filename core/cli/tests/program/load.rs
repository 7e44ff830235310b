//! `hydra load` against a running node.

use crate::ask::Node;
use crate::{Hydra, stderr};
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn load_reports_as_json_and_as_csv() {
    let hydra = Hydra::new();
    let node = Node::start(&hydra);
    let (head, other, pid) = (node.tcp(0).to_owned(), node.tcp(1).to_owned(), node.pid().to_string());
    let args = ["load", &head, &other, "--clients", "4", "--keys", "100", "--preload", "--pid", &pid];
    let stairs = ["--stairs", "20,40", "--step", "1s", "--json", "--csv", "load.csv", "--late-after", "9s"];
    let report = hydra.prints_json(&[&args[..], &stairs[..]].concat());
    assert_eq!(report["preloaded"]["announced"], 100);
    assert_eq!(report["steps"].as_array().unwrap().len(), 2);
    let figures = &report["total"]["ordinary"];
    assert!(figures["offered"].as_u64().unwrap() > 20, "{figures}");
    assert_eq!(figures["outcomes"]["full"], figures["offered"], "{figures}");
    assert!(report["total"]["server"]["rss_mib_max"].as_f64().unwrap() > 1.0, "{report}");
    let csv = std::fs::read_to_string(hydra.dir.path().join("load.csv")).unwrap();
    assert!(csv.starts_with("at_s,step,rate,offered,") && csv.lines().count() >= 3, "{csv}");

    let held = ["load", &head, "--clients", "4", "--keys", "100", "--present", "--concurrency", "2"];
    let table = hydra.prints(&[&held[..], &["--duration", "1s"]].concat());
    assert!(table.contains("closed loop, 2 requests in flight") && table.contains("get full"), "{table}");
    node.stop();
}

#[test]
fn an_interrupted_load_prints_its_report() {
    let hydra = Hydra::new();
    let node = Node::start(&hydra);
    let args = ["load", node.tcp(0), "--clients", "2", "--duration", "1h", "--csv", "load.csv"];
    let child = hydra.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The first row shows that it runs.
    let csv = hydra.dir.path().join("load.csv");
    while std::fs::read_to_string(&csv).map_or(0, |csv| csv.lines().count()) < 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("get full") && table.contains("stopped before the end of the plan"), "{table}");
    node.stop();
}

#[test]
fn load_needs_a_head_that_answers_and_values_within_bounds() {
    let hydra = Hydra::new();
    let nobody = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWMs5EFmSjKbouBFbYMCEtgXxMEtm1E4NXue9oYWtQbH27";
    let output = hydra.run(&["load", nobody]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("error: cannot connect: "), "{}", stderr(&output));
    let wrong: [&[&str]; 10] = [
        // It reads no config.
        &[nobody, "--config", "nowhere.toml"],
        &[nobody, "--set", "heads.cuont=3"],
        &[],
        &["/ip4/127.0.0.1/tcp/1"],
        &[nobody, "--clients", "0"],
        &[nobody, "--mix", "put=1"],
        &[nobody, "--rate", "0"],
        &[nobody, "--duration", "10"],
        &[nobody, "--rate", "10", "--concurrency", "1"],
        &[nobody, "--zipf", "11"],
    ];
    for args in wrong {
        let output = hydra.run(&[&["load"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
    }
}
