//! An id allocator for hydra: heads spread evenly over the key space, all derived from one seed.
//!
//! ```toml
//! [ids]
//! kind = "balanced"
//! port_base = 20_000
//! ```

mod allocator;
mod cache;
mod config;
mod derivation;
mod derive;
mod deriver;
mod epoch;
mod files;
mod lost;
mod pool;
mod ports;
mod seed;
mod sequence;

pub use allocator::Balanced;
pub use config::{Config, PORT_BASE_DEFAULT, SEED_FILE_DEFAULT, SLOTS_MAX_DEFAULT};
pub use derivation::Derivation;
pub use derive::derive_all;
pub use deriver::{Head, PREFIX_BITS, prefix};
pub use seed::{Seed, SeedError};

use hydra_api::{Causes, IdAllocator, Ids, OpenError, OpenErrorKind, Plugin, Scope};
use lost::refuse_lost_seed;
use std::sync::Arc;

impl Plugin for Balanced {
    type Role = Ids;
    type Config = Config;
    const KIND: &'static str = "balanced";
    const SUMMARY: &'static str = "heads spread evenly over the key space, all derived from one seed file";

    fn check_config(config: &Config) -> Result<(), OpenError> {
        config.check()
    }

    fn check_files(config: &Config, scope: &Scope) -> Result<(), OpenError> {
        refuse_lost_seed(config, scope)?;
        Seed::find(config, scope).map(drop).map_err(|error| match error.kind() {
            OpenErrorKind::Config { .. } => error,
            _ => OpenError::config("seed_file", Causes(&error).to_string()),
        })
    }

    async fn open(config: Config, scope: &Scope) -> Result<Arc<dyn IdAllocator>, OpenError> {
        Ok(Arc::new(Self::new(config, scope)?))
    }
}
