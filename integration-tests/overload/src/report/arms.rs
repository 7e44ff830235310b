//! ARMS.md: all arms beside each other, at every load and with every trigger.

use super::{Known, line, reached};
use crate::arm::Arm;
use crate::figures::Figures;
use crate::judge;
use crate::place::Place;
use crate::results::Setup;
use crate::trigger::Trial;

/// The whole page.
pub(super) fn page(arms: &[Arm], sections: &str) -> String {
    let mut text = "# The arms of the overload laboratory\n\n\
                    Made by `just overload` from the CSV files of this directory; [README](README.md) says what runs and what is \
                    counted. An arm is one config of the same program.\n\n\
                    | arm | what differs |\n|---|---|\n"
        .to_owned();
    for arm in arms {
        line(&mut text, format_args!("| {} | {} |", arm.title, arm.what));
    }
    text.push_str(sections);
    text
}

/// What is known of a place.
pub(super) fn section(place: &Place, setup: &Setup, known: &[Known<'_>]) -> String {
    let mut text = format!("\n## {} with {}\n\n", place.backend, place.share);
    line(&mut text, format_args!("1x is {:.0} requests per second.\n", setup.base));
    line(&mut text, format_args!("![All arms]({}-arms.svg)\n", place.name));
    curves(&mut text, known);
    missed(&mut text, place, known);
    triggers(&mut text, known);
    text
}

/// A row for each arm and load.
fn curves(text: &mut String, known: &[Known<'_>]) {
    let columns = "| arm | load | full/s | found/s, share | late | unanswered | GET p50, p99 ms | FIND p99 ms | statements/s | \
                   call ms | active | store CPU | node CPU | node MiB | queued | outstanding | rungs |\n\
                   |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";
    line(text, format_args!("{columns}"));
    for of in known {
        for step in of.steps.iter().filter(|step| step.multiple >= 1.0) {
            line(text, format_args!("{}", curve_row(&of.arm.title, step)));
        }
    }
    text.push('\n');
}

fn curve_row(title: &str, step: &Figures) -> String {
    let beyond = if step.is_beyond_generator() { " (generator late)" } else { "" };
    format!(
        "| {title} | {}x{beyond} | {:.0} | {:.0}, {:.0} % | {} | {} | {:.1}, {:.0} | {:.0} | {:.0} | {:.0} | {} | {:.3} | {:.2} | \
         {:.0} | {:.0} | {:.0} | {}, {} |",
        step.multiple,
        step.full,
        step.found,
        100.0 * step.found_share,
        step.late,
        step.unanswered,
        step.get_p50_ms,
        step.get_p99_ms,
        step.find_p99_ms,
        step.statements,
        step.call_ms,
        step.active_max,
        step.store_cpu,
        step.node_cpu,
        step.node_rss_mib,
        step.write_queue_max,
        step.outstanding_max,
        step.read_rung,
        step.write_rung,
    )
}

/// What each arm misses.
fn missed(text: &mut String, place: &Place, known: &[Known<'_>]) {
    line(text, format_args!("| arm | figures of the curve that it misses |\n|---|---|"));
    for of in known.iter().filter(|of| !of.steps.is_empty()) {
        let missed = of.of_curve(place).into_iter().filter(|verdict| !verdict.passed);
        let missed: Vec<_> =
            missed.map(|verdict| format!("{}: {}", verdict.figure, verdict.measured)).collect();
        let missed = if missed.is_empty() { "none".to_owned() } else { missed.join("; ") };
        line(text, format_args!("| {} | {missed} |", of.arm.title));
    }
    text.push('\n');
}

/// A row for each trigger and arm.
fn triggers(text: &mut String, known: &[Known<'_>]) {
    if known.iter().all(|of| of.trials.is_empty()) {
        return;
    }
    let columns = "| trigger | arm | found before, during, 0-10 s after, later | recovered after s | statements/s before, during, \
                   after | call ms before, during, after | GET p99 ms before, during, later | resets, time-outs, late | retries | \
                   node MiB before, most | rungs | figures |\n|---|---|---|---|---|---|---|---|---|---|---|---|";
    line(text, format_args!("{columns}"));
    let all = known.iter().flat_map(|of| of.trials.iter().map(|trial| (of.arm, trial)));
    let mut all: Vec<_> = all.collect();
    let order =
        |trial: &Trial| crate::trigger::Trigger::ALL.iter().position(|of| of.to_string() == trial.trigger);
    all.sort_by_key(|(_, trial)| order(trial));
    for (arm, trial) in all {
        line(text, format_args!("{}", trigger_row(arm, trial)));
    }
}

fn trigger_row(arm: &Arm, trial: &Trial) -> String {
    let verdicts: Vec<_> = judge::trial(trial)
        .iter()
        .map(|verdict| {
            format!("{}: {} ({}) {}", verdict.figure, verdict.measured, verdict.wanted, reached(verdict))
        })
        .collect();
    let recovery = trial.recovery_s.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds:.0}"));
    format!(
        "| {} | {} | {:.0}, {:.0}, {:.0}, {:.0} % | {recovery} | {:.0}, {:.0}, {:.0} | {:.0}, {:.0}, {:.0} | {:.0}, {:.0}, {:.0} | \
         {}, {}, {} | {} | {:.0}, {:.0} | {}, {} | {} |",
        trial.trigger,
        arm.title,
        100.0 * trial.before_share,
        100.0 * trial.during_share,
        100.0 * trial.after_share,
        100.0 * trial.last_share,
        trial.before_statements,
        trial.during_statements,
        trial.after_statements,
        trial.before_call_ms,
        trial.during_call_ms,
        trial.after_call_ms,
        trial.before_get_p99_ms,
        trial.during_get_p99_ms,
        trial.last_get_p99_ms,
        trial.resets,
        trial.timeouts,
        trial.late,
        trial.retries,
        trial.before_rss_mib,
        trial.rss_mib,
        trial.read_rung,
        trial.write_rung,
        verdicts.join("; "),
    )
}
