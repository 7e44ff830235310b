//! What can be said in a config: the core's tables with their keys, bounds and defaults.

mod cidr;
mod connections;
mod core;
mod ebb;
mod endpoint;
mod heads;
mod kad;
mod memory;
mod network;
mod plugin_table;
mod process;
mod telemetry;
mod values;

pub use self::core::Config;
pub(super) use self::core::schema as core_schema;
pub use cidr::{Cidr, CidrError};
pub use connections::Connections;
pub use ebb::Ebb;
pub(crate) use endpoint::{Endpoint, Malformed};
pub use heads::{Heads, Ports, Transport};
pub use kad::{Kad, SmallAnswers};
pub use memory::{Memory, Profiles};
pub use network::{AddressPolicy, Diversity, Network, Reachability};
pub use plugin_table::{PluginTable, PolicyTable};
pub use process::{Log, LogFormat, Shutdown};
pub use telemetry::{Http, Otlp, OtlpProtocol, Telemetry, Traces};
pub use values::{PeerAddress, PeerAddressError};
