//! The table of docs/OVERLOAD.md: what was wanted, what was measured with the shipped default, and what limits it.

use super::{Known, line, marks, questions};
use crate::arm::SHIPPED;
use crate::judge::Verdict;
use crate::place::Place;
use serde::Deserialize;
use std::io;
use std::path::Path;

/// The rows, without what is measured.
const ROWS: &str = include_str!("../../rows.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    row: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    scenario: String,
    wanted: String,
    /// The verdicts that say what was measured, as `curve/<id>` or `<trigger>/<id>`; `<trigger>/*` are all of a trigger.
    #[serde(default)]
    of: Vec<String>,
    /// What was measured elsewhere, or is not measured.
    #[serde(default)]
    measured: String,
    /// What limits it.
    #[serde(default)]
    limits: String,
}

/// Puts the tables between their marks.
pub(super) fn write(file: &Path, place: &Place, known: &[Known<'_>]) -> io::Result<()> {
    let Ok(text) = std::fs::read_to_string(file) else { return Ok(()) };
    let rows: Rows = toml::from_str(ROWS).map_err(io::Error::other)?;
    let shipped = known.iter().find(|of| of.arm.name == SHIPPED);
    let verdicts = shipped.map(|of| of.verdicts(place)).unwrap_or_default();
    let mut text = marks::replace(&text, "table", &table(&rows, &verdicts));
    for (name, table) in questions::all(known) {
        text = marks::replace(&text, name, &table);
    }
    std::fs::write(file, text)
}

fn table(rows: &Rows, verdicts: &[(String, Verdict)]) -> String {
    let mut text = "| scenario | wanted | measured | what limits it |\n|---|---|---|---|\n".to_owned();
    for Row { scenario, wanted, of, measured, limits } in &rows.row {
        let cells = of.iter().flat_map(|name| matching(name, verdicts)).chain(Some(measured.clone()));
        let cells: Vec<_> = cells.filter(|cell| !cell.is_empty()).collect();
        let measured = if cells.is_empty() { "not measured".to_owned() } else { cells.join("; ") };
        line(&mut text, format_args!("| {scenario} | {wanted} | {measured} | {limits} |"));
    }
    text
}

fn matching(name: &str, verdicts: &[(String, Verdict)]) -> Vec<String> {
    let Some((of, id)) = name.split_once('/') else { return Vec::new() };
    let found = verdicts.iter().filter(|(source, verdict)| source == of && (id == "*" || verdict.id == id));
    let cell = |(source, verdict): &(String, Verdict)| {
        let missed = if verdict.passed { "" } else { " **missed**" };
        let source = if source == "curve" { String::new() } else { format!("{source}: ") };
        format!("{source}{} {}{missed}", verdict.figure, verdict.measured)
    };
    found.map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trigger::Trigger;

    #[test]
    fn every_row_names_figures_that_there_are() {
        let rows: Rows = toml::from_str(ROWS).unwrap();
        assert!(rows.row.len() >= 12);
        for row in &rows.row {
            assert!(!(row.of.is_empty() && row.measured.is_empty()), "{}", row.scenario);
            for name in &row.of {
                let (of, _) = name.split_once('/').unwrap();
                assert!(of == "curve" || of.parse::<Trigger>().is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn a_cell_has_what_was_measured_and_whether_it_was_missed() {
        let verdict = |id, passed| Verdict {
            id,
            figure: "statements".to_owned(),
            wanted: "at most 1.05".to_owned(),
            measured: "0.3".to_owned(),
            passed,
        };
        let verdicts = [
            ("curve".to_owned(), verdict("statements", true)),
            ("freeze-10".to_owned(), verdict("started", false)),
            ("freeze-10".to_owned(), verdict("recovered", true)),
        ];
        let row = |of: &[&str]| Row {
            scenario: "s".to_owned(),
            wanted: "w".to_owned(),
            of: of.iter().map(|name| (*name).to_owned()).collect(),
            measured: String::new(),
            limits: "l".to_owned(),
        };
        let rows = Rows {
            row: vec![
                row(&["curve/statements", "freeze-10/started"]),
                row(&["freeze-10/*"]),
                row(&["burst/*"]),
            ],
        };
        let text = table(&rows, &verdicts);
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(lines[0], "| s | w | statements 0.3; freeze-10: statements 0.3 **missed** | l |");
        assert_eq!(lines[1].matches("freeze-10").count(), 2);
        assert_eq!(lines[2], "| s | w | not measured | l |");
    }
}
