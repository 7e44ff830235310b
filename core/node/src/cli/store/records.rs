//! The records of a key: what is there, and how it is removed.

use super::values;
use crate::cli::args::{DeleteArgs, GetArgs, StoreCommand};
use crate::cli::key::{content_key, is_record_key, record_key};
use crate::cli::{Failure, Output};
use cid::Cid;
use hydra_api::{
    Addresses, ContentKey, DeleteProgress, Deletion, Found, PeerId, Provider, ProviderStore, StoreError,
    UnixSeconds,
};
use multiaddr::Multiaddr;
use serde_json::{Value, json};
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Records of one step of a deletion.
const STEP: NonZeroU32 = NonZeroU32::new(1000).unwrap();

/// Finds mistakes in the arguments before a store is opened.
pub(super) fn check(command: &StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Get(GetArgs { key, .. }) if is_record_key(key) => record_key(key).map(drop),
        StoreCommand::Get(args) => key(&args.key).map(drop),
        StoreCommand::Delete(args) if is_record_key(&args.key) && args.provider.is_some() => {
            Err(Failure::Usage("a value record has no provider: leave --provider out".to_owned()))
        }
        StoreCommand::Delete(DeleteArgs { key, .. }) if is_record_key(key) => record_key(key).map(drop),
        StoreCommand::Delete(args) => deletion(args).map(drop),
        _ => Ok(()),
    }
}

/// Prints the providers of a key.
pub(super) async fn get(store: &dyn ProviderStore, args: &GetArgs, out: &mut Output) -> Result<(), Failure> {
    if is_record_key(&args.key) {
        return values::get(store, &args.key, args.json, out).await;
    }
    let key = key(&args.key)?;
    let now = UnixSeconds::now();
    let limit = NonZeroU32::new(args.limit).unwrap_or(NonZeroU32::MIN);
    let read = store.providers(Arc::from([key]), now, limit).await;
    let found = read.map_err(|error| Failure::of_store("cannot read the key", &error))?.pop();
    let providers = match found {
        Some(Found::Known(providers)) => providers,
        Some(Found::Unknown(kind)) => {
            return Err(Failure::of_store("cannot read the key", &StoreError::new(kind, "providers")));
        }
        None => Vec::new(),
    };
    if args.json || !out.is_terminal() {
        let list: Vec<_> = providers.iter().map(|provider| described(provider, now)).collect();
        out.line(json!({ "key": key.to_string(), "providers": list }))?;
    } else {
        providers.iter().try_for_each(|provider| print(provider, now, out))?;
    }
    if providers.is_empty() { Err(Failure::Failed(not_found(&args.key))) } else { Ok(()) }
}

/// A name without a prefix is taken for a CID, under which its value record is not kept.
fn not_found(key: &str) -> String {
    match record_key(key) {
        Ok(_) => format!("no provider found; `/ipns/{key}` is the key of the value record of this name"),
        Err(_) => "no provider found".to_owned(),
    }
}

/// Removes the records of a key, or one of them.
pub(super) async fn delete(
    store: &dyn ProviderStore,
    args: &DeleteArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    if is_record_key(&args.key) {
        return values::delete(store, &args.key, args.json, out).await;
    }
    let deletion = deletion(args)?;
    let mut removed = 0;
    loop {
        let step = store.delete(deletion, STEP).await.map_err(|error| {
            let what = match removed {
                0 => "cannot remove the records".to_owned(),
                removed => format!("cannot remove more records, after {removed}"),
            };
            Failure::of_store(&what, &error)
        })?;
        removed += step.removed;
        match step.progress {
            DeleteProgress::Done => break,
            DeleteProgress::More => {}
        }
    }
    match args.json || !out.is_terminal() {
        true => out.line(json!({ "key": deletion.key().to_string(), "removed": removed }))?,
        false => out.line(format_args!("{removed} records removed"))?,
    }
    if removed == 0 { Err(Failure::Failed("no such record".to_owned())) } else { Ok(()) }
}

fn key(text: &str) -> Result<ContentKey, Failure> {
    let bytes = content_key(text)?;
    ContentKey::new(&bytes).map_err(|cause| Failure::Usage(format!("`{text}`: {cause}")))
}

fn deletion(args: &DeleteArgs) -> Result<Deletion, Failure> {
    let key = key(&args.key)?;
    match &args.provider {
        None => Ok(Deletion::Key(key)),
        Some(text) => Ok(Deletion::Record(key, provider(text)?)),
    }
}

/// A peer id in base58, or as a CID.
fn provider(text: &str) -> Result<PeerId, Failure> {
    let base58 = text.parse::<libp2p::PeerId>().ok();
    let peer = base58.or_else(|| {
        let cid = Cid::try_from(text).ok()?;
        libp2p::PeerId::from_multihash(*cid.hash()).ok()
    });
    let peer = peer.and_then(|peer| PeerId::new(&peer.to_bytes()).ok());
    peer.ok_or_else(|| Failure::Usage(format!("`{text}` is not a peer id")))
}

fn print(provider: &Provider, now: UnixSeconds, out: &mut Output) -> io::Result<()> {
    out.line(shown_peer(&provider.peer))?;
    out.line(format_args!("  expires in {}", shown(provider.expires.since(now))))?;
    if provider.addresses.is_empty() {
        return out.line("  no addresses");
    }
    let age = now.since(provider.addresses_at);
    let served = if age >= Addresses::LIFE { ", no longer served" } else { "" };
    out.line(format_args!("  addresses announced {} ago{served}", shown(age)))?;
    provider.addresses.iter().try_for_each(|address| out.line(format_args!("  {}", shown_address(address))))
}

fn described(provider: &Provider, now: UnixSeconds) -> Value {
    let addresses: Vec<_> = provider.addresses.iter().map(shown_address).collect();
    let mut line = json!({
        "peer": shown_peer(&provider.peer),
        "expires": provider.expires.0,
        "expires_in_s": provider.expires.since(now).as_secs(),
        "addresses": addresses,
    });
    if !provider.addresses.is_empty() {
        line["addresses_at"] = json!(provider.addresses_at.0);
        line["addresses_age_s"] = json!(now.since(provider.addresses_at).as_secs());
    }
    line
}

/// In base58; bytes that are no peer id of libp2p in hexadecimal.
fn shown_peer(peer: &PeerId) -> String {
    libp2p::PeerId::from_bytes(peer.as_bytes()).map_or_else(|_| peer.to_string(), |peer| peer.to_base58())
}

/// As a multiaddr; other bytes in hexadecimal.
fn shown_address(address: &[u8]) -> String {
    let hex = || address.iter().map(|byte| format!("{byte:02x}")).collect();
    Multiaddr::try_from(address.to_vec()).map_or_else(|_| hex(), |address| address.to_string())
}

fn shown(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}
