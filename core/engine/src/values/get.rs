//! The way of a read: what is known, else a flight of the key, else closer peers alone.

use super::Values;
use super::cache::Known;
use super::flights::{Flight, Joined};
use crate::clock::Now;
use crate::config::Life;
use crate::request::{Distance, Ending, Source};
use crate::store::Lane;
use crate::sync::add;
use hydra_api::{Rung, ValueKey, ValueRecord};
use std::time::Duration;
use tokio::time::timeout_at;

/// What there is to answer to a GET_VALUE, closer peers aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueReply {
    /// The best record that is known; nothing when there is none, or the store was not asked.
    pub record: Option<ValueRecord>,
    /// How the request ended.
    pub ending: Ending,
    /// Where the answer comes from.
    pub source: Source,
    /// The rung on which it was served.
    pub rung: Rung,
}

impl ValueReply {
    pub(crate) const fn nothing(ending: Ending, rung: Rung) -> Self {
        Self { record: None, ending, source: Source::Nothing, rung }
    }
}

/// How a read is made on a rung.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) life: Life,
    asks: Asks,
    deadline: Duration,
}

/// What a read that the cache does not answer wants of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Waits,
    /// That its key is read by one of the next calls: the request does not wait for it.
    AtOnce,
    Never,
}

impl Values {
    /// The best record of a key, as far as this rung goes at this distance.
    pub(crate) async fn get(
        &self,
        key: ValueKey,
        (rung, distance): (Rung, Distance),
        now: Now,
    ) -> ValueReply {
        if rung == Rung::RoutingOnly {
            return ValueReply::nothing(Ending::Shed, rung);
        }
        let plan = self.plan((rung, distance));
        let stats = &self.backend.stats.values;
        let known = self.flights.find(&key);
        if let Some(known) = known.as_ref().filter(|known| known.is_within(plan.life, now)) {
            add(&stats.hits, 1);
            return ValueReply::of(known.record.clone(), Source::Cache, rung, now);
        }
        add(&stats.misses, 1);
        match self.ask(key, &plan, now).await {
            Ok((record, source)) => ValueReply::of(record, source, rung, self.clock.read()),
            Err(ending) => {
                // Older than it is given while the store answers, and what waits to be written.
                let stale = known.filter(|known| known.is_within(self.limits.stale, now));
                let taken = || self.flights.taken(&key).map(|record| (Some(record), Source::WriteQueue));
                let known = stale.map(|known| (known.record, Source::StaleCache)).or_else(taken);
                match known {
                    Some((record @ Some(_), source)) => {
                        ValueReply::of(record, source, rung.max(Rung::Stale), self.clock.read())
                    }
                    _ => ValueReply::nothing(ending, rung),
                }
            }
        }
    }

    pub(super) fn plan(&self, (rung, distance): (Rung, Distance)) -> Plan {
        let limits = &self.limits;
        let plan = match rung {
            Rung::Full => Plan { life: limits.fresh, asks: Asks::Waits, deadline: limits.soft_deadline },
            Rung::Short => Plan { life: limits.fresh, asks: Asks::Waits, deadline: limits.short_deadline },
            Rung::Stale => Plan { life: limits.stale, asks: Asks::AtOnce, deadline: limits.short_deadline },
            Rung::NearOnly if distance == Distance::Near => {
                Plan { life: limits.stale, asks: Asks::AtOnce, deadline: limits.short_deadline }
            }
            _ => Plan { life: limits.stale, asks: Asks::Never, deadline: limits.short_deadline },
        };
        // No store call comes before the next probe.
        let is_paused = self.backend.breaker.is_open(Lane::ValueReads) && plan.asks == Asks::Waits;
        Plan { asks: if is_paused { Asks::AtOnce } else { plan.asks }, ..plan }
    }

    /// What the store has, or waits to be written to it.
    ///
    /// # Errors
    /// Why it is not known.
    pub(super) async fn ask(
        &self,
        key: ValueKey,
        plan: &Plan,
        now: Now,
    ) -> Result<(Option<ValueRecord>, Source), Ending> {
        if plan.asks == Asks::Never {
            return Err(Ending::Shed);
        }
        let suffices = |known: &Known| known.is_within(plan.life, now);
        let flight = match self.flights.join(key, suffices, |oldest| self.deny(oldest)) {
            Joined::Known(record) => return Ok((record, Source::Shared)),
            Joined::Taken(record) => return Ok((Some(record), Source::WriteQueue)),
            Joined::Flight(flight) => flight,
        };
        if plan.asks == Asks::AtOnce {
            let is_paused = self.backend.breaker.is_open(Lane::ValueReads);
            return Err(if is_paused { Ending::StoreFailed } else { Ending::NoPermit });
        }
        self.landed(&flight, plan, now).await.map(|record| (record, Source::Store))
    }

    /// Counts a flight as one that got no permit in time, once.
    fn deny(&self, flight: &Flight) {
        if flight.deny() {
            add(&self.backend.stats.values.denied, 1);
        }
    }

    /// Waits for a flight: for a permit a short time, then for the store until the deadline.
    async fn landed(&self, flight: &Flight, plan: &Plan, now: Now) -> Result<Option<ValueRecord>, Ending> {
        let deadline = now.instant + plan.deadline;
        let permit_until = deadline.min(now.instant + self.limits.waiting);
        if let Ok(landing) = timeout_at(permit_until.into(), flight.landed()).await {
            return landing;
        }
        if !flight.has_departed() {
            self.deny(flight);
            return Err(Ending::NoPermit);
        }
        timeout_at(deadline.into(), flight.landed()).await.unwrap_or(Err(Ending::Late))
    }
}

impl Plan {
    /// Whether it waits for the store.
    pub(super) fn waits(&self) -> bool {
        self.asks == Asks::Waits
    }
}

impl Known {
    pub(super) fn is_within(&self, life: Life, now: Now) -> bool {
        let age = now.instant.saturating_duration_since(self.at);
        age <= if self.record.is_some() { life.present } else { life.absent }
    }
}

impl ValueReply {
    /// An answer. What has expired since is none.
    fn of(record: Option<ValueRecord>, source: Source, rung: Rung, now: Now) -> Self {
        let record = record.filter(|record| record.expires > now.unix);
        Self { record, ending: Ending::Served, source, rung }
    }
}
