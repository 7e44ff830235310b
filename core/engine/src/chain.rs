//! The admission policies, asked in order and joined by the most severe verdict.

use crate::clock::monotonic;
use hydra_api::{AdmissionPolicy, Load, Operation, Outcome, Reason, Request, Rung, Verdict};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// A policy and the name by which counters and logs call it.
#[derive(Debug, Clone)]
pub struct NamedPolicy {
    /// Its name.
    pub name: String,
    /// The policy.
    pub policy: Arc<dyn AdmissionPolicy>,
}

/// The admission policies of a node, narrow before wide.
pub struct Chain {
    links: Box<[Link]>,
    abandoned: [AtomicU64; Operation::ALL.len()],
}

struct Link {
    name: String,
    policy: Arc<dyn AdmissionPolicy>,
    declines: [(OnceLock<Reason>, AtomicU64); REASONS_MAX],
    other: AtomicU64,
}

/// How many reasons of one policy are counted apart; further ones are counted as one. A policy has few.
const REASONS_MAX: usize = 8;

/// What the chain says of a request.
#[derive(Debug)]
pub enum Decision<'a> {
    /// Serve it; the ticket says on which rung, and sees to it that the policies hear of the end.
    Admitted(Ticket<'a>),
    /// Answer with closer peers alone. Nothing is left to be settled.
    Declined(Reason),
}

impl Chain {
    /// A chain that asks these policies in this order.
    pub fn new(policies: Vec<NamedPolicy>) -> Self {
        let link = |NamedPolicy { name, policy }| Link {
            name,
            policy,
            declines: Default::default(),
            other: AtomicU64::new(0),
        };
        Self { links: policies.into_iter().map(link).collect(), abandoned: Default::default() }
    }

    /// Asks the policies. The first that declines ends the asking; those before it get back what they took.
    pub fn admit<'a>(&'a self, request: Request<'a>, load: &Load, now: Instant) -> Decision<'a> {
        // The guard stands before the first policy is asked: one that panics leaves none of the others unsettled.
        let mut ticket =
            Ticket { chain: self, request, started: now, rung: Rung::Full, asked: 0, admitted: false };
        let mut verdict = Verdict::Admit;
        for link in &self.links {
            verdict = verdict.max(link.policy.admit(&ticket.request, load, now));
            if let Verdict::Decline(reason) = verdict {
                link.count(reason);
                ticket.tell(&Outcome::NeverStarted, now);
                return Decision::Declined(reason);
            }
            ticket.asked += 1;
        }
        if let Verdict::Degrade(rung) = verdict {
            ticket.rung = rung;
        }
        ticket.admitted = true;
        Decision::Admitted(ticket)
    }

    /// Each policy's declines by reason, those beyond the first eight reasons as "other".
    pub fn declines(&self) -> impl Iterator<Item = (&str, &'static str, u64)> {
        self.links.iter().flat_map(|link| {
            let other = link.other.load(Ordering::Relaxed);
            let named = link.declines.iter().filter_map(|(reason, count)| {
                Some((link.name.as_str(), reason.get()?.0, count.load(Ordering::Relaxed)))
            });
            named.chain((other > 0).then_some((link.name.as_str(), "other", other)))
        })
    }

    /// How many admitted requests of this kind went away before they were answered.
    pub fn abandoned(&self, operation: Operation) -> u64 {
        self.abandoned[operation as usize].load(Ordering::Relaxed)
    }
}

impl Link {
    fn count(&self, reason: Reason) {
        for (known, count) in &self.declines {
            if *known.get_or_init(|| reason) == reason {
                count.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.other.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.links.iter().map(|link| &link.policy)).finish()
    }
}

/// An admitted request. Dropped without [`Ticket::settle`] it counts as abandoned.
#[must_use = "dropping it tells the policies that the client went away"]
pub struct Ticket<'a> {
    chain: &'a Chain,
    request: Request<'a>,
    started: Instant,
    rung: Rung,
    /// How many policies, from the first, have still to hear of the end.
    asked: usize,
    admitted: bool,
}

impl Ticket<'_> {
    /// The rung on which the policies want it served.
    pub const fn rung(&self) -> Rung {
        self.rung
    }

    /// When it came in.
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Tells every policy how the request has ended.
    pub fn settle(mut self, outcome: &Outcome, now: Instant) {
        self.tell(outcome, now);
    }

    /// Tells those that have not heard yet. Each is taken off the list first: one that panics is not told twice, and
    /// the drop tells the rest.
    fn tell(&mut self, outcome: &Outcome, now: Instant) {
        while let Some(last) = self.asked.checked_sub(1) {
            self.asked = last;
            self.chain.links[last].policy.settle(&self.request, outcome, now);
        }
        self.admitted = false;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.admitted {
            self.chain.abandoned[self.request.operation as usize].fetch_add(1, Ordering::Relaxed);
        }
        if self.asked > 0 {
            let outcome = if self.admitted { Outcome::Abandoned } else { Outcome::NeverStarted };
            self.tell(&outcome, monotonic());
        }
    }
}

impl fmt::Debug for Ticket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("request", &self.request)
            .field("rung", &self.rung)
            .finish_non_exhaustive()
    }
}
