//! The Kademlia wire protocol: messages, limits and framing, a server that awaits an async [`Service`], and a
//! [`Client`] for single requests. It knows nothing of stores.
//!
//! One [`Behaviour`] does both: it serves every inbound stream inside the connection's own task, and it asks other
//! peers on behalf of its [`Client`] handles. With [`NoService`] it only asks.
//!
//! ```
//! use hydra_kad::{Behaviour, Config, Mode, Remote, Reply, Request, Response, Service};
//! use libp2p::StreamProtocol;
//! use std::sync::Arc;
//!
//! struct Nobody;
//! impl Service for Nobody {
//!     async fn handle(&self, _from: &Remote, request: Request) -> Reply {
//!         match request {
//!             Request::FindNode { .. } | Request::GetProviders { .. } => Reply::Answer(Response::default()),
//!             Request::Ping { .. } => Reply::Answer(Response::default()),
//!             Request::AddProvider { .. } => Reply::Silence,
//!             Request::GetValue { .. } | Request::PutValue { .. } => Reply::Reset,
//!         }
//!     }
//! }
//!
//! let config = Config::new([StreamProtocol::new("/ipfs/kad/1.0.0")]);
//! let behaviour = Behaviour::new(config, Arc::new(Nobody), Mode::Server);
//! let client = behaviour.client();
//! # let _ = client;
//! ```

mod behaviour;
mod budget;
mod client;
mod clock;
mod config;
pub mod framing;
mod handler;
mod message;
mod mode;
mod server;
mod service;
mod stats;
mod upgrade;

pub use behaviour::Behaviour;
pub use budget::{Budget, Charge};
pub use client::{Answer, AnswerPeer, AskError, Client, ClientStream, NotDialed};
pub use config::{Config, Limits};
pub use handler::Handler;
pub use message::{
    Connection, DecodeError, EncodedPeer, Kind, ListedPeer, Peer, Providers, Record, Reply, Request, Response,
};
pub use mode::Mode;
pub use service::{NoService, Remote, Service};
pub use stats::{Reset, Stats};
