//! Writes tables and charts, from the files of results alone.

mod arms;
mod marks;
mod overload;
mod questions;
mod steps;

use crate::arm::Arm;
use crate::chart;
use crate::judge::{Verdict, objections};
use crate::known::Known;
use crate::place::{Place, ShareName};
use crate::results::Results;
use crate::server::Backend;
use clap::ValueEnum;
use std::fmt::Write;
use std::io;
use std::path::Path;

/// Writes everything that can be made from the results: charts, the tables of README.md and of ARMS.md beside them, and the table of the
/// document that summarises them, if there is one. What is wrong with the laboratory is returned.
///
/// # Errors
/// If a file cannot be read or written.
pub(crate) fn write(results: &Results, arms: &[Arm], summary: Option<&Path>) -> io::Result<Vec<String>> {
    let (mut wrong, mut sections) = (Vec::new(), String::new());
    let shares = ShareName::value_variants().iter();
    let places = shares
        .flat_map(|share| Backend::value_variants().iter().map(move |backend| Place::new(*backend, *share)));
    for place in places {
        let known = Known::at(&place, results, arms)?;
        if known.is_empty() {
            continue;
        }
        let setup = results.setups()?.into_iter().find(|setup| setup.place == place.name).unwrap_or_default();
        for of in known.iter().filter(|of| !of.steps.is_empty()) {
            let svg = chart::curve(&place, of.arm, setup.base, &of.steps);
            results.write(&format!("{}.svg", place.file_of(&of.arm.name)), &svg)?;
        }
        results.write(&format!("{}-arms.svg", place.name), &chart::arms(&place, setup.base, &known))?;
        steps::write(results, &place, &setup, &known)?;
        sections.push_str(&arms::section(&place, &setup, &known));
        for of in &known {
            let verdicts: Vec<_> = of.verdicts(&place).into_iter().map(|(_, verdict)| verdict).collect();
            wrong.extend(
                objections(of.arm, &verdicts).into_iter().map(|what| format!("{}: {what}", place.name)),
            );
        }
        if let Some(summary) = summary.filter(|_| place.name == Backend::Postgres.name()) {
            overload::write(summary, &place, &known)?;
        }
    }
    results.write("ARMS.md", &arms::page(arms, &sections))?;
    Ok(wrong)
}

/// Adds a line.
fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _never = writeln!(text, "{words}").is_err();
}

fn reached(verdict: &Verdict) -> &'static str {
    if verdict.passed { "reached" } else { "**missed**" }
}
