//! Value records of the network: what a name has, and putting a record back.

use super::{Asked, first, json_wanted, start};
use crate::cli::args::AskArgs;
use crate::cli::key::record_key;
use crate::cli::{Failure, Output};
use crate::config::Config;
use bytes::Bytes;
use hydra_kad::{Record, Request};
use hydra_records::{Entry, Timestamp};
use serde_json::json;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

/// Prints the record of a name or a public key, or writes it to a file as it is.
pub(super) async fn value(
    config: &Config,
    name: &str,
    to: Option<&Path>,
    args: &AskArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let key = record_key(name)?;
    let asked = Asked::first(config, args, &Request::GetValue { key: key.to_bytes().into() }).await?;
    let Some(record) = asked.answer.record else {
        return Err(Failure::Failed(format!("{} has no record of {name}", asked.at)));
    };
    // What a server sends is not believed.
    let entry =
        Entry::parse(&key, record.value).and_then(|entry| entry.verify(Timestamp::from(SystemTime::now())));
    let entry =
        entry.map_err(|cause| Failure::Failed(format!("{} sent an invalid record: {cause}", asked.at)))?;
    if let Some(file) = to {
        std::fs::write(file, entry.bytes())
            .map_err(|cause| Failure::failed(&format!("cannot write {}", file.display()), cause))?;
    }
    let received = String::from_utf8_lossy(&record.time_received).into_owned();
    let (bytes, at) = (entry.bytes().len(), &asked.at);
    let Some(ipns) = entry.ipns() else {
        match json_wanted(args, out) {
            true => out.line(json!({ "asked": at, "bytes": bytes, "received": received }))?,
            false => out.line(format_args!("a public key of {bytes} bytes, received {received}"))?,
        }
        return Ok(());
    };
    let (value, ends) = (String::from_utf8_lossy(&ipns.value), ipns.eol.unix_seconds());
    match json_wanted(args, out) {
        true => out.line(json!({
            "asked": at,
            "value": value,
            "sequence": ipns.sequence,
            "valid_until": ends,
            "ttl_ns": ipns.ttl,
            "received": received,
            "bytes": bytes,
        }))?,
        false => out.line(format_args!(
            "{value}\nsequence {}, valid until {ends} (seconds since 1970), {bytes} bytes, received {received}",
            ipns.sequence
        ))?,
    }
    Ok(())
}

/// Puts a record, as its owner has signed it, and prints where.
pub(super) async fn put(
    config: &Config,
    name: &str,
    from: &Path,
    args: &AskArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let key = record_key(name)?;
    let value = Bytes::from(read(from)?);
    let entry =
        Entry::parse(&key, value.clone()).and_then(|entry| entry.verify(Timestamp::from(SystemTime::now())));
    entry.map_err(|cause| {
        Failure::Failed(format!("{} is not a valid record of {name}: {cause}", from.display()))
    })?;
    let key = Bytes::from(key.to_bytes());
    let record = Record { key: key.clone(), value: value.clone(), time_received: Bytes::new() };
    let request = Request::PutValue { key, record: Some(record) };
    let asker = start(config)?;
    let (at, answer) = first(config, &asker, args, &request).await?;
    if answer.record.is_none_or(|record| record.value != value) {
        return Err(Failure::Failed(format!("{at} has not stored the record; put it again later")));
    }
    match json_wanted(args, out) {
        true => out.line(json!({ "stored_at": at, "bytes": value.len() }))?,
        false => out.line(format_args!("stored at {at}"))?,
    }
    Ok(())
}

/// A record file; one byte too many is enough to know that it is none.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |cause| Failure::failed(&format!("cannot read {}", file.display()), cause);
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened.take(hydra_records::IPNS_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
