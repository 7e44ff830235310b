//! Rules about several keys, and rules that a schema cannot express.

use super::problem::Problem;
use super::suggest;
use crate::config::path::KeyPath;
use crate::config::tables::{Config, Connections, Endpoint};
use multiaddr::Protocol;
use tracing_subscriber::EnvFilter;

/// Returns the violations of these rules by a config that its schema accepts.
pub(in crate::config) fn check(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    water_marks(&config.connections, &mut problems);
    announce(config, &mut problems);
    if config.shutdown.drain_ms > config.shutdown.deadline_ms {
        let help = "`deadline_ms` includes `drain_ms`: raise it or lower `drain_ms`";
        problems.push(problem("shutdown", "drain_ms", "exceeds `deadline_ms`", help));
    }
    if u64::from(config.kad.frame_bytes_max) > config.kad.frames_bytes_max {
        let help = "the memory for all frames must hold at least one";
        problems.push(problem("kad", "frames_bytes_max", "is less than `frame_bytes_max`", help));
    }
    log_level(&config.log.level, &mut problems);
    collector(config, &mut problems);
    problems
}

/// A word alone is a level. The library would take any other for a target, and log that alone.
fn log_level(level: &str, problems: &mut Vec<Problem>) {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let word = level.split(',').map(str::trim).find(|part| {
        !part.is_empty() && !part.contains(['=', '[']) && !is_level(part) && part.parse::<u8>().is_err()
    });
    let message = match (word, EnvFilter::try_new(level)) {
        (Some(word), _) => format!("`{word}` is not a log level"),
        (None, Err(cause)) => format!("is not a log filter: {cause}"),
        (None, Ok(_)) => return,
    };
    let expected = "expected `error`, `warn`, `info`, `debug`, `trace`, `off`, or a list such as `info,hydra_node=debug`";
    let help = match word.and_then(|word| suggest::nearest(word, LEVELS)) {
        Some(near) => format!("did you mean `{near}`? {expected}"),
        None => expected.to_owned(),
    };
    problems.push(problem("log", "level", &message, &help));
}

fn collector(config: &Config, problems: &mut Vec<Problem>) {
    let Some(endpoint) = &config.telemetry.otlp.endpoint else { return };
    if let Err(malformed) = Endpoint::parse(endpoint) {
        let path = KeyPath::root().key("telemetry").key("otlp").key("endpoint");
        problems.push(Problem::of_value(path, malformed.message, Some(malformed.help.to_owned())));
    }
}

fn water_marks(marks: &Connections, problems: &mut Vec<Problem>) {
    let help = "required: low ≤ high ≤ max";
    for (key, above, low, high) in [
        ("per_head_low", "per_head_high", marks.per_head_low, marks.per_head_high),
        ("per_head_high", "per_head_max", marks.per_head_high, marks.per_head_max),
        ("per_node_low", "per_node_high", marks.per_node_low, marks.per_node_high),
        ("per_node_high", "per_node_max", marks.per_node_high, marks.per_node_max),
    ] {
        if low > high {
            let message = format!("{low} exceeds `{above}`, which is {high}");
            problems.push(problem("connections", key, &message, help));
        }
    }
}

fn announce(config: &Config, problems: &mut Vec<Problem>) {
    for (index, address) in config.heads.announce.iter().enumerate() {
        if address.iter().any(|part| matches!(part, Protocol::P2p(_))) {
            let path = KeyPath::root().key("heads").key("announce").item(index);
            let help = "remove it: every head adds its own peer id".to_owned();
            problems.push(Problem::of_value(path, "the address contains /p2p/", Some(help)));
        }
    }
}

fn problem(table: &str, key: &str, message: &str, help: &str) -> Problem {
    Problem::of_value(KeyPath::root().key(table).key(key), message, Some(help.to_owned()))
}
