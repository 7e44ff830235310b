//! The attempts to open the store, until one succeeds.

use super::Opening;
use crate::node::opening::AttemptError;
use crate::observe::failure_log::FailureLog;
use crate::observe::store_opening::Awaited;
use hydra_api::{Causes, ProviderStore};
use rand::RngExt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// The pause between two attempts to open the store, give or take a quarter.
const PAUSE: Duration = Duration::from_secs(1);
/// How many time limits an attempt may last.
const GIVEN_UP: u32 = 10;

/// The store, or why it is not open.
#[derive(Debug)]
pub(super) struct Shared {
    store: OnceLock<Arc<dyn ProviderStore>>,
    /// What operators see of it.
    pub(super) awaited: Arc<Awaited>,
}

impl Shared {
    pub(super) fn awaiting(cause: String) -> Arc<Self> {
        Arc::new(Self { store: OnceLock::new(), awaited: Arc::new(Awaited::new(cause)) })
    }

    /// The store, once it is open.
    pub(super) fn store(&self) -> Option<&dyn ProviderStore> {
        self.store.get().map(|store| &**store)
    }
}

/// Opens the store. Each cause of a failure is logged once.
pub(super) async fn open_in_time(
    shared: Arc<Shared>,
    within: Duration,
    mut under_way: Option<Opening>,
    open: impl Fn() -> Opening,
) {
    let mut causes = CauseLog { shared: &shared, log: FailureLog::default() };
    causes.first();
    loop {
        let attempt = match under_way.take() {
            Some(first) => first,
            None => {
                let pause = PAUSE.mul_f64(rand::rng().random_range(0.75..1.25));
                sleep(pause).await;
                open()
            }
        };
        match ended(attempt, within, &mut causes).await {
            Some(Ok(store)) => {
                tracing::info!(after_s = shared.awaited.since.elapsed().as_secs(), "the store is open");
                let _first = shared.store.set(store).is_ok();
                shared.awaited.opened();
                return;
            }
            Some(Err(error)) => causes.is(Causes(&error).to_string()),
            None => {}
        }
    }
}

/// Waits for an attempt: beside one that is late no other begins, so that a store which needs long, or blocks its threads, is
/// opened once. One that is [`GIVEN_UP`] times as late as it may be is dropped.
async fn ended(
    mut attempt: Opening,
    within: Duration,
    causes: &mut CauseLog<'_>,
) -> Option<Result<Arc<dyn ProviderStore>, AttemptError>> {
    for times in 1..=GIVEN_UP {
        match timeout(within, &mut attempt).await {
            Ok(ended) => return Some(ended),
            Err(_) if times == 1 => causes.is(AttemptError::TooLate { within }.to_string()),
            Err(_) => {}
        }
    }
    None
}

/// Where the cause of the last failure is told.
struct CauseLog<'a> {
    shared: &'a Shared,
    log: FailureLog,
}

impl CauseLog<'_> {
    fn first(&mut self) {
        let cause = self.shared.awaited.cause();
        if self.log.is_news(&cause, Instant::now()) {
            tracing::error!(error = cause, "the store is not open, serving without it and trying again");
        }
    }

    fn is(&mut self, cause: String) {
        if self.log.is_news(&cause, Instant::now()) {
            tracing::error!(error = cause, "cannot open the store, trying again");
        }
        self.shared.awaited.failed(cause);
    }
}
