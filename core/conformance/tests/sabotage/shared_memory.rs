//! What an honest store to be sabotaged keeps: in memory, shared by all that open it in one place, there after a restart.

use hydra_api::{
    Durability, ProviderRecord, ProviderStore, PurgeProgress, Purged, Sharing, StoreError, StoreProfile,
    UnixSeconds,
};
use hydra_store_memory::{Config, Memory};
use std::collections::{BTreeSet, HashMap};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the processes that have opened one place share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) memory: Memory,
    processes: Mutex<Processes>,
    /// A record that is not stored yet.
    pub(crate) late: Mutex<Option<ProviderRecord>>,
}

#[derive(Debug, Default)]
struct Processes {
    /// How many have opened it so far, which is the number of the last.
    count: u64,
    open: BTreeSet<u64>,
    /// Whether one has closed while others were open.
    one_has_ended: bool,
    purger: Option<u64>,
}

static PLACES: LazyLock<Mutex<HashMap<PathBuf, Arc<Shared>>>> = LazyLock::new(Mutex::default);

impl Shared {
    /// What nobody else shares.
    pub(crate) fn new(config: &Config) -> Self {
        Self { memory: Memory::new(config), processes: Mutex::default(), late: Mutex::default() }
    }

    /// What is shared in a place; `None` when nobody has opened it yet.
    pub(crate) fn find(place: &Path) -> Option<Arc<Self>> {
        locked(&PLACES).get(place).cloned()
    }

    /// What is shared in a place.
    pub(crate) fn of(place: &Path, config: &Config) -> Arc<Self> {
        let mut places = locked(&PLACES);
        // Cases remove their places when they end.
        places.retain(|place, _| place.exists());
        Arc::clone(places.entry(place.to_owned()).or_insert_with(|| Arc::new(Self::new(config))))
    }

    /// The number of a process that opens it now, from 1, and whether it is the only one.
    pub(crate) fn enter(&self) -> (u64, bool) {
        let mut processes = locked(&self.processes);
        processes.count += 1;
        let number = processes.count;
        processes.open.insert(number);
        let alone = processes.open.len() == 1;
        processes.one_has_ended &= !alone;
        (number, alone)
    }

    /// The end of a process.
    pub(crate) fn leave(&self, process: u64) {
        let mut processes = locked(&self.processes);
        processes.purger = processes.purger.filter(|purger| *purger != process);
        let was_open = processes.open.remove(&process);
        processes.one_has_ended |= was_open && !processes.open.is_empty();
    }

    /// Whether a process has closed while others were open.
    pub(crate) fn one_has_ended(&self) -> bool {
        locked(&self.processes).one_has_ended
    }

    pub(crate) fn profile(&self) -> StoreProfile {
        let len = |len| NonZeroUsize::new(len).expect("not zero");
        StoreProfile::builder()
            .concurrency_max(len(16))
            .read_batch_len_max(len(1200))
            .write_batch_len_max(len(1100))
            .durability(Durability::SurvivesRestart { window: Duration::ZERO })
            .sharing(Sharing::BetweenProcesses)
            .build()
    }

    /// A step of the purge, for the process that purges: the first that asks, until it closes.
    pub(crate) async fn purge(
        &self,
        process: u64,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Purged, StoreError> {
        if *locked(&self.processes).purger.get_or_insert(process) != process {
            return Ok(Purged::new(0, PurgeProgress::Elsewhere));
        }
        self.memory.purge_expired(now, limit).await
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
