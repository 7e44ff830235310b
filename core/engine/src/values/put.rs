//! The way of a write: bounded, compared with what is known, its signature checked, taken.

use super::Values;
use super::book::Took;
use super::cache::Known;
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

/// What becomes of a PUT_VALUE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The record is the best one that is known, and every read sees it. The answer repeats it (U7).
    Taken,
    /// It is not taken now. The answer has no record, which a client takes for "not stored".
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
        let stats = &self.backend.stats.values;
        if rung == Rung::RoutingOnly || self.is_closing() {
            return Ending::Shed;
        }
        let plan = self.plan((rung, distance));
        let cached = self.book.find(&key);
        if let Some(held) = self.holds(&key, cached.as_ref(), value, now) {
            // Repaired again and again: neither a signature is checked nor a statement made.
            return self.refresh(key, &held, rung, now);
        }
        if distance == Distance::Far {
            return Ending::Shed;
        }
        let known = cached.filter(|known| known.is_within(plan.life, now));
        let mut known = known.map(|known| known.record).or_else(|| self.book.taken(&key).map(Some));
        let claim = match Claim::parse(&key, value.clone(), now.unix) {
            Ok(claim) => claim,
            Err(why) => return self.refused(&why),
        };
        if self.is_outdated(&claim, known.as_ref()) {
            return Ending::Outdated;
        }
        // Without what the store has nothing is taken, and no signature is checked in vain, as that of a new record would be.
        if known.is_none() && !plan.waits() {
            return self.ask(key, &plan, now).await.err().unwrap_or(Ending::NoPermit);
        }
        if known.is_none() && self.room.is_used_up(now.instant) {
            known = match self.ask(key, &plan, now).await {
                Ok((record, _)) => Some(record),
                Err(ending) => return ending,
            };
        }
        if let Some(ending) = self.lacks_room(value, known.as_ref(), now) {
            return ending;
        }
        if !self.checks.take(caller.address, now.instant) {
            add(&stats.checks_declined, 1);
            return Ending::Declined;
        }
        add(&stats.checks, 1);
        if let Err(why) = claim.verify() {
            add(&stats.checks_failed, 1);
            self.checks.failed(caller.address);
            return self.refused(&why);
        }
        if known.is_none() {
            match self.ask(key, &plan, now).await {
                Ok((Some(held), _)) if held.value == *value => return self.refresh(key, &held, rung, now),
                Ok((record, _)) => known = Some(record),
                Err(ending) => return ending,
            }
        }
        if self.is_outdated(&claim, known.as_ref()) {
            return Ending::Outdated;
        }
        if let Some(ending) = self.lacks_room(value, known.as_ref(), now) {
            return ending;
        }
        let held = known.flatten().map(|record| record.value);
        self.take(key, &claim, held, now)
    }

    /// The record that is held, if it has this value. An older answer of the store serves as well: it is compared again when it is
    /// written.
    fn holds(&self, key: &ValueKey, cached: Option<&Known>, value: &Bytes, now: Now) -> Option<ValueRecord> {
        let cached = cached.filter(|known| known.is_within(self.limits.stale, now));
        let held = cached.and_then(|known| known.record.clone()).or_else(|| self.book.taken(key))?;
        (held.value == *value && held.expires > now.unix).then_some(held)
    }

    /// Why a record cannot be taken however good it is: too many wait, or the store has no room for what is new or longer.
    fn lacks_room(&self, value: &Bytes, known: Option<&Option<ValueRecord>>, now: Now) -> Option<Ending> {
        let stats = &self.backend.stats.values;
        if self.book.is_full() {
            add(&stats.dropped_queue_full, 1);
            return Some(Ending::QueueFull);
        }
        let held = known?.as_ref().map_or(0, |held| held.value.len());
        if value.len() > held && self.room.is_used_up(now.instant) {
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
        let took = self.book.take(key, record, held, |rival| claim.is_better_than(rival), now.instant);
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

    /// A record that is held was put again: when much of its life has gone and the node is not busy, it lives on.
    fn refresh(&self, key: ValueKey, held: &ValueRecord, rung: Rung, now: Now) -> Ending {
        add(&self.backend.stats.values.equal, 1);
        let age = now.unix.since(held.received);
        if age >= self.limits.value_ttl / REFRESH_PART
            && rung < Rung::Stale
            && let Ok(claim) = Claim::parse(&key, held.value.clone(), now.unix)
        {
            // It is held in any case.
            self.take(key, &claim, Some(held.value.clone()), now);
        }
        Ending::Served
    }

    /// Whether a record that was taken is better than a value.
    pub(super) fn prefers(key: &ValueKey, record: &ValueRecord, rival: &[u8], now: UnixSeconds) -> bool {
        is_better(key, &record.value, rival, now)
    }
}
