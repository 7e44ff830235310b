//! Rules about several keys, and rules that a schema cannot express.

mod addresses;

use super::problem::Problem;
use super::suggest;
use crate::config::path::KeyPath;
use crate::config::secrets::text_concealed;
use crate::config::tables::{Config, Connections, Endpoint, Heads, Memory};
use std::net::IpAddr;
use tracing_subscriber::EnvFilter;

/// Returns the violations of these rules by a config that its schema accepts.
pub(in crate::config) fn check(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    water_marks(&config.connections, &mut problems);
    listen(&config.heads, &mut problems);
    addresses::announced(&config.heads, &mut problems);
    addresses::bootstrap(&config.network, &mut problems);
    let help = "required: `drain_ms` ≤ `deadline_ms`, which includes it";
    let (drain, deadline) = (config.shutdown.drain_ms, config.shutdown.deadline_ms);
    order("shutdown", ("drain_ms", drain.into()), ("deadline_ms", deadline.into()), help, &mut problems);
    let help = "required: `frame_bytes_max` ≤ `frames_bytes_max`, as the memory for all frames must hold at least one";
    let (one, all) = (config.kad.frame_bytes_max, config.kad.frames_bytes_max);
    order("kad", ("frame_bytes_max", one.into()), ("frames_bytes_max", all), help, &mut problems);
    memory_steps(&config.memory, &mut problems);
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
        (Some(word), _) => format!("`{}` is not a log level", text_concealed(word)),
        (None, Err(_)) => format!("`{}` is not a log filter", text_concealed(level)),
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
    for (low, high) in [
        (("per_head_low", marks.per_head_low), ("per_head_high", marks.per_head_high)),
        (("per_head_high", marks.per_head_high), ("per_head_max", marks.per_head_max)),
        (("per_node_low", marks.per_node_low), ("per_node_high", marks.per_node_high)),
        (("per_node_high", marks.per_node_high), ("per_node_max", marks.per_node_max)),
    ] {
        order("connections", (low.0, low.1.into()), (high.0, high.1.into()), help, problems);
    }
}

/// The steps of the memory guard are in order, but for those that are switched off.
fn memory_steps(memory: &Memory, problems: &mut Vec<Problem>) {
    let help = "required: shrink ≤ refuse ≤ close; 0 switches a step off";
    let steps = [
        ("shrink_percent", memory.shrink_percent),
        ("refuse_percent", memory.refuse_percent),
        ("close_percent", memory.close_percent),
    ];
    let steps: Vec<_> = steps.into_iter().filter(|(_, percent)| *percent > 0).collect();
    for (low, high) in steps.iter().zip(steps.iter().skip(1)) {
        order("memory", (low.0, low.1.into()), (high.0, high.1.into()), help, problems);
    }
    let recover = memory.recover_percent;
    for (key, percent) in steps.into_iter().filter(|(_, percent)| recover >= *percent).take(1) {
        let help =
            "required: `recover_percent` is less than each step that is not 0; else the step never ends";
        let message = format!("{recover} is not less than `{key}`, which is {percent}");
        let other = format!("{percent} is not more than `recover_percent`, which is {recover}");
        let other = Some((KeyPath::root().key("memory").key(key), other));
        problems.push(Problem { other, ..problem("memory", "recover_percent", &message, help) });
    }
}

/// The first of two numbers of a table may not exceed the second.
fn order(table: &str, low: (&str, u64), high: (&str, u64), help: &str, problems: &mut Vec<Problem>) {
    let ((low_key, low), (high_key, high)) = (low, high);
    if low > high {
        let message = format!("{low} exceeds `{high_key}`, which is {high}");
        let other = format!("{high} is less than `{low_key}`, which is {low}");
        let other = Some((KeyPath::root().key(table).key(high_key), other));
        problems.push(Problem { other, ..problem(table, low_key, &message, help) });
    }
}

/// Two listeners of a head on one address and port would take each other's connections, or the second could not listen.
fn listen(heads: &Heads, problems: &mut Vec<Problem>) {
    let at = |key: &str, item| KeyPath::root().key("heads").key(key).item(item);
    for (index, ip) in heads.listen.iter().enumerate() {
        let earlier = heads.listen.iter().take(index);
        if earlier.clone().any(|other| other.to_canonical() == ip.to_canonical()) {
            let help = "remove it: an address is listened on once".to_owned();
            problems.push(Problem::of_value(
                at("listen", index),
                format!("`{ip}` is listed twice"),
                Some(help),
            ));
        } else if let Some(all) = heads.listen.iter().find(|all| includes(all, ip)) {
            let help = format!("remove `{ip}`, or list the addresses of single interfaces only");
            let message = format!("`{ip}` is included in `{all}`, which stands for every interface");
            problems.push(Problem::of_value(at("listen", index), message, Some(help)));
        }
    }
    for (index, transport) in heads.transports.iter().enumerate() {
        if heads.transports.iter().take(index).any(|other| other == transport) {
            let message = format!("`{}` is listed twice", transport.as_str());
            let help = "remove it: a transport is listened on once".to_owned();
            problems.push(Problem::of_value(at("transports", index), message, Some(help)));
        }
    }
}

fn includes(all: &IpAddr, one: &IpAddr) -> bool {
    let (all, one) = (all.to_canonical(), one.to_canonical());
    all.is_unspecified() && !one.is_unspecified() && all.is_ipv4() == one.is_ipv4()
}

fn problem(table: &str, key: &str, message: &str, help: &str) -> Problem {
    Problem::of_value(KeyPath::root().key(table).key(key), message, Some(help.to_owned()))
}
