//! Where everything is counted, by second and by step.

use crate::draw::{ABUSIVE, Drawn};
use crate::figures::Counts;
use crate::outcome::{Operation, Outcome};
use crate::plan::Plan;
use crate::second::Second;
use crate::tally::{Latencies, Tally};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The counts of a run. Their memory depends on the number of steps alone.
#[derive(Debug)]
pub(crate) struct Recorder {
    has_abusive: bool,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    now: Now,
    steps: Vec<StepTally>,
    outstanding: u64,
    /// Requests that were sent and have ended, since the start.
    ended: u64,
}

/// What happened since the last second was taken.
#[derive(Debug, Default)]
struct Now {
    offered: u64,
    sent: u64,
    outcomes: Counts,
    retries: u64,
    answered: [Latencies; 4],
    abusive_offered: u64,
    abusive_full: u64,
    lag: Latencies,
}

/// The requests that were due in one step.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepTally {
    pub(crate) ordinary: Tally,
    pub(crate) abusive: Tally,
    /// How late the generator started the requests.
    pub(crate) lag: Latencies,
}

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestEnd {
    pub(crate) outcome: Outcome,
    pub(crate) latency: Duration,
    pub(crate) retries: u64,
}

impl StepTally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.ordinary.add(&other.ordinary);
        self.abusive.add(&other.abusive);
        self.lag.add(&other.lag);
    }
}

impl Recorder {
    pub(crate) fn new(plan: &Plan) -> Self {
        let steps = vec![StepTally::default(); plan.steps.len()];
        Self {
            has_abusive: plan.abusive.is_some(),
            counted: Mutex::new(Counted { steps, ..Counted::default() }),
        }
    }

    /// A request of this step was due.
    pub(crate) fn offered(&self, step: usize, drawn: &Drawn) {
        let mut counted = self.lock();
        match self.is_abusive(drawn) {
            true => counted.now.abusive_offered += 1,
            false => counted.now.offered += 1,
        }
        if let Some(tally) = self.tally(&mut counted, step, drawn) {
            tally.offered();
        }
    }

    /// An attempt of a request begins, this long after the request was due; none in a closed loop.
    pub(crate) fn sent(&self, step: usize, drawn: &Drawn, lag: Option<Duration>) {
        let mut counted = self.lock();
        counted.outstanding += 1;
        if !self.is_abusive(drawn) {
            counted.now.sent += 1;
        }
        if let Some(lag) = lag {
            counted.now.lag.record(lag);
            if let Some(tally) = counted.steps.get_mut(step) {
                tally.lag.record(lag);
            }
        }
        if let Some(tally) = self.tally(&mut counted, step, drawn) {
            tally.sent();
        }
    }

    /// A request was not sent.
    pub(crate) fn unsent(&self, step: usize, drawn: &Drawn) {
        let end = RequestEnd { outcome: Outcome::Unsent, latency: Duration::ZERO, retries: 0 };
        self.count(&mut self.lock(), step, drawn, end);
    }

    /// A request that was sent has ended.
    pub(crate) fn ended(&self, step: usize, drawn: &Drawn, end: RequestEnd) {
        let mut counted = self.lock();
        counted.outstanding = counted.outstanding.saturating_sub(1);
        counted.ended += 1;
        self.count(&mut counted, step, drawn, end);
    }

    fn count(&self, counted: &mut Counted, step: usize, drawn: &Drawn, end: RequestEnd) {
        let RequestEnd { outcome, latency, retries } = end;
        let now = &mut counted.now;
        now.retries += retries;
        if self.is_abusive(drawn) {
            now.abusive_full += u64::from(outcome == Outcome::Full);
        } else {
            now.outcomes.count(outcome);
            let is_answer = matches!(outcome, Outcome::Full | Outcome::Empty | Outcome::Late);
            if let Some(answered) = now.answered.get_mut(drawn.operation.index()).filter(|_| is_answer) {
                answered.record(latency);
            }
        }
        if let Some(tally) = self.tally(counted, step, drawn) {
            tally.ended(drawn.operation, outcome, latency, retries);
        }
    }

    /// What happened since this was called last; the caller adds what only it knows.
    pub(crate) fn take_second(&self) -> Second {
        let mut counted = self.lock();
        let outstanding = counted.outstanding;
        let now = &mut counted.now;
        let latency = |latencies: &Latencies| latencies.quantile_ms(0.5).zip(latencies.quantile_ms(0.99));
        let second = Second {
            offered: std::mem::take(&mut now.offered),
            sent: std::mem::take(&mut now.sent),
            outcomes: std::mem::take(&mut now.outcomes),
            retries: std::mem::take(&mut now.retries),
            outstanding,
            latency_ms: Operation::ALL.map(|operation| now.answered.get(operation.index()).and_then(latency)),
            abusive_offered: std::mem::take(&mut now.abusive_offered),
            abusive_full: std::mem::take(&mut now.abusive_full),
            lag_p99_ms: now.lag.quantile_ms(0.99),
            ..Second::default()
        };
        now.answered.iter_mut().for_each(Latencies::reset);
        now.lag.reset();
        second
    }

    /// The requests that were sent and have ended so far.
    pub(crate) fn ended_len(&self) -> u64 {
        self.lock().ended
    }

    /// The requests of each step so far.
    pub(crate) fn steps(&self) -> Vec<StepTally> {
        self.lock().steps.clone()
    }

    fn is_abusive(&self, drawn: &Drawn) -> bool {
        self.has_abusive && drawn.client == ABUSIVE
    }

    fn tally<'a>(&self, counted: &'a mut Counted, step: usize, drawn: &Drawn) -> Option<&'a mut Tally> {
        let step = counted.steps.get_mut(step)?;
        Some(if self.is_abusive(drawn) { &mut step.abusive } else { &mut step.ordinary })
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
