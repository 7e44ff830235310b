//! An admission policy for hydra: under pressure, sources above their fair share are degraded and declined first.
//!
//! ```toml
//! [[admission]]
//! kind = "fair"
//! degrade_percent = 20
//! decline_percent = 30
//! ```

mod config;
mod policy;
mod pressure;
mod receipt;
mod share;
mod source;

pub use config::{
    Config, DECLINE_PERCENT_DEFAULT, DEGRADE_PERCENT_DEFAULT, HOST_SHARES_DEFAULT, IPV4_HOST_BITS_DEFAULT,
    IPV4_NETWORK_BITS_DEFAULT, IPV6_HOST_BITS_DEFAULT, IPV6_NETWORK_BITS_DEFAULT, NETWORK_SHARES_DEFAULT,
    SHARE_PER_S_MAX_DEFAULT, SHARE_PER_S_MIN_DEFAULT, SOURCES_MAX_DEFAULT,
};
pub use policy::{Fair, HOST, NETWORK, PEER};

use hydra_api::{Admission, AdmissionPolicy, OpenError, Plugin, Scope};
use std::sync::Arc;

impl Plugin for Fair {
    type Role = Admission;
    type Config = Config;
    const KIND: &'static str = "fair";
    const SUMMARY: &'static str =
        "under pressure, degrades and declines first what comes from sources above their fair share";

    fn check_config(config: &Config) -> Result<(), OpenError> {
        config.check()
    }

    async fn open(config: Config, _scope: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        Ok(Arc::new(Self::new(config)?))
    }
}
