//! An admission policy for hydra that takes announcements during some hours of each day.
//!
//! ```toml
//! [[admission]]
//! kind = "office-hours"
//! opens_at_hour = 22
//! closes_at_hour = 6
//! ```

mod config;
mod policy;

pub use config::{CLOSES_AT_HOUR_DEFAULT, Config, OPENS_AT_HOUR_DEFAULT, Outside};
pub use policy::{OUT_OF_HOURS, OfficeHours};

use hydra_api::{Admission, AdmissionPolicy, OpenError, Plugin, Scope};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

impl Plugin for OfficeHours {
    type Role = Admission;
    type Config = Config;
    const KIND: &'static str = "office-hours";
    const SUMMARY: &'static str = "takes announcements during some hours of each day";

    async fn open(config: Config, _scope: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        Ok(Arc::new(Self::new(config, SystemTime::now(), Instant::now())?))
    }
}
