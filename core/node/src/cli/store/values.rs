//! The value record of a name or a public key: what is there, and how it is removed.

use crate::cli::key::record_key;
use crate::cli::{Failure, Output};
use hydra_api::{FoundValue, ProviderStore, StoreError, UnixSeconds, ValueKey, ValueStore};
use hydra_records::Entry;
use serde_json::json;
use std::sync::Arc;

/// Prints the record of a name.
pub(super) async fn get(
    store: &dyn ProviderStore,
    name: &str,
    as_json: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let key = record_key(name)?;
    let read = values(store)?.get(Arc::from([value_key(name)?]), UnixSeconds::now()).await;
    let record = match read.map_err(|error| Failure::of_store("cannot read the record", &error))?.pop() {
        Some(FoundValue::Known(record)) => record,
        Some(FoundValue::Unknown(kind)) => {
            return Err(Failure::of_store("cannot read the record", &StoreError::new(kind, "get")));
        }
        None => None,
    };
    let Some(record) = record else { return Err(Failure::Failed("no such record".to_owned())) };
    let (received, expires, bytes) = (record.received.0, record.expires.0, record.value.len());
    let entry = Entry::parse(&key, record.value).ok();
    let ipns = entry.as_ref().and_then(Entry::ipns);
    let value = ipns.map(|ipns| String::from_utf8_lossy(&ipns.value).into_owned());
    let sequence = ipns.map(|ipns| ipns.sequence);
    match as_json || !out.is_terminal() {
        true => out.line(json!({
            "value": value,
            "sequence": sequence,
            "bytes": bytes,
            "received": received,
            "expires": expires,
        }))?,
        false => {
            out.line(value.as_deref().unwrap_or("a public key"))?;
            out.line(format_args!(
                "  {bytes} bytes, sequence {}, received {received}, expires {expires} (seconds since 1970)",
                sequence.unwrap_or_default()
            ))?;
        }
    }
    Ok(())
}

/// Removes the record of a name.
pub(super) async fn delete(
    store: &dyn ProviderStore,
    name: &str,
    as_json: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let removed = values(store)?.delete_values(Arc::from([value_key(name)?])).await;
    let removed = removed.map_err(|error| Failure::of_store("cannot remove the record", &error))?;
    match as_json || !out.is_terminal() {
        true => out.line(json!({ "key": name, "removed": removed }))?,
        false => out.line(format_args!("{removed} records removed"))?,
    }
    if removed == 0 { Err(Failure::Failed("no such record".to_owned())) } else { Ok(()) }
}

fn value_key(name: &str) -> Result<ValueKey, Failure> {
    let key = record_key(name)?.to_bytes();
    ValueKey::new(&key).map_err(|cause| Failure::Usage(format!("`{name}`: {cause}")))
}

fn values(store: &dyn ProviderStore) -> Result<&dyn ValueStore, Failure> {
    store.values().ok_or_else(|| Failure::Failed("the store keeps no value records".to_owned()))
}
