//! What several keys must be together, and what no schema can say.

use super::check::Problem;
use super::path::KeyPath;
use super::{Config, Connections, Endpoint};
use multiaddr::Protocol;
use tracing_subscriber::EnvFilter;

/// Everything that is wrong with a config whose every value is good by itself.
pub(crate) fn check(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    water_marks(&config.connections, &mut problems);
    announce(config, &mut problems);
    if config.shutdown.drain_ms > config.shutdown.deadline_ms {
        let help = "`drain_ms` is a part of `deadline_ms`";
        problems.push(problem("shutdown", "drain_ms", "is more than `deadline_ms`", help));
    }
    if u64::from(config.kad.frame_bytes_max) > config.kad.frames_bytes_max {
        let help = "all frames together need room for one at least";
        problems.push(problem("kad", "frames_bytes_max", "is less than `frame_bytes_max`", help));
    }
    if let Err(cause) = EnvFilter::try_new(&config.log.level) {
        let message = format!("is no filter for logs: {cause}");
        let help = "`error`, `warn`, `info`, `debug`, `trace`, or a list such as `info,hydra_node=debug`";
        problems.push(problem("log", "level", &message, help));
    }
    collector(config, &mut problems);
    problems
}

fn collector(config: &Config, problems: &mut Vec<Problem>) {
    let Some(endpoint) = &config.telemetry.otlp.endpoint else { return };
    if let Err(malformed) = Endpoint::parse(endpoint) {
        let path = KeyPath::root().key("telemetry").key("otlp").key("endpoint");
        problems.push(Problem::of_value(path, malformed.message, Some(malformed.help.to_owned())));
    }
}

fn water_marks(marks: &Connections, problems: &mut Vec<Problem>) {
    let help = "low ≤ high ≤ max";
    for (key, above, low, high) in [
        ("per_head_low", "per_head_high", marks.per_head_low, marks.per_head_high),
        ("per_head_high", "per_head_max", marks.per_head_high, marks.per_head_max),
        ("per_node_low", "per_node_high", marks.per_node_low, marks.per_node_high),
        ("per_node_high", "per_node_max", marks.per_node_high, marks.per_node_max),
    ] {
        if low > high {
            let message = format!("{low} is more than `{above}`, which is {high}");
            problems.push(problem("connections", key, &message, help));
        }
    }
}

fn announce(config: &Config, problems: &mut Vec<Problem>) {
    for (index, address) in config.heads.announce.iter().enumerate() {
        if address.iter().any(|part| matches!(part, Protocol::P2p(_))) {
            let path = KeyPath::root().key("heads").key("announce").item(index);
            let help = "leave it out: every head announces its own id".to_owned();
            problems.push(Problem::of_value(path, "there is a /p2p/ in the address", Some(help)));
        }
    }
}

fn problem(table: &str, key: &str, message: &str, help: &str) -> Problem {
    Problem::of_value(KeyPath::root().key(table).key(key), message, Some(help.to_owned()))
}
