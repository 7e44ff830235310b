//! The figures of a trigger.

use super::{Verdict, at_least, at_most, none, short};
use crate::trigger::{RECOVERY, Trial, Trigger};

/// Of the share before, what has to be reached within the time to recover.
const RECOVERED: f64 = 0.95;
/// Statements, or writes, during a trigger over those before.
const STATEMENTS_MAX: f64 = 1.05;
/// While the store is frozen, one probe in this time.
const PROBE_S: f64 = 0.3;
/// After a freeze, and after a restart from the time at which the server accepts connections again, in seconds.
const THAWED_S: f64 = 2.0;
const RESTARTED_S: f64 = 5.0;
/// Closer peers alone, also while the store is frozen.
const FIND_P99_MS: f64 = 10.0;
/// Connections that are opened, and logins that are refused, in a second.
const CONNECTS_MAX: f64 = 2.0;
/// The latency of other keys beside a hot one; below so many milliseconds it does not matter.
const OTHERS_P99: f64 = 1.10;
const OTHERS_P99_MS: f64 = 20.0;
/// Statements per second for one hot key.
const HOT_STATEMENTS: f64 = 2.0;
/// What others keep beside an abusive peer, and beside a network.
const BESIDE_PEER: f64 = 0.98;
const BESIDE_NETWORK: f64 = 0.95;
/// So many standard deviations of chance are granted.
const SIGMAS: f64 = 2.0;

/// Judges a trigger.
pub(crate) fn trial(trial: &Trial) -> Vec<Verdict> {
    let Ok(trigger) = trial.trigger.parse::<Trigger>() else { return Vec::new() };
    let mut verdicts =
        vec![recovered(trial), none("unanswered", "requests without an answer", trial.unanswered)];
    match trigger {
        Trigger::Freeze(seconds) => {
            if let Some(started) = trial.started {
                let max = trial.permits_max + (seconds as f64 / PROBE_S).ceil();
                verdicts.push(at_most(
                    "started",
                    "store calls started while frozen".to_owned(),
                    started,
                    max,
                ));
            }
            let figure = "FIND_NODE p99 while frozen, in ms".to_owned();
            verdicts.push(at_most("find_p99", figure, trial.during_find_p99_ms, FIND_P99_MS));
            verdicts.push(recovered_in(trial, THAWED_S));
        }
        Trigger::Slow(_) | Trigger::Burst | Trigger::KillNode => verdicts.push(statements(trial, 0.0)),
        Trigger::Restart => {
            let figure = "connections opened in a second".to_owned();
            verdicts.push(at_most("connects", figure, trial.connects_max, CONNECTS_MAX));
            verdicts.push(recovered_in(trial, RESTARTED_S));
        }
        Trigger::Connections => {
            let figure = "logins refused per second".to_owned();
            verdicts.push(at_most("refused", figure, trial.refused, CONNECTS_MAX));
        }
        Trigger::HotKey => {
            verdicts.push(statements(trial, HOT_STATEMENTS));
            let max = (OTHERS_P99 * trial.before_get_p99_ms).max(OTHERS_P99_MS);
            let figure = format!("p99 of other keys in ms, before {}", short(trial.before_get_p99_ms));
            verdicts.push(at_most("others_p99", figure, trial.during_get_p99_ms, max));
        }
        Trigger::Memory => {
            let killed =
                trial.killed_s.map_or_else(|| "never".to_owned(), |seconds| format!("after {seconds:.0} s"));
            let figure = "the node with little memory was killed".to_owned();
            let (wanted, passed) = ("never".to_owned(), trial.killed_s.is_none());
            verdicts.push(Verdict { id: "alive", figure, wanted, measured: killed, passed });
        }
        Trigger::AbusivePeer => verdicts.push(kept(trial, BESIDE_PEER)),
        Trigger::Network => verdicts.push(kept(trial, BESIDE_NETWORK)),
        Trigger::Reprovide => {
            verdicts.push(statements(trial, 0.0));
            let ratio = trial.during_writes / trial.before_writes;
            let max = STATEMENTS_MAX + SIGMAS * relative(trial, trial.before_writes, trial.during_writes);
            verdicts.push(at_most(
                "writes",
                "store calls that write, of those before".to_owned(),
                ratio,
                max,
            ));
        }
    }
    verdicts
}

/// As before, ten seconds after the cause has gone and on.
fn recovered(trial: &Trial) -> Verdict {
    let figure = format!("answers with providers from {} s after it, of those before", RECOVERY.as_secs());
    share(
        "recovered",
        figure,
        [trial.before_share, trial.last_share],
        [trial.before_present, trial.last_present],
        RECOVERED,
    )
}

fn kept(trial: &Trial, min: f64) -> Verdict {
    let figure = "answers with providers to others, of those before".to_owned();
    share(
        "during",
        figure,
        [trial.before_share, trial.during_share],
        [trial.before_present, trial.during_present],
        min,
    )
}

/// A share over one before, both of so many requests, less what chance alone does.
fn share(id: &'static str, figure: String, [before, now]: [f64; 2], of: [f64; 2], min: f64) -> Verdict {
    let variance = |share: f64, of: f64| {
        let share = share.clamp(0.01, 0.99);
        (1.0 - share) / (share * of.max(1.0))
    };
    let chance = SIGMAS * (variance(before, of[0]) + variance(before, of[1])).sqrt();
    let verdict = at_least(id, figure, now / before, (min - chance).max(0.0));
    let wanted = format!("at least {}, less {} of chance", short(min), short(chance));
    Verdict { wanted, ..verdict }
}

fn recovered_in(trial: &Trial, seconds: f64) -> Verdict {
    let figure = "seconds from its end until as many are found as before".to_owned();
    let verdict = at_most("recovery", figure, trial.recovery_s.unwrap_or(f64::INFINITY), seconds);
    let measured = trial.recovery_s.map_or_else(|| "never".to_owned(), short);
    Verdict { measured, ..verdict }
}

fn statements(trial: &Trial, more: f64) -> Verdict {
    let ratio = (trial.during_statements - more) / trial.before_statements;
    let max = STATEMENTS_MAX + SIGMAS * relative(trial, trial.before_statements, trial.during_statements);
    at_most("statements", "statements per second during it, of those before".to_owned(), ratio, max)
}

/// The standard deviation of the ratio of two rates, as if each event came by chance.
fn relative(trial: &Trial, before: f64, during: f64) -> f64 {
    let count = |rate: f64| (rate * trial.lasts_s).max(1.0);
    (1.0 / count(before) + 1.0 / count(during)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(trigger: &str) -> Trial {
        Trial {
            trigger: trigger.to_owned(),
            lasts_s: 10.0,
            before_share: 0.8,
            during_share: 0.8,
            last_share: 0.8,
            before_present: 1e6,
            during_present: 1e6,
            last_present: 1e6,
            recovery_s: Some(1.0),
            before_statements: 1e5,
            during_statements: 1e5,
            before_writes: 1e5,
            during_writes: 1e5,
            before_get_p99_ms: 100.0,
            during_get_p99_ms: 100.0,
            during_find_p99_ms: 5.0,
            started: trigger.starts_with("freeze").then_some(39.0),
            permits_max: 5.0,
            ..Trial::default()
        }
    }

    fn failed(trigger: &str, change: impl Fn(&mut Trial)) -> Vec<&'static str> {
        let mut given = given(trigger);
        change(&mut given);
        trial(&given).into_iter().filter(|verdict| !verdict.passed).map(|verdict| verdict.id).collect()
    }

    #[test]
    fn every_trigger_is_judged_and_passes_if_nothing_changed() {
        for trigger in Trigger::ALL.iter().filter(|trigger| **trigger != Trigger::Freeze(1)) {
            let name = trigger.to_string();
            assert_eq!(failed(&name, |_| {}), [""; 0], "{name}");
            assert_eq!(failed(&name, |trial| trial.unanswered = 1), ["unanswered"], "{name}");
            assert_eq!(failed(&name, |trial| trial.last_share = 0.755), ["recovered"], "{name}");
        }
        assert_eq!(failed("freeze-1", |_| {}), ["started"], "39 calls are too many for one second");
        assert!(trial(&given("unknown")).is_empty());
    }

    #[test]
    fn each_figure_of_a_trigger_fails_just_above_its_bound() {
        type Change = fn(&mut Trial);
        let cases: [(&str, &str, Change); 13] = [
            ("freeze-10", "started", |trial| trial.started = Some(40.0)),
            ("freeze-10", "find_p99", |trial| trial.during_find_p99_ms = 11.0),
            ("freeze-10", "recovery", |trial| trial.recovery_s = Some(3.0)),
            ("freeze-10", "recovery", |trial| trial.recovery_s = None),
            ("slow-10", "statements", |trial| trial.during_statements = 1.06e5),
            ("restart", "connects", |trial| trial.connects_max = 3.0),
            ("restart", "recovery", |trial| trial.recovery_s = Some(6.0)),
            ("connections", "refused", |trial| trial.refused = 2.1),
            ("hot-key", "others_p99", |trial| trial.during_get_p99_ms = 111.0),
            ("memory", "alive", |trial| trial.killed_s = Some(30.0)),
            ("abusive-peer", "during", |trial| trial.during_share = 0.78),
            ("network", "during", |trial| trial.during_share = 0.755),
            ("reprovide", "writes", |trial| trial.during_writes = 1.06e5),
        ];
        for (trigger, id, change) in cases {
            assert_eq!(failed(trigger, change), [id], "{trigger}");
        }
        let few = |trial: &mut Trial| {
            (trial.before_present, trial.during_present, trial.during_share) = (100.0, 100.0, 0.75);
        };
        assert_eq!(failed("abusive-peer", few), [""; 0], "of a hundred requests that is chance");
    }
}
