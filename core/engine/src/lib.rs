//! From request to reply, with a store that is asked little whatever comes in.
//!
//! One [`Desk`] serves all heads of a process. It validates a request, asks the admission [`Chain`], reads through the
//! store gate and takes announcements into a bounded ring that leaves in large batches at a fixed pace. It knows
//! neither the network nor the peer table: its caller adds the closer peers to every answer.
//!
//! - **The store is asked once.** Answers are kept, one cache for all heads, also that there is none; equal keys share
//!   a reading; a write through this process brings what is kept up to date.
//! - **No permit, no statement.** Every call of the store, those of chores too, runs under a permit of the gate. The
//!   permit belongs to the statement: it is given back when the statement has ended, also when the client has gone.
//! - **Nothing waits long.** A read that finds no permit waits some milliseconds, newest first; past the soft deadline
//!   the client gets closer peers alone.
//! - **Overload makes batches larger, not statements more.** Reads that wait share a statement. Writes leave at the pace
//!   of the config; what the ring cannot hold is dropped and counted.
//! - **Service gets worse step by step.** The node goes up the ladder of rungs at once, and down a rung for each time of
//!   calm; a rung that it left too soon keeps it longer.
//! - Every admitted request is settled exactly once, however it ends.
//!
//! Time comes from a [`Clock`], so that all of this runs on tokio's paused clock in tests.

mod answer;
mod cache;
mod chain;
mod chores;
mod clock;
mod close;
mod config;
mod core;
mod desk;
mod flights;
mod flusher;
mod gate;
mod health;
mod key;
mod ladder;
mod latency;
mod reader;
mod recent;
mod ring;
mod snapshot;
mod statement;
mod stats;
mod tally;
pub mod trace;
mod visit;

pub use chain::{Chain, Decision, Judged, NamedPolicy, PolicyMode, Ticket};
pub use clock::Clock;
pub use close::{CloseReport, StoreClosed};
pub use config::{AnnouncedKeys, Config, Peak, ReadCache, Short, Stale};
pub use desk::{Announced, Caller, Desk, Ended, Found, NamedStore, Routing, Source};
pub use flights::{Departure, Standing};
pub use health::Health;
pub use key::Refused;
pub use latency::Latency;
pub use stats::{
    Background, Ending, EstimateNow, Gauge, Reads, RequestCount, Snapshot, Statements, StoreCall, Writes,
};
pub use tally::Verdicts;
pub use trace::{Account, Watch};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks for a few instructions; a panic elsewhere under the lock leaves counts at worst one off, so it is no reason
/// to stop serving.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
