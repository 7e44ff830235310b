//! Providers by number: a record holds four bytes of its provider, and addresses are kept once.

use crate::room::Room;
use hydra_api::{Addresses, PeerId, UnixSeconds};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Parts with a lock each. A provider's number tells its part in the lowest bits.
const PARTS: u32 = 64;

/// Bytes of a provider beside its addresses: its place in both tables with their slack, and the header of the buffer.
const PROVIDER_BYTES: u64 = 320;

/// A provider and how many records it has.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Addresses,
    pub(crate) addresses_at: UnixSeconds,
    records: u32,
}

/// All providers that have a record.
#[derive(Debug)]
pub(crate) struct Providers {
    parts: Vec<Mutex<Part>>,
    hasher: std::hash::RandomState,
}

#[derive(Debug, Default)]
struct Part {
    numbers: HashMap<PeerId, u32>,
    slots: Vec<Option<Known>>,
    free: Vec<u32>,
}

impl Providers {
    pub(crate) fn new() -> Self {
        let parts = (0..PARTS).map(|_| Mutex::default()).collect();
        Self { parts, hasher: std::hash::RandomState::new() }
    }

    /// Counts a record more of a provider, so that it is not forgotten before the record is stored; its number, or
    /// `None` when it is new.
    pub(crate) fn hold(&self, peer: &PeerId) -> Option<u32> {
        let (number, mut part) = self.part_of(peer);
        part.hold(peer).map(|slot| slot * PARTS + number)
    }

    /// Brings the addresses of a provider up to date.
    pub(crate) fn tell(&self, number: u32, addresses: &Addresses, now: UnixSeconds, room: &Room) {
        let mut part = self.part(number % PARTS);
        if let Some(known) = part.slots.get_mut((number / PARTS) as usize).and_then(Option::as_mut) {
            tell(known, addresses, now, room);
        }
    }

    /// Makes a provider known, with one record; its number, or `None` when there is no room.
    pub(crate) fn add(
        &self,
        peer: &PeerId,
        addresses: &Addresses,
        now: UnixSeconds,
        room: &Room,
    ) -> Option<u32> {
        let (number, mut part) = self.part_of(peer);
        if let Some(slot) = part.hold(peer) {
            return Some(slot * PARTS + number);
        }
        if !room.take(PROVIDER_BYTES + addresses.encoded().len() as u64) {
            return None;
        }
        let known = Known { peer: *peer, addresses: owned(addresses), addresses_at: now, records: 1 };
        let slot = match part.free.pop() {
            Some(slot) => slot,
            None => {
                part.slots.push(None);
                u32::try_from(part.slots.len() - 1).ok()?
            }
        };
        part.slots[slot as usize] = Some(known);
        part.numbers.insert(*peer, slot);
        Some(slot * PARTS + number)
    }

    /// A record less of this provider. After its last one it is forgotten, and its number given to another.
    pub(crate) fn let_go(&self, number: u32, room: &Room) {
        let mut part = self.part(number % PARTS);
        let slot = number / PARTS;
        let Some(known) = part.slots.get_mut(slot as usize).and_then(Option::as_mut) else { return };
        known.records = known.records.saturating_sub(1);
        self.forget_unused(&mut part, slot, room);
    }

    fn forget_unused(&self, part: &mut Part, slot: u32, room: &Room) {
        let Some(place) = part.slots.get_mut(slot as usize) else { return };
        if let Some(known) = place.take_if(|known| known.records == 0) {
            room.give_back(PROVIDER_BYTES + known.addresses.encoded().len() as u64);
            part.numbers.remove(&known.peer);
            part.free.push(slot);
        }
    }

    /// The number of a provider that has a record.
    pub(crate) fn number(&self, peer: &PeerId) -> Option<u32> {
        let (number, part) = self.part_of(peer);
        part.numbers.get(peer).map(|slot| slot * PARTS + number)
    }

    /// What is known of a provider.
    pub(crate) fn find(&self, number: u32) -> Option<Known> {
        self.part(number % PARTS).slots.get((number / PARTS) as usize)?.clone()
    }

    fn part_of(&self, peer: &PeerId) -> (u32, MutexGuard<'_, Part>) {
        let number = (self.hasher.hash_one(peer) % u64::from(PARTS)) as u32;
        (number, self.part(number))
    }

    fn part(&self, number: u32) -> MutexGuard<'_, Part> {
        self.parts[number as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn hold(&mut self, peer: &PeerId) -> Option<u32> {
        let slot = *self.numbers.get(peer)?;
        let known = self.slots.get_mut(slot as usize)?.as_mut()?;
        known.records += 1;
        Some(slot)
    }
}

/// The last addresses told replace the earlier ones. Longer ones are not taken when there is no room for them.
fn tell(known: &mut Known, addresses: &Addresses, now: UnixSeconds, room: &Room) {
    if addresses.is_empty() {
        return;
    }
    if known.addresses != *addresses {
        let (before, after) = (known.addresses.encoded().len() as u64, addresses.encoded().len() as u64);
        if after > before && !room.take(after - before) {
            return;
        }
        room.give_back(before.saturating_sub(after));
        known.addresses = owned(addresses);
    }
    known.addresses_at = now;
}

/// A copy in a buffer of its own: the one that came in may be part of a whole message.
fn owned(addresses: &Addresses) -> Addresses {
    let copy = bytes::Bytes::copy_from_slice(addresses.encoded());
    Addresses::from_encoded(copy).unwrap_or_default()
}
