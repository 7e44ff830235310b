//! The allocator, honest but for one sabotage. Each is as small as can be, so that the cases of no other rule see it.

use crate::shared_memory::locked;
use hydra_api::{
    HeadCount, HeadLease, HeadPreview, HeldSlot, IdAllocator, IdError, IdErrorKind, Identity, Ids, OpenError,
    PeerId, Plugin, Progress, ReconfigureError, Renewal, Renewed, Scope, Value, async_trait,
};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// How long a lease with an end lasts: on a paused clock, so any length will do.
const LIFE: Duration = Duration::from_secs(300);

/// What is wrong with an allocator, named after the rule that it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Sabotage {
    #[default]
    Honest,
    TakesUnknownKeys,
    ReconfigureLosesLeases,
    I1AnotherIdentity,
    I1AnotherPort,
    I2PortTwice,
    I2SlotTwice,
    I3MoreMovesPorts,
    I4NotGivenAgain,
    I5PeerOfAnother,
    I6ForgetsPorts,
    I7ShowsSecrets,
    I8HeldTwice,
    I8DoesNotOpenBeside,
    I8AnotherKind,
    I9TellsOthers,
    I9TakesThem,
    I9NoProgress,
    I10SameEpoch,
    I10BeginsAgain,
    I10RenewalChangesIt,
    I11AnyEpoch,
    I11LeavesOutTheUnknown,
    I11LeavesOutTheReleased,
    I11ReleasesAnyEpoch,
    I12OutlivesTheProcess,
    I12NeverEnds,
    I12EndsTooSoon,
    I12IsNotRenewed,
    I12HeldByBoth,
}
use Sabotage::*;

/// How long leases last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Life {
    /// As long as the process.
    #[default]
    Process,
    /// For some time, unless they are renewed.
    Lease,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) sabotage: Sabotage,
    pub(crate) life: Life,
    #[serde(flatten, skip_serializing)]
    #[schemars(skip)]
    pub(crate) unknown: BTreeMap<String, IgnoredAny>,
}

impl Config {
    fn unknown(&self) -> Option<&String> {
        self.unknown.keys().next().filter(|_| self.sabotage != TakesUnknownKeys)
    }
}

/// What all processes share.
#[derive(Debug, Default)]
struct Shared {
    slots: BTreeMap<u32, Slot>,
    opened: u64,
    /// How many have opened it while another held slots.
    beside: u64,
}

#[derive(Debug, Default)]
struct Slot {
    epoch: u64,
    port: u16,
    holder: Option<Holder>,
    is_spent: bool,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    process: u64,
    until: Option<Instant>,
}

static PLACES: LazyLock<Mutex<HashMap<PathBuf, Arc<Mutex<Shared>>>>> = LazyLock::new(Mutex::default);

/// A process that has opened the allocator.
pub(crate) struct Sabotaged {
    config: Config,
    shared: Arc<Mutex<Shared>>,
    process: u64,
    releases: Mutex<u32>,
}

impl Plugin for Sabotaged {
    type Role = Ids;
    type Config = Config;
    const KIND: &'static str = "sabotaged";
    const SUMMARY: &'static str = "breaks a rule";

    async fn open(config: Config, scope: &Scope) -> Result<Arc<dyn IdAllocator>, OpenError> {
        if let Some(key) = config.unknown() {
            return Err(OpenError::config(key, format!("unknown key `{key}`")));
        }
        let shared = {
            let mut places = locked(&PLACES);
            places.retain(|place, _| place.exists());
            Arc::clone(places.entry(scope.data_dir().to_owned()).or_default())
        };
        let process = {
            let mut shared = locked(&shared);
            shared.opened += 1;
            if shared.slots.values().any(|slot| slot.is_held()) {
                shared.beside += 1;
                if config.sabotage == I8DoesNotOpenBeside && shared.beside > 1 {
                    return Err(OpenError::unavailable("another process holds the slots", "it is locked"));
                }
            }
            if config.sabotage == I10BeginsAgain {
                shared.slots.values_mut().for_each(|slot| slot.epoch = 0);
            }
            shared.opened
        };
        Ok(Arc::new(Self { config, shared, process, releases: Mutex::new(0) }))
    }
}

impl Slot {
    fn is_held(&self) -> bool {
        self.holder.is_some_and(|holder| holder.until.is_none_or(|until| until > Instant::now()))
    }
}

impl Shared {
    /// A slot, which gets a port that no other has when it is new.
    fn slot(&mut self, number: u32) -> &mut Slot {
        let used: BTreeSet<_> = self.slots.values().map(|slot| slot.port).collect();
        let free = (4001..).find(|port| !used.contains(port)).unwrap_or_default();
        self.slots.entry(number).or_insert_with(|| Slot { port: free, ..Slot::default() })
    }

    /// The first slots that nobody holds, as many as are wanted.
    fn free(&self, wanted: u32, is_free: impl Fn(&Slot) -> bool) -> Vec<u32> {
        let free = |number: &u32| self.slots.get(number).is_none_or(|slot| is_free(slot) && !slot.is_spent);
        (0..).filter(free).take(wanted as usize).collect()
    }
}

impl Sabotaged {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.config.sabotage == sabotage
    }

    fn seed(&self, number: u32) -> [u8; 32] {
        let mut seed = [7; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        if self.is(I1AnotherIdentity) && self.process >= 3 {
            seed[31] = self.process as u8;
        }
        seed
    }

    fn peer(&self, number: u32) -> PeerId {
        let seed = if self.is(I5PeerOfAnother) && number == 7 { [9; 32] } else { self.seed(number) };
        let keys = libp2p_identity::Keypair::ed25519_from_bytes(seed).expect("any 32 bytes are a seed");
        PeerId::new(&keys.public().to_peer_id().to_bytes()).expect("a peer id fits")
    }

    fn port(&self, slot: &Slot, wanted: u32) -> u16 {
        let port = slot.port;
        let moved = self.is(I1AnotherPort) && self.process >= 3 || self.is(I3MoreMovesPorts) && wanted >= 12;
        if moved { port + 1000 } else { port }
    }

    fn life(&self) -> Option<Duration> {
        (self.config.life == Life::Lease).then_some(LIFE)
    }

    /// The end of a lease that begins now.
    fn until(&self) -> Option<Instant> {
        let life = self.life()?;
        match self.config.sabotage {
            I12NeverEnds => None,
            I12EndsTooSoon => Some(Instant::now() + life / 2),
            _ => Some(Instant::now() + life),
        }
    }

    fn lease(&self, number: u32, slot: &mut Slot, wanted: u32) -> HeadLease {
        if !self.is(I10SameEpoch) || slot.epoch == 0 {
            slot.epoch += 1;
        }
        slot.holder = Some(Holder { process: self.process, until: self.until() });
        let port = self.port(slot, wanted);
        let identity = Identity::from_ed25519_seed(self.seed(number));
        let lease = HeadLease::new(number, self.peer(number), identity, port).with_epoch(slot.epoch);
        match self.life() {
            Some(life) => lease.with_life(life),
            None => lease,
        }
    }

    /// Whether this process holds a slot in this epoch.
    fn holds(&self, slot: &Slot, held: &HeldSlot) -> bool {
        let Some(holder) = slot.holder.filter(|_| slot.is_held()) else { return false };
        if holder.process != self.process {
            return self.is(I12HeldByBoth) && held.epoch < slot.epoch;
        }
        slot.epoch == held.epoch || self.is(I11AnyEpoch)
    }
}

#[async_trait]
impl IdAllocator for Sabotaged {
    async fn preview(&self, wanted: HeadCount, progress: Progress) -> Result<Vec<HeadPreview>, IdError> {
        let mut shared = locked(&self.shared);
        let skipped = u32::from(self.is(I9TellsOthers));
        let numbers: Vec<_> = (skipped..wanted.get() + skipped).collect();
        if !self.is(I9NoProgress) {
            progress(wanted.get());
        }
        let preview = |number: u32| {
            let slot = shared.slot(number);
            if self.is(I9TakesThem) {
                slot.holder = Some(Holder { process: self.process, until: None });
            }
            HeadPreview::new(number, self.peer(number), self.port(slot, 0))
        };
        Ok(numbers.into_iter().map(preview).collect())
    }

    async fn acquire(&self, wanted: HeadCount) -> Result<Vec<HeadLease>, IdError> {
        let mut shared = locked(&self.shared);
        let holds_some = shared
            .slots
            .values()
            .any(|slot| slot.is_held() && slot.holder.is_some_and(|holder| holder.process == self.process));
        let others = shared.slots.values().any(Slot::is_held) && !holds_some;
        if self.is(I8AnotherKind) && others {
            return Err(IdError::because(IdErrorKind::Exhausted, "acquire", "there are none left"));
        }
        let numbers = match self.config.sabotage {
            I8HeldTwice => shared.free(wanted.get(), |slot| {
                !slot.is_held() || slot.holder.is_some_and(|holder| holder.process != self.process)
            }),
            I2SlotTwice if holds_some => shared.free(wanted.get(), |_| true),
            _ => shared.free(wanted.get(), |slot| !slot.is_held()),
        };
        let lease = |number| self.lease(number, shared.slot(number), wanted.get());
        let mut leases: Vec<_> = numbers.into_iter().map(lease).collect();
        if self.is(I2PortTwice) && holds_some {
            leases.iter_mut().for_each(|lease| lease.port = 4001);
        }
        Ok(leases)
    }

    async fn renew(&self, held: &[HeldSlot]) -> Result<Renewal, IdError> {
        let mut shared = locked(&self.shared);
        let (mut kept, mut lost) = (Vec::new(), Vec::new());
        for one in held {
            let Some(slot) = shared.slots.get_mut(&one.slot) else {
                if !self.is(I11LeavesOutTheUnknown) {
                    lost.push(one.slot);
                }
                continue;
            };
            if !self.holds(slot, one) {
                let left_out = self.is(I11LeavesOutTheReleased) && slot.holder.is_none();
                lost.extend((!left_out).then_some(one.slot));
                continue;
            }
            if !self.is(I6ForgetsPorts) {
                slot.port = one.port;
            }
            if let Some(holder) = slot.holder.as_mut().filter(|_| !self.is(I12IsNotRenewed)) {
                holder.until = self.until();
            }
            if self.is(I10RenewalChangesIt) && held.len() == 3 {
                slot.epoch += 1;
            }
            kept.push(Renewed::new(one.slot, self.life()));
        }
        Ok(Renewal::new(kept, lost))
    }

    async fn release(&self, held: &[HeldSlot]) -> Result<(), IdError> {
        let mut shared = locked(&self.shared);
        let mut releases = locked(&self.releases);
        *releases += 1;
        for one in held {
            let Some(slot) = shared.slots.get_mut(&one.slot) else { continue };
            let mine = slot.holder.is_some_and(|holder| holder.process == self.process);
            if self.holds(slot, one) || self.is(I11ReleasesAnyEpoch) && mine {
                slot.holder = None;
                slot.is_spent = self.is(I4NotGivenAgain) && *releases >= 3;
            }
        }
        Ok(())
    }

    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        let config: Config = ReconfigureError::parse(table)?;
        if self.is(ReconfigureLosesLeases) {
            locked(&self.shared).slots.values_mut().for_each(|slot| slot.holder = None);
        }
        match config.unknown.keys().next() {
            Some(key) => {
                let (key, message) = (key.clone(), "there is no such key".to_owned());
                Err(ReconfigureError::Config(hydra_api::ConfigIssue { key, message }))
            }
            None => Ok(()),
        }
    }
}

/// Leases without a life end with the process.
impl Drop for Sabotaged {
    fn drop(&mut self) {
        if self.life().is_some() {
            return;
        }
        let mut shared = locked(&self.shared);
        let mine = |slot: &&mut Slot| slot.holder.is_some_and(|holder| holder.process == self.process);
        let mine: Vec<_> = shared.slots.values_mut().filter(mine).collect();
        if !(self.is(I12OutlivesTheProcess) && mine.len() == 3) {
            mine.into_iter().for_each(|slot| slot.holder = None);
        }
    }
}

impl fmt::Debug for Sabotaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: BTreeSet<_> = locked(&self.shared).slots.keys().copied().collect();
        let seeds: Vec<_> = shown.iter().map(|number| self.seed(*number)).collect();
        let mut debug = f.debug_struct("Sabotaged");
        debug.field("slots", &shown);
        if self.is(I7ShowsSecrets) {
            debug.field("seeds", &seeds);
        }
        debug.finish_non_exhaustive()
    }
}
