//! An admission policy for hydra: declines requests for the keys of compact denylists (IPIP-383).
//!
//! ```toml
//! [[admission]]
//! kind = "denylist"
//! files = ["/etc/ipfs/denylists/badbits.deny"]
//! ```

mod config;
mod content;
mod empty;
mod encode;
mod lines;
mod list;
mod parse;
mod policy;
mod reload;
mod rules;

pub use config::{Config, FILE_MIB_MAX_DEFAULT, RELOAD_INTERVAL_S_DEFAULT, RULES_MAX_DEFAULT};
pub use policy::{DENIED, Denylist};

use hydra_api::{Admission, AdmissionPolicy, OpenError, Plugin, Purpose, Scope};
use std::sync::Arc;

impl Plugin for Denylist {
    type Role = Admission;
    type Config = Config;
    const KIND: &'static str = "denylist";
    const SUMMARY: &'static str = "declines requests for the keys of compact denylists (IPIP-383)";

    fn check_config(config: &Config) -> Result<(), OpenError> {
        config.check()
    }

    async fn open(config: Config, scope: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        let (serves, scope) = (scope.purpose() == Purpose::Serve, scope.clone());
        let policy = tokio::task::spawn_blocking(move || Self::load(&config, &scope))
            .await
            .map_err(|cause| OpenError::unavailable("reading the denylists was interrupted", cause))??;
        if serves {
            reload::start(policy.watched(), policy.rules());
        }
        Ok(Arc::new(policy))
    }
}
