//! The suite of [`AdmissionPolicy`].

mod budget;
mod cost;
mod reasons;

use crate::check::{Broken, Outcome, ensure_eq};
use crate::given::{content_key, peer};
use crate::place::{Lab, Place};
use crate::suite::{Alone, Case, Rule, Suite, Threads, case};
use hydra_api::{
    Admission, AdmissionPolicy, ContentKey, Load, Operation, Outcome as Ended, PeerId, Plugin, Request,
    Token, Verdict,
};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const fn rule(id: &'static str, text: &'static str) -> Rule {
    Rule { id, text }
}

/// The rules of [`AdmissionPolicy`], as its documentation words them.
pub const RULES: [Rule; 7] = [
    rule(
        "A1",
        "A policy that did not decline is told the end of the request exactly once, with the token of its judgement; the \
         node sees to it. On Outcome::NeverStarted the policy gives back what it took.",
    ),
    rule("A2", "Memory is fixed by the config: a million peers leave it flat."),
    rule("A3", "admit and settle do no I/O, take no await, allocate nothing and return within 200 ns."),
    rule("A4", "Time is the now that is passed; no policy reads a clock. A now that goes back does no harm."),
    rule(
        "A5",
        "A decline takes nothing: it is not settled, and asking again costs the caller's budget nothing.",
    ),
    rule(
        "A6",
        "Both are called from many threads at once; together they admit no more than one thread could.",
    ),
    rule("A7", "Every reason of a decline is one of reasons."),
];

/// The suite of an admission policy. `place` makes a fresh place for each case.
///
/// The policy must decline at some point when one peer asks again and again at one moment, after at most 100,000
/// requests: give it a config with small budgets. A policy that goes by the load must decline at once under the load
/// that the place names with [`Place::under`], and admit under [`Load::IDLE`]. One that goes by the key must decline
/// at once the key that the place names with [`Place::asking_for`], and admit others; one that goes by the operation,
/// that of [`Place::asking_to`], and admit GET_PROVIDERS.
///
/// One that goes by the time of day must decline in all hours at which it is asked. Counted from the present one, these
/// are 0, 13, 14, 26, 27 and 28.
///
/// The cases run one at a time, as some measure the whole process. See also
/// [`count_allocations!`](crate::count_allocations).
pub fn admission<P, F, Fut>(place: F) -> Suite
where
    P: Plugin<Role = Admission>,
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Place> + Send + 'static,
{
    Suite::of::<P, F, Fut>(cases(), place, Alone::Yes, Threads::Two)
}

fn cases() -> Vec<Case<Admission>> {
    use {budget::*, cost::*, reasons::*};
    let [a1, a2, a3, a4, a5, a6, a7] = RULES;
    vec![
        case!(crate::store::CONFIG, an_unknown_key_of_the_table_is_refused),
        case!(crate::store::CONFIG, a_changed_table_is_taken_up_whole_or_not_at_all),
        case!(a1, a1_what_never_started_is_given_back),
        case!(a1, a1_tokens_come_back_in_any_order),
        case!(a2, a2_a_million_peers_leave_memory_flat),
        case!(a3, a3_a_decision_allocates_nothing),
        case!(a3, a3_a_decision_costs_the_same_after_a_million_peers),
        case!(a4, a4_no_clock_is_read),
        case!(a4, a4_a_now_that_goes_back_does_no_harm),
        case!(a5, a5_a_decline_takes_nothing),
        case!(a6, a6_many_threads_admit_no_more_than_one),
        case!(a7, a7_every_reason_is_declared),
    ]
}

async fn an_unknown_key_of_the_table_is_refused(lab: Arc<Lab<Admission>>) -> Outcome {
    crate::store::refuses_unknown_key(&lab).await
}

async fn a_changed_table_is_taken_up_whole_or_not_at_all(lab: Arc<Lab<Admission>>) -> Outcome {
    let now = some_time();
    let fresh = Gate::open(&lab).await?.exhaust(1, now)?;
    let gate = Gate::open(&lab).await?;
    let outcome = crate::reconfigure::refuses(&lab, |table| gate.policy.reconfigure(table))?;
    ensure_eq!(gate.exhaust(1, now)?, fresh, "what is admitted after tables that were refused");
    Ok(outcome)
}

/// What a policy is asked for unless the place names something else.
const ANY_OPERATION: Operation = Operation::GetProviders;

/// More requests than any policy may admit at one moment in its suite.
const ADMITTED_MAX: u64 = 100_000;

/// A policy, the load under which it is asked, what for, and the key.
#[derive(Debug, Clone)]
struct Gate {
    policy: Arc<dyn AdmissionPolicy>,
    load: Load,
    operation: Operation,
    key: ContentKey,
}

impl Gate {
    /// A policy that knows nothing yet.
    async fn open(lab: &Lab<Admission>) -> Result<Self, Broken> {
        let key = lab.place.key.unwrap_or_else(any_key);
        let operation = lab.place.operation.unwrap_or(ANY_OPERATION);
        Ok(Self { policy: lab.open().await?, load: lab.place.load, operation, key })
    }

    /// The same policy without what makes it decline at once: the load, the operation, the key.
    fn at_rest(self) -> Self {
        Self { load: Load::IDLE, operation: ANY_OPERATION, key: any_key(), ..self }
    }

    fn request(&self, peer: PeerId, address: IpAddr) -> Request<'_> {
        Request::new(self.operation, peer, Some(address), 0, self.key.as_bytes())
    }

    fn admits(&self, number: u64, now: Instant) -> bool {
        self.admit(number, now).is_some()
    }

    /// The token of a request of this peer, if it is admitted.
    fn admit(&self, number: u64, now: Instant) -> Option<Token> {
        self.admit_from(peer(number), address(number), now)
    }

    fn admit_from(&self, peer: PeerId, address: IpAddr, now: Instant) -> Option<Token> {
        let judgement = self.policy.admit(&self.request(peer, address), &self.load, now);
        (!matches!(judgement.verdict, Verdict::Decline(_))).then_some(judgement.token)
    }

    fn settle(&self, number: u64, token: Token, outcome: Ended, now: Instant) {
        self.policy.settle(&self.request(peer(number), address(number)), token, &outcome, now);
    }

    /// How many requests of one peer are admitted at one moment, until the first decline.
    fn exhaust(&self, number: u64, now: Instant) -> Result<u64, Broken> {
        let admitted = (0..=ADMITTED_MAX).take_while(|_| self.admits(number, now)).count() as u64;
        if admitted > ADMITTED_MAX {
            return Err(Broken::new(format!(
                "the suite needs a config in which a peer is declined after at most {ADMITTED_MAX} requests"
            )));
        }
        Ok(admitted)
    }
}

/// A moment with room before it and after it. The hours that follow from it stand at [`admission`].
fn some_time() -> Instant {
    Instant::now() + Duration::from_secs(100_000)
}

fn address(number: u64) -> IpAddr {
    // 11.0.0.0 and up: a /24 for each peer of the first 2^24.
    let bits = (11u32 << 24).wrapping_add((number as u32).rotate_left(8));
    IpAddr::V4(Ipv4Addr::from_bits(bits))
}

fn any_key() -> ContentKey {
    content_key(&[7; 34])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_quoted_as_it_stands_and_has_a_case() {
        crate::suite::tests::quoted_and_covered(
            include_str!("../../api/src/admission.rs"),
            &RULES,
            &cases().iter().map(|case| case.rule).collect::<Vec<_>>(),
        );
    }
}
