//! From request to reply, with a store that is asked little however much load arrives.
//!
//! One [`Engine`] serves all heads of a process. It validates a request, asks the admission [`Chain`], reads through a
//! cache and the store gate, and takes announcements into a bounded queue that is written in large batches at a bounded
//! pace. It knows neither the network nor the peer table: its caller adds the closer peers to every answer.
//!
//! - **The store is asked once.** One cache serves all heads, also with the answer that a key has no providers; requests
//!   for the same key share a flight.
//! - **Reads see what was taken.** An announcement that was accepted is in every answer from then on, wherever it waits.
//! - **No permit, no statement.** Every call of the store, background tasks included, runs under a permit of the gate.
//!   The permit belongs to the call: it is given back when the call has ended, also when the client has gone.
//! - **Nothing waits long.** A read waits some milliseconds for a permit; after that, and after the soft deadline, the
//!   client gets closer peers alone. Its key stays in line, so that overload makes batches larger.
//! - **Degrades at once, recovers by itself.** Reads and writes have a ladder of rungs each, and leave a rung when its own
//!   signals are calm. A store that is unavailable is asked by single probes.
//! - Every admitted request is settled exactly once, however it ends.
//!
//! The rooms, each using only those below it: [`Engine`] and its background tasks; `read`; `write`; `values`; `store`; `observe`;
//! `admission` and `load`; `request`, `config`, [`MemoryShare`] and [`Clock`]. Time comes from the clock, so that all of this runs on
//! tokio's paused one in tests.

mod admission;
mod background;
mod clock;
mod config;
mod engine;
mod load;
mod memory_share;
mod observe;
mod parts;
mod read;
mod request;
mod store;
mod sync;
mod values;
mod write;

pub use admission::{Chain, Judged, NamedPolicy, PolicyMode, Ticket, Verdicts};
pub use clock::Clock;
pub use config::{
    AnnouncedKeys, Breaker, Config, NearOnly, Peak, PermitMode, Permits, ReadCache, Shares, Shedding, Short,
    Stale, ValueRecords,
};
pub use engine::{CloseReport, Engine, NamedStore, PutRecord, StoreClosed};
pub use load::{Latency, PermitState};
pub use memory_share::MemoryShare;
pub use observe::trace::{self, Account, Watch};
pub use observe::{
    Background, EstimateNow, Gauge, Health, LaneCount, Pause, Reads, RequestCount, RungCount, Snapshot,
    Statements, StoreCall, ValueCounts, Writes,
};
pub use read::{Answer, Reply};
pub use request::{Caller, Ending, Nearness, ReadCall, Refused, Source};
pub use values::{Put, ValueReply};
