//! How much memory the process uses, and of what limit.
//!
//! The memory guard of a node and the admission policy `memory` read it here, so that both have the same figures.
//!
//! Control groups: <https://docs.kernel.org/admin-guide/cgroup-v2.html> (`memory.max`, `memory.current`) and
//! <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html> (`memory.limit_in_bytes`, `memory.usage_in_bytes`).

mod control_group;
mod gauge;

pub use gauge::{Gauge, Source, Usage};
