//! The config: what a node is told, from where, and whether it makes sense.

mod connections;
mod core;
mod heads;
mod kad;
mod network;
mod plugin_table;
mod process;
mod values;

pub use self::core::Config;
pub use connections::Connections;
pub use heads::{Heads, Transport};
pub use kad::Kad;
pub use network::{AddressPolicy, Diversity, Network};
pub use plugin_table::PluginTable;
pub use process::{Log, LogFormat, Shutdown};
pub use values::{PeerAddress, PeerAddressError};
