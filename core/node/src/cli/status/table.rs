//! The state of a node as text for people.

use serde_json::Value;
use std::fmt::Write;

/// The columns of the heads, each as wide as its longest cell.
const HEADINGS: [&str; COLUMNS] = [
    "slot",
    "state",
    "reachable",
    "connections",
    "requests/s",
    "peer id",
    "listens on",
    "advertised addresses",
];
const COLUMNS: usize = 8;

/// The node in lines, and its heads in a table.
pub(super) fn shown(status: &Value, heads: &Value) -> String {
    let mut text = String::new();
    for (name, value) in lines(status) {
        // Writing to a string cannot fail.
        _ = writeln!(text, "{name:<12} {value}");
    }
    let empty = Vec::new();
    let rows: Vec<[String; COLUMNS]> = heads["heads"].as_array().unwrap_or(&empty).iter().map(row).collect();
    text.push('\n');
    aligned(&mut text, &rows);
    text
}

fn lines(status: &Value) -> Vec<(&'static str, String)> {
    let store = &status["store"];
    let used = |of: &Value| format!("{} of {}", of["used"], of["max"]);
    let why = word(&store["why"]);
    let state =
        if why.is_empty() { word(&store["state"]) } else { format!("{}: {why}", word(&store["state"])) };
    let states = status["heads"]["states"].as_object().into_iter().flatten();
    let states: Vec<_> =
        states.filter(|(_, heads)| **heads != 0).map(|(state, heads)| format!("{heads} {state}")).collect();
    let ebbed = match status["heads"]["ebbed"].as_u64().unwrap_or_default() {
        0 => String::new(),
        heads => format!(", {heads} not in server mode (ebb)"),
    };
    vec![
        ("node", format!("{}, version {}", word(&status["phase"]), word(&status["version"]))),
        ("heads", format!("{} of {}{ebbed}", states.join(", "), status["heads"]["wanted"])),
        ("connections", format!("{} of {}", status["connections"]["open"], status["connections"]["max"])),
        ("requests/s", status["requests_per_second"].to_string()),
        ("reads", lane(&status["reads"])),
        ("writes", lane(&status["writes"])),
        ("store", format!("{}, {state}", word(&store["kind"]))),
        (
            "records",
            store["records"].as_u64().map_or("unknown".to_owned(), |records| format!("about {records}")),
        ),
        ("permits", used(&store["permits"])),
        (
            "waiting",
            format!(
                "{} reads, {} records to be written",
                used(&store["reads_waiting"]),
                used(&store["write_queue"])
            ),
        ),
        ("memory", memory(&status["memory"])),
        (
            "peer table",
            format!(
                "{} own, {} others, at most {}",
                status["table"]["own"], status["table"]["foreign"], status["table"]["max"]
            ),
        ),
    ]
}

/// How much memory is used, and what the node has given up for it.
fn memory(memory: &Value) -> String {
    let mib = |bytes: &Value| bytes.as_u64().map(|bytes| bytes >> 20);
    let (Some(used), Some(limit)) = (mib(&memory["used_bytes"]), mib(&memory["limit_bytes"])) else {
        return "not guarded".to_owned();
    };
    let steps: Vec<_> = memory["steps"].as_array().into_iter().flatten().map(word).collect();
    let steps =
        if steps.is_empty() { String::new() } else { format!(", near the limit: {}", steps.join(", ")) };
    format!("{used} of {limit} MiB ({}){steps}", word(&memory["limit_source"]))
}

/// How reads or writes are served. The rung "full" is not to be taken for something that has filled up.
fn lane(lane: &Value) -> String {
    let rung = match word(&lane["rung"]) {
        rung if rung == "full" => "in full".to_owned(),
        rung => rung,
    };
    let because = match word(&lane["because"]) {
        because if because.is_empty() => because,
        because => format!(" ({because})"),
    };
    let effect = match word(&lane["effect"]) {
        effect if effect.is_empty() => effect,
        effect => format!(": {effect}"),
    };
    let paused = if lane["store_paused"] == true { ", store calls are paused" } else { "" };
    format!("{rung}{because}{effect}{paused}")
}

fn row(head: &Value) -> [String; COLUMNS] {
    let addresses = |of: &Value| {
        let all = of.as_array().into_iter().flatten().map(word).collect::<Vec<_>>();
        if all.is_empty() { "none".to_owned() } else { all.join(" ") }
    };
    let state = match word(&head["failure"]) {
        failure if failure.is_empty() && head["ebbed"] == true => format!("{}, ebbed", word(&head["state"])),
        failure if failure.is_empty() => word(&head["state"]),
        failure => format!("{}: {failure}", word(&head["state"])),
    };
    [
        head["slot"].to_string(),
        state,
        reachable(&head["reach"]),
        head["connections"].to_string(),
        head["requests_per_second"].to_string(),
        word(&head["peer"]),
        addresses(&head["listen"]),
        addresses(&head["advertised"]),
    ]
}

/// One word if the head stands alike on every way that it advertises, else the ways with each word.
fn reachable(reach: &Value) -> String {
    let ways = || reach.as_object().into_iter().flatten();
    let of = |wanted: &str| -> Vec<&str> {
        ways().filter(|(_, reach)| reach.as_str() == Some(wanted)).map(|(way, _)| way.as_str()).collect()
    };
    let told = [("yes", of("reachable")), ("no", of("unreachable")), ("unknown", of("unknown"))];
    let told: Vec<_> = told.into_iter().filter(|(_, ways)| !ways.is_empty()).collect();
    match told.as_slice() {
        [] => "-".to_owned(),
        [(word, _)] => (*word).to_owned(),
        several => {
            let words = several.iter().map(|(word, ways)| format!("{word} ({})", ways.join(", ")));
            words.collect::<Vec<_>>().join(", ")
        }
    }
}

fn aligned(text: &mut String, rows: &[[String; COLUMNS]]) {
    let headings = HEADINGS.map(str::to_owned);
    let all = || std::iter::once(&headings).chain(rows);
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|column| all().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in all() {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// The text of a value; none is empty.
fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_is_aligned_and_says_why() {
        let used = json!({ "used": 1, "max": 4 });
        let status = json!({
            "phase": "serving", "version": "1", "heads": { "wanted": 2, "states": { "listening": 2, "failed": 0 } },
            "connections": { "open": 3, "max": 9 }, "requests_per_second": 1.5,
            "reads": { "rung": "stale", "because": "slow", "effect": "old answers", "store_paused": false },
            "writes": { "rung": "full", "because": "", "effect": "", "store_paused": true },
            "store": { "kind": "fjall", "state": "ok", "why": null, "records": 7, "permits": used,
                "reads_waiting": used, "write_queue": used },
            "memory": { "used_bytes": 900 << 20, "limit_bytes": 1_000 << 20, "limit_source": "control group",
                "steps": ["shrink"] },
            "table": { "own": 2, "foreign": 0, "max": 10 },
        });
        let reach = json!({ "tcp/ip4": "reachable", "quic/ip4": "unreachable" });
        let head = |slot: u32, advertised: Value, reach: Value| {
            json!({ "slot": slot, "peer": "12D3", "state": "listening", "failure": null,
                "listen": ["/l"], "advertised": advertised, "reach": reach, "connections": 1, "requests_per_second": 0.5 })
        };
        let text = shown(
            &status,
            &json!({ "heads": [head(0, json!(["/a", "/b"]), reach), head(10_000, json!([]), json!({}))] }),
        );
        assert!(text.contains("reads        stale (slow): old answers\n"), "{text}");
        assert!(
            text.contains("writes       in full, store calls are paused\n")
                && text.contains("heads        2 listening of 2\n"),
            "{text}"
        );
        let memory = "memory       900 of 1000 MiB (control group), near the limit: shrink\n";
        assert!(text.contains(memory), "{text}");
        let table: Vec<&str> = text.split("\n\n").nth(1).unwrap().lines().collect();
        assert_eq!(
            table[1],
            "0      listening  yes (tcp/ip4), no (quic/ip4)  1            0.5         12D3     /l          /a /b"
        );
        assert_eq!(
            table[2],
            "10000  listening  -                             1            0.5         12D3     /l          none"
        );
    }
}
