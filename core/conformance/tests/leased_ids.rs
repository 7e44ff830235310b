//! The rules of an allocator, put to the double whose leases end, on a paused clock.

use hydra_api::{IdAllocator, Ids, OpenError, Plugin, Scope};
use hydra_conformance::doubles::{Fleet, Lapsed, LeasedIds};
use hydra_conformance::{Place, ids, run};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// The fleets, by the data directory that the processes of a case share.
static FLEETS: LazyLock<Mutex<HashMap<PathBuf, Fleet>>> = LazyLock::new(Mutex::default);

#[derive(Debug)]
struct Leased;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    life_ms: u64,
    slots: u32,
    is_revived: bool,
}

impl Plugin for Leased {
    type Role = Ids;
    type Config = Config;
    const KIND: &'static str = "leased";
    const SUMMARY: &'static str = "identities in memory whose leases end";

    async fn open(config: Config, scope: &Scope) -> Result<Arc<dyn IdAllocator>, OpenError> {
        let mut fleets = FLEETS.lock().unwrap_or_else(PoisonError::into_inner);
        let fleet = fleets.entry(scope.resolve("fleet".as_ref())).or_insert_with(|| {
            let fleet = Fleet::new(config.slots, Duration::from_millis(config.life_ms));
            fleet.set_lapsed(if config.is_revived { Lapsed::Revived } else { Lapsed::Lost });
            fleet
        });
        Ok(Arc::<LeasedIds>::new(fleet.join()))
    }
}

fn main() -> ExitCode {
    let suite = |name: &str, is_revived: bool, life_ms: u64| {
        let place =
            move || async move { Place::of(Config { life_ms, slots: 12, is_revived }).on_a_paused_clock() };
        ids::<Leased, _, _>(place).named(name)
    };
    run([suite("revived", true, 30_000), suite("lost", false, 30_000), suite("long", true, 86_400_000)])
}
