//! The config of a node: its keys, its sources and its validation.
//!
//! `load` and `show` use `check`, and all of them `tables`.

mod check;
mod descriptors;
mod issue;
mod load;
mod path;
mod secrets;
mod show;
mod tables;
mod unfit;

pub use descriptors::TooFew;
pub(crate) use descriptors::{Descriptors, RAISE};
pub(crate) use issue::Drawn;
pub use issue::{Issue, Issues, Origin, Place};
pub use load::{Effective, Loaded, Setting, Sources, load};
pub(crate) use load::{Examined, examine};
pub use path::{KeyPath, Step};
pub(crate) use secrets::{concealed, text_concealed};
pub(crate) use show::{reference, schema};
pub use tables::{
    AddressPolicy, Cidr, CidrError, Config, Connections, Diversity, Ebb, Heads, Http, Kad, Log, LogFormat,
    Memory, Network, Otlp, OtlpProtocol, PeerAddress, PeerAddressError, PluginTable, PolicyTable, Ports,
    Profiles, Reachability, Shutdown, SmallAnswers, Telemetry, Traces, Transport,
};
pub(crate) use tables::{Endpoint, Malformed};
