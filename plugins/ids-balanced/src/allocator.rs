//! The allocator: slots from the first on, a lock on the data directory while any is held.

use crate::config::Config;
use crate::deriver::Head;
use crate::lost::refuse_lost_seed;
use crate::ports::{Assigned, Ports};
use crate::{Seed, cache, epoch, files};
use hydra_api::{
    HeadCount, HeadLease, HeadPreview, HeldSlot, IdAllocator, IdError, IdErrorKind, OpenError, Progress,
    Purpose, Renewal, Renewed, Scope, async_trait,
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
    /// `None` only when it is opened for a check before the first start.
    seed: Option<Seed>,
    dir: PathBuf,
    purpose: Purpose,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Locked while any slot is held; the system unlocks it when the process ends in any way.
    lock: Option<File>,
    held: BTreeMap<u32, Held>,
}

/// A slot that is held.
#[derive(Debug, Clone, Copy)]
struct Held {
    epoch: u64,
    port: u16,
}

impl Balanced {
    /// Reads the seed, and makes it at the first start. Takes no slots, so it may be called beside a process that holds
    /// some. Opened for a check it creates nothing and gives no slots.
    ///
    /// # Errors
    /// [`OpenError`] when the config is wrong, the seed cannot be read or may have been read by others, or the kept
    /// ports are damaged.
    pub fn new(config: Config, scope: &Scope) -> Result<Self, OpenError> {
        config.check()?;
        let dir = scope.resolve("ids".as_ref());
        refuse_lost_seed(&config, scope)?;
        let seed = if scope.purpose() == Purpose::Check {
            Seed::find(&config, scope)?
        } else {
            let seed = Seed::load(&config, scope)?;
            files::create_dir(&dir)
                .map_err(|cause| OpenError::unavailable("cannot save identities", cause))?;
            Some(seed)
        };
        let inner = Inner { config, seed, dir, purpose: scope.purpose(), state: Mutex::default() };
        let what = "cannot read the ports of the heads";
        inner.read_ports().map_err(|cause| match cause.kind() {
            ErrorKind::InvalidData => OpenError::corrupt(what, cause),
            _ => OpenError::unavailable(what, cause),
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

#[async_trait]
impl IdAllocator for Balanced {
    fn heads_max(&self) -> Option<u32> {
        Some(self.0.config.heads_max())
    }

    /// Searches for heads that were never acquired or previewed: a second or less for a thousand, ten for those of
    /// [`Derivation::One`](crate::Derivation::One). They are kept, unless the allocator is opened for a check.
    async fn preview(&self, wanted: HeadCount, progress: Progress) -> Result<Vec<HeadPreview>, IdError> {
        self.blocking("preview", move |inner, _| inner.preview(wanted, &*progress)).await
    }

    /// # Cancel safety
    /// A call that is dropped may still take the slots, which are then held until the allocator is dropped.
    async fn acquire(&self, wanted: HeadCount) -> Result<Vec<HeadLease>, IdError> {
        self.blocking("acquire", move |inner, state| inner.acquire(state, wanted)).await
    }

    async fn renew(&self, held: &[HeldSlot]) -> Result<Renewal, IdError> {
        let told = held.to_vec();
        self.blocking("renew", move |inner, state| inner.renew(state, &told)).await
    }

    async fn release(&self, held: &[HeldSlot]) -> Result<(), IdError> {
        let told = held.to_vec();
        self.blocking("release", move |_, state| {
            for slot in told.iter().filter(|slot| state.holds(slot)).collect::<Vec<_>>() {
                state.held.remove(&slot.slot);
            }
            Ok(())
        })
        .await
    }
}

impl State {
    /// Whether the slot is held in this epoch.
    fn holds(&self, told: &HeldSlot) -> bool {
        self.held.get(&told.slot).is_some_and(|held| held.epoch == told.epoch)
    }
}

impl Inner {
    fn preview(
        &self,
        wanted: HeadCount,
        progress: &(dyn Fn(u32) + Send + Sync),
    ) -> Result<Vec<HeadPreview>, Failure> {
        let slots = self.first(wanted, &BTreeMap::new())?;
        if self.purpose != Purpose::Check {
            cache::set_aside_damaged(&self.cache_path());
        }
        let ports = self.assign(&mut self.ports()?, &slots, &BTreeSet::new())?;
        let (heads, fresh) =
            cache::heads(&self.cache_path(), self.seed()?, &slots, &|found| progress(found as u32));
        if self.purpose != Purpose::Check
            && let Err(cause) = fresh.write_beside(&self.cache_path())
        {
            tracing::debug!(error = %cause, "cannot save the identities that were found");
        }
        let previews = heads.into_iter().zip(ports);
        Ok(previews.map(|(head, assigned)| HeadPreview::new(head.slot, head.peer, assigned.port)).collect())
    }

    /// The first slots that are not held.
    fn first(&self, wanted: HeadCount, held: &BTreeMap<u32, Held>) -> Result<Vec<u32>, Failure> {
        let wanted = wanted.get() as usize;
        let slots: Vec<u32> = self.slots().filter(|slot| !held.contains_key(slot)).take(wanted).collect();
        if slots.len() < wanted {
            return Err(Failure::exhausted(format!(
                "{wanted} more heads are wanted, and slots_max leaves {}: raise it, or lower heads.count",
                slots.len()
            )));
        }
        Ok(slots)
    }

    fn assign(
        &self,
        ports: &mut Ports,
        slots: &[u32],
        taken: &BTreeSet<u16>,
    ) -> Result<Vec<Assigned>, Failure> {
        ports.assign(slots, taken).ok_or_else(|| {
            let base = self.config.port_base;
            Failure::exhausted(format!(
                "{} heads from port_base {base} on need ports beyond 65535: lower port_base or heads.count",
                slots.len()
            ))
        })
    }

    fn acquire(&self, state: &mut State, wanted: HeadCount) -> Result<Vec<HeadLease>, Failure> {
        if self.purpose == Purpose::Check {
            let cause = io::Error::other("the allocator is opened for a check, which takes no slots");
            return Err(Failure { kind: IdErrorKind::Unavailable, cause });
        }
        if state.lock.is_none() {
            state.lock = Some(self.lock()?);
        }
        let slots = self.first(wanted, &state.held)?;
        let kept = self.ports()?;
        let mut ports = kept.clone();
        let taken: BTreeSet<u16> =
            state.held.values().map(|held| held.port).filter(|port| *port != 0).collect();
        let assigned = self.assign(&mut ports, &slots, &taken)?;
        // The file also says that the slots have these ports from now on, whatever the default of the base is later.
        if ports != kept || !self.ports_path().exists() {
            ports.write(&self.ports_path())?;
        }
        cache::set_aside_damaged(&self.cache_path());
        let (heads, fresh) = cache::heads(&self.cache_path(), self.seed()?, &slots, &|_| ());
        if let Err(cause) = fresh.write(&self.cache_path()) {
            tracing::warn!(error = %cause, "cannot save the identities that were found; the next start searches again");
        }
        let epoch = epoch::next(&self.dir.join("epoch.json"))?;
        for (slot, Assigned { port, .. }) in slots.into_iter().zip(assigned.iter().copied()) {
            state.held.insert(slot, Held { epoch, port });
        }
        Ok(heads.into_iter().zip(assigned).map(|(head, assigned)| lease(head, assigned, epoch)).collect())
    }

    fn renew(&self, state: &mut State, told: &[HeldSlot]) -> Result<Renewal, Failure> {
        let (held, lost): (Vec<&HeldSlot>, Vec<&HeldSlot>) = told.iter().partition(|slot| state.holds(slot));
        let moved = |told: &&HeldSlot| {
            told.port != 0 && state.held.get(&told.slot).is_some_and(|held| held.port != told.port)
        };
        let changed: Vec<&HeldSlot> = held.iter().copied().filter(moved).collect();
        if !changed.is_empty() {
            let mut ports = self.ports()?;
            changed.iter().for_each(|told| ports.set(told.slot, told.port));
            ports.write(&self.ports_path())?;
            for told in changed {
                state.held.insert(told.slot, Held { epoch: told.epoch, port: told.port });
            }
        }
        let held = held.into_iter().map(|told| Renewed::new(told.slot, None)).collect();
        Ok(Renewal::new(held, lost.into_iter().map(|told| told.slot).collect()))
    }

    fn seed(&self) -> Result<&Seed, Failure> {
        let none = || Failure {
            kind: IdErrorKind::Unavailable,
            cause: io::Error::other("there is no seed file yet: the first start of the node makes it"),
        };
        self.seed.as_ref().ok_or_else(none)
    }

    fn slots(&self) -> std::ops::Range<u32> {
        self.config.first_slot..self.config.first_slot + self.config.slots_max
    }

    fn ports(&self) -> Result<Ports, Failure> {
        Ok(self.read_ports()?)
    }

    fn read_ports(&self) -> io::Result<Ports> {
        Ports::read(&self.ports_path(), self.config.port_base, || cache::old_slots(&self.cache_path()))
    }

    fn lock(&self) -> Result<File, Failure> {
        let path = self.dir.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|cause| files::named("cannot open", &path, &cause))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                let message =
                    format!("another process uses this data directory: it holds the lock {}", path.display());
                Err(Failure { kind: IdErrorKind::Held, cause: io::Error::other(message) })
            }
            Err(TryLockError::Error(cause)) => Err(files::named("cannot lock", &path, &cause).into()),
        }
    }

    fn ports_path(&self) -> PathBuf {
        self.dir.join("ports.json")
    }

    fn cache_path(&self) -> PathBuf {
        self.dir.join("heads.json")
    }
}

fn lease(head: Head, Assigned { port, own }: Assigned, epoch: u64) -> HeadLease {
    let lease = HeadLease::new(head.slot, head.peer, head.identity, port).with_epoch(epoch);
    match own {
        Some(own) => lease.with_own_port(own),
        None => lease,
    }
}

/// Why a call failed.
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
            ErrorKind::InvalidData => Self { kind: IdErrorKind::Corrupt, cause },
            _ => Self { kind: IdErrorKind::Unavailable, cause },
        }
    }
}

#[cfg(test)]
mod tests;
