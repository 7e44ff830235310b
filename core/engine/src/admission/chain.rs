//! The admission policies, asked in order and joined by the most severe verdict.

use super::mode::PolicyMode;
use super::tally::{Tally, Verdicts};
use crate::clock::monotonic;
use crate::sync::add;
use hydra_api::{
    AdmissionPolicy, Judgement, Load, Operation, Outcome, ReasonId, Request, Rung, Token, Verdict,
};
use hydra_striped::Striped;
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
    /// Requests that no policy declined, counted after their verdicts.
    admitted: AtomicU64,
    abandoned: [[AtomicU64; Rung::ALL.len()]; Operation::ALL.len()],
}

struct Link {
    name: String,
    mode: PolicyMode,
    policy: Arc<dyn AdmissionPolicy>,
    tally: Tally,
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

    /// A ticket for this request, about which the policies have not been asked yet.
    ///
    /// It is large and stays where the caller keeps it: moving it would cost more than the policies do.
    #[inline]
    pub const fn ticket<'a, 'r>(&'a self, request: &'r Request<'r>, now: Instant) -> Ticket<'a, 'r> {
        Ticket {
            chain: self,
            request,
            started: now,
            tokens: [Token(0); Self::LEN_MAX],
            next: 0,
            unsettled: 0,
            degraded_by: 0,
            rung: Rung::Full,
            admitted: false,
        }
    }

    /// How often each policy gave which verdict. Those that it has not given are left out, but for admit.
    pub fn verdicts(&self) -> Vec<Verdicts> {
        // A policy was asked about what was admitted in the end, and about what it or one after it declined. Read in this
        // order, before its own verdicts, that is never more than it was asked about.
        let mut asked = self.counts.sum(|counts| &counts.admitted);
        let mut lines = Vec::new();
        for link in self.links.iter().rev() {
            if link.mode == PolicyMode::Enforce {
                asked += link.tally.declined();
            }
            lines.push(link.tally.lines(&link.name, link.mode, asked));
        }
        lines.into_iter().rev().flatten().collect()
    }

    /// How many requests of this kind, admitted on this rung, went away before they were answered.
    pub fn abandoned(&self, operation: Operation, rung: Rung) -> u64 {
        self.counts.sum(|counts| &counts.abandoned[operation as usize][rung.index()])
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.links.iter().map(|link| &link.policy)).finish()
    }
}

/// A request from the question to the policies to its end. Dropped after it was admitted and before [`Ticket::settle`], it
/// counts as abandoned.
pub struct Ticket<'a, 'r> {
    chain: &'a Chain,
    request: &'r Request<'r>,
    started: Instant,
    tokens: [Token; Chain::LEN_MAX],
    /// How many policies have been asked.
    next: usize,
    /// The policies that have still to hear of the end, a bit each.
    unsettled: u32,
    /// Which policy said so, unless the rung is that of full service.
    degraded_by: usize,
    rung: Rung,
    admitted: bool,
}

impl<'a> Ticket<'a, '_> {
    /// Asks the policies, once. The first that declines and is acted on ends the asking; those before it give back what
    /// they took. A policy that panics counts as one that admits; the panic hook is called.
    ///
    /// # Errors
    /// What the policy that declines says. Nothing is left to be settled.
    pub fn admit(&mut self, load: &Load) -> Result<(), Judged<'a>> {
        // One catch for all policies: each alone would cost as much as a policy does.
        let declined = loop {
            match catch_unwind(AssertUnwindSafe(|| self.ask(load))) {
                Ok(declined) => break declined,
                Err(_) => self.chain.links[self.next - 1].tally.count_panic(),
            }
        };
        let Some(reason) = declined else {
            self.admitted = true;
            add(&self.chain.counts.mine().admitted, 1);
            return Ok(());
        };
        if self.unsettled != 0 {
            self.tell(&Outcome::NeverStarted, self.started);
        }
        let link = &self.chain.links[self.next - 1];
        let (policy, word) = (Some(link.name.as_str()), Some(link.tally.reason(reason)));
        Err(Judged { verdict: Verdict::Decline(reason), policy, reason: word })
    }

    /// Asks the policies that have not been asked, up to one that declines: why it does.
    #[inline]
    fn ask(&mut self, load: &Load) -> Option<ReasonId> {
        let chain = self.chain;
        for (index, link) in chain.links.iter().enumerate().skip(self.next) {
            self.next = index + 1;
            let Judgement { verdict, token, .. } = link.policy.admit(self.request, load, self.started);
            link.tally.count(verdict);
            match (verdict, link.mode) {
                (Verdict::Decline(reason), PolicyMode::Enforce) => return Some(reason),
                // It took nothing and is told of no end (A5), though the request goes on.
                (Verdict::Decline(_), PolicyMode::Shadow) => continue,
                (Verdict::Degrade(rung), PolicyMode::Enforce) if rung > self.rung => {
                    (self.rung, self.degraded_by) = (rung, index);
                }
                (Verdict::Degrade(_) | Verdict::Admit, PolicyMode::Enforce | PolicyMode::Shadow) => {}
            }
            self.tokens[index] = token;
            self.unsettled |= 1 << index;
        }
        None
    }

    /// The rung on which the policies want it served.
    pub const fn rung(&self) -> Rung {
        self.rung
    }

    /// What the policies have said of it when they admitted it.
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

    /// The request is not served though the policies admitted it: the node is on the rung of full decline. They keep what they
    /// took, so that who asks too much is declined by them on this rung as on any other.
    pub fn shed(&mut self) {
        self.settle(&Outcome::Shed, self.started);
    }

    /// Tells every policy how the request has ended. Each is told once, however often this is called.
    pub fn settle(&mut self, outcome: &Outcome, now: Instant) {
        self.admitted = false;
        self.tell(outcome, now);
    }

    /// Tells those that have not heard yet, and goes on after one that panics.
    fn tell(&mut self, outcome: &Outcome, now: Instant) {
        let mut last = 0;
        while self.unsettled != 0 {
            if catch_unwind(AssertUnwindSafe(|| self.tell_on(&mut last, outcome, now))).is_err() {
                self.chain.links[last].tally.count_panic();
            }
        }
    }

    /// Tells them, the last one first. Each is taken off the list before: it is told once.
    #[inline]
    fn tell_on(&mut self, last: &mut usize, outcome: &Outcome, now: Instant) {
        while self.unsettled != 0 {
            *last = self.unsettled.ilog2() as usize;
            self.unsettled &= !(1 << *last);
            self.chain.links[*last].policy.settle(self.request, self.tokens[*last], outcome, now);
        }
    }
}

impl Drop for Ticket<'_, '_> {
    fn drop(&mut self) {
        if self.admitted {
            let counts = self.chain.counts.mine();
            add(&counts.abandoned[self.request.operation as usize][self.rung.index()], 1);
            self.settle(&Outcome::Abandoned, monotonic());
        }
    }
}

impl fmt::Debug for Ticket<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("request", &self.request)
            .field("rung", &self.rung)
            .finish_non_exhaustive()
    }
}
