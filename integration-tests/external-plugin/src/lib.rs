//! Two plugins for hydra: a policy that takes announcements during some hours of each day, and a store that refuses long keys.
//!
//! ```toml
//! [[admission]]
//! kind = "office-hours"
//! opens_at_hour = 22
//! closes_at_hour = 6
//!
//! [store]
//! kind = "short-keys"
//! key_bytes_max = 34
//! inner = { kind = "fjall" }
//! ```

mod config;
mod policy;
mod short_keys;

pub use config::{CLOSES_AT_HOUR_DEFAULT, Config, HOURLY_MAX_DEFAULT, OPENS_AT_HOUR_DEFAULT, Outside};
pub use policy::{HOUR_FULL, OUT_OF_HOURS, OfficeHours};
pub use short_keys::{KEY_BYTES_MAX_DEFAULT, ShortKeys, ShortKeysConfig};

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
