//! What the next request is.

use crate::keys::{Key, KeySpace};
use crate::outcome::Operation;
use crate::plan::Plan;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;

/// One request to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Drawn {
    pub(crate) client: usize,
    pub(crate) operation: Operation,
    pub(crate) key: Key,
}

/// The index of the abusive client, if there is one.
pub(crate) const ABUSIVE: usize = 0;

/// Draws requests, all from one seed.
#[derive(Debug)]
pub(crate) struct Draw {
    plan: Arc<Plan>,
    keys: Arc<KeySpace>,
    random: StdRng,
    /// The next of the clients that send equal shares.
    next: usize,
}

impl Draw {
    /// A sequence of draws; `nth` tells sequences of one seed apart.
    pub(crate) fn new(plan: Arc<Plan>, keys: Arc<KeySpace>, nth: u64) -> Self {
        let random = StdRng::seed_from_u64(seed(&plan, nth));
        Self { next: nth as usize, plan, keys, random }
    }

    pub(crate) fn next(&mut self) -> Drawn {
        let client = self.client();
        let operation = self.plan.mix.at(self.random.random_range(0..self.plan.mix.sum()));
        let key = match operation {
            Operation::Get if self.random.random_bool(self.plan.hot_share) => Key::Present(0),
            Operation::Get if self.random.random_bool(self.plan.absent_share) => self.absent(),
            Operation::Get | Operation::Add => Key::Present(self.keys.draw(&mut self.random)),
            Operation::Find | Operation::Ping => self.absent(),
        };
        Drawn { client, operation, key }
    }

    fn absent(&mut self) -> Key {
        Key::Absent(self.keys.draw(&mut self.random))
    }

    fn client(&mut self) -> usize {
        let clients = self.plan.clients as usize;
        let Some(multiple) = self.plan.abusive else {
            self.next = (self.next + 1) % clients;
            return self.next;
        };
        let others = clients - 1;
        if self.random.random_bool(multiple / (multiple + others as f64)) {
            return ABUSIVE;
        }
        self.next = (self.next + 1) % others;
        1 + self.next
    }
}

/// The seed of the `nth` sequence of random numbers; processes with different first identities have different ones.
pub(crate) fn seed(plan: &Plan, nth: u64) -> u64 {
    let mut mixed = plan.seed;
    for part in [plan.first_id, nth] {
        // The finishing step of SplitMix64.
        mixed = mixed.wrapping_add(part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(plan: Plan) -> Vec<Drawn> {
        let plan = Arc::new(plan);
        let keys = Arc::new(KeySpace::new(&plan).unwrap());
        let mut draw = Draw::new(plan, keys, 0);
        (0..100_000).map(|_| draw.next()).collect()
    }

    fn share(draws: &[Drawn], of: impl Fn(&Drawn) -> bool, is: impl Fn(&Drawn) -> bool) -> f64 {
        let of: Vec<_> = draws.iter().filter(|drawn| of(drawn)).collect();
        of.iter().filter(|drawn| is(drawn)).count() as f64 / of.len() as f64
    }

    #[test]
    fn operations_keys_and_clients_have_their_shares() {
        let plan =
            Plan { hot_share: 0.2, clients: 10, ids: 10, abusive: Some(9.0), ..Plan::new(vec![], vec![]) };
        let draws = draws(plan);
        let is_get = |drawn: &Drawn| drawn.operation == Operation::Get;
        let near = |what: &str, share: f64, expected: f64| {
            assert!((share - expected).abs() < 0.02, "{what}: {share} instead of {expected}");
        };
        near("GETs", share(&draws, |_| true, is_get), 55.0 / 95.0);
        near("absent", share(&draws, is_get, |drawn| matches!(drawn.key, Key::Absent(_))), 0.8 * 0.6);
        near("abusive", share(&draws, |_| true, |drawn| drawn.client == ABUSIVE), 0.5);
        near("another", share(&draws, |_| true, |drawn| drawn.client == 5), 0.5 / 9.0);
        assert!(draws.iter().all(|drawn| drawn.client < 10));
        let only_present = |drawn: &Drawn| matches!(drawn.key, Key::Present(_));
        near("ADDs", share(&draws, |drawn| drawn.operation == Operation::Add, only_present), 1.0);
    }
}
