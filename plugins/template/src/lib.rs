//! The smallest complete plugin of hydra, to start your own from: an admission policy that declines early.
//!
//! ```toml
//! [[admission]]
//! kind = "early-decline"
//! from = "short"
//! ```

mod config;
mod policy;

pub use config::{Config, FROM_DEFAULT};
pub use policy::{EARLY, EarlyDecline};

use hydra_api::{Admission, AdmissionPolicy, OpenError, Plugin, Scope};
use std::sync::Arc;

impl Plugin for EarlyDecline {
    type Role = Admission;
    type Config = Config;
    const KIND: &'static str = "early-decline";
    const SUMMARY: &'static str = "declines from a rung of the ladder on";

    async fn open(config: Config, _scope: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        Ok(Arc::new(Self::new(config)))
    }
}
