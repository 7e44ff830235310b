//! Which call of the store a command is sent for. A call has many steps in many places, all of them in one task.

use std::future::Future;

tokio::task_local! {
    static OPERATION: &'static str;
}

/// Does what one call of the store takes.
pub(crate) async fn during<T>(operation: &'static str, work: impl Future<Output = T>) -> T {
    OPERATION.scope(operation, work).await
}

/// The call that is under way; that of the start, or of a search for the masters, is none of the store's.
pub(super) fn current() -> &'static str {
    OPERATION.try_with(|operation| *operation).unwrap_or("other")
}
