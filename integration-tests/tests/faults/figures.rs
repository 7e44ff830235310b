//! What a scenario has shown, and what of it breaks a promise.

use super::form::Bounds;
use super::log::Lines;
use super::scenario::{Loss, Scenario};
use super::watch::Look;
use hydra_load::{Report, Second};
use std::time::{Duration, Instant};

/// How many different warnings there may be, and changes of rungs.
const WARNINGS_MAX: usize = 20;
const CHANGES_MAX: usize = 40;

/// When things were.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phases {
    pub(crate) start: Instant,
    /// The fault begins.
    pub(crate) begun: Instant,
    /// Its cause has gone.
    pub(crate) gone: Instant,
    pub(crate) ended: Instant,
}

/// What a scenario has shown.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) phases: Phases,
    /// The 99th percentile of FIND_NODE before, during and after.
    pub(crate) find_p99: [Duration; 3],
    /// The share of FIND_NODE of the first half of the fault that was answered before its end; none if none was due.
    pub(crate) found_meanwhile: Option<f64>,
    /// Why requests of the clients beside the mixed load failed.
    pub(crate) failures: Vec<String>,
    /// The mixed load.
    pub(crate) report: Report,
    pub(crate) seconds: Vec<(Instant, Second)>,
    /// The node at the begin of the fault, from then on, and in the end.
    pub(crate) first: Look,
    pub(crate) looks: Vec<Look>,
    pub(crate) last: Look,
    pub(crate) lines: Lines,
    pub(crate) has_panicked: bool,
    /// Announcements that the node had read.
    pub(crate) announced: usize,
    /// Those that are not in the store and should be.
    pub(crate) lost: usize,
    /// Those that are not in the store and may be missing.
    pub(crate) excused: usize,
    /// Those that should be found at the node before it was started again and were not.
    pub(crate) hidden: usize,
    /// Announcements that were never written.
    pub(crate) queued: f64,
}

impl Phases {
    /// Before, during and after.
    pub(crate) const fn each(&self) -> [(Instant, Instant); 3] {
        [(self.start, self.begun), (self.begun, self.gone), (self.gone, self.ended)]
    }
}

impl Figures {
    /// From the end of the cause until the node was ready for good; none if it never was.
    pub(crate) fn ready_after(&self) -> Option<Duration> {
        self.well_after(|look| look.is_ready)
    }

    /// From the end of the cause until the node was ready and on the rung "full" for good.
    pub(crate) fn back_after(&self) -> Option<Duration> {
        self.well_after(Look::is_well)
    }

    fn well_after(&self, is_well: impl Fn(&Look) -> bool) -> Option<Duration> {
        let after: Vec<_> = self.looks.iter().filter(|look| look.at >= self.phases.gone).collect();
        match after.iter().rposition(|look| !is_well(look)) {
            None => Some(Duration::ZERO),
            Some(last) => after.get(last + 1).map(|look| look.at - self.phases.gone),
        }
    }

    /// True if the node noticed the fault.
    pub(crate) fn is_felt(&self) -> bool {
        let called = |look: &Look| look.failed > self.first.failed || look.dropped > self.first.dropped;
        !self.lines.warnings.is_empty() || self.looks.iter().any(|look| !look.is_well() || called(look))
    }

    /// Requests of all clients that got no answer, or a second one after a reset.
    pub(crate) fn unanswered(&self) -> u64 {
        let all = &self.report.total.ordinary;
        let failed = all.outcomes.reset + all.outcomes.timeout + all.outcomes.refused + all.outcomes.unsent;
        failed + all.retries + self.failures.len() as u64
    }

    /// The share of the mixed load that was answered in full in each phase, in percent.
    pub(crate) fn full_percent(&self) -> [Option<f64>; 3] {
        self.phases.each().map(|(from, to)| {
            let within = self.seconds.iter().filter(|(at, _)| (from..to).contains(at));
            let (full, all) = within.fold((0, 0), |(full, all), (_, second)| {
                (full + second.outcomes.full, all + second.outcomes.sum())
            });
            (all > 0).then(|| 100.0 * full as f64 / all as f64)
        })
    }

    /// Announcements that were dropped and counted.
    pub(crate) fn dropped(&self) -> f64 {
        self.last.dropped - self.first.dropped
    }

    /// Each promise that is broken.
    pub(crate) fn complaints(&self, scenario: &Scenario, bounds: &Bounds) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut demand = |is_kept: bool, complaint: String| {
            if !is_kept {
                complaints.push(complaint);
            }
        };
        let all = &self.report.total.ordinary;
        let unanswered = self.unanswered();
        demand(
            unanswered == 0,
            format!(
                "{unanswered} requests without an answer: {:?}, retries {}, unfinished {}, and {:?}",
                all.outcomes,
                all.retries,
                all.unfinished,
                self.failures.first()
            ),
        );
        // The load ends while requests are under way, and waits a second for them.
        demand(all.unfinished < 50, format!("{} requests without an answer in the end", all.unfinished));
        demand(all.outcomes.late == 0, format!("{} late answers", all.outcomes.late));
        let is_quick = |bound: Duration| self.find_p99.iter().all(|p99| *p99 <= bound);
        demand(bounds.find_p99.is_none_or(is_quick), format!("FIND_NODE took {:?}", self.find_p99));
        demand(
            self.found_meanwhile.is_none_or(|share| share > 0.5),
            format!("{:?} of all FIND_NODE were answered before the fault was over", self.found_meanwhile),
        );
        let back = self.back_after();
        demand(
            back.is_some_and(|back| back <= bounds.back),
            format!(
                "the node is back after {back:?}, ready after {:?}; in the end {:?}, {:#?}",
                self.ready_after(),
                self.last,
                self.lines
            ),
        );
        demand(
            self.announced > 0 && self.lost == 0,
            format!("{} of {} announcements are lost", self.lost, self.announced),
        );
        demand(self.hidden == 0, format!("{} announcements are not found before the restart", self.hidden));
        demand(self.queued == 0.0, format!("{} announcements wait for ever", self.queued));
        let [_, _, after] = self.full_percent();
        demand(after.is_none_or(|after| after > 50.0), format!("{after:?} % full answers afterwards"));
        match scenario.loss {
            Loss::Counted => {
                demand(
                    self.dropped() >= self.excused as f64,
                    format!("{} dropped, {} missing", self.dropped(), self.excused),
                );
            }
            Loss::Nothing | Loss::Last(_) => {
                demand(self.dropped() == 0.0, format!("{} announcements are dropped", self.dropped()));
            }
        }
        let grown = self.last.memory_bytes.saturating_sub(self.first.memory_bytes);
        demand(grown <= bounds.grown_bytes, format!("the node has grown by {} kB", grown / 1000));
        let opened = self.last.descriptors.saturating_sub(self.first.descriptors);
        demand(opened <= bounds.grown_descriptors, format!("{opened} descriptors more"));
        demand(!self.has_panicked, "a task panicked".to_owned());
        demand(self.last.restarted == 0.0, "a head or a background task was started again".to_owned());
        complaints.extend(self.complaints_of_log(scenario, bounds));
        complaints
    }

    fn complaints_of_log(&self, scenario: &Scenario, bounds: &Bounds) -> Vec<String> {
        let Lines { warnings, changes, .. } = &self.lines;
        let mut complaints: Vec<_> = warnings
            .iter()
            .filter(|(_, times)| **times > bounds.repeats)
            .map(|(line, times)| format!("{times} times in the log: {line}"))
            .collect();
        if warnings.len() > WARNINGS_MAX || *changes > CHANGES_MAX {
            complaints.push(format!("{} warnings, {changes} changes of rungs", warnings.len()));
        }
        // What the client library of a store has to say the store says in terms of the node.
        for line in warnings.keys().filter(|line| line.contains("\"target\":\"sqlx")) {
            complaints.push(format!("a library speaks in the log: {line}"));
        }
        if !scenario.cause.is_empty() && !self.is_felt() {
            complaints.push("the fault was no fault".to_owned());
        }
        if !scenario.cause.is_empty() && !self.lines.names(scenario.cause) {
            complaints.push(format!("none of {:?} is in the log: {:#?}", scenario.cause, self.lines));
        }
        complaints
    }
}
