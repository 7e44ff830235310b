//! The policy.

use crate::config::Config;
use hydra_api::{AdmissionPolicy, Judgement, Load, Operation, Outcome, ReasonId, Request, Token, Verdict};
use std::borrow::Cow;
use std::time::Instant;

/// The node has reached the rung from which on it declines: the first of [`EarlyDecline::reasons`].
pub const EARLY: ReasonId = ReasonId(0);

/// Answers with closer peers alone, at once, where the ladder would still try.
#[derive(Debug)]
pub struct EarlyDecline {
    config: Config,
}

impl EarlyDecline {
    /// A policy of this config.
    pub const fn new(config: Config) -> Self {
        Self { config }
    }
}

impl AdmissionPolicy for EarlyDecline {
    // Called for every request: no I/O, no allocation (rule A3), no clock (A4).
    fn admit(&self, request: &Request<'_>, load: &Load, _now: Instant) -> Judgement {
        let of_the_store = match request.operation {
            Operation::GetProviders | Operation::AddProvider | Operation::GetValue | Operation::PutValue => {
                true
            }
            // These are answered from memory: no load is a reason to decline them.
            _ => false,
        };
        let early = of_the_store && load.rung >= self.config.from;
        if early { Verdict::Decline(EARLY).into() } else { Verdict::Admit.into() }
    }

    // A policy that keeps a budget gives back here what it took when the outcome is NeverStarted (A1). This one takes
    // nothing.
    fn settle(&self, _: &Request<'_>, _: Token, _: &Outcome, _: Instant) {}

    // The words for metrics: `ReasonId` is an index into them.
    fn reasons(&self) -> Vec<Cow<'static, str>> {
        vec!["early_decline".into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_api::{PeerId, Rung};

    fn declined(operation: Operation) -> Vec<Rung> {
        let policy = EarlyDecline::new(Config { from: Rung::CacheOnly });
        let request = Request::new(operation, PeerId::new(b"peer").unwrap(), None, 0, b"key");
        let verdict = |rung| {
            let mut load = Load::IDLE;
            load.rung = rung;
            policy.admit(&request, &load, Instant::now()).verdict
        };
        Rung::ALL.into_iter().filter(|rung| verdict(*rung) == Verdict::Decline(EARLY)).collect()
    }

    #[test]
    fn it_declines_from_its_rung_on() {
        assert_eq!(declined(Operation::GetProviders), [Rung::CacheOnly, Rung::RoutingOnly]);
        assert_eq!(declined(Operation::AddProvider), [Rung::CacheOnly, Rung::RoutingOnly]);
    }

    #[test]
    fn find_node_and_ping_always_pass() {
        assert_eq!(declined(Operation::FindNode), []);
        assert_eq!(declined(Operation::Ping), []);
    }
}
