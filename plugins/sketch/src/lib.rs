//! What the admission policies of hydra that count by source or by key share: decaying counters in fixed memory.

mod clock;
mod count;
mod table;

pub use clock::{Clock, TICK_NS, Tick};
pub use count::Count;
pub use table::{Added, Place, SlotId, Table};
