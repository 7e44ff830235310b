//! Writes tables and charts, from the files of results alone.

mod arms;
mod marks;
mod overload;
mod questions;
mod steps;

use crate::arm::Arm;
use crate::chart;
use crate::judge::{self, Verdict, objections};
use crate::place::{Place, ShareName};
use crate::results::Results;
use crate::server::Backend;
use clap::ValueEnum;
use std::fmt::Write;
use std::io;
use std::path::Path;

/// What is known of an arm at a place.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    pub(crate) arm: &'a Arm,
    pub(crate) steps: Vec<crate::figures::Figures>,
    pub(crate) trials: Vec<crate::trigger::Trial>,
}

impl Known<'_> {
    /// The verdicts of its curve.
    pub(crate) fn of_curve(&self, place: &Place) -> Vec<Verdict> {
        judge::curve(place.backend, &self.steps)
    }

    /// All its verdicts, each with where it comes from: the curve or a trigger.
    pub(crate) fn verdicts(&self, place: &Place) -> Vec<(String, Verdict)> {
        let curve = self.of_curve(place).into_iter().map(|verdict| ("curve".to_owned(), verdict));
        let trials = self.trials.iter().flat_map(|trial| {
            judge::trial(trial).into_iter().map(|verdict| (trial.trigger.clone(), verdict))
        });
        curve.chain(trials).collect()
    }
}

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
        let known = known(results, &place, arms)?;
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

fn known<'a>(results: &Results, place: &Place, arms: &'a [Arm]) -> io::Result<Vec<Known<'a>>> {
    let mut known = Vec::new();
    for arm in arms {
        let mut trials = results.trials()?;
        trials.retain(|trial| trial.place == place.name && trial.arm == arm.name);
        trials.sort_by_key(|trial| {
            crate::trigger::Trigger::ALL.iter().position(|of| of.to_string() == trial.trigger)
        });
        let steps = results.steps(place, &arm.name)?;
        if !steps.is_empty() || !trials.is_empty() {
            known.push(Known { arm, steps, trials });
        }
    }
    Ok(known)
}

/// Adds a line.
fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _never = writeln!(text, "{words}").is_err();
}

fn reached(verdict: &Verdict) -> &'static str {
    if verdict.passed { "reached" } else { "**missed**" }
}
