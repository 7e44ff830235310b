//! The way of a read: what is kept, else a reading that is shared with all who ask for the key, else closer peers alone.

use crate::answer::Answer;
use crate::config::{Life, Limits};
use crate::core::Core;
use crate::desk::{Ended, Found, Source};
use crate::flights::{Aboard, Departure, Flight, Joined, Landing, Lead, Standing};
use crate::gate::Permit;
use crate::key::{self, Form};
use crate::stats::StoreCall;
use crate::{statement, trace};
use hydra_api::{ContentKey, Rung};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::time::timeout_at;
use tracing::{Instrument, Span};

/// How a read is made on a rung.
struct Plan {
    rung: Rung,
    answer_len: NonZeroU32,
    /// For how long what is kept is given instead of asking the store.
    life: Life,
    /// How the store is asked; not at all when there is nothing.
    asking: Option<Asking>,
    deadline: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Asking {
    /// When a permit comes within the time that a read may wait.
    Waiting,
    /// When a permit is free.
    AtOnce,
}

impl Plan {
    /// Nothing on the rung of full decline.
    fn on(rung: Rung, limits: &Limits) -> Option<Self> {
        let (answer_len, life, asking, deadline) = match rung {
            Rung::Full => (limits.answer_len, limits.fresh, Some(Asking::Waiting), limits.soft_deadline),
            Rung::Short => {
                (limits.short_answer_len, limits.fresh, Some(Asking::Waiting), limits.short_deadline)
            }
            Rung::Stale | Rung::NearOnly => {
                (limits.short_answer_len, limits.stale, Some(Asking::AtOnce), limits.short_deadline)
            }
            Rung::CacheOnly => (limits.short_answer_len, limits.stale, None, limits.short_deadline),
            Rung::RoutingOnly => return None,
        };
        Some(Self { rung, answer_len, life, asking, deadline })
    }
}

impl Core {
    /// Reads the providers of a key, as well as this rung allows.
    pub(crate) async fn read(&self, key: ContentKey, rung: Rung, started: Instant, span: &Span) -> Found {
        if key::form(key.as_bytes()) == Form::Identity {
            return Found::nothing(Ended::NotKept, rung);
        }
        let Some(plan) = Plan::on(rung, &self.limits) else {
            return Found::nothing(Ended::Declined, rung);
        };
        if let Some(answer) = self.kept(&key, &plan, plan.life) {
            return self.hit(&answer, &plan);
        }
        let Some(asking) = plan.asking else {
            add(&self.stats.reads.misses, 1);
            return Found::nothing(Ended::Declined, rung);
        };
        let mut call = None;
        let (ended, source) = self.reading(key, &plan, asking, started, span, &mut call).await;
        let found = match ended {
            Ok(answer) if source == Source::Cache => self.hit(&answer, &plan),
            Ok(answer) => self.found(&answer, &plan, source),
            // The store has not answered: the next thing that there is, before nothing.
            Err(ended) => match self.kept(&key, &plan, self.limits.stale) {
                Some(answer) => self.hit(&answer, &Plan { rung: rung.max(Rung::Stale), ..plan }),
                None => Found::nothing(ended, rung),
            },
        };
        Found { call, ..found }
    }

    /// What is kept of a key, if it is good enough.
    fn kept(&self, key: &ContentKey, plan: &Plan, life: Life) -> Option<Arc<Answer>> {
        let now = self.clock.now();
        let answer = self.flights.cache().find(key)?;
        (answer.is_within(life, now) && answer.suffices(plan.answer_len)).then_some(answer)
    }

    fn hit(&self, answer: &Answer, plan: &Plan) -> Found {
        let reads = &self.stats.reads;
        let (counter, source) = if !answer.is_within(self.limits.fresh, self.clock.now()) {
            (&reads.stale_hits, Source::StaleCache)
        } else if answer.is_absent() {
            (&reads.absent_hits, Source::Cache)
        } else {
            (&reads.hits, Source::Cache)
        };
        add(counter, 1);
        self.found(answer, plan, source)
    }

    fn found(&self, answer: &Answer, plan: &Plan, source: Source) -> Found {
        let providers = answer.serve(plan.answer_len, self.clock.unix());
        Found { providers, rung: plan.rung, ended: Ended::Full, source, call: None }
    }

    /// Joins the reading of the key, or sees to one. Where its leader gives up, one of those who followed takes the
    /// lead, as long as it may wait for its turn itself.
    async fn reading(
        &self,
        key: ContentKey,
        plan: &Plan,
        asking: Asking,
        started: Instant,
        span: &Span,
        call: &mut Option<Departure>,
    ) -> (Result<Arc<Answer>, Ended>, Source) {
        let deadline = tokio::time::Instant::from_std(started + plan.deadline);
        let line_until = started + self.limits.waiting;
        let now = self.clock.now();
        let good = |answer: &Answer| answer.is_within(plan.life, now) && answer.suffices(plan.answer_len);
        let mut missed = false;
        loop {
            let joined = self.flights.join(key, plan.answer_len, good);
            if !matches!(joined, Joined::Known(_)) && !std::mem::replace(&mut missed, true) {
                add(&self.stats.reads.misses, 1);
            }
            let (flight, source) = match joined {
                Joined::Known(answer) => return (Ok(answer), Source::Cache),
                Joined::Full => return (Err(Ended::NoPermit), Source::Nothing),
                Joined::Follow(flight) => {
                    add(&self.stats.reads.coalesced, 1);
                    (flight, Source::Shared)
                }
                Joined::Lead(lead) => {
                    let flight = lead.flight.clone();
                    if !self.depart(lead, asking, line_until, span).await {
                        return (Err(Ended::NoPermit), Source::Nothing);
                    }
                    (flight, Source::Store)
                }
            };
            let landed = timeout_at(deadline, flight.landing()).await;
            let standing = match &landed {
                Err(_) | Ok(Landing::CalledOff) => Standing::UnderWay,
                Ok(Landing::Answer(_)) => Standing::Answered,
                Ok(Landing::Failed) => Standing::Failed,
            };
            *call = flight.departure().map(|departure| Departure { standing, ..departure });
            match landed {
                Err(_) => return (Err(Ended::Late), Source::Nothing),
                Ok(Landing::Answer(answer)) => return (Ok(answer), source),
                Ok(Landing::Failed) => return (Err(Ended::StoreFailed), Source::Nothing),
                Ok(Landing::CalledOff) if self.clock.now() < line_until => {}
                Ok(Landing::CalledOff) => return (Err(Ended::NoPermit), Source::Nothing),
            }
        }
    }

    /// Whether the reading has departed: under a permit of its own, or taken along by another one.
    async fn depart(&self, lead: Lead<'_>, asking: Asking, until: Instant, span: &Span) -> bool {
        add(&self.stats.reads.wanted, 1);
        lead.flight.traced(span);
        let permit = match asking {
            Asking::AtOnce => self.gate.try_acquire(),
            Asking::Waiting => {
                let waiting = trace::waiting(span);
                self.gate.acquire(until.into(), &lead.flight).instrument(waiting).await
            }
        };
        match permit {
            Some(permit) => self.start_read(permit, lead.flight.clone()),
            None if lead.flight.has_departed() => {}
            None => {
                add(&self.stats.reads.denied, 1);
                return false;
            }
        }
        true
    }

    /// Starts one statement for this reading and all that wait in line, as far as one call may go.
    fn start_read(&self, permit: Permit, first: Arc<Flight>) {
        let asked_at = self.clock.now();
        first.depart();
        let mut aboard = vec![first];
        aboard.extend(self.gate.take_along(self.limits.batch_len - 1));
        let len_max = aboard.iter().map(|flight| flight.len_max).max().unwrap_or(NonZeroU32::MIN);
        let keys: Vec<ContentKey> = aboard.iter().map(|flight| flight.key).collect();
        let departure = Departure { at: asked_at, keys: keys.len() as u32, standing: Standing::UnderWay };
        let requests: Vec<Span> = aboard.iter().filter_map(|flight| flight.call(departure)).collect();
        let span = trace::reading(self, &requests, keys.len());
        add(&self.stats.reads.statements, 1);
        if keys.len() > 1 {
            add(&self.stats.reads.batched, keys.len() as u64);
        }
        let aboard = Aboard { flights: self.flights.clone(), aboard };
        let (store, now) = (self.store.clone(), self.clock.unix());
        let call = async move {
            let answers = store.providers(&keys, now, len_max).await?;
            aboard.land(answers.into_iter().map(|providers| Answer::new(providers, len_max, asked_at)));
            Ok(())
        };
        // Nobody waits for the statement itself: it lands whoever is still there.
        drop(statement::start(permit, &self.stats, StoreCall::Providers, span, call));
    }
}

fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}
