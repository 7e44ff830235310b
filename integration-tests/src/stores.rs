//! Stores that misbehave on purpose, as plugins that a node under test picks in its config.

use hydra_api::{OpenError, Plugin, ProviderStore, Scope, Store, StoreErrorKind};
use hydra_conformance::doubles::{FailingStore, FrozenStore, SlowStore};
use hydra_store_memory::Memory;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A store in memory that answers every call late.
#[derive(Debug)]
pub struct Slow;

/// How late.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlowConfig {
    /// How long every call takes, in milliseconds.
    pub delay_ms: u64,
}

impl Plugin for Slow {
    type Role = Store;
    type Config = SlowConfig;
    const KIND: &'static str = "slow";
    const SUMMARY: &'static str = "answers late";

    async fn open(config: SlowConfig, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        let inner = Memory::open(Default::default(), scope).await?;
        Ok(Arc::new(SlowStore::delayed(inner, Duration::from_millis(config.delay_ms))))
    }
}

/// A store in memory that is frozen while a file is there.
#[derive(Debug)]
pub struct Freezing;

/// Which file.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezingConfig {
    /// The store is frozen while this file exists.
    pub while_exists: PathBuf,
}

impl Plugin for Freezing {
    type Role = Store;
    type Config = FreezingConfig;
    const KIND: &'static str = "freezing";
    const SUMMARY: &'static str = "does not answer while a file exists";

    async fn open(config: FreezingConfig, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        let inner = Memory::open(Default::default(), scope).await?;
        let store = Arc::new(FrozenStore::thawed(inner));
        let (watched, file) = (Arc::downgrade(&store), scope.resolve(&config.while_exists));
        tokio::spawn(async move {
            while let Some(store) = watched.upgrade() {
                if file.exists() {
                    store.freeze()
                } else {
                    store.thaw()
                }
                drop(store);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Ok(store)
    }
}

/// A store in memory that fails some of its calls, or all.
#[derive(Debug)]
pub struct Failing;

/// How many.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailingConfig {
    /// How many of a thousand calls fail.
    pub per_mille: u32,
}

impl Plugin for Failing {
    type Role = Store;
    type Config = FailingConfig;
    const KIND: &'static str = "failing";
    const SUMMARY: &'static str = "fails";

    async fn open(config: FailingConfig, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        let inner = Memory::open(Default::default(), scope).await?;
        Ok(Arc::new(FailingStore::new(inner, StoreErrorKind::Unavailable, config.per_mille, 1)))
    }
}

/// A store that does not open.
#[derive(Debug)]
pub struct Shut;

/// In which way.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShutConfig {
    /// What the attempt to open it does.
    pub how: ShutHow,
}

/// What an attempt to open a store does that has no end.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ShutHow {
    /// It never ends.
    Hangs,
    /// It holds up its thread.
    Blocks,
    /// It panics.
    Panics,
}

impl Plugin for Shut {
    type Role = Store;
    type Config = ShutConfig;
    const KIND: &'static str = "shut";
    const SUMMARY: &'static str = "does not open";

    async fn open(config: ShutConfig, _: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        match config.how {
            ShutHow::Hangs => std::future::pending().await,
            ShutHow::Blocks => loop {
                std::thread::park();
            },
            ShutHow::Panics => panic!("as this store always does"),
        }
    }
}
