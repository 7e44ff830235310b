//! The config: what a node is told, from where, and whether it makes sense.

mod check;
mod connections;
mod core;
mod document;
mod heads;
mod issue;
mod kad;
mod layers;
mod load;
mod network;
mod open;
mod path;
mod plugin_table;
mod process;
mod rules;
mod source;
mod suggest;
mod values;

pub use self::core::Config;
pub use connections::Connections;
pub use heads::{Heads, Transport};
pub(crate) use issue::Drawn;
pub use issue::{Issue, Issues, Origin, Place};
pub use kad::Kad;
pub use load::{Effective, Loaded, load};
pub use network::{AddressPolicy, Diversity, Network};
pub use open::{Backends, StartError};
pub use path::{KeyPath, Step};
pub use plugin_table::PluginTable;
pub use process::{Log, LogFormat, Shutdown};
pub use source::{Setting, Sources};
pub use values::{PeerAddress, PeerAddressError};
