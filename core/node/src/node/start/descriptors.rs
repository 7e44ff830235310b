//! The file descriptors of the process, and the connections that they suffice for.

use crate::config::{Config, Descriptors, RAISE, TooFew};

/// Raises the limit as far as the system permits, and lowers the connection limits to what it suffices for.
pub(super) fn fit(mut config: Config) -> (Config, Result<(), TooFew>) {
    let limit = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => limit,
        Err(cause) => {
            tracing::warn!(error = %cause, "cannot raise the limit of open files");
            rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft)
        }
    };
    let needed = Descriptors::of(&config);
    if let Err(too_few) = needed.suffice(limit) {
        return (config, Err(too_few));
    }
    if let Some(fitted) = needed.fit(&config.connections, limit) {
        tracing::warn!(
            limit,
            needed = needed.all(),
            per_node_max = fitted.per_node_max,
            configured = config.connections.per_node_max,
            pending_per_node_max = fitted.pending_per_node_max,
            remedy = RAISE,
            "too few file descriptors for the configured number of connections, permitting fewer"
        );
        config.connections = fitted;
    }
    (config, Ok(()))
}
