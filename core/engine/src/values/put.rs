//! The way of a write: bounded, compared with what is known, its signature checked, taken.

use super::Values;
use super::flights::Took;
use super::get::Plan;
use super::judge::{Claim, is_better};
use crate::clock::Now;
use crate::request::{Caller, Distance, Ending};
use crate::sync::add;
use bytes::Bytes;
use hydra_api::{Rung, UnixSeconds, ValueKey, ValueRecord};
use hydra_records::Error;

/// A record that is put again keeps the life that it has for as long as this part of it: so seldom is it written for being put
/// again and again.
const REFRESH_PART: u32 = 4;

/// In this part of its life, the last one, a record that is put again is acknowledged only if it lives on.
const LAST_PART: u32 = 16;

/// What becomes of a PUT_VALUE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The record is the best one that is known, and every read sees it. The answer repeats it (U7).
    Taken,
    /// It is not taken now. The answer has a record without a value, which clients take for "not stored".
    NotNow,
    /// It is none, or a better one is known: the stream is reset (U6).
    Refused,
}

impl Put {
    pub(crate) const fn of(ending: Ending) -> Self {
        match ending {
            Ending::Served => Self::Taken,
            Ending::Refused | Ending::Outdated => Self::Refused,
            _ => Self::NotNow,
        }
    }
}

impl Values {
    /// Takes a record if it is valid and the best one that is known.
    pub(crate) async fn put(
        &self,
        caller: &Caller,
        (key, value): (ValueKey, &Bytes),
        (rung, distance): (Rung, Distance),
        now: Now,
    ) -> Ending {
        if rung == Rung::RoutingOnly || self.is_closing() {
            return Ending::Shed;
        }
        let plan = self.plan((rung, distance));
        let known = self.known(&key, &plan, now);
        if let Some(held) = known.as_ref().and_then(|known| same(known.as_ref(), value, now)) {
            // Repaired again and again: neither a signature is checked nor a statement made.
            return self.refresh(key, held, rung, now);
        }
        if distance == Distance::Far {
            return Ending::Shed;
        }
        let claim = match Claim::parse(&key, value.clone(), now.unix) {
            Ok(claim) => claim,
            Err(why) => return self.refused(&why),
        };
        let stale = self.stale(&key, value, now);
        if stale.is_none() {
            if let Some(ending) = self.hinders(&key, &claim, known.as_ref(), now) {
                return ending;
            }
            // Without what the store has nothing is taken, and no signature is checked in vain, as that of a new record would be.
            if known.is_none() && !plan.waits() {
                return self.ask(key, &plan, now).await.err().unwrap_or(Ending::NoPermit);
            }
            if let Err(ending) = self.check(caller, &claim, now) {
                return ending;
            }
        }
        // The only place where the store is asked: after the signature, so that what anybody makes up costs no statement.
        let held = match known {
            Some(held) => held,
            None => match (self.ask(key, &plan, now).await, stale) {
                (Ok((held, _)), _) => held,
                (Err(_), Some(stale)) => Some(stale),
                (Err(ending), None) => return ending,
            },
        };
        if let Some(held) = same(held.as_ref(), value, now) {
            return self.refresh(key, held, rung, now);
        }
        if let Some(ending) = self.hinders(&key, &claim, Some(&held), now) {
            return ending;
        }
        if is_longer(value, held.as_ref()) && !self.room.admits(now.instant) {
            add(&self.backend.stats.values.dropped_no_room, 1);
            return Ending::NoRoom;
        }
        self.take(key, &claim, held.map(|record| record.value), now)
    }

    /// What a key has, if that is known well enough for this rung.
    fn known(&self, key: &ValueKey, plan: &Plan, now: Now) -> Option<Option<ValueRecord>> {
        let cached = self.flights.find(key).filter(|known| known.is_within(plan.life, now));
        cached.map(|known| known.record).or_else(|| self.flights.taken(key).map(Some))
    }

    /// The record of a key, if it had this value when the store was asked last. Its signature was checked when it was taken, but there
    /// may be a better one by now: it counts only if the store does not answer.
    fn stale(&self, key: &ValueKey, value: &Bytes, now: Now) -> Option<ValueRecord> {
        let cached = self.flights.find(key).filter(|known| known.is_within(self.limits.stale, now))?;
        same(cached.record.as_ref(), value, now).cloned()
    }

    /// Checks the signature, within the budget of the caller's prefix.
    fn check(&self, caller: &Caller, claim: &Claim, now: Now) -> Result<(), Ending> {
        let stats = &self.backend.stats.values;
        if !self.checks.take(caller.address, now.instant) {
            add(&stats.checks_declined, 1);
            // No policy gives back what it took: the record was parsed and compared.
            return Err(Ending::Shed);
        }
        add(&stats.checks, 1);
        claim.verify().map_err(|why| {
            add(&stats.checks_failed, 1);
            self.checks.failed(caller.address);
            self.refused(&why)
        })
    }

    /// Why a record is not taken, as far as is known of its key.
    fn hinders(
        &self,
        key: &ValueKey,
        claim: &Claim,
        known: Option<&Option<ValueRecord>>,
        now: Now,
    ) -> Option<Ending> {
        if self.is_outdated(claim, known) {
            return Some(Ending::Outdated);
        }
        self.lacks_room(key, claim.value(), known, now)
    }

    /// Why a record cannot be taken however good it is: too many wait, or the store has no room for what is new or longer.
    fn lacks_room(
        &self,
        key: &ValueKey,
        value: &Bytes,
        known: Option<&Option<ValueRecord>>,
        now: Now,
    ) -> Option<Ending> {
        let stats = &self.backend.stats.values;
        if self.flights.is_full(key) {
            add(&stats.dropped_queue_full, 1);
            return Some(Ending::QueueFull);
        }
        if is_longer(value, known?.as_ref()) && self.room.is_used_up(now.instant) {
            add(&stats.dropped_no_room, 1);
            return Some(Ending::NoRoom);
        }
        None
    }

    fn is_outdated(&self, claim: &Claim, known: Option<&Option<ValueRecord>>) -> bool {
        let Some(Some(held)) = known else { return false };
        // What has expired without a doubt is nothing.
        if held.expires <= self.clock.sure_date() {
            return false;
        }
        let outdated = held.value != *claim.value() && !claim.is_better_than(&held.value);
        if outdated {
            add(&self.backend.stats.values.outdated, 1);
        }
        outdated
    }

    fn refused(&self, why: &Error) -> Ending {
        tracing::debug!(why = why.reason(), "a value record is refused");
        add(&self.backend.stats.values.refused, 1);
        Ending::Refused
    }

    fn take(&self, key: ValueKey, claim: &Claim, held: Option<Bytes>, now: Now) -> Ending {
        let expires = now.unix.saturating_add(self.limits.value_ttl).min(claim.ends());
        // In memory of its own: the request's frame may be far longer.
        let value = Bytes::copy_from_slice(claim.value());
        let record = ValueRecord { value, received: now.unix, expires };
        let took = self.flights.take(key, record, held, |rival| claim.is_better_than(rival), now.instant);
        let stats = &self.backend.stats.values;
        match took {
            Took::Taken => {
                add(&stats.taken, 1);
                Ending::Served
            }
            Took::Outdated => {
                add(&stats.outdated, 1);
                Ending::Outdated
            }
            Took::Full => {
                add(&stats.dropped_queue_full, 1);
                Ending::QueueFull
            }
            Took::Closed => Ending::Shed,
        }
    }

    /// A record that is held was put again: when much of its life has gone and the node is not busy, it lives on. One that is
    /// about to end is acknowledged only if it does.
    fn refresh(&self, key: ValueKey, held: &ValueRecord, rung: Rung, now: Now) -> Ending {
        let age = now.unix.since(held.received);
        if age >= self.limits.value_ttl / REFRESH_PART
            && let Ok(claim) = Claim::parse(&key, held.value.clone(), now.unix)
        {
            let ending = match rung {
                Rung::Full | Rung::Short => self.take(key, &claim, Some(held.value.clone()), now),
                _ => Ending::Shed,
            };
            let left = held.expires.since(now.unix);
            if ending == Ending::Served
                || (left < self.limits.value_ttl / LAST_PART && claim.ends() > held.expires)
            {
                return ending;
            }
        }
        add(&self.backend.stats.values.equal, 1);
        Ending::Served
    }

    /// Whether a record that was taken is better than a value.
    pub(super) fn prefers(key: &ValueKey, record: &ValueRecord, rival: &[u8], now: UnixSeconds) -> bool {
        is_better(key, &record.value, rival, now)
    }
}

/// Whether a value takes more room than what is held.
fn is_longer(value: &Bytes, held: Option<&ValueRecord>) -> bool {
    value.len() > held.map_or(0, |held| held.value.len())
}

/// The record that is held, if it has this value and is live.
fn same<'r>(held: Option<&'r ValueRecord>, value: &Bytes, now: Now) -> Option<&'r ValueRecord> {
    held.filter(|held| held.value == *value && held.expires > now.unix)
}
