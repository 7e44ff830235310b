//! An admission policy for hydra: declines requests for keys that compact denylists (IPIP-383) name.
//!
//! ```toml
//! [[admission]]
//! kind = "denylist"
//! files = ["/etc/ipfs/denylists/badbits.deny"]
//! ```

mod config;
mod encode;
mod list;
mod parse;
mod policy;
mod reload;
mod rules;

pub use config::{Config, FILE_MIB_MAX_DEFAULT, RELOAD_INTERVAL_S_DEFAULT, RULES_MAX_DEFAULT};
pub use policy::{DENIED, Denylist};

use hydra_api::{Admission, AdmissionPolicy, OpenError, Plugin, Scope};
use std::sync::Arc;

impl Plugin for Denylist {
    type Role = Admission;
    type Config = Config;
    const KIND: &'static str = "denylist";
    const SUMMARY: &'static str = "declines requests for keys that compact denylists (IPIP-383) name";

    async fn open(config: Config, scope: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        let lists = list::Lists::of(&config, scope)?;
        let interval = config.reload_interval();
        let (policy, loaded) = tokio::task::spawn_blocking(move || Self::load(lists))
            .await
            .map_err(|cause| OpenError::unavailable("reading the denylists was ended", cause))??;
        reload::start(loaded, policy.rules(), interval);
        Ok(Arc::new(policy))
    }
}
