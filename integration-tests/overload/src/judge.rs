//! Compares the figures of the steps with those to be reached.

use crate::figures::Figures;
use crate::server::Backend;

/// The soft deadline of a request, and what may come on top of it.
const P99_MS_MAX: f64 = 250.0 + 50.0;
/// Statements at the highest load over those at the rate that saturates the server.
const STATEMENTS_MAX: f64 = 1.05;
/// Full answers at ten times that rate, and at the highest, over those of the best step up to there: answers that need no store
/// may grow with the load.
const GOODPUT_MIN: f64 = 0.90;
/// Memory of the node at the highest load over that at the rate that saturates the server.
const MEMORY_MAX: f64 = 1.10;

/// A figure that is to be reached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) figure: String,
    pub(crate) wanted: String,
    pub(crate) measured: String,
    pub(crate) passed: bool,
}

/// Judges the steps that the generator could offer.
pub(crate) fn judge(backend: Backend, steps: &[Figures]) -> Vec<Verdict> {
    let offered = steps.iter().position(Figures::is_beyond_generator).unwrap_or(steps.len());
    let steps = steps.get(..offered).unwrap_or_default();
    let (Some(one), Some(last)) = (at(steps, 1.0), steps.last()) else { return Vec::new() };
    // Without these steps, which the generator may not be able to offer, the highest one counts.
    let ten = at(steps, 10.0).unwrap_or(last);
    let times = last.multiple;
    let mut verdicts = vec![at_most(
        format!("{} per second at {times}x, of those at 1x", backend.statements()),
        last.statements / one.statements,
        STATEMENTS_MAX,
    )];
    if backend == Backend::Redis {
        let figure = format!("total_commands_processed per second at {times}x, of those at 1x");
        verdicts.push(at_most(figure, last.commands / one.commands, STATEMENTS_MAX));
    }
    verdicts.push(active(backend, steps));
    let unanswered: u64 = steps.iter().map(|step| step.unanswered).sum();
    verdicts.push(Verdict {
        figure: "requests without an answer".to_owned(),
        wanted: "0".to_owned(),
        measured: unanswered.to_string(),
        passed: unanswered == 0,
    });
    let p99 = steps.iter().map(|step| step.p99_ms).fold(0.0, f64::max);
    verdicts.push(Verdict {
        figure: "highest p99 of a step, in ms".to_owned(),
        wanted: format!("at most {P99_MS_MAX}"),
        measured: format!("{p99:.0}"),
        passed: p99 <= P99_MS_MAX,
    });
    for step in [ten, last] {
        let peak = |of: fn(&Figures) -> f64| {
            let best = steps.iter().filter(|other| other.multiple <= step.multiple).map(of);
            of(step) / best.fold(0.0, f64::max)
        };
        for (what, measured) in
            [("full answers", peak(|step| step.full)), ("answers with providers", peak(|step| step.found))]
        {
            let figure = format!("{what} per second at {}x, of the best step up to there", step.multiple);
            verdicts.push(at_least(figure, measured));
        }
    }
    verdicts.push(at_most(
        format!("resident memory of the node at {times}x, of that at 1x"),
        last.node_rss_mib / one.node_rss_mib,
        MEMORY_MAX,
    ));
    verdicts
}

/// The step of this multiple.
fn at(steps: &[Figures], multiple: f64) -> Option<&Figures> {
    steps.iter().find(|step| step.multiple == multiple)
}

/// Redis runs one command at a time: there its connections are compared, of which the node opens one for each call at a time.
fn active(backend: Backend, steps: &[Figures]) -> Verdict {
    let most = steps.iter().map(|step| step.active_max).fold(0.0, f64::max);
    let gate = steps.iter().map(|step| step.permits_max).fold(0.0, f64::max);
    let figure = match backend {
        Backend::Postgres => "active backends",
        Backend::Redis => "connections",
    };
    Verdict {
        figure: figure.to_owned(),
        wanted: format!("at most {gate}, the gate"),
        measured: most.to_string(),
        passed: most <= gate,
    }
}

fn at_most(figure: String, measured: f64, max: f64) -> Verdict {
    let wanted = format!("at most {max:.2}");
    Verdict { figure, wanted, measured: format!("{measured:.2}"), passed: measured <= max }
}

fn at_least(figure: String, measured: f64) -> Verdict {
    let wanted = format!("at least {GOODPUT_MIN:.2}");
    Verdict { figure, wanted, measured: format!("{measured:.2}"), passed: measured >= GOODPUT_MIN }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        crate::arm::MULTIPLES.map(step).into()
    }

    fn failed(change: impl Fn(&mut [Figures])) -> Vec<String> {
        let mut steps = steps();
        change(&mut steps);
        let verdicts = judge(Backend::Postgres, &steps);
        assert_eq!(verdicts.len(), 9);
        verdicts.into_iter().filter(|verdict| !verdict.passed).map(|verdict| verdict.figure).collect()
    }

    #[test]
    fn each_figure_fails_by_itself_and_just_above_its_bound() {
        assert_eq!(failed(|_| {}), [""; 0]);
        let changes: [fn(&mut [Figures]); 9] = [
            |steps| steps[5].statements = 106.0,
            |steps| steps[2].active_max = 6.0,
            |steps| steps[3].unanswered = 1,
            |steps| steps[5].p99_ms = 301.0,
            |steps| steps[4].full = 449.0,
            |steps| steps[4].found = 44.0,
            |steps| steps[5].full = 449.0,
            |steps| steps[5].found = 44.0,
            |steps| steps[5].node_rss_mib = 111.0,
        ];
        let all: Vec<_> = changes.iter().map(failed).collect();
        for (nth, failed) in all.iter().enumerate() {
            assert_eq!(failed.len(), 1, "{nth}: {failed:?}");
        }
        let kept: [fn(&mut [Figures]); 4] = [
            |steps| steps[5].statements = 104.0,
            |steps| steps[4].full = 451.0,
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
    fn the_highest_step_counts_where_there_is_none_of_ten_and_twenty_times() {
        let verdicts = judge(Backend::Postgres, &steps()[..3]);
        assert!(verdicts.iter().all(|verdict| verdict.passed), "{verdicts:?}");
        assert!(verdicts[0].figure.contains("at 2x") && verdicts[4].figure.contains("at 2x"), "{verdicts:?}");
        assert!(judge(Backend::Postgres, &steps()[..1]).is_empty(), "without 1x nothing is judged");
    }
}
