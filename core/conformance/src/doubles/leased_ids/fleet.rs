//! The state that the processes of a fleet share: which slot is leased to which process, and until when.

use super::super::locked;
use super::LeasedIds;
use crate::given::Chance;
use hydra_api::{HeadCount, HeadLease, HeadPreview, HeldSlot, Identity, PeerId, Renewal, Renewed};
use hydra_api::{IdError, IdErrorKind};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// The port of slot 0; slot s has this port plus s until it reports another.
const PORT_BASE: u16 = 30_000;

/// A number of slots that several processes share, as a database between them would keep it.
///
/// Leases are measured on tokio's clock, so they also end on a paused one. Clones share the same state.
#[derive(Debug, Clone)]
pub struct Fleet(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    life: Duration,
    lapsed: Lapsed,
    processes: u64,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    port: u16,
    epoch: u64,
    last: Option<Holder>,
    status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Free,
    /// Leased to the process that is in `last`.
    Leased,
    /// Taken away, and not given out.
    Withdrawn,
}

/// A lease as the fleet knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The [`LeasedIds::process`] that holds the slot.
    pub process: u64,
    /// The epoch of the lease.
    pub epoch: u64,
    /// When the lease ends unless it is renewed.
    pub ends: Instant,
}

/// What `renew` says of a lease that has ended and whose slot was not given out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lapsed {
    /// It is held again, in the same epoch.
    #[default]
    Revived,
    /// It is lost.
    Lost,
}

impl Fleet {
    /// A fleet of so many slots whose leases last for `life`.
    ///
    /// # Panics
    /// When there are more slots than ports from 30,000 on, which are 35,536.
    pub fn new(slots: u32, life: Duration) -> Self {
        let slot = |slot: u32| {
            let port = u16::try_from(u32::from(PORT_BASE) + slot);
            let port = port.unwrap_or_else(|_| panic!("slot {slot} has no port"));
            Slot { port, epoch: 0, last: None, status: Status::Free }
        };
        let slots = (0..slots).map(slot).collect();
        Self(Arc::new(Mutex::new(State { life, lapsed: Lapsed::default(), processes: 0, slots })))
    }

    /// An allocator for one more process of the fleet.
    pub fn join(&self) -> LeasedIds {
        let mut state = locked(&self.0);
        state.processes += 1;
        LeasedIds::new(self.clone(), state.processes)
    }

    /// From now on leases are given and renewed for `life`.
    pub fn set_life(&self, life: Duration) {
        locked(&self.0).life = life;
    }

    /// From now on this becomes of leases that are renewed after their end.
    pub fn set_lapsed(&self, lapsed: Lapsed) {
        locked(&self.0).lapsed = lapsed;
    }

    /// Takes a slot away from its holder, as an operator would: it is lost from now on, and not given out again until
    /// [`Self::give_back`].
    pub fn take_away(&self, slot: u32) {
        if let Some(slot) = locked(&self.0).slots.get_mut(slot as usize) {
            slot.status = Status::Withdrawn;
        }
    }

    /// Lets a slot that was taken away be given out again, in a new epoch.
    pub fn give_back(&self, slot: u32) {
        if let Some(slot) = locked(&self.0).slots.get_mut(slot as usize)
            && slot.status == Status::Withdrawn
        {
            slot.status = Status::Free;
        }
    }

    /// The lease of a slot, if it is leased now.
    pub fn holder(&self, slot: u32) -> Option<Holder> {
        let state = locked(&self.0);
        let slot = state.slots.get(slot as usize).filter(|slot| slot.status == Status::Leased)?;
        slot.last.filter(|last| Instant::now() < last.ends)
    }

    /// The last lease of a slot, whether it is held, has ended, was released or was taken away.
    pub fn last(&self, slot: u32) -> Option<Holder> {
        locked(&self.0).slots.get(slot as usize)?.last
    }

    pub(super) fn preview(&self, wanted: HeadCount) -> Result<Vec<HeadPreview>, IdError> {
        let state = locked(&self.0);
        let slots = state.first(wanted, |_| true).ok_or_else(|| state.exhausted("preview", wanted))?;
        let preview = |slot: u32| HeadPreview::new(slot, identity(slot).1, state.slots[slot as usize].port);
        Ok(slots.into_iter().map(preview).collect())
    }

    pub(super) fn acquire(&self, process: u64, wanted: HeadCount) -> Result<Vec<HeadLease>, IdError> {
        let (mut state, now) = (locked(&self.0), Instant::now());
        let Some(free) = state.first(wanted, |slot| slot.is_free(now)) else {
            let mine = state.slots.iter().filter(|slot| slot.is_held_by(process, now)).count();
            return Err(if state.slots.len() - mine < wanted.get() as usize {
                state.exhausted("acquire", wanted)
            } else {
                IdError::because(IdErrorKind::Held, "acquire", "other processes hold the slots")
            });
        };
        let life = state.life;
        let lease = |number: u32| {
            let slot = &mut state.slots[number as usize];
            slot.epoch += 1;
            slot.status = Status::Leased;
            slot.last = Some(Holder { process, epoch: slot.epoch, ends: now + life });
            let (identity, peer) = identity(number);
            HeadLease::new(number, peer, identity, slot.port).with_epoch(slot.epoch).with_life(life)
        };
        Ok(free.into_iter().map(lease).collect())
    }

    pub(super) fn renew(&self, held: &[HeldSlot]) -> Renewal {
        let (mut state, now) = (locked(&self.0), Instant::now());
        let mut renewal = Renewal::default();
        for told in held {
            match state.renew(told, now) {
                Some(life) => renewal.held.push(Renewed::new(told.slot, Some(life))),
                None => renewal.lost.push(told.slot),
            }
        }
        renewal
    }

    pub(super) fn release(&self, held: &[HeldSlot]) {
        let mut state = locked(&self.0);
        for told in held {
            if let Some(slot) = state.slots.get_mut(told.slot as usize)
                && slot.is_leased_in(told.epoch)
            {
                slot.status = Status::Free;
            }
        }
    }
}

impl State {
    /// The first slots of these, or `None` when there are fewer than wanted.
    fn first(&self, wanted: HeadCount, such: impl Fn(&Slot) -> bool) -> Option<Vec<u32>> {
        let found = (0..).zip(&self.slots).filter(|(_, slot)| such(slot)).map(|(number, _)| number);
        let found: Vec<u32> = found.take(wanted.get() as usize).collect();
        (found.len() == wanted.get() as usize).then_some(found)
    }

    fn exhausted(&self, operation: &'static str, wanted: HeadCount) -> IdError {
        let cause = format!("{wanted} slots are wanted of a fleet of {}", self.slots.len());
        IdError::because(IdErrorKind::Exhausted, operation, cause)
    }

    /// For how long the lease is held from now on; `None` when it is lost.
    fn renew(&mut self, told: &HeldSlot, now: Instant) -> Option<Duration> {
        let (life, lapsed) = (self.life, self.lapsed);
        let slot = self.slots.get_mut(told.slot as usize).filter(|slot| slot.is_leased_in(told.epoch))?;
        let last = slot.last.as_mut()?;
        if last.ends <= now && lapsed == Lapsed::Lost {
            slot.status = Status::Free;
            return None;
        }
        last.ends = last.ends.max(now + life);
        if told.port != 0 && told.port != slot.port {
            let before = std::mem::replace(&mut slot.port, told.port);
            self.swap_port(told.slot, told.port, before);
        }
        Some(life)
    }

    /// Gives the slot whose port was taken by another the other's former port, so that no two have the same (rule I2).
    fn swap_port(&mut self, by: u32, taken: u16, former: u16) {
        let mut others = (0..).zip(&mut self.slots).filter(|(number, _)| *number != by);
        if let Some((_, other)) = others.find(|(_, slot)| slot.port == taken) {
            other.port = former;
        }
    }
}

impl Slot {
    fn is_free(&self, now: Instant) -> bool {
        match self.status {
            Status::Free => true,
            Status::Leased => self.last.is_none_or(|last| last.ends <= now),
            Status::Withdrawn => false,
        }
    }

    fn is_held_by(&self, process: u64, now: Instant) -> bool {
        self.status == Status::Leased
            && self.last.is_some_and(|last| last.process == process && now < last.ends)
    }

    fn is_leased_in(&self, epoch: u64) -> bool {
        self.status == Status::Leased && self.epoch == epoch
    }
}

/// The identity of a slot, the same in every fleet.
fn identity(slot: u32) -> (Identity, PeerId) {
    let mut seed = [0; 32];
    Chance::of(u64::from(slot) ^ 0x1d5).fill(&mut seed);
    let identity = Identity::from_ed25519_seed(seed);
    let keys = libp2p_identity::Keypair::ed25519_from_bytes(seed);
    let id = keys.map(|keys| keys.public().to_peer_id().to_bytes());
    let peer = id.ok().and_then(|id| PeerId::new(&id).ok());
    (identity, peer.unwrap_or_else(|| panic!("any 32 bytes are an Ed25519 seed")))
}
