//! An admission policy for hydra: degrades and declines requests as the memory of the process nears its limit.
//!
//! ```toml
//! [[admission]]
//! kind = "memory"
//! limit_mib = 4096
//! ```

mod config;
mod level;
mod policy;
mod state;
mod watch;

pub use config::{
    Config, HARD_PERCENT_DEFAULT, INTERVAL_MS_DEFAULT, Judges, RECOVER_PERCENT_DEFAULT, SOFT_PERCENT_DEFAULT,
};
pub use policy::{LIMIT, Memory};

use hydra_api::{Admission, AdmissionPolicy, OpenError, Plugin, Purpose, Scope};
use std::sync::Arc;

impl Plugin for Memory {
    type Role = Admission;
    type Config = Config;
    const KIND: &'static str = "memory";
    const SUMMARY: &'static str =
        "degrades and declines requests as the memory of the process nears its limit";

    fn check_config(config: &Config) -> Result<(), OpenError> {
        config.check()
    }

    async fn open(config: Config, scope: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        let policy = Self::new(config)?;
        // Some small files of the kernel, in memory: no need of a thread to read them once.
        Ok(Arc::new(if scope.purpose() == Purpose::Serve { policy.watched()? } else { policy }))
    }
}
