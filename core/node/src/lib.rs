//! A process that serves many Kademlia DHT identities over one store of provider records.
//!
//! [`run`] is the whole program; what it can do, its command line tells. A program with plugins of its own:
//!
//! ```no_run
//! use hydra_api::Registry;
//!
//! fn main() -> std::process::ExitCode {
//!     let mut registry = Registry::default();
//!     // hydra_bundle::add_all(&mut registry);
//!     // registry.add::<Mine>();
//!     hydra_node::run(registry, std::env::args_os())
//! }
//! ```
//!
//! The rooms, each using only those after it: `cli`, the command line; [`node`], which opens, starts and stops; `observe`, what
//! operators see; `memory`, the guard and heap profiles; `net`, the heads and what they share; [`config`].
//!
//! A program that runs a [`Node`](node::Node) inside of its own gives it an [`Exporter`](telemetry::Exporter) and has the
//! exporter's layer in its subscriber, beside its own; without, nothing is traced.
//!
//! ```no_run
//! use hydra_api::Registry;
//! use hydra_node::backends::Backends;
//! use hydra_node::config::{Sources, load};
//! use hydra_node::node::Node;
//! use tracing_subscriber::{Layer, filter::LevelFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Registry::default();
//! let loaded = load(&registry, &Sources::default())?;
//! let exporter = loaded.exporter()?;
//! tracing_subscriber::registry()
//!     // A filter of its own for each layer: a global one would also decide which spans are made.
//!     .with(fmt::layer().with_filter(LevelFilter::INFO))
//!     .with(exporter.layer())
//!     .init();
//! let backends = Backends { exporter, ..loaded.open(&registry).await? };
//! let node = Node::start(loaded.config, backends).await?;
//! // Sends the last spans, too.
//! node.stop().await?;
//! # Ok(())
//! # }
//! ```

mod cli;
pub mod config;
mod files;
mod memory;
mod net;
pub mod node;
mod observe;

pub use cli::ExtraCommand;
pub use memory::{Heap, HeapSizes};
pub use net::head::connection_limits;
pub use net::routing::{kad_id, lookup, table};
pub use net::{address, unique_peers};
pub use node::backends;

/// The export of traces.
pub mod telemetry {
    pub use crate::observe::otlp::{Exporter, ExporterError, REQUESTS, SettingOrigin, Stats, Target};
}

use hydra_api::Registry;
use std::ffi::OsString;
use std::process::ExitCode;

/// What a program brings besides its plugins.
#[derive(Debug, Default)]
pub struct Extras {
    /// Further commands.
    pub commands: Vec<ExtraCommand>,
    /// What its allocator says of the heap. Without it, the node takes no heap profiles.
    pub heap: Option<Heap>,
}

/// The whole program: reads the command line and the config, and does what they say.
///
/// The exit code is 0 when that is done, 1 when it failed, 2 when the config or the command line is wrong,
/// and 3 when a backend cannot be reached at the start.
pub fn run(registry: Registry, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    run_with(registry, Extras::default(), args)
}

/// As [`run`], with further commands and heap profiles.
pub fn run_with(registry: Registry, extras: Extras, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::main(registry, extras.commands, extras.heap, args)
}
