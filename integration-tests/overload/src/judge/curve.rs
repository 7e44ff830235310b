//! The figures of a curve.

use super::{Verdict, at_least, at_most, none};
use crate::figures::Figures;
use crate::server::Backend;

/// The soft deadline of a request, and what may come on top of it.
const P99_MS_MAX: f64 = 250.0 + 50.0;
/// Statements per second of any step over those at the rate that saturates the server.
const STATEMENTS_MAX: f64 = 1.05;
/// Answers at ten times that rate, and at the highest, over those of the best step up to there: answers that need no store may
/// grow with the load.
const GOODPUT_10_MIN: f64 = 0.97;
const GOODPUT_LAST_MIN: f64 = 0.95;
/// Memory of the node at the highest load over that at the rate that saturates the server.
const MEMORY_MAX: f64 = 1.10;

/// More permits than the shipped default ever has on a machine of this class are no gate.
const GATE: f64 = 16.0;

/// Judges the steps that the generator could offer.
pub(crate) fn curve(backend: Backend, steps: &[Figures]) -> Vec<Verdict> {
    let offered = steps.iter().position(Figures::is_beyond_generator).unwrap_or(steps.len());
    let steps = steps.get(..offered).unwrap_or_default();
    let (Some(one), Some(last)) = (at(steps, 1.0), steps.last()) else { return Vec::new() };
    // Without this step, which the generator may not be able to offer, the highest one counts.
    let ten = at(steps, 10.0).unwrap_or(last);
    let mut verdicts =
        vec![most_statements("statements", backend.statements(), steps, one, |step| step.statements)];
    if backend == Backend::Redis {
        let name = "total_commands_processed";
        verdicts.push(most_statements("commands", name, steps, one, |step| step.commands));
    }
    verdicts.push(active(backend, steps));
    verdicts.push(none(
        "unanswered",
        "requests without an answer",
        steps.iter().map(|step| step.unanswered).sum(),
    ));
    let p99 = steps.iter().map(|step| step.p99_ms).fold(0.0, f64::max);
    verdicts.push(at_most("p99", "highest p99 of a step, in ms".to_owned(), p99, P99_MS_MAX));
    let found: fn(&Figures) -> f64 = |step| step.found;
    let full: fn(&Figures) -> f64 = |step| step.full;
    for (step, min, [of_full, of_found]) in [
        (ten, GOODPUT_10_MIN, ["full_10", "goodput_10"]),
        (last, GOODPUT_LAST_MIN, ["full_last", "goodput_last"]),
    ] {
        for (id, what, of) in [(of_full, "full answers", full), (of_found, "answers with providers", found)] {
            let best =
                steps.iter().filter(|other| other.multiple <= step.multiple).map(of).fold(0.0, f64::max);
            let figure = format!("{what} per second at {}x, of the best step up to there", step.multiple);
            verdicts.push(at_least(id, figure, of(step) / best, min));
        }
    }
    let figure = format!("resident memory of the node at {}x, of that at 1x", last.multiple);
    verdicts.push(at_most("memory", figure, last.node_rss_mib / one.node_rss_mib, MEMORY_MAX));
    verdicts
}

/// The step of this multiple.
pub(crate) fn at(steps: &[Figures], multiple: f64) -> Option<&Figures> {
    steps.iter().find(|step| step.multiple == multiple)
}

fn most_statements(
    id: &'static str,
    name: &str,
    steps: &[Figures],
    one: &Figures,
    of: fn(&Figures) -> f64,
) -> Verdict {
    let most = steps.iter().filter(|step| step.multiple >= 1.0).max_by(|a, b| of(a).total_cmp(&of(b)));
    let most = most.unwrap_or(one);
    let figure = format!("{name} per second, the most ({}x) of those at 1x", most.multiple);
    at_most(id, figure, of(most) / of(one), STATEMENTS_MAX)
}

/// Redis runs one command at a time: there its connections are compared, of which the node opens one for each call at a time.
fn active(backend: Backend, steps: &[Figures]) -> Verdict {
    let most = steps.iter().map(|step| step.active_max).fold(0.0, f64::max);
    // Not the limit of the arm: what a gate of the shipped size would let through.
    let gate = steps.iter().map(|step| step.permits_max).fold(0.0, f64::max).min(GATE);
    let figure = match backend {
        Backend::Postgres => "active backends",
        Backend::Redis => "connections",
    };
    at_most("active", figure.to_owned(), most, gate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MULTIPLES: [f64; 6] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0];

    fn steps() -> Vec<Figures> {
        let step = |multiple| Figures {
            multiple,
            statements: 100.0,
            full: 500.0,
            found: 50.0,
            active_max: 5.0,
            permits_max: 5.0,
            p99_ms: 300.0,
            node_rss_mib: 100.0,
            ..Figures::default()
        };
        MULTIPLES.map(step).into()
    }

    fn failed(change: impl Fn(&mut [Figures])) -> Vec<&'static str> {
        let mut steps = steps();
        change(&mut steps);
        let verdicts = curve(Backend::Postgres, &steps);
        assert_eq!(verdicts.len(), 9);
        verdicts.into_iter().filter(|verdict| !verdict.passed).map(|verdict| verdict.id).collect()
    }

    #[test]
    fn each_figure_fails_by_itself_and_just_above_its_bound() {
        assert_eq!(failed(|_| {}), [""; 0]);
        type Change = fn(&mut [Figures]);
        let changes: [(&str, Change); 11] = [
            ("statements", |steps| steps[5].statements = 106.0),
            ("statements", |steps| steps[2].statements = 106.0),
            ("active", |steps| steps[2].active_max = 6.0),
            ("active", |steps| (steps[2].active_max, steps[2].permits_max) = (64.0, 64.0)),
            ("unanswered", |steps| steps[3].unanswered = 1),
            ("p99", |steps| steps[5].p99_ms = 301.0),
            ("full_10", |steps| steps[4].full = 484.0),
            ("goodput_10", |steps| steps[4].found = 48.0),
            ("full_last", |steps| steps[5].full = 474.0),
            ("goodput_last", |steps| steps[5].found = 47.0),
            ("memory", |steps| steps[5].node_rss_mib = 111.0),
        ];
        for (id, change) in changes {
            assert_eq!(failed(change), [id]);
        }
        let kept: [fn(&mut [Figures]); 5] = [
            |steps| steps[5].statements = 104.0,
            |steps| steps[0].statements = 200.0,
            |steps| steps[4].full = 486.0,
            |steps| steps[5].found = 100.0,
            |steps| steps[5].node_rss_mib = 109.0,
        ];
        for change in kept {
            assert_eq!(failed(change), [""; 0]);
        }
    }

    #[test]
    fn steps_that_the_generator_cannot_offer_are_not_judged() {
        let late = failed(|steps| (steps[5].lag_p99_ms, steps[5].unanswered) = (251.0, 9));
        assert_eq!(late, [""; 0]);
    }

    #[test]
    fn the_highest_step_counts_where_there_is_none_of_ten_times() {
        let verdicts = curve(Backend::Postgres, &steps()[..3]);
        assert!(verdicts.iter().all(|verdict| verdict.passed), "{verdicts:?}");
        assert!(verdicts[4].figure.contains("at 2x"), "{verdicts:?}");
        assert!(curve(Backend::Postgres, &steps()[..1]).is_empty(), "without 1x nothing is judged");
    }
}
