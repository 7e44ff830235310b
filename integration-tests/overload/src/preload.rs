//! Puts the keys into the store, by the store's own plugin, as nodes would have done over time.

use hydra_api::{ContentKey, Inserted, ProviderRecord, Registry, Scope, Store, UnixSeconds};
use hydra_conformance::given;
use hydra_load::KeySpace;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The providers of the keys. A node's own clients come on top.
const PROVIDERS: u64 = 1_000;
/// Records of one insert, and of the window that is sorted before it is cut into these.
const BATCH: usize = 1_024;
const WINDOW: usize = 65_536;
/// As long as the node keeps an announcement.
const LIFE: Duration = Duration::from_secs(48 * 3600);

/// Announces each present key once, and the hot key by so many providers, in the store of this table of the config.
///
/// # Errors
/// If the store does not open, or does not take a batch.
pub(crate) async fn preload(
    kind: &str,
    table: toml::Table,
    space: &KeySpace,
    keys: u64,
    hot: &KeySpace,
    hot_providers: u64,
) -> io::Result<()> {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    let entry = registry.find::<Store>(kind).ok_or_else(|| io::Error::other("no such store"))?;
    let home = tempfile::tempdir()?;
    let table = serde_json::to_value(table).map_err(io::Error::other)?;
    let store = entry.open(table, &Scope::new(home.path())).await.map_err(io::Error::other)?;
    let now = UnixSeconds::now();
    let keys = (0..keys).map(|number| record(space, number, number % PROVIDERS, now));
    let mut all = keys.chain((0..hot_providers).map(|provider| record(hot, 0, provider, now)));
    loop {
        let mut window = all.by_ref().take(WINDOW).collect::<io::Result<Vec<_>>>()?;
        if window.is_empty() {
            break;
        }
        window.sort_unstable_by_key(|record| record.key);
        for batch in window.chunks(BATCH) {
            if store.insert(Arc::from(batch), now).await.map_err(io::Error::other)? != Inserted::All {
                return Err(io::Error::other("the store did not take all records"));
            }
        }
    }
    store.close().await.map_err(io::Error::other)
}

fn record(space: &KeySpace, number: u64, provider: u64, now: UnixSeconds) -> io::Result<ProviderRecord> {
    let key = ContentKey::new(&space.present(number)).map_err(io::Error::other)?;
    let addresses = given::addresses(provider);
    Ok(ProviderRecord { key, provider: given::peer(provider), addresses, expires: now.saturating_add(LIFE) })
}
