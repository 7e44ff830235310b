//! The allocator: slots from the first on, a lock on the data directory while any is held.

use crate::config::Config;
use crate::derive::Head;
use crate::ports::Ports;
use crate::{Seed, cache};
use hydra_api::{
    HeadCount, HeadLease, HeadPreview, IdAllocator, IdError, IdErrorKind, OpenError, Progress, Renewal,
    Scope, async_trait,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Heads spread evenly over the key space, all derived from one seed.
///
/// Needs a tokio runtime: files and the search for identities are left to its blocking threads.
#[derive(Debug)]
pub struct Balanced(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    seed: Seed,
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Locked while any slot is held; the system unlocks it when the process ends in any way.
    lock: Option<File>,
    /// Slot to port.
    held: BTreeMap<u32, u16>,
}

impl Balanced {
    /// Reads the seed, and makes it at the first start. Holds nothing yet, so it may be called beside a process that
    /// does.
    ///
    /// # Errors
    /// [`OpenError`] when the config is wrong, the seed cannot be had or may have been read by others, or the kept
    /// ports are damaged.
    pub fn new(config: Config, scope: &Scope) -> Result<Self, OpenError> {
        config.check()?;
        let seed = Seed::load(&config, scope)?;
        let dir = scope.resolve("ids".as_ref());
        std::fs::create_dir_all(&dir).map_err(|cause| {
            OpenError::unavailable(format!("cannot make the directory {}", dir.display()), cause)
        })?;
        let inner = Inner { config, seed, dir, state: Mutex::default() };
        Ports::read(&inner.ports_path(), inner.config.port_base).map_err(|cause| match cause.kind() {
            ErrorKind::InvalidData => OpenError::corrupt(PORTS_DAMAGED, cause),
            _ => OpenError::unavailable("cannot read the ports of the heads", cause),
        })?;
        Ok(Self(Arc::new(inner)))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&Inner, &mut State) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, IdError> {
        let inner = Arc::clone(&self.0);
        let call = move || {
            // Taken and let go within one blocking thread, never across an await.
            let mut state = inner.state.lock().unwrap_or_else(PoisonError::into_inner);
            let result = call(&inner, &mut state);
            if state.held.is_empty() {
                state.lock = None;
            }
            result
        };
        tokio::task::spawn_blocking(call)
            .await
            .map_err(|cause| IdError::because(IdErrorKind::Unavailable, operation, cause))?
            .map_err(|failure| IdError::because(failure.kind, operation, failure.cause))
    }
}

const PORTS_DAMAGED: &str = "the kept ports of the heads are damaged: put back a copy of ids/ports.json in the data \
                             directory, or delete it to give every head the port of its slot";

#[async_trait]
impl IdAllocator for Balanced {
    /// The search takes some 20 ms of one core for each head that was never acquired.
    async fn preview(&self, wanted: HeadCount, progress: Progress) -> Result<Vec<HeadPreview>, IdError> {
        self.blocking("preview", move |inner, _| inner.preview(wanted, &*progress)).await
    }

    /// # Cancel safety
    /// A call that is dropped may still take the slots, which are then held until the allocator is dropped.
    async fn acquire(&self, wanted: HeadCount) -> Result<Vec<HeadLease>, IdError> {
        self.blocking("acquire", move |inner, state| inner.acquire(state, wanted)).await
    }

    async fn renew(&self, held: &[HeadLease]) -> Result<Renewal, IdError> {
        let told: Vec<(u32, u16)> = held.iter().map(|lease| (lease.slot, lease.port)).collect();
        self.blocking("renew", move |inner, state| inner.renew(state, &told)).await
    }

    async fn release(&self, held: Vec<HeadLease>) -> Result<(), IdError> {
        self.blocking("release", move |_, state| {
            for lease in &held {
                state.held.remove(&lease.slot);
            }
            Ok(())
        })
        .await
    }
}

impl Inner {
    fn preview(
        &self,
        wanted: HeadCount,
        progress: &(dyn Fn(u32) + Send + Sync),
    ) -> Result<Vec<HeadPreview>, Failure> {
        let slots = self.first(wanted, &BTreeMap::new())?;
        let ports = self.assign(&mut self.ports()?, &slots, &BTreeSet::new())?;
        let (heads, _) =
            cache::heads(&self.cache_path(), &self.seed, &slots, &|found| progress(found as u32));
        let previews = heads.into_iter().zip(ports);
        Ok(previews.map(|(head, port)| HeadPreview { slot: head.slot, peer: head.peer, port }).collect())
    }

    /// The first slots that are not held.
    fn first(&self, wanted: HeadCount, held: &BTreeMap<u32, u16>) -> Result<Vec<u32>, Failure> {
        let wanted = wanted.get() as usize;
        let slots: Vec<u32> = self.slots().filter(|slot| !held.contains_key(slot)).take(wanted).collect();
        if slots.len() < wanted {
            return Err(Failure::exhausted(format!(
                "{wanted} heads are wanted, and slots_max leaves {}",
                slots.len()
            )));
        }
        Ok(slots)
    }

    fn assign(&self, ports: &mut Ports, slots: &[u32], taken: &BTreeSet<u16>) -> Result<Vec<u16>, Failure> {
        ports.assign(slots, taken).ok_or_else(|| {
            let base = self.config.port_base;
            Failure::exhausted(format!(
                "{} heads from port_base {base} on need ports beyond 65535",
                slots.len()
            ))
        })
    }

    fn acquire(&self, state: &mut State, wanted: HeadCount) -> Result<Vec<HeadLease>, Failure> {
        if state.lock.is_none() {
            state.lock = Some(self.lock()?);
        }
        let slots = self.first(wanted, &state.held)?;
        let kept = self.ports()?;
        let mut ports = kept.clone();
        let taken: BTreeSet<u16> = state.held.values().copied().filter(|&port| port != 0).collect();
        let assigned = self.assign(&mut ports, &slots, &taken)?;
        if ports != kept {
            ports.write(&self.ports_path())?;
        }
        let (heads, fresh) = cache::heads(&self.cache_path(), &self.seed, &slots, &|_| ());
        if let Err(cause) = fresh.write(&self.cache_path()) {
            tracing::warn!(%cause, "cannot keep the identities that were found; the next start searches again");
        }
        state.held.extend(slots.into_iter().zip(assigned.iter().copied()));
        Ok(heads.into_iter().zip(assigned).map(|(head, port)| lease(head, port)).collect())
    }

    fn renew(&self, state: &mut State, told: &[(u32, u16)]) -> Result<Renewal, Failure> {
        let lost = told.iter().map(|(slot, _)| *slot).filter(|slot| !state.held.contains_key(slot)).collect();
        let changed: Vec<(u32, u16)> = told
            .iter()
            .copied()
            .filter(|(slot, port)| *port != 0 && state.held.get(slot).is_some_and(|held| held != port))
            .collect();
        if !changed.is_empty() {
            let mut ports = self.ports()?;
            changed.iter().for_each(|(slot, port)| ports.set(*slot, *port));
            ports.write(&self.ports_path())?;
            state.held.extend(changed);
        }
        Ok(Renewal { lost })
    }

    fn slots(&self) -> std::ops::Range<u32> {
        self.config.first_slot..self.config.first_slot + self.config.slots_max
    }

    fn ports(&self) -> Result<Ports, Failure> {
        Ok(Ports::read(&self.ports_path(), self.config.port_base)?)
    }

    fn lock(&self) -> Result<File, Failure> {
        let path = self.dir.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                let message =
                    format!("{} is locked: another process uses this data directory", path.display());
                Err(Failure { kind: IdErrorKind::Held, cause: io::Error::other(message) })
            }
            Err(TryLockError::Error(cause)) => Err(cause.into()),
        }
    }

    fn ports_path(&self) -> PathBuf {
        self.dir.join("ports.json")
    }

    fn cache_path(&self) -> PathBuf {
        self.dir.join("heads.json")
    }
}

fn lease(head: Head, port: u16) -> HeadLease {
    HeadLease { slot: head.slot, peer: head.peer, identity: head.identity, port, until: None }
}

/// A call that failed, before it is told which one it was.
struct Failure {
    kind: IdErrorKind,
    cause: io::Error,
}

impl Failure {
    fn exhausted(message: String) -> Self {
        Self { kind: IdErrorKind::Exhausted, cause: io::Error::other(message) }
    }
}

impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Self {
        match cause.kind() {
            ErrorKind::InvalidData => Self {
                kind: IdErrorKind::Corrupt,
                cause: io::Error::other(format!("{PORTS_DAMAGED}: {cause}")),
            },
            _ => Self { kind: IdErrorKind::Unavailable, cause },
        }
    }
}

#[cfg(test)]
mod tests;
