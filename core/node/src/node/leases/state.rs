//! Which leases are held, and what is due when. No I/O; time is an argument.

mod held;

use crate::observe::lease_view::LeaseCounts;
use held::{Held, LIFE_MAX};
use hydra_api::{HeadLease, HeldSlot, Renewal};
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// A lease is renewed after this part of its life, and a call may take this part.
const RENEW_PART: u32 = 3;
/// A renewal that failed is tried again after this part of the life, within [`RETRY_MIN`] and [`RETRY_MAX`].
const RETRY_PART: u32 = 12;
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// The pause after slots could not be acquired, doubled with every failure in a row.
const ACQUIRE_PAUSE: Duration = Duration::from_secs(1);
const ACQUIRE_PAUSE_MAX: Duration = Duration::from_secs(60);
/// The life that counts for the pace of calls while no lease has a life.
const LIFE_NOMINAL: Duration = Duration::from_secs(60);
/// The bounds of a call.
const CALL_MIN: Duration = Duration::from_secs(1);
const CALL_MAX: Duration = Duration::from_secs(30);

/// What the node holds.
#[derive(Debug)]
pub(super) struct Leases {
    /// How many heads the config asks for.
    wanted: usize,
    held: BTreeMap<u32, Held>,
    renew_at: Instant,
    acquire_at: Instant,
    acquire_pause: Duration,
    lost: u64,
    pub(super) expired: u64,
}

impl Leases {
    /// Nothing is held yet, and `wanted` leases are to be.
    pub(super) fn new(wanted: usize, now: Instant) -> Self {
        Self {
            wanted,
            held: BTreeMap::new(),
            renew_at: now + LIFE_MAX,
            acquire_at: now,
            acquire_pause: ACQUIRE_PAUSE,
            lost: 0,
            expired: 0,
        }
    }

    /// The leases, by slot.
    pub(super) fn held(&self) -> &BTreeMap<u32, Held> {
        &self.held
    }

    /// What operators see of the leases.
    pub(super) fn counts(&self, now: Instant) -> LeaseCounts {
        let proven = self.held.values().filter(|held| held.is_proven(now)).count() as u64;
        let first = self.held.values().filter_map(|held| held.remaining(now)).min();
        LeaseCounts {
            wanted: self.wanted as u64,
            proven,
            unproven: self.held.len() as u64 - proven,
            lost: self.lost,
            expired: self.expired,
            first_end: first.map(|left| now + left),
        }
    }

    /// What a renewal or a release is told.
    pub(super) fn slots(&self) -> Vec<HeldSlot> {
        self.held.values().map(|held| held.lease.held_on(held.lease.port)).collect()
    }

    /// The head of a slot listens on this port. A changed port is reported at once.
    pub(super) fn listens_on(&mut self, slot: u32, port: u16, now: Instant) {
        if let Some(held) = self.held.get_mut(&slot)
            && held.lease.port != port
        {
            held.lease.port = port;
            self.renew_at = now;
        }
    }

    /// True when the leases are to be renewed.
    pub(super) fn renewal_is_due(&self, now: Instant) -> bool {
        !self.held.is_empty() && self.renew_at <= now
    }

    /// How many slots are to be acquired now.
    pub(super) fn to_acquire(&self, now: Instant) -> usize {
        if self.acquire_at <= now { self.wanted.saturating_sub(self.held.len()) } else { 0 }
    }

    /// The bound of a call.
    pub(super) fn call_max(&self) -> Duration {
        (self.life() / RENEW_PART).clamp(CALL_MIN, CALL_MAX)
    }

    /// The shortest life.
    fn life(&self) -> Duration {
        let shortest = self.held.values().filter_map(|held| held.lease.life).min();
        shortest.map_or(LIFE_NOMINAL, |life| life.min(LIFE_MAX))
    }

    /// When leases of a call that began then are renewed next.
    fn due(&self, begun: Instant) -> Instant {
        let is_needed = self.held.values().any(|held| held.lease.life.is_some());
        let pause = if is_needed { jittered(self.life() / RENEW_PART).max(RETRY_MIN) } else { LIFE_MAX };
        begun + pause
    }

    /// Notes what a renewal returned, and returns the slots that are lost. Slots that it names without having been asked
    /// stay as they are.
    pub(super) fn on_renewed(
        &mut self,
        asked: &[HeldSlot],
        begun: Instant,
        renewal: &Renewal,
        now: Instant,
    ) -> BTreeSet<u32> {
        let same = |held: &Held, slot: u32| {
            asked.iter().any(|asked| asked.slot == slot && asked.epoch == held.lease.epoch)
        };
        for renewed in &renewal.held {
            if let Some(held) = self.held.get_mut(&renewed.slot)
                && same(held, renewed.slot)
            {
                held.prove(begun, renewed.life, now);
            }
        }
        // A slot whose lease has ended and that the answer leaves out is lost, too: else it would never be acquired again.
        let is_told = |slot: u32| renewal.held.iter().any(|renewed| renewed.slot == slot);
        let left_out = self.held.iter().filter(|(slot, held)| held.expired && !is_told(**slot));
        let left_out: Vec<u32> = left_out.map(|(slot, _)| *slot).collect();
        let is_lost = |slot: &u32| self.held.get(slot).is_some_and(|held| same(held, *slot));
        let told = renewal.lost.iter().copied().chain(left_out);
        let lost: BTreeSet<u32> = told.filter(is_lost).collect();
        for slot in &lost {
            if let Some(held) = self.held.remove(slot) {
                // Another process may serve the identity from now on: the head answers nothing while it stops.
                held.proof.extend(Some(now.into_std()));
            }
            self.lost += 1;
        }
        if !lost.is_empty() {
            // Another process holds them, so to ask at once would be in vain.
            self.acquire_at = self.acquire_at.max(now + jittered(self.acquire_pause));
        }
        // A port that changed while the call was under way is still to be reported.
        let is_reported =
            |slot: HeldSlot| asked.contains(&slot) || !asked.iter().any(|it| it.slot == slot.slot);
        self.renew_at = if self.slots().into_iter().all(is_reported) { self.due(begun) } else { now };
        lost
    }

    /// A renewal failed: it is tried again soon.
    pub(super) fn on_renewal_failed(&mut self, now: Instant) {
        self.renew_at = now + jittered((self.life() / RETRY_PART).clamp(RETRY_MIN, RETRY_MAX));
    }

    /// Notes what a call to acquire returned, and returns what is more than wanted.
    pub(super) fn on_acquired(
        &mut self,
        begun: Instant,
        leases: Vec<HeadLease>,
        now: Instant,
    ) -> Vec<HeldSlot> {
        let surplus = self.take(leases, begun, now);
        if self.held.len() < self.wanted {
            // Fewer than wanted: the rest is not to be had now.
            self.on_acquire_failed(now);
        } else {
            self.acquire_pause = ACQUIRE_PAUSE;
            self.acquire_at = now + ACQUIRE_PAUSE;
        }
        self.renew_at = self.renew_at.min(self.due(begun));
        surplus
    }

    fn take(&mut self, leases: Vec<HeadLease>, begun: Instant, now: Instant) -> Vec<HeldSlot> {
        let mut surplus = Vec::new();
        for mut lease in leases {
            let is_wanted = self.held.len() < self.wanted;
            match self.held.get_mut(&lease.slot) {
                // The slot in a newer epoch, while its head may still run: on the port that it listens on.
                Some(held) if held.lease.epoch < lease.epoch && held.lease.peer == lease.peer => {
                    lease.port = held.lease.port;
                    let life = lease.life;
                    held.lease = lease;
                    held.prove(begun, life, now);
                }
                // Another identity for a slot whose head may run (I1 is broken): the old lease ends by itself.
                Some(held) if held.lease.epoch < lease.epoch => surplus.push(lease.held_on(lease.port)),
                // A slot that was given twice.
                Some(_) => {}
                None if is_wanted => {
                    self.held.insert(lease.slot, Held::new(lease, begun, now));
                }
                None => surplus.push(lease.held_on(lease.port)),
            }
        }
        surplus
    }

    /// Slots could not be acquired: the next try is after a pause that doubles.
    pub(super) fn on_acquire_failed(&mut self, now: Instant) {
        self.acquire_at = now + jittered(self.acquire_pause);
        self.acquire_pause = (2 * self.acquire_pause).min(ACQUIRE_PAUSE_MAX);
    }

    /// The head of a slot could not start: it is tried again after a pause. True if the cause is to be logged.
    pub(super) fn on_start_failed(&mut self, slot: u32, cause: &str, now: Instant) -> bool {
        let Some(held) = self.held.get_mut(&slot) else { return false };
        held.start_at = now + jittered(RETRY_MAX);
        held.start_failures.is_news(cause, now)
    }

    /// The head of a slot has started.
    pub(super) fn on_started(&mut self, slot: u32) {
        if let Some(held) = self.held.get_mut(&slot) {
            let _was_logged = held.start_failures.end();
        }
    }

    /// The slots whose leases have come to their end since the last call without proof of a renewal.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<u32> {
        let unproven = self.held.iter_mut().filter(|(_, held)| !held.expired && !held.is_proven(now));
        let slots: Vec<u32> = unproven
            .map(|(slot, held)| {
                held.expired = true;
                *slot
            })
            .collect();
        self.expired += slots.len() as u64;
        slots
    }

    /// When something is due next, unless a call returns before.
    pub(super) fn next(&self, is_renewing: bool, is_acquiring: bool, now: Instant) -> Instant {
        let renew = (!is_renewing && !self.held.is_empty()).then_some(self.renew_at);
        let acquire = (!is_acquiring && self.held.len() < self.wanted).then_some(self.acquire_at);
        let stop = self.held.values().filter(|held| !held.expired).filter_map(Held::stop_at).min();
        let start = self.held.values().map(|held| held.start_at).filter(|at| *at > now).min();
        [renew, acquire, stop, start].into_iter().flatten().min().unwrap_or(now + LIFE_NOMINAL)
    }
}

/// Between nine tenths and eleven tenths, so that processes that start together do not call together for ever.
fn jittered(length: Duration) -> Duration {
    length.mul_f64(rand::rng().random_range(0.9..1.1))
}
