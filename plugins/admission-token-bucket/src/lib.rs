//! An admission policy for hydra: budgets of requests per peer, per address prefix and for the node.
//!
//! ```toml
//! [[admission]]
//! kind = "token-bucket"
//! peer = { rate_per_s = 100, burst = 1_000 }
//! ```

mod clock;
mod config;
mod gcra;
mod policy;
mod receipt;
mod settings;
mod table;

pub use config::{
    COST_DEFAULT, Config, IPV4_PREFIX_BITS_DEFAULT, IPV6_PREFIX_BITS_DEFAULT, NODE_DEFAULT, Node,
    PEER_DEFAULT, PEERS_MAX_DEFAULT, PREFIX_DEFAULT, PREFIXES_MAX_DEFAULT, Peer, Prefix, Then,
};
pub use policy::{NODE, PEER, PREFIX, TokenBucket};

use hydra_api::{Admission, AdmissionPolicy, OpenError, Plugin, Scope};
use std::sync::Arc;

impl Plugin for TokenBucket {
    type Role = Admission;
    type Config = Config;
    const KIND: &'static str = "token-bucket";
    const SUMMARY: &'static str =
        "budgets of requests per peer, per address prefix and for the node, against abuse";

    fn check_config(config: &Config) -> Result<(), OpenError> {
        config.check()
    }

    async fn open(config: Config, _scope: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        Ok(Arc::new(Self::new(config)?))
    }
}
