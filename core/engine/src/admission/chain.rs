//! The admission policies, asked in order and joined by the most severe verdict.

use super::mode::PolicyMode;
use super::tally::{Tally, Verdicts};
use crate::clock::monotonic;
use crate::sync::{Striped, add};
use hydra_api::{AdmissionPolicy, Judgement, Load, Operation, Outcome, Request, Rung, Token, Verdict};
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

/// A policy, its name in counters, traces and logs, and whether its verdicts are acted on.
#[derive(Debug, Clone)]
pub struct NamedPolicy {
    /// Its name.
    pub name: String,
    /// Whether its verdicts are acted on.
    pub mode: PolicyMode,
    /// The policy.
    pub policy: Arc<dyn AdmissionPolicy>,
}

/// The admission policies of a node, narrow before wide.
pub struct Chain {
    links: Box<[Link]>,
    counts: Striped<Counts>,
}

/// What is counted of all policies together.
#[derive(Debug, Default)]
struct Counts {
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
#[expect(
    clippy::large_enum_variant,
    reason = "a ticket lives on the stack of its request: admission allocates nothing"
)]
pub enum Decision<'a> {
    /// Serve it; the ticket says on which rung, and tells the policies the end.
    Admitted(Ticket<'a>),
    /// Answer with closer peers alone. Nothing is left to be settled.
    Declined(Judged<'a>),
}

/// The most severe verdict of the policies that are acted on, and which policy gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged<'a> {
    /// The verdict.
    pub verdict: Verdict,
    /// The name of the policy; `None` when all have admitted the request.
    pub policy: Option<&'a str>,
    /// Why it was declined, or the rung to which it was degraded.
    pub reason: Option<&'a str>,
}

impl Judged<'_> {
    /// What a request has that every policy admits.
    pub const ADMITTED: Self = Self { verdict: Verdict::Admit, policy: None, reason: None };

    /// `admit`, `degrade` or `decline`.
    pub const fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Admit => "admit",
            Verdict::Degrade(_) => "degrade",
            Verdict::Decline(_) => "decline",
        }
    }
}

impl Chain {
    /// How many policies a chain may have.
    pub const LEN_MAX: usize = 16;

    /// A chain that asks these policies in this order.
    ///
    /// # Panics
    /// When there are more than [`Self::LEN_MAX`].
    pub fn new(policies: Vec<NamedPolicy>) -> Self {
        assert!(policies.len() <= Self::LEN_MAX, "a chain has at most {} policies", Self::LEN_MAX);
        let link = |NamedPolicy { name, mode, policy }| {
            let reasons = catch_unwind(AssertUnwindSafe(|| policy.reasons())).unwrap_or_default();
            Link { name, mode, policy, tally: Tally::new(reasons.into_iter().map(Cow::into_owned)) }
        };
        Self { links: policies.into_iter().map(link).collect(), counts: Striped::default() }
    }

    /// Asks the policies. The first that declines and is acted on ends the asking; those before it give back what they
    /// took.
    pub fn admit<'a>(&'a self, request: Request<'a>, load: &Load, now: Instant) -> Decision<'a> {
        let mut ticket = Ticket {
            chain: self,
            request,
            started: now,
            rung: Rung::Full,
            degraded_by: 0,
            unsettled: 0,
            tokens: [Token(0); Self::LEN_MAX],
            admitted: false,
        };
        for (index, link) in self.links.iter().enumerate() {
            let Some(Judgement { verdict, token, .. }) = link.admit(&ticket.request, load, now) else {
                continue;
            };
            link.tally.count(verdict);
            match (verdict, link.mode) {
                (Verdict::Decline(reason), PolicyMode::Enforce) => {
                    ticket.tell(&Outcome::NeverStarted, now);
                    add(&self.counts.mine().asked, 1);
                    let (policy, reason) = (link.name.as_str(), link.tally.reason(reason));
                    return Decision::Declined(Judged {
                        verdict,
                        policy: Some(policy),
                        reason: Some(reason),
                    });
                }
                // It took nothing and is told of no end (A5), though the request goes on.
                (Verdict::Decline(_), PolicyMode::Shadow) => continue,
                (Verdict::Degrade(rung), PolicyMode::Enforce) if rung > ticket.rung => {
                    (ticket.rung, ticket.degraded_by) = (rung, index);
                }
                (Verdict::Degrade(_) | Verdict::Admit, PolicyMode::Enforce | PolicyMode::Shadow) => {}
            }
            ticket.tokens[index] = token;
            ticket.unsettled |= 1 << index;
        }
        ticket.admitted = true;
        add(&self.counts.mine().asked, 1);
        Decision::Admitted(ticket)
    }

    /// How often each policy gave which verdict. Those that it has not given are left out, but for admit.
    pub fn verdicts(&self) -> Vec<Verdicts> {
        let mut asked = self.counts.sum(|counts| &counts.asked);
        let mut lines = Vec::new();
        for link in &self.links {
            lines.extend(link.tally.lines(&link.name, link.mode, asked));
            if link.mode == PolicyMode::Enforce {
                asked = asked.saturating_sub(link.tally.declined());
            }
        }
        lines
    }

    /// How many requests of this kind, admitted on this rung, went away before they were answered.
    pub fn abandoned(&self, operation: Operation, rung: Rung) -> u64 {
        self.counts.sum(|counts| &counts.abandoned[operation as usize][rung.index()])
    }
}

impl Link {
    /// What the policy says; nothing when it panicked, which counts as an admit. The panic hook shows the panic.
    #[inline]
    fn admit(&self, request: &Request<'_>, load: &Load, now: Instant) -> Option<Judgement> {
        match catch_unwind(AssertUnwindSafe(|| self.policy.admit(request, load, now))) {
            Ok(judgement) => Some(judgement),
            Err(_) => {
                self.tally.count_panic();
                None
            }
        }
    }

    #[inline]
    fn settle(&self, request: &Request<'_>, token: Token, outcome: &Outcome, now: Instant) {
        if catch_unwind(AssertUnwindSafe(|| self.policy.settle(request, token, outcome, now))).is_err() {
            self.tally.count_panic();
        }
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
    /// The policies that have still to hear of the end, a bit each.
    unsettled: u32,
    tokens: [Token; Chain::LEN_MAX],
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
            Rung::Full => Judged::ADMITTED,
            rung => Judged {
                verdict: Verdict::Degrade(rung),
                policy: Some(&self.chain.links[self.degraded_by].name),
                reason: Some(rung.as_str()),
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

    /// Tells those that have not heard yet, the last one first. Each is taken off the list before: it is told once.
    fn tell(&mut self, outcome: &Outcome, now: Instant) {
        while self.unsettled != 0 {
            let last = self.unsettled.ilog2() as usize;
            self.unsettled &= !(1 << last);
            self.chain.links[last].settle(&self.request, self.tokens[last], outcome, now);
        }
        self.admitted = false;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.admitted {
            let counts = self.chain.counts.mine();
            add(&counts.abandoned[self.request.operation as usize][self.rung.index()], 1);
            self.tell(&Outcome::Abandoned, monotonic());
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
