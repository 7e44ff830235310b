//! The tables of docs/OVERLOAD.md that answer why unprotected nodes crash, what the network notices, and what each part contributes.

use super::{Known, line};
use crate::arm::SHIPPED;
use crate::figures::Figures;
use crate::judge::at;
use crate::trigger::Trial;

/// The arm that has no protection.
const NO_GATE: &str = "no-gate";
/// The loads at which parts are compared.
const LOADS: [f64; 2] = [10.0, 50.0];

/// The tables, each with the name of its marks.
pub(super) fn all(known: &[Known<'_>]) -> [(&'static str, String); 3] {
    [("crash", crash(known)), ("network", network(known)), ("helped", helped(known))]
}

/// What piles up without a gate, beside the shipped default.
fn crash(known: &[Known<'_>]) -> String {
    let mut text = "| arm | load | time of a store call, ms | calls at once | writes queued | requests outstanding | node MiB | GET p99 ms | \
                    found |\n|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for of in known.iter().filter(|of| [SHIPPED, NO_GATE].contains(&&*of.arm.name)) {
        for step in of.steps.iter().filter(|step| step.multiple >= 1.0) {
            let title = &of.arm.title;
            let cells = format_args!(
                "| {title} | {}x | {:.0} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} % |",
                step.multiple,
                step.call_ms,
                step.active_max,
                step.write_queue_max,
                step.outstanding_max,
                step.node_rss_mib,
                step.get_p99_ms,
                100.0 * step.found_share
            );
            line(&mut text, cells);
        }
    }
    for (title, trial) in trials(known, "memory") {
        let killed = trial.killed_s.map_or_else(
            || format!("lived, with at most {:.0} MiB", trial.rss_mib),
            |seconds| format!("was killed after {seconds:.0} s"),
        );
        line(
            &mut text,
            format_args!(
                "\n{title}, with 128 MiB, a store ten times slower and 50x: the node {killed}. Before, a store call took {:.0} ms, then \
                 {:.0} ms; {:.0} writes were queued, {:.0} requests outstanding.",
                trial.before_call_ms, trial.during_call_ms, trial.write_queue_max, trial.outstanding_max
            ),
        );
    }
    text
}

/// What clients notice of each trigger, arm by arm.
fn network(known: &[Known<'_>]) -> String {
    let mut text = "| trigger | arm | found before, during, from 10 s after, % | GET p99 ms before, during | FIND_NODE p99 ms | resets | \
                    time-outs | other failures | late | retries |\n|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for trigger in ["freeze-10", "restart", "kill-node", "memory"] {
        for (title, trial) in trials(known, trigger) {
            let others = trial.unanswered.saturating_sub(trial.resets + trial.timeouts);
            let cells = format_args!(
                "| {trigger} | {title} | {:.0}, {:.0}, {:.0} | {:.0}, {:.0} | {:.0} | {} | {} | {others} | {} | {} |",
                100.0 * trial.before_share,
                100.0 * trial.during_share,
                100.0 * trial.last_share,
                trial.before_get_p99_ms,
                trial.during_get_p99_ms,
                trial.during_find_p99_ms,
                trial.resets,
                trial.timeouts,
                trial.late,
                trial.retries
            );
            line(&mut text, cells);
        }
    }
    text
}

/// What is lost without a part: each arm over the shipped default.
fn helped(known: &[Known<'_>]) -> String {
    let mut text = "| arm | load | answers with providers | statements | CPU of the store | GET p99 | memory of the node |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    let Some(shipped) = known.iter().find(|of| of.arm.name == SHIPPED) else { return text };
    for of in known.iter().filter(|of| of.arm.name != SHIPPED) {
        for load in LOADS {
            let (Some(this), Some(default)) = (at(&of.steps, load), at(&shipped.steps, load)) else {
                continue;
            };
            if this.is_beyond_generator() || default.is_beyond_generator() {
                continue;
            }
            let times = |value: fn(&Figures) -> f64| times(value(this), value(default));
            let cells = [
                times(|step| step.found),
                times(|step| step.statements),
                times(|step| step.store_cpu),
                times(|step| step.get_p99_ms),
                times(|step| step.node_rss_mib),
            ];
            line(&mut text, format_args!("| {} | {load}x | {} |", of.arm.title, cells.join(" | ")));
        }
    }
    text
}

/// How many times as much it is.
fn times(this: f64, other: f64) -> String {
    if other > 0.0 { format!("{:.2} times", this / other) } else { String::new() }
}

fn trials<'k>(known: &'k [Known<'_>], trigger: &'k str) -> impl Iterator<Item = (&'k str, &'k Trial)> {
    known.iter().flat_map(move |of| {
        let trials = of.trials.iter().filter(move |trial| trial.trigger == trigger);
        trials.map(|trial| (of.arm.title.as_str(), trial))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::Arm;

    #[test]
    fn the_questions_are_answered_from_the_arms_that_have_run() {
        let arms = Arm::all().unwrap();
        let known = |name: &str, found, killed_s| Known {
            arm: arms.iter().find(|arm| arm.name == name).unwrap(),
            steps: vec![Figures { multiple: 10.0, found, statements: 2.0, ..Figures::default() }],
            trials: vec![Trial {
                trigger: "memory".to_owned(),
                killed_s,
                unanswered: 7,
                resets: 2,
                ..Trial::default()
            }],
        };
        let known = [known(SHIPPED, 100.0, None), known(NO_GATE, 25.0, Some(31.0))];
        let [(_, crash), (_, network), (_, helped)] = all(&known);
        assert!(crash.contains("the node lived") && crash.contains("was killed after 31 s"), "{crash}");
        assert_eq!(network.lines().count(), 2 + 2, "{network}");
        assert!(network.contains("| 2 | 0 | 5 | 0 | 0 |"), "{network}");
        assert!(helped.ends_with("| no gate | 10x | 0.25 times | 1.00 times |  |  |  |\n"), "{helped}");
    }
}
