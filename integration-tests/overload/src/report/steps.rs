//! The tables of the shipped default in README.md: its figures, and its steps.

use super::{Known, line, marks, reached};
use crate::arm::SHIPPED;
use crate::booster;
use crate::figures::Figures;
use crate::judge::Verdict;
use crate::place::{Base, Place};
use crate::results::{Results, Setup};
use std::io;

const README: &str = "README.md";

/// Puts the tables of a place between their marks.
pub(super) fn write(results: &Results, place: &Place, setup: &Setup, known: &[Known<'_>]) -> io::Result<()> {
    let Some(shipped) = known.iter().find(|of| of.arm.name == SHIPPED && !of.steps.is_empty()) else {
        return Ok(());
    };
    let text = std::fs::read_to_string(results.path(README)).unwrap_or_default();
    let head = head(place, setup);
    let tables = tables(&shipped.steps, &shipped.of_curve(place));
    results.write(README, &marks::replace(&text, &place.name, &format!("{head}{tables}")))
}

/// What is said of a place before its tables.
pub(super) fn head(place: &Place, setup: &Setup) -> String {
    let Setup { means, base, keys, step_s, .. } = setup;
    let name = &place.name;
    let mut text = format!(
        "{} with {}, by {means}; {keys} keys with providers, steps of {step_s} s.\n",
        place.backend, place.share
    );
    match place.base {
        Base::Fixed(rate) => {
            line(&mut text, format_args!("1x is {rate} requests/s, which saturates {}.", booster::NAME))
        }
        Base::Measured { .. } if setup.is_saturated == 1 => {
            line(&mut text, format_args!("Saturated at {base} requests/s."));
        }
        Base::Measured { .. } => line(&mut text, format_args!("1x is {base} requests/s.")),
    }
    line(&mut text, format_args!("\n![The chart of {name}]({name}.svg)\n"));
    text
}

/// The tables of the figures and of the steps, as Markdown.
pub(super) fn tables(steps: &[Figures], verdicts: &[Verdict]) -> String {
    let mut text = "| figure | to reach | measured | |\n|---|---|---|---|\n".to_owned();
    for verdict in verdicts {
        let Verdict { figure, wanted, measured, .. } = verdict;
        line(&mut text, format_args!("| {figure} | {wanted} | {measured} | {} |", reached(verdict)));
    }
    text.push('\n');
    line(
        &mut text,
        format_args!(
            "| load | requests/s | full | found, share | GET p50, p99 ms | lag p99 ms | statements/s | store calls/s, ms | \
             active | store CPU | node, generator CPU | node MiB | cache hits | rungs | load average |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
        ),
    );
    steps.iter().for_each(|step| line(&mut text, format_args!("{}", table_row(step))));
    let beyond = steps.iter().filter(|step| step.is_beyond_generator());
    let beyond: Vec<_> = beyond.map(|step| format!("{}x", step.multiple)).collect();
    if !beyond.is_empty() {
        let beyond = beyond.join(", ");
        let words = format_args!(
            "\nNot judged: {beyond}, which the generator could not offer in time on this machine."
        );
        line(&mut text, words);
    }
    text
}

fn table_row(step: &Figures) -> String {
    format!(
        "| {}x | {:.0} | {:.0}/s | {:.0}/s, {:.0} % | {:.1}, {:.0} | {:.1} | {:.0} | {:.0}, {:.0} | {} | {:.3} | {:.2}, {:.2} | \
         {:.0} | {:.0} % | {}, {} | {:.1} |",
        step.multiple,
        step.offered,
        step.full,
        step.found,
        100.0 * step.found_share,
        step.get_p50_ms,
        step.get_p99_ms,
        step.lag_p99_ms,
        step.statements,
        step.store_calls,
        step.call_ms,
        step.active_max,
        step.store_cpu,
        step.node_cpu,
        step.generator_cpu,
        step.node_rss_mib,
        100.0 * step.cache_hit_share,
        step.read_rung,
        step.write_rung,
        step.load_average,
    )
}
