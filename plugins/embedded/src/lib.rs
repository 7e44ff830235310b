//! What the embedded stores share: their directory, rows and caches, and how they go through an outage.
//!
//! An embedded store keeps an engine (fjall, sled) in a directory of its own. This crate knows no engine: a store turns
//! its errors into a [`Fault`].

mod check;
mod checksums;
mod damage;
mod directory;
mod fault;
mod file_size_limit;
mod open_for;
mod outage;
mod place;
mod probe;
mod provider_cache;
pub mod rows;
pub mod values;

pub use check::check;
pub use checksums::write_checksums;
pub use damage::Damage;
pub use directory::{ASIDE_LEN_MAX, EngineFiles, Lock, Opened, Rows, guarded, open};
pub use fault::{DamagedRow, Fault};
pub use open_for::{open_for, remarks};
pub use outage::{Ended, Outage, Refused};
pub use place::ScanPlace;
pub use probe::{ROOM_BYTES, probe};
pub use provider_cache::{ProviderBytes, ProviderCache, items};
