//! The store: one file that says whether its records are whole. It "reads" them by making them up again.

use hydra_api::{
    Durability, OpenError, Plugin, ProviderRecord, ProviderStore, Purpose, Scope, Store, StoreErrorKind,
    StoreProfile,
};
use hydra_conformance::doubles::{ClaimingStore, FailingStore, UnknownForSome};
use hydra_conformance::given::{NOW, record};
use hydra_store_memory::Memory;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What is wrong with a look at damaged records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Sabotage {
    #[default]
    Honest,
    SetsAside,
    BeginsEmpty,
    SetsAsideAndFails,
    FailsAsUnavailable,
    ReturnsAnything,
    /// As an engine that can still read a part of what it has moved.
    SetsAsideAndShowsAll,
    /// Opens, and fails when it is read; the files are as they were.
    FindsItLater,
    /// As this, and has written to a file before.
    WritesAndFindsItLater,
    /// The same of a store that notices damage before it opens.
    NoticesAndFindsItLater,
    NoticesAndWrites,
    /// Some keys are said to be damaged, and of the others it returns what was never inserted.
    InventsBesideDamage,
}

impl Sabotage {
    /// Whether it claims to notice damage at the open.
    pub(crate) const fn notices(self) -> bool {
        matches!(self, Self::NoticesAndFindsItLater | Self::NoticesAndWrites)
    }

    const fn finds_it_later(self) -> bool {
        matches!(self, Self::FindsItLater | Self::WritesAndFindsItLater) || self.notices()
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) sabotage: Sabotage,
}

#[derive(Debug)]
pub(crate) enum Sabotaged {}

const FILE: &str = "records";
const WHOLE: &str = "all records are whole";

impl Plugin for Sabotaged {
    type Role = Store;
    type Config = Config;
    const KIND: &'static str = "sabotaged";
    const SUMMARY: &'static str = "looks at damaged records in a wrong way";

    async fn open(config: Config, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        let memory = Arc::new(Memory::new(&Default::default()));
        let mut store: Arc<dyn ProviderStore> = memory.clone();
        let failed = |cause| OpenError::unavailable("cannot use the file", cause);
        let dir = scope.data_dir();
        match std::fs::read(dir.join(FILE)) {
            Ok(text) if text == WHOLE.as_bytes() => insert(&memory, 0).await?,
            Ok(_) if scope.purpose() == Purpose::Serve => {
                set_aside(dir).and_then(|()| write(dir)).map_err(failed)?;
            }
            Ok(_) => {
                look(config.sabotage, dir, &memory).await?;
                if config.sabotage == Sabotage::InventsBesideDamage {
                    store = Arc::new(UnknownForSome::new(store, StoreErrorKind::Corrupt, 300, 1));
                }
                if config.sabotage.finds_it_later() {
                    store = Arc::new(FailingStore::new(store, StoreErrorKind::Corrupt, 1_000, 1));
                }
            }
            Err(_) if scope.purpose() == Purpose::Serve => write(dir).map_err(failed)?,
            Err(_) => return Err(OpenError::config(".", "there are no records")),
        }
        let profile = StoreProfile::builder()
            .durability(Durability::SurvivesRestart { window: Duration::ZERO })
            .build();
        Ok(Arc::new(ClaimingStore::new(store, profile)))
    }
}

/// A look at records that are damaged.
async fn look(sabotage: Sabotage, dir: &Path, memory: &Memory) -> Result<(), OpenError> {
    let corrupt = || OpenError::corrupt("the records are damaged", "the file is not whole");
    let failed = |cause| OpenError::unavailable("cannot use the file", cause);
    match sabotage {
        Sabotage::Honest => Err(corrupt()),
        Sabotage::SetsAside => set_aside(dir).and_then(|()| write(dir)).map_err(failed),
        Sabotage::BeginsEmpty => Ok(()),
        Sabotage::SetsAsideAndFails => set_aside(dir).map_err(failed).and(Err(corrupt())),
        Sabotage::FailsAsUnavailable => Err(OpenError::unavailable("cannot read", "the file is not whole")),
        // Of other providers than those that were announced.
        Sabotage::ReturnsAnything | Sabotage::InventsBesideDamage => insert(memory, 100).await,
        Sabotage::SetsAsideAndShowsAll => {
            set_aside(dir).and_then(|()| write(dir)).map_err(failed)?;
            insert(memory, 0).await
        }
        Sabotage::FindsItLater | Sabotage::NoticesAndFindsItLater => Ok(()),
        Sabotage::WritesAndFindsItLater | Sabotage::NoticesAndWrites => {
            std::fs::write(dir.join(FILE), "looked at").map_err(failed)
        }
    }
}

/// What the case inserts, of providers with numbers that are higher by `shift`.
async fn insert(memory: &Memory, shift: u64) -> Result<(), OpenError> {
    let records: Vec<ProviderRecord> =
        (0..5000).map(|number| record(number / 2, number % 50 + shift)).collect();
    let inserted = memory.insert(records.into(), NOW).await;
    inserted.map(drop).map_err(|cause| OpenError::unavailable("cannot insert", cause))
}

fn write(dir: &Path) -> std::io::Result<()> {
    std::fs::write(dir.join(FILE), WHOLE)
}

fn set_aside(dir: &Path) -> std::io::Result<()> {
    std::fs::rename(dir.join(FILE), dir.join("aside"))
}
