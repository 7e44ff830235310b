//! How much disk 100,000 value records take in the stores that keep them in files: after they were put, and after each was replaced
//! by a newer one twice. Values are random and have 400 bytes, as long as most records of names.

use hydra_api::value::BATCH_LEN_MAX;
use hydra_api::{
    ProviderStore, PutOutcome, Registry, Scope, Store, UnixSeconds, ValueKey, ValuePut, ValueRecord,
};
use hydra_conformance::given::{Chance, peer};
use serde_json::json;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const RECORDS: u64 = 100_000;
const VALUE_BYTES: usize = 400;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    figure("100,000 value records of 400 bytes", "once / each replaced twice");
    for kind in ["fjall", "sled"] {
        let mut sizes = Vec::new();
        for versions in [1, 3] {
            let dir = tempfile::tempdir()?;
            let store = open(kind, dir.path()).await?;
            for version in 0..versions {
                write(&*store, version).await?;
            }
            store.close().await?;
            sizes.push(format!("{:.0} MB", bytes_of(dir.path())? as f64 / 1e6));
        }
        figure(kind, sizes.join(" / "));
    }
    Ok(())
}

async fn open(kind: &str, dir: &Path) -> Result<Arc<dyn ProviderStore>> {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    let entry = registry.find::<Store>(kind).ok_or("no such store")?.clone();
    Ok(entry.open(json!({}), &Scope::new(dir).with_registry(Arc::new(registry))).await?)
}

/// Replaces each record of the version before.
async fn write(store: &dyn ProviderStore, version: u64) -> Result<()> {
    let now = UnixSeconds::now();
    let value = |number: u64, version: u64| {
        let mut value = vec![0; VALUE_BYTES];
        Chance::of(number << 8 | version).fill(&mut value);
        bytes::Bytes::from(value)
    };
    let put = |number: u64| {
        let key = ValueKey::new(&[b"/ipns/", peer(number).as_bytes()].concat())?;
        let seen = version.checked_sub(1).map(|before| value(number, before));
        let expires = now.saturating_add(Duration::from_secs(48 * 3600));
        let record = ValueRecord { value: value(number, version), received: now, expires };
        Ok(ValuePut { key, seen, record })
    };
    let puts: Vec<_> = (0..RECORDS).map(put).collect::<Result<_>>()?;
    let values = store.values().ok_or("the store keeps no value records")?;
    for batch in puts.chunks(BATCH_LEN_MAX) {
        let outcomes = values.put_if(batch.into(), now).await?;
        if outcomes.iter().any(|outcome| *outcome != PutOutcome::Stored) {
            return Err("a record was not stored".into());
        }
    }
    Ok(())
}

fn bytes_of(dir: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { bytes_of(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}

#[allow(clippy::print_stdout, reason = "a benchmark prints")]
fn figure(what: &str, value: impl std::fmt::Display) {
    println!("{what:<40} {value}");
}
