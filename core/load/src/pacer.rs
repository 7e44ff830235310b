//! Sends the requests of one step: at their times in an open loop, one after the other in a closed one.

use crate::arrivals::Arrivals;
use crate::client::Client;
use crate::draw::{ABUSIVE, Draw, Drawn, seed};
use crate::exchange::exchange;
use crate::keys::KeySpace;
use crate::outcome::Outcome;
use crate::plan::{Pace, Plan};
use crate::recorder::Recorder;
use crate::stop::Stop;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How long the pacer sleeps at most before it looks whether the run is to stop.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// How long a sender of a closed loop waits after a refusal: without it, it would do nothing else than be refused.
const REFUSED_WAIT: Duration = Duration::from_millis(10);
/// How long requests may go on once the run is to stop.
pub(crate) const STOP_WAIT: Duration = Duration::from_secs(1);
/// The sequences of random numbers of a step: its arrivals, its draws, and one for each sender of a closed loop.
const SEQUENCES_PER_STEP: u64 = 1 << 20;

/// What the requests of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Arc<Plan>,
    pub(crate) keys: Arc<KeySpace>,
    pub(crate) clients: Vec<Arc<Client>>,
    pub(crate) recorder: Recorder,
    pub(crate) stop: Stop,
    /// One permit for each request that may be outstanding, and for each of the abusive client.
    pub(crate) outstanding: [Arc<Semaphore>; 2],
}

/// Sends the requests of a step from `start` on. It returns when the step is over, while requests may be under way; each
/// of those holds a permit of [`Shared::outstanding`].
pub(crate) async fn pace(shared: &Arc<Shared>, step: usize, start: Instant) {
    let Some(wanted) = shared.plan.steps.get(step).copied() else { return };
    let end = start + wanted.duration;
    match wanted.pace {
        Pace::Open { per_second } => {
            let (shared, handle) = (Arc::clone(shared), Handle::current());
            // A thread of its own sleeps to within 0.1 ms; the timers of tokio have steps of 1 ms.
            let paced = tokio::task::spawn_blocking(move || {
                open_loop(&shared, step, per_second, start, end, &handle);
            });
            // It ends with the step, and does not panic.
            drop(paced.await);
        }
        Pace::Closed { concurrency } => closed_loop(shared, step, concurrency, end).await,
    }
}

fn open_loop(
    shared: &Arc<Shared>,
    step: usize,
    per_second: f64,
    start: Instant,
    end: Instant,
    handle: &Handle,
) {
    let plan = &shared.plan;
    let sequence = step as u64 * SEQUENCES_PER_STEP;
    let Ok(arrivals) = Arrivals::new(per_second * plan.rate_factor(), seed(plan, sequence)) else { return };
    let mut draw = Draw::new(Arc::clone(plan), Arc::clone(&shared.keys), sequence + 1);
    for at in arrivals {
        let due = start + at;
        if due >= end {
            sleep_until(end, &shared.stop);
            return;
        }
        sleep_until(due, &shared.stop);
        if shared.stop.is_set() {
            return;
        }
        send(shared, step, draw.next(), due, handle);
    }
}

fn sleep_until(due: Instant, stop: &Stop) {
    loop {
        let rest = due.saturating_duration_since(Instant::now());
        if rest.is_zero() || stop.is_set() {
            return;
        }
        std::thread::sleep(rest.min(SLEEP_MAX));
    }
}

/// Starts one request of an open loop, if there is room.
fn send(shared: &Arc<Shared>, step: usize, drawn: Drawn, due: Instant, handle: &Handle) {
    shared.recorder.offered(step, &drawn);
    let is_abusive = shared.plan.abusive.is_some() && drawn.client == ABUSIVE;
    let [ordinary, abusive] = &shared.outstanding;
    let outstanding = if is_abusive { abusive } else { ordinary };
    let Ok(permit) = Arc::clone(outstanding).try_acquire_owned() else {
        shared.recorder.unsent(step, &drawn);
        return;
    };
    let shared = Arc::clone(shared);
    handle.spawn(async move {
        let lag = due.elapsed();
        shared.request(step, drawn, due, Some(lag)).await;
        drop(permit);
    });
}

async fn closed_loop(shared: &Arc<Shared>, step: usize, concurrency: u32, end: Instant) {
    let mut senders = JoinSet::new();
    for sender in 0..concurrency {
        let shared = Arc::clone(shared);
        senders.spawn(async move { shared.send_until(step, sender, end).await });
    }
    let mut stop = shared.stop.clone();
    let stopped = async {
        stop.set().await;
        tokio::time::sleep(STOP_WAIT).await;
    };
    tokio::select! {
        () = async { while senders.join_next().await.is_some() {} } => {}
        // What is dropped with the senders counts as unfinished.
        () = stopped => {}
    }
}

impl Shared {
    /// Sends one request after the other until the step is over.
    async fn send_until(&self, step: usize, sender: u32, end: Instant) {
        let sequence = step as u64 * SEQUENCES_PER_STEP + 1 + u64::from(sender);
        let mut draw = Draw::new(Arc::clone(&self.plan), Arc::clone(&self.keys), sequence);
        while Instant::now() < end && !self.stop.is_set() {
            let drawn = draw.next();
            self.recorder.offered(step, &drawn);
            if self.request(step, drawn, Instant::now(), None).await == Outcome::Refused {
                tokio::time::sleep(REFUSED_WAIT).await;
            }
        }
    }

    async fn request(&self, step: usize, drawn: Drawn, due: Instant, lag: Option<Duration>) -> Outcome {
        self.recorder.sent(step, &drawn, lag);
        let Some(client) = self.clients.get(drawn.client) else { return Outcome::Unsent };
        let end = exchange(&self.plan, &self.keys, client, &drawn, due).await;
        self.recorder.ended(step, &drawn, end);
        end.outcome
    }
}
