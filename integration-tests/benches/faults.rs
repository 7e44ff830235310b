//! Faults of real servers, each with a whole node under load, one after the other: prints a row of a table for each.
//!
//! With a word, those whose names have it. Fails when a promise is broken.

#[path = "../tests/faults/announcer.rs"]
mod announcer;
#[path = "../tests/faults/cluster.rs"]
mod cluster;
#[path = "../tests/faults/disk.rs"]
mod disk;
#[path = "../tests/faults/figures.rs"]
mod figures;
#[path = "../tests/faults/finder.rs"]
mod finder;
#[path = "../tests/faults/form.rs"]
mod form;
#[path = "../tests/faults/link.rs"]
mod link;
#[path = "../tests/faults/log.rs"]
mod log;
#[path = "../tests/faults/names.rs"]
mod names;
#[path = "../tests/faults/postgres.rs"]
mod postgres;
#[path = "../tests/faults/redis.rs"]
mod redis;
#[path = "../tests/faults/run.rs"]
mod run;
#[path = "../tests/faults/scenario.rs"]
mod scenario;
#[path = "../tests/faults/stranger.rs"]
mod stranger;
#[path = "../tests/faults/watch.rs"]
mod watch;
#[path = "../tests/faults/way.rs"]
mod way;

use figures::Figures;
use form::{Bounds, Form};
use scenario::Scenario;
use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

/// Long, and with the bounds that are promised.
const FORM: Form = Form {
    per_second: 200.0,
    finds_per_second: 50,
    before: Duration::from_secs(5),
    during: Duration::from_secs(10),
    calm: Duration::from_secs(5),
    look: Duration::from_millis(100),
    settings: &[],
    bounds: Bounds {
        find_p99: Some(Duration::from_millis(20)),
        back: Duration::from_secs(5),
        late_after: Duration::from_secs(1),
        repeats: 2,
        grown_bytes: 32 << 20,
        grown_descriptors: 16,
    },
};

const HEADER: &str = "\
| backend | fault | FIND_NODE p99 in ms: before, during, after | ready again after s | full again after s | requests | without an answer | full answers in %: before, during, after | announced | lost | excused | memory in MB: before, after | descriptors | warnings | kinds of them |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

#[tokio::main]
#[allow(clippy::print_stdout, reason = "a benchmark prints")]
async fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let all = postgres::SCENARIOS.iter().chain(&redis::SCENARIOS).chain(&cluster::SCENARIOS);
    let is_wanted =
        |scenario: &&Scenario| words.is_empty() || words.iter().any(|word| scenario.name().contains(word));
    let (mut complaints, mut has_header) = (Vec::new(), false);
    for scenario in all.filter(is_wanted) {
        if !std::mem::replace(&mut has_header, true) {
            println!("{HEADER}");
        }
        let name = scenario.name();
        if !scenario.is_permitted() {
            complaints.push(format!("{name}: this machine does not permit it"));
            continue;
        }
        match run::run(scenario, &FORM).await {
            Ok(figures) => {
                println!("{}", row(scenario, &figures));
                let broken = figures.complaints(scenario, &FORM.bounds);
                complaints.extend(broken.iter().map(|complaint| format!("{name}: {complaint}")));
            }
            Err(cause) => complaints.push(format!("{name}: {cause}")),
        }
    }
    complaints.iter().for_each(|complaint| eprintln!("{complaint}"));
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn row(scenario: &Scenario, figures: &Figures) -> String {
    let after = |after: Option<Duration>| {
        after.map_or_else(|| "never".to_owned(), |after| format!("{:.1}", after.as_secs_f64()))
    };
    let full = figures
        .full_percent()
        .map(|share| share.map_or_else(|| "–".to_owned(), |share| format!("{share:.0}")));
    let latencies = figures.find_p99.map(|latency| format!("{:.1}", latency.as_secs_f64() * 1e3));
    let memory = [figures.first, figures.last].map(|look| look.memory_bytes / 1_000_000);
    let descriptors = [figures.first, figures.last].map(|look| look.descriptors);
    let cells: [&dyn Display; 15] = [
        &scenario.backend,
        &scenario.fault,
        &latencies.join(", "),
        &after(figures.ready_after()),
        &after(figures.back_after()),
        &figures.report.total.ordinary.offered,
        &figures.unanswered(),
        &full.join(", "),
        &figures.announced,
        &figures.lost,
        &figures.excused,
        &format!("{}, {}", memory[0], memory[1]),
        &format!("{}, {}", descriptors[0], descriptors[1]),
        &figures.lines.warnings.values().sum::<usize>(),
        &figures.lines.warnings.len(),
    ];
    format!("| {} |", cells.map(ToString::to_string).join(" | "))
}
