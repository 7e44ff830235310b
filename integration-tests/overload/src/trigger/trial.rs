//! One trigger during a steady load, and its figures.

use super::Trigger;
use super::act::{Scene, Seen};
use crate::csv::row;
use crate::figures::{Figures, highest_rung, increase};
use crate::form::Form;
use crate::ground::Ground;
use crate::load::{self, CLIENTS, Row, networks};
use crate::server::Slot;
use crate::stairs::missing;
use hydra_load::{Head, Plan, Step};
use std::io;
use std::time::Duration;
use tokio::sync::oneshot;

/// The steady load, in multiples of the rate that saturates the server.
const LOAD: f64 = 2.0;
/// How long the nodes have to recover after the cause has gone.
pub(crate) const RECOVERY: Duration = Duration::from_secs(10);
/// Of the share before, the part that counts as recovered.
const RECOVERED: f64 = 0.95;
/// Seconds over which the share is looked at: one alone has some dozen requests.
const WINDOW: usize = 3;

row!(
    /// What a trigger showed. Shares and rates are of the GET_PROVIDERS for keys that have providers, answered with providers in time.
    Trial {
        place: String = "place",
        arm: String = "arm",
        trigger: String = "trigger",
        /// The rate of the steady load, and how long the trigger lasted.
        rate: f64 = "rate",
        lasts_s: f64 = "lasts_s",
        before_share: f64 = "before_share",
        during_share: f64 = "during_share",
        /// In the first ten seconds after the cause has gone, and later.
        after_share: f64 = "after_share",
        last_share: f64 = "last_share",
        before_present: f64 = "before_present",
        during_present: f64 = "during_present",
        last_present: f64 = "last_present",
        before_found: f64 = "before_found_per_s",
        during_found: f64 = "during_found_per_s",
        last_found: f64 = "last_found_per_s",
        /// Seconds from the end of the cause until the share was as before; none if it never was.
        recovery_s: Option<f64> = "recovery_s",
        before_statements: f64 = "before_statements_per_s",
        during_statements: f64 = "during_statements_per_s",
        after_statements: f64 = "after_statements_per_s",
        last_statements: f64 = "last_statements_per_s",
        before_writes: f64 = "before_writes_per_s",
        during_writes: f64 = "during_writes_per_s",
        before_cpu: f64 = "before_store_cpu_cores",
        during_cpu: f64 = "during_store_cpu_cores",
        before_get_p99_ms: f64 = "before_get_p99_ms",
        during_get_p99_ms: f64 = "during_get_p99_ms",
        last_get_p99_ms: f64 = "last_get_p99_ms",
        during_find_p99_ms: f64 = "during_find_p99_ms",
        before_call_ms: f64 = "before_call_ms",
        during_call_ms: f64 = "during_call_ms",
        after_call_ms: f64 = "after_call_ms",
        /// Of the steady load, from the trigger on.
        resets: u64 = "resets",
        timeouts: u64 = "timeouts",
        unanswered: u64 = "unanswered",
        late: u64 = "late",
        retries: u64 = "retries",
        /// Store calls that were started while the server was frozen, and connections with what it had not read.
        started: Option<f64> = "started",
        unread: Option<f64> = "unread",
        permits_max: f64 = "permits_max",
        active_max: f64 = "active_max",
        /// The most connections that were opened in a second, and logins that were refused per second.
        connects_max: f64 = "connects_per_s_max",
        refused: f64 = "refused_per_s",
        away_s: f64 = "away_s",
        /// When a node with little memory was killed, in seconds from the trigger on.
        killed_s: Option<f64> = "killed_s",
        before_rss_mib: f64 = "before_rss_mib",
        rss_mib: f64 = "rss_mib",
        write_queue_max: f64 = "write_queue_max",
        outstanding_max: f64 = "outstanding_max",
        read_rung: String = "read_rung",
        write_rung: String = "write_rung",
        /// The load on top.
        extra_offered: f64 = "extra_offered_per_s",
        extra_full: f64 = "extra_full_per_s",
        extra_unanswered: u64 = "extra_unanswered",
        lag_p99_ms: f64 = "lag_p99_ms",
        load_average: f64 = "load_average",
    }
);

/// The steps of the steady load.
const BEFORE: usize = 1;
pub(crate) const DURING: usize = 2;
const AFTER: usize = 3;
const LAST: usize = 4;

/// A steady load with a trigger in it; its figures without its names, and its seconds.
///
/// # Errors
/// If the load or the trigger fails.
pub(crate) async fn measure(
    trigger: Trigger,
    ground: &mut Ground,
    server: &mut Slot,
    form: &Form,
    base: f64,
) -> io::Result<(Trial, Vec<Row>)> {
    let (rate, lasts) = (LOAD * base, trigger.lasts(form));
    let durations = [form.before[0], form.before[1], lasts, RECOVERY, form.after];
    let Flows { steady, killed, moved } = flows(trigger, ground, form, rate, durations)?;
    // The probe may have connected anew.
    ground.quota.hold_again(server.get()?.pid()?, ground.sampler.probe_pid())?;
    let mut scene = Scene::of(ground, server);
    (scene.keys, scene.rate, scene.lasts, scene.moved) = (form.keys, rate, lasts, moved);
    let (begun, begins) = oneshot::channel();
    let heads = steady.heads.clone();
    let sampler = scene.sampler;
    let begins_now = |at| {
        // Nobody waits for it if the trigger has failed.
        let _unheard = begun.send(at).is_err();
    };
    let steady = load::send(steady, sampler, begins_now, |_| true);
    let killed = async {
        match killed {
            // What becomes of requests to a killed node is not judged.
            Some(plan) => hydra_load::run(plan, |_| {}, std::future::pending()).await.map(drop),
            None => Ok(()),
        }
    };
    let act = async {
        let begun = begins.await.map_err(|_| io::Error::other("the load did not begin"))?;
        scene.act(trigger, heads, begun + form.before[0] + form.before[1]).await
    };
    let (ran, killed, seen) = tokio::join!(steady, killed, act);
    killed.map_err(io::Error::other)?;
    let (ran, seen) = (ran?, seen?);
    let steps: Vec<Figures> = ran
        .report
        .steps
        .iter()
        .enumerate()
        .map(|(nth, report)| {
            let rows: Vec<Row> = ran.rows.iter().filter(|row| row.second.step == nth).cloned().collect();
            Figures::of(LOAD, report, &rows)
        })
        .collect();
    let trial = of(trigger, &steps, &ran.rows, &seen);
    let trial = trial.ok_or_else(|| io::Error::other("the load ended early"))?;
    Ok((Trial { rate, lasts_s: lasts.as_secs_f64(), ..trial }, ran.rows))
}

/// The loads of a trigger that are planned before it.
struct Flows {
    steady: Plan,
    /// To the node that is killed, until it is.
    killed: Option<Plan>,
    /// What its clients send to the others from then on.
    moved: Option<Plan>,
}

fn flows(
    trigger: Trigger,
    ground: &Ground,
    form: &Form,
    rate: f64,
    durations: [Duration; 5],
) -> io::Result<Flows> {
    let steps = |rate| durations.map(|duration| load::step(rate, duration)).to_vec();
    let all = load::heads(&ground.nodes)?;
    if trigger != Trigger::KillNode {
        return Ok(Flows { steady: load::plan(all, form.keys, steps(rate)), killed: None, moved: None });
    }
    let [killed, others @ ..] = ground.nodes.as_slice() else { return Err(io::Error::other("no nodes")) };
    let share = 1.0 / ground.nodes.len() as f64;
    let others = load::heads(others)?;
    let of_killed = |heads: Vec<Head>, steps: Vec<Step>| Plan {
        first_id: CLIENTS.into(),
        sources: networks(6, CLIENTS),
        ..load::plan(heads, form.keys, steps)
    };
    let until = durations[0] + durations[1];
    let from = durations[2] + durations[3] + durations[4];
    Ok(Flows {
        steady: load::plan(others.clone(), form.keys, steps((1.0 - share) * rate)),
        killed: Some(of_killed(load::heads([killed])?, vec![load::step(share * rate, until)])),
        moved: Some(of_killed(others, vec![load::step(share * rate, from)])),
    })
}

/// The figures of the steps and seconds.
fn of(trigger: Trigger, steps: &[Figures], rows: &[Row], seen: &Seen) -> Option<Trial> {
    let (before, during) = (steps.get(BEFORE)?, steps.get(DURING)?);
    let (after, last) = (steps.get(AFTER)?, steps.get(LAST)?);
    let from = [during, after, last];
    let sum = |count: fn(&Figures) -> u64| from.iter().map(|step| count(step)).sum::<u64>();
    let max = |of: fn(&Figures) -> f64| from.iter().map(|step| of(step)).fold(0.0, f64::max);
    let rows_of =
        |step: usize| rows.iter().filter(|row| row.second.step >= step).cloned().collect::<Vec<_>>();
    let later = rows_of(DURING);
    let connects = later.windows(2).map(|pair| increase(pair, |row| row.sample.store.connections));
    Some(Trial {
        trigger: trigger.to_string(),
        recovery_s: recovery(before.found_share, &rows_of(AFTER)),
        resets: sum(|step| step.resets),
        timeouts: sum(|step| step.timeouts),
        unanswered: sum(|step| step.unanswered),
        late: sum(|step| step.late),
        retries: sum(|step| step.retries),
        permits_max: max(|step| step.permits_max).max(before.permits_max),
        active_max: max(|step| step.active_max),
        connects_max: connects.fold(0.0, f64::max),
        refused: seen.refused / seconds_of(DURING, rows),
        before_rss_mib: before.node_rss_mib,
        rss_mib: max(|step| step.node_rss_mib),
        write_queue_max: max(|step| step.write_queue_max),
        outstanding_max: max(|step| step.outstanding_max),
        read_rung: highest_rung(&later, |row| &row.sample.node.read_rung),
        write_rung: highest_rung(&later, |row| &row.sample.node.write_rung),
        lag_p99_ms: max(|step| step.lag_p99_ms),
        load_average: max(|step| step.load_average),
        ..with_seen(of_phases([before, during, after, last]), seen)
    })
}

/// What each phase showed.
fn of_phases([before, during, after, last]: [&Figures; 4]) -> Trial {
    Trial {
        before_share: before.found_share,
        during_share: during.found_share,
        after_share: after.found_share,
        last_share: last.found_share,
        before_present: before.present,
        during_present: during.present,
        last_present: last.present,
        before_found: before.found,
        during_found: during.found,
        last_found: last.found,
        before_statements: before.statements,
        during_statements: during.statements,
        after_statements: after.statements,
        last_statements: last.statements,
        before_writes: before.writes,
        during_writes: during.writes,
        before_cpu: before.store_cpu,
        during_cpu: during.store_cpu,
        before_get_p99_ms: before.get_p99_ms,
        during_get_p99_ms: during.get_p99_ms,
        last_get_p99_ms: last.get_p99_ms,
        during_find_p99_ms: during.find_p99_ms,
        before_call_ms: before.call_ms,
        during_call_ms: during.call_ms,
        after_call_ms: after.call_ms,
        ..Trial::default()
    }
}

/// The same, with what was seen besides.
fn with_seen(trial: Trial, seen: &Seen) -> Trial {
    let Seen { started, unread, away_s, killed_s, .. } = *seen;
    let Some(report) = &seen.extra else { return Trial { started, unread, away_s, killed_s, ..trial } };
    let (load, seconds) = (&report.total.ordinary, report.total.duration_s.max(f64::MIN_POSITIVE));
    Trial {
        started,
        unread,
        away_s,
        killed_s,
        extra_offered: load.offered as f64 / seconds,
        extra_full: load.goodput_per_second,
        extra_unanswered: load.outcomes.reset + load.outcomes.timeout + load.outcomes.refused,
        ..trial
    }
}

/// How many seconds a step has.
fn seconds_of(step: usize, rows: &[Row]) -> f64 {
    rows.iter().filter(|row| row.second.step == step).count().max(1) as f64
}

/// The first second after which the share of some seconds is as before.
fn recovery(before: f64, rows: &[Row]) -> Option<f64> {
    let is_as_before = |window: &[Row]| 1.0 - missing(window).unwrap_or(1.0) >= RECOVERED * before;
    rows.windows(WINDOW).position(is_as_before).map(|seconds| seconds as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_load::{Counts, Second};

    /// A second of a step with this share of answers without providers.
    fn row(step: usize, missing: f64) -> Row {
        let offered = 10_000;
        let empty = (missing * crate::stairs::present(offered)).round() as u64;
        let outcomes = Counts { empty, ..Counts::default() };
        Row { second: Second { step, offered, outcomes, ..Second::default() }, ..Row::default() }
    }

    #[test]
    fn the_time_to_recover_is_that_of_the_first_window_as_before() {
        let rows: Vec<_> = [1.0, 0.9, 0.5, 0.2, 0.2, 0.2, 0.9].map(|missing| row(AFTER, missing)).into();
        assert_eq!(recovery(0.8, &rows), Some(3.0));
        assert_eq!(recovery(0.95, &rows), None, "it never is as before");
        assert_eq!(recovery(0.1, &rows), Some(0.0));
        assert_eq!(recovery(0.8, &rows[..2]), None);
    }

    #[test]
    fn a_trial_has_the_figures_of_its_steps() {
        let step = |share: f64, resets| Figures {
            found_share: share,
            resets,
            unanswered: resets,
            ..Figures::default()
        };
        let steps = [step(1.0, 9), step(0.8, 9), step(0.1, 2), step(0.5, 1), step(0.79, 0)];
        let rows: Vec<_> = (0..5).flat_map(|nth| vec![row(nth, 0.2); 3]).collect();
        let seen = Seen { started: Some(7.0), refused: 6.0, ..Seen::default() };
        let trial = of(Trigger::Freeze(10), &steps, &rows, &seen).unwrap();
        assert_eq!((trial.before_share, trial.during_share, trial.last_share), (0.8, 0.1, 0.79));
        assert_eq!((trial.resets, trial.unanswered), (3, 3), "from the trigger on");
        assert_eq!((trial.started, trial.refused, trial.recovery_s), (Some(7.0), 2.0, Some(0.0)));
        assert!(of(Trigger::Freeze(10), &steps[..4], &rows, &seen).is_none());
    }
}
