//! What stores over a network share: where a server is, mistakes of their configs, what a batch says of its providers, and what is
//! counted of statements and connections.
//!
//! Such a store keeps a provider's addresses once, in a row of its own, and remembers rows so that it need not read or write them
//! with every batch.

mod checks;
mod clock;
mod meter;
mod news;
mod rounds;
mod server;

pub use checks::{check_file, check_hosts, check_pair, check_secret};
pub use clock::ClockBehind;
pub use meter::{Cause, Connecting, InUse, Length, Meter, Statement};
pub use news::{PROVIDER_FRESH, PROVIDER_HEADROOM, ProviderNews};
pub use rounds::rounds;
pub use server::ServerAddress;
