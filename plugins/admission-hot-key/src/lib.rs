//! An admission policy for hydra: keys that are asked for, or announced, far more than others are answered from the
//! cache and get few new providers.
//!
//! ```toml
//! [[admission]] kind = "hot-key" providers = { new_per_hour_max = 500 }
//! ```

mod config;
mod known;
mod policy;
mod receipt;

pub use config::{
    Config, HOT_PER_S_DEFAULT, KEYS_MAX_DEFAULT, KNOWN_MAX_DEFAULT, NEW_PER_HOUR_MAX_DEFAULT, Providers,
    Reads, UNCACHED_PER_S_MAX_DEFAULT,
};
pub use policy::{HotKey, NEW_PROVIDERS};

use hydra_api::{Admission, AdmissionPolicy, OpenError, Plugin, Scope};
use std::sync::Arc;

impl Plugin for HotKey {
    type Role = Admission;
    type Config = Config;
    const KIND: &'static str = "hot-key";
    const SUMMARY: &'static str =
        "answers keys that everybody asks for from the cache, and takes few new providers of one key";

    fn check_config(config: &Config) -> Result<(), OpenError> {
        config.check()
    }

    async fn open(config: Config, _scope: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        Ok(Arc::new(Self::new(config)?))
    }
}
