//! Calls of the allocator, which is a plugin: bounded in time, and its panics caught.

use futures::FutureExt;
use futures::future::BoxFuture;
use hydra_api::{IdError, IdErrorKind};
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A call that is under way.
pub(super) struct Call<T> {
    /// When it began: lives count from here.
    pub(super) begun: Instant,
    result: BoxFuture<'static, Result<T, IdError>>,
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("begun", &self.begun).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Call<T> {
    /// Begins a call; one that takes longer than `max` is dropped and counts as failed.
    pub(super) fn new(
        operation: &'static str,
        max: Duration,
        call: impl Future<Output = Result<T, IdError>> + Send + 'static,
    ) -> Self {
        let result = async move {
            let failed = |cause: String| IdError::because(IdErrorKind::Unavailable, operation, cause);
            match timeout(max, AssertUnwindSafe(call).catch_unwind()).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(failed("the plugin panicked".to_owned())),
                Err(_) => Err(failed(format!("no answer within {max:?}"))),
            }
        };
        Self { begun: Instant::now(), result: result.boxed() }
    }
}

/// Waits for a call and removes it; without one, for ever.
///
/// # Cancel safety
/// A wait that is dropped leaves the call as it is.
pub(super) async fn ended<T>(call: &mut Option<Call<T>>) -> (Instant, Result<T, IdError>) {
    let Some(under_way) = call.as_mut() else { return std::future::pending().await };
    let result = (&mut under_way.result).await;
    let begun = under_way.begun;
    *call = None;
    (begun, result)
}
