//! The admission policies, asked in order and joined by the most severe verdict.

use crate::clock::monotonic;
use crate::tally::{Tally, Verdicts};
use hydra_api::{AdmissionPolicy, Load, Operation, Outcome, Request, Rung, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A policy, the name by which counters, traces and logs call it, and whether it acts.
#[derive(Debug, Clone)]
pub struct NamedPolicy {
    /// Its name.
    pub name: String,
    /// Whether its verdicts count.
    pub mode: PolicyMode,
    /// The policy.
    pub policy: Arc<dyn AdmissionPolicy>,
}

/// Whether the verdicts of a policy count.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PolicyMode {
    /// They do.
    #[default]
    Enforce,
    /// They are counted alone: requests are served as if the policy were not there.
    Shadow,
}

impl PolicyMode {
    /// The word for it in config, metrics and traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

/// The admission policies of a node, narrow before wide.
pub struct Chain {
    links: Box<[Link]>,
    /// Requests about which the policies were asked, counted after their verdicts: what is left when these are taken
    /// off is never more than was admitted.
    asked: AtomicU64,
    abandoned: [[AtomicU64; Rung::ALL.len()]; Operation::ALL.len()],
}

struct Link {
    name: String,
    mode: PolicyMode,
    policy: Arc<dyn AdmissionPolicy>,
    tally: Tally,
}

/// What the chain says of a request.
#[derive(Debug)]
pub enum Decision<'a> {
    /// Serve it; the ticket says on which rung, and sees to it that the policies hear of the end.
    Admitted(Ticket<'a>),
    /// Answer with closer peers alone. Nothing is left to be settled.
    Declined(Judged<'a>),
}

/// The most severe verdict of the policies that act, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged<'a> {
    /// The verdict.
    pub verdict: Verdict,
    /// The name of the policy that said so; `None` when all have admitted the request.
    pub policy: Option<&'a str>,
}

impl Chain {
    /// How many policies a chain may have.
    pub const LEN_MAX: usize = u64::BITS as usize;

    /// A chain that asks these policies in this order.
    ///
    /// # Panics
    /// When there are more than [`Self::LEN_MAX`].
    pub fn new(policies: Vec<NamedPolicy>) -> Self {
        assert!(policies.len() <= Self::LEN_MAX, "a chain has at most {} policies", Self::LEN_MAX);
        let link = |NamedPolicy { name, mode, policy }| Link { name, mode, policy, tally: Tally::default() };
        Self {
            links: policies.into_iter().map(link).collect(),
            asked: AtomicU64::new(0),
            abandoned: Default::default(),
        }
    }

    /// Asks the policies. The first that declines and acts ends the asking; those before it get back what they took.
    pub fn admit<'a>(&'a self, request: Request<'a>, load: &Load, now: Instant) -> Decision<'a> {
        // The guard stands before the first policy is asked: one that panics leaves none of the others unsettled.
        let mut ticket = Ticket {
            chain: self,
            request,
            started: now,
            rung: Rung::Full,
            degraded_by: 0,
            asked: 0,
            passed_over: 0,
            admitted: false,
        };
        for link in &self.links {
            let verdict = link.policy.admit(&ticket.request, load, now);
            link.tally.count(verdict);
            match (verdict, link.mode) {
                (Verdict::Decline(_), PolicyMode::Enforce) => {
                    ticket.tell(&Outcome::NeverStarted, now);
                    self.asked.fetch_add(1, Ordering::Relaxed);
                    return Decision::Declined(Judged { verdict, policy: Some(&link.name) });
                }
                // Who has declined took nothing and is told of no end (A5), though the request goes on.
                (Verdict::Decline(_), PolicyMode::Shadow) => ticket.passed_over |= 1 << ticket.asked,
                (Verdict::Degrade(rung), PolicyMode::Enforce) if rung > ticket.rung => {
                    (ticket.rung, ticket.degraded_by) = (rung, ticket.asked);
                }
                (Verdict::Degrade(_) | Verdict::Admit, PolicyMode::Enforce | PolicyMode::Shadow) => {}
            }
            ticket.asked += 1;
        }
        ticket.admitted = true;
        self.asked.fetch_add(1, Ordering::Relaxed);
        Decision::Admitted(ticket)
    }

    /// How often each policy gave which verdict. Those that it has not given are left out, but for admit.
    pub fn verdicts(&self) -> Vec<Verdicts> {
        let mut asked = self.asked.load(Ordering::Relaxed);
        let mut lines = Vec::new();
        for link in &self.links {
            lines.extend(link.tally.read(&link.name, link.mode, asked));
            if link.mode == PolicyMode::Enforce {
                asked = asked.saturating_sub(link.tally.declined());
            }
        }
        lines
    }

    /// How many requests of this kind, admitted on this rung, went away before they were answered.
    pub fn abandoned(&self, operation: Operation, rung: Rung) -> u64 {
        self.abandoned[operation as usize][rung as usize].load(Ordering::Relaxed)
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
    /// Which policy said so, unless the rung is that of full service.
    degraded_by: usize,
    /// How many policies, from the first, have still to hear of the end.
    asked: usize,
    /// Those of them, a bit each, that are not to hear of it after all.
    passed_over: u64,
    admitted: bool,
}

impl<'a> Ticket<'a> {
    /// The rung on which the policies want it served.
    pub const fn rung(&self) -> Rung {
        self.rung
    }

    /// What the policies have said of it.
    pub fn judged(&self) -> Judged<'a> {
        match self.rung {
            Rung::Full => Judged { verdict: Verdict::Admit, policy: None },
            rung => Judged {
                verdict: Verdict::Degrade(rung),
                policy: Some(&self.chain.links[self.degraded_by].name),
            },
        }
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
            if self.passed_over & (1 << last) == 0 {
                self.chain.links[last].policy.settle(&self.request, outcome, now);
            }
        }
        self.admitted = false;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.admitted {
            let counts = &self.chain.abandoned[self.request.operation as usize];
            counts[self.rung as usize].fetch_add(1, Ordering::Relaxed);
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
