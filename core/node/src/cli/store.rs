//! `hydra store`: the records of a store, without a node.

mod about;
mod identity;
mod merge;
mod progress;
mod records;
mod resume;
mod source;
mod target;
mod transfer;
mod values;
mod written;

use super::args::{ImportArgs, StoreCommand, TransferArgs};
use super::check::ok;
use super::{Failure, Output};
use crate::config::Loaded;
use crate::node::backends::OpenBackendsError;
use hydra_api::{Durability, OpenErrorKind, ProviderStore, Purpose, Registry};
use identity::Identity;
use source::Source;
use std::sync::Arc;
use std::time::Duration;
use transfer::{Job, Transferred};

/// Runs a command on the store of one config.
pub(crate) async fn run(
    loaded: &Loaded,
    registry: &Registry,
    command: &StoreCommand,
    out: &mut Output,
) -> Result<(), Failure> {
    let purpose = match command {
        StoreCommand::Check => Purpose::Check,
        StoreCommand::Migrate => Purpose::Migrate,
        StoreCommand::Stats { .. } | StoreCommand::Get(_) | StoreCommand::Delete(_) => Purpose::Use,
        StoreCommand::Import(args) => return import(loaded, registry, args, out).await,
        // It has two configs.
        StoreCommand::Copy(_) => {
            return Err(Failure::Usage("copy reads the files of --from and --to".to_owned()));
        }
    };
    records::check(command)?;
    let store = loaded.open_store_for(registry, purpose).await?;
    let done = match command {
        StoreCommand::Check => Ok(about::check(loaded, &*store, out)?),
        StoreCommand::Migrate | StoreCommand::Copy(_) | StoreCommand::Import(_) => Ok(()),
        StoreCommand::Stats { json } => about::stats(loaded, &*store, *json || !out.is_terminal(), out).await,
        StoreCommand::Get(args) => records::get(&*store, args, out).await,
        StoreCommand::Delete(args) => records::delete(&*store, args, out).await,
    };
    let ok = ok(&*store);
    let closed = close(&*store).await;
    done.and(closed)?;
    match command {
        StoreCommand::Check | StoreCommand::Migrate => Ok(out.line(ok)?),
        _ => Ok(()),
    }
}

/// Copies all records of one store to another.
pub(crate) async fn copy(
    from: &Loaded,
    to: &Loaded,
    registry: &Registry,
    args: &TransferArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let store = from.open_store_for(registry, Purpose::Use).await?;
    let result = copy_from(&store, from, to, registry, args).await;
    let closed =
        store.close().await.map_err(|error| Failure::of_store("cannot close the store of --from", &error));
    let transferred = result?;
    closed?;
    transferred.print(args.json || !out.is_terminal(), out)
}

async fn copy_from(
    store: &Arc<dyn ProviderStore>,
    from: &Loaded,
    to: &Loaded,
    registry: &Registry,
    args: &TransferArgs,
) -> Result<Transferred, Failure> {
    if store.profile().durability == Durability::InMemory {
        return Err(in_memory("source"));
    }
    let identity = Identity::of_store(from)?;
    let target_identity = Identity::of_target(to)?;
    if identity == target_identity {
        return Err(Failure::Usage("--from and --to name the same store".to_owned()));
    }
    let source = Source::of_store(Arc::clone(store), &from.config.store.kind);
    transfer(source, "copy", &[identity, target_identity], to, registry, args).await
}

/// Imports records from another program.
async fn import(
    loaded: &Loaded,
    registry: &Registry,
    args: &ImportArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let Some(entry) = registry.importers().iter().find(|entry| entry.kind() == args.from) else {
        let kinds: Vec<_> = registry.importers().iter().map(|entry| entry.kind()).collect();
        let known = if kinds.is_empty() { "this program has none".to_owned() } else { kinds.join(", ") };
        return Err(Failure::Usage(format!("unknown kind of import `{}`; known kinds: {known}", args.from)));
    };
    let identities = [Identity::of_url(entry.kind(), &args.url), Identity::of_target(loaded)?];
    let importer = entry.open(&args.url).await.map_err(|error| {
        let text = format!("cannot import from {}: {}", entry.kind(), hydra_api::Causes(&error));
        match error.kind() {
            OpenErrorKind::Config { .. } => Failure::Usage(text),
            OpenErrorKind::Unavailable => Failure::Unavailable(text),
            _ => Failure::Failed(text),
        }
    })?;
    let life = Duration::from_secs(u64::from(loaded.config.engine.record_ttl_hours) * 3600);
    let source = Source::of_import(Arc::clone(&importer), entry.kind(), life);
    let result = transfer(source, "import", &identities, loaded, registry, &args.transfer).await;
    importer.close().await;
    result?.print(args.transfer.json || !out.is_terminal(), out)
}

/// Moves all records of a source to the store of a config, which is closed afterwards.
async fn transfer(
    source: Source,
    verb: &'static str,
    identities: &[Identity],
    to: &Loaded,
    registry: &Registry,
    args: &TransferArgs,
) -> Result<Transferred, Failure> {
    is_usable(to, registry).await?;
    let target = to.open_store_for(registry, Purpose::Serve).await?;
    if target.profile().durability == Durability::InMemory {
        close(&*target).await?;
        return Err(in_memory("target"));
    }
    let state = resume::file(&to.config.data_dir, verb, identities);
    let job = Job { source, target, verb, kind: to.config.store.kind.clone(), state, page: args.page };
    transfer::run(job, args.restart).await
}

/// Fails if the target holds records that are damaged: a store that is opened as by a node may set them aside. One without records
/// is filled.
async fn is_usable(to: &Loaded, registry: &Registry) -> Result<(), Failure> {
    match to.open_store_for(registry, Purpose::Use).await {
        Ok(store) => close(&*store).await,
        Err(OpenBackendsError::Open { source, kind, role }) if *source.kind() == OpenErrorKind::Corrupt => {
            Err(OpenBackendsError::Open { source, kind, role }.into())
        }
        // There are no records yet, or the next attempt says it again.
        Err(_) => Ok(()),
    }
}

fn in_memory(which: &str) -> Failure {
    Failure::Usage(format!(
        "the {which} store keeps its records in memory: they are lost when its process ends"
    ))
}

async fn close(store: &dyn ProviderStore) -> Result<(), Failure> {
    store.close().await.map_err(|error| Failure::of_store("cannot close the store", &error))
}
