//! The engine's rules, each by a simulation on tokio's paused clock. Random ones print their seed; `TEST_SEED=…`
//! replays it.

// Helpers of tests fail as tests do, and a seed is worth nothing unless it is shown.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod account;
mod apart;
mod cache;
mod close;
mod config;
mod contract;
mod degraded;
mod doubles;
mod economy;
mod frozen;
mod jumps;
mod log;
mod logged;
mod mixed;
mod names;
mod near;
mod peak;
mod permits;
mod promises;
mod reads;
mod recovery;
mod restored;
mod rows;
mod rungs;
mod settle;
mod shadow;
mod shedding;
mod simulation;
mod spans;
mod taken;
mod untrusted;
mod value_faults;
mod value_jumps;
mod value_room;
mod values;
mod visible;
mod writes;
