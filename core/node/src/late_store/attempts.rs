//! The attempts to open the store, until one succeeds.

use super::Opening;
use crate::failure_log::FailureLog;
use crate::opening::AttemptError;
use hydra_api::{Causes, ProviderStore};
use rand::RngExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The pause between two attempts to open the store, give or take a quarter.
const PAUSE: Duration = Duration::from_secs(1);

/// The store, or why it is not open.
#[derive(Debug)]
pub(super) struct Shared {
    store: OnceLock<Arc<dyn ProviderStore>>,
    since: Instant,
    cause: Mutex<String>,
}

impl Shared {
    pub(super) fn awaiting(cause: String) -> Arc<Self> {
        Arc::new(Self { store: OnceLock::new(), since: Instant::now(), cause: Mutex::new(cause) })
    }

    /// The store, once it is open.
    pub(super) fn store(&self) -> Option<&dyn ProviderStore> {
        self.store.get().map(|store| &**store)
    }

    /// Why the last attempt failed.
    pub(super) fn cause(&self) -> String {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn awaited(&self) -> Option<(Duration, String)> {
        self.store().is_none().then(|| (self.since.elapsed(), self.cause()))
    }
}

/// Opens the store. Each cause of a failure is logged once.
pub(super) async fn open_in_time(
    shared: Arc<Shared>,
    mut under_way: Option<Opening>,
    open: impl Fn() -> Opening,
) {
    let (mut log, cause) = (FailureLog::default(), shared.cause());
    if log.is_news(&cause, Instant::now()) {
        tracing::error!(error = cause, "the store is not open, serving without it and trying again");
    }
    loop {
        let attempt = match under_way.take() {
            Some(first) => first,
            None => {
                let pause = PAUSE.mul_f64(rand::rng().random_range(0.75..1.25));
                sleep(pause).await;
                open()
            }
        };
        match attempt.await {
            Ok(store) => {
                tracing::info!(after_s = shared.since.elapsed().as_secs(), "the store is open");
                let _first = shared.store.set(store).is_ok();
                return;
            }
            Err(error) => {
                let cause = Causes(&error).to_string();
                if log.is_news(&cause, Instant::now()) {
                    tracing::error!(error = cause, "cannot open the store, trying again");
                }
                *shared.cause.lock().unwrap_or_else(PoisonError::into_inner) = cause;
                // A plugin that blocks its thread does not get another one to block.
                if let AttemptError::TooLate { task, .. } = error {
                    while !task.is_finished() {
                        sleep(PAUSE).await;
                    }
                }
            }
        }
    }
}
