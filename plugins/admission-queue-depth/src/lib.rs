//! An admission policy for hydra: degrades and declines requests by the fill level of the queues before the store.
//!
//! ```toml
//! [[admission]]
//! kind = "queue-depth"
//! write_queue = { degrade_percent = 50, decline_percent = 80 }
//! ```

mod config;
mod policy;

pub use config::{
    Config, IN_FLIGHT_DEFAULT, InFlight, Judges, WAITING_DEFAULT, WRITE_QUEUE_DEFAULT, Waiting, WriteQueue,
};
pub use policy::{IN_FLIGHT, QueueDepth, WAITING, WRITE_QUEUE};

use hydra_api::{Admission, AdmissionPolicy, OpenError, Plugin, Scope};
use std::sync::Arc;

impl Plugin for QueueDepth {
    type Role = Admission;
    type Config = Config;
    const KIND: &'static str = "queue-depth";
    const SUMMARY: &'static str =
        "degrades and declines requests by the fill level of the queues before the store";

    fn check_config(config: &Config) -> Result<(), OpenError> {
        config.check()
    }

    async fn open(config: Config, _scope: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        Ok(Arc::new(Self::new(config)?))
    }
}
