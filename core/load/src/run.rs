//! Executes a plan.

use crate::client::Client;
use crate::connect::{Connected, connect};
use crate::keys::KeySpace;
use crate::measure::{Look, StepMeasure};
use crate::pacer::{STOP_WAIT, Shared, pace};
use crate::plan::{Pace, Plan, PlanError, Presence};
use crate::preload::{Preloaded, preload};
use crate::process::{Meter, Reading};
use crate::recorder::Recorder;
use crate::report::{Ended, Report, report};
use crate::second::Second;
use crate::stop::Stop;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval_at};

/// The time between two [`Progress::Second`]s.
const SECOND: Duration = Duration::from_secs(1);
/// What the last requests may take beyond their time limits, as to open a stream.
const DRAIN_SLACK: Duration = Duration::from_secs(1);

/// What a run reports while it goes on.
#[derive(Debug)]
pub enum Progress<'a> {
    /// So many of the clients are connected.
    Connected {
        /// The clients whose head answered.
        connected: usize,
        /// All clients.
        clients: usize,
    },
    /// The present keys were announced.
    Preloaded(Preloaded),
    /// About a second has passed.
    Second(&'a Second),
}

/// Why a run did not take place.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The plan is invalid.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// A client cannot be made.
    #[error("cannot make a client")]
    Client(#[source] io::Error),
    /// No head answered any client.
    #[error("cannot connect: {0}")]
    NotConnected(String),
}

/// Connects the clients, sends what the plan says, and waits for the last answers. Needs a tokio runtime with time and
/// I/O, of several threads for high rates.
///
/// `observe` is called in the task of the run: it must not block. Once `stop` is ready, nothing more is sent, requests
/// may go on for 1 s, and the report covers what ran.
///
/// # Errors
/// [`RunError`]. Failures of single requests are outcomes, not errors.
///
/// # Cancel safety
/// Dropping the future ends the run without a report; requests under way end within their time limits.
pub async fn run(
    plan: Plan,
    mut observe: impl FnMut(Progress<'_>),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Report, RunError> {
    plan.check()?;
    let (stopping, stopped) = Stop::new();
    let waiting = tokio::spawn(async move {
        stop.await;
        stopping.send_replace(true);
        std::future::pending::<()>().await;
    });
    let done = Run::execute(plan, &mut observe, stopped).await;
    waiting.abort();
    done
}

/// A run and what it has measured.
struct Run {
    shared: Arc<Shared>,
    measures: Mutex<Vec<StepMeasure>>,
    start: Instant,
}

impl Run {
    async fn execute(
        plan: Plan,
        observe: &mut impl FnMut(Progress<'_>),
        mut stop: Stop,
    ) -> Result<Report, RunError> {
        let keys = Arc::new(KeySpace::new(&plan)?);
        let plan = Arc::new(plan);
        let connected = tokio::select! {
            connected = connect(&plan, &keys) => connected.map_err(RunError::Client)?,
            () = stop.set() => Connected { clients: Vec::new(), connected: 0, failure: None },
        };
        let Connected { clients, connected, failure } = connected;
        if connected == 0 && !stop.is_set() {
            return Err(RunError::NotConnected(failure.unwrap_or_default()));
        }
        observe(Progress::Connected { connected, clients: plan.clients as usize });
        let preloaded = Self::preload(&plan, &keys, &clients, &stop, observe).await;
        let room = || Arc::new(Semaphore::new(plan.outstanding_max as usize));
        let recorder = Recorder::new(&plan);
        let run = Self {
            measures: Mutex::new(Vec::with_capacity(plan.steps.len())),
            start: Instant::now(),
            shared: Arc::new(Shared { outstanding: [room(), room()], plan, keys, clients, recorder, stop }),
        };
        run.watch(observe).await;
        let ended = if run.shared.stop.is_set() { Ended::Stopped } else { Ended::Finished };
        let measures = run.measures.into_inner().unwrap_or_else(PoisonError::into_inner);
        let steps = run.shared.recorder.steps();
        Ok(report(&run.shared.plan, ended, connected, preloaded, &steps, &measures))
    }

    async fn preload(
        plan: &Plan,
        keys: &KeySpace,
        clients: &[Arc<Client>],
        stop: &Stop,
        observe: &mut impl FnMut(Progress<'_>),
    ) -> Option<Preloaded> {
        let Presence::Preload { per_second } = plan.presence else { return None };
        let preloaded = preload(plan, keys, clients, per_second, stop).await;
        observe(Progress::Preloaded(preloaded));
        Some(preloaded)
    }

    /// Runs the steps, and reports each second meanwhile.
    async fn watch(&self, observe: &mut impl FnMut(Progress<'_>)) {
        let mut server = self.shared.plan.server_pid.map(Meter::new);
        let mut generator = Meter::new(std::process::id());
        let mut ticks = interval_at((self.start + SECOND).into(), SECOND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut steps = std::pin::pin!(self.steps());
        loop {
            let is_last = tokio::select! {
                () = &mut steps => true,
                _ = ticks.tick() => false,
            };
            let mut second = self.shared.recorder.take_second();
            second.at_s = self.start.elapsed().as_secs_f64();
            second.server = server.as_mut().and_then(Meter::next);
            second.generator = generator.next();
            self.record(&mut second);
            observe(Progress::Second(&second));
            if is_last {
                return;
            }
        }
    }

    /// Adds the step to the second, and what the second showed to the step.
    fn record(&self, second: &mut Second) {
        let mut measures = self.measures();
        second.step = measures.len().saturating_sub(1);
        second.rate = self.shared.plan.steps.get(second.step).and_then(|step| match step.pace {
            Pace::Open { per_second } => Some(per_second),
            Pace::Closed { .. } => None,
        });
        if let Some(measure) = measures.last_mut() {
            measure.record(second.server.as_ref());
        }
    }

    /// Runs the steps one after the other, and waits for the last answers.
    async fn steps(&self) {
        let mut start = self.start;
        for (nth, step) in self.shared.plan.steps.iter().enumerate() {
            if self.shared.stop.is_set() {
                break;
            }
            self.measures().push(StepMeasure::begin(self.look()));
            pace(&self.shared, nth, start).await;
            let last = self.look();
            if let Some(measure) = self.measures().last_mut() {
                measure.end(last);
            }
            start += step.duration;
        }
        self.drain().await;
    }

    /// Waits until no request is outstanding, as long as requests may take.
    async fn drain(&self) {
        let max = self.shared.plan.outstanding_max;
        let all = async {
            for outstanding in &self.shared.outstanding {
                // The semaphores are never closed.
                drop(outstanding.acquire_many(max).await);
            }
        };
        let mut stop = self.shared.stop.clone();
        let stopped = async {
            stop.set().await;
            tokio::time::sleep(STOP_WAIT).await;
        };
        let limit = 2 * self.shared.plan.timeout + DRAIN_SLACK;
        tokio::select! {
            () = all => {}
            () = stopped => {}
            () = tokio::time::sleep(limit) => {}
        }
    }

    /// The server, if its process id is known, this process, and the requests that have ended.
    fn look(&self) -> Look {
        let server = self.shared.plan.server_pid.and_then(Reading::take);
        let generator = Reading::take(std::process::id());
        Look { at: Instant::now(), server, generator, ended: self.shared.recorder.ended_len() }
    }

    fn measures(&self) -> std::sync::MutexGuard<'_, Vec<StepMeasure>> {
        self.measures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
