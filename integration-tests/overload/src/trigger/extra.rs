//! The loads that come on top of the steady one.

use super::Trigger;
use crate::load::{self, CLIENTS, networks, only, step};
use hydra_load::{Connections, Head, Operation, Plan, Presence};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Of all requests of the steady load, those of one client.
const SHARE: f64 = 1.0 / CLIENTS as f64;
/// How many times as much as another the abusive peer sends.
const ABUSE: f64 = 50.0;
/// The peers of one network.
const IDS: u64 = 1_000;
const IDS_AT_A_TIME: u32 = 100;
/// The load of the reprovide, and of the burst without the steady load, in multiples of the steady one.
const REPROVIDE: f64 = 10.0;
const BURST: f64 = 9.0;
const MEMORY: f64 = 24.0;
/// The GET_PROVIDERS for the hot key, in multiples of all others: 80 % of all.
const HOT: f64 = 4.0;
/// Keys that nobody has asked for before.
const NEW_KEYS: u64 = 1_000_000;
/// Identities that no other load has.
const FIRST_ID: u64 = 1 << 30;

/// What is sent during a trigger beside a steady load of `rate` requests per second for so many keys; nothing if the trigger is no load.
pub(super) fn extra(
    trigger: Trigger,
    heads: Vec<Head>,
    keys: u64,
    rate: f64,
    lasts: Duration,
) -> Option<Plan> {
    let steps = |rate| vec![step(rate, lasts)];
    match trigger {
        Trigger::HotKey => Some(load::hot_key(heads, steps(HOT * rate * load::get_share()))),
        Trigger::AbusivePeer => {
            Some(one(78, 3, Plan { heads, steps: steps(ABUSE * SHARE * rate), ..strange() }))
        }
        Trigger::Reprovide => {
            let mix = only(Operation::Add);
            Some(one(79, 4, Plan { heads, steps: steps(REPROVIDE * rate), mix, ..strange() }))
        }
        Trigger::Network => {
            let rate = IDS as f64 * SHARE * rate;
            Some(network(Plan { heads, steps: steps(rate), ..strange() }, rate * lasts.as_secs_f64()))
        }
        Trigger::Burst | Trigger::Memory => {
            let times = if trigger == Trigger::Burst { BURST } else { MEMORY };
            let sources = networks(5, CLIENTS);
            Some(Plan { first_id: FIRST_ID, sources, ..load::plan(heads, keys, steps(times * rate)) })
        }
        Trigger::Freeze(_)
        | Trigger::Slow(_)
        | Trigger::Restart
        | Trigger::Connections
        | Trigger::KillNode => None,
    }
}

/// Uniform requests for keys that nobody has asked for.
fn strange() -> Plan {
    Plan {
        keys: NEW_KEYS,
        zipf: 0.0,
        presence: Presence::Announced,
        ..load::plan(Vec::new(), NEW_KEYS, Vec::new())
    }
}

/// By one peer.
fn one(seed: u64, block: u8, plan: Plan) -> Plan {
    Plan { seed, clients: 1, ids: 1, sources: networks(block, 1), streams_per_client_max: 32, ..plan }
}

/// By many peers of one network, some of them at a time, each with its share of all requests.
fn network(plan: Plan, requests: f64) -> Plan {
    let sources = (1..=250).map(|host| Ipv4Addr::new(127, 66, 6, host).into()).collect();
    Plan {
        seed: 80,
        clients: IDS_AT_A_TIME,
        ids: IDS,
        requests_per_id: ((requests / IDS as f64).floor() as u64).max(1),
        connections: Connections::Kept,
        sources,
        ..plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_load::Pace;

    #[test]
    fn a_load_of_its_own_is_within_the_bounds_of_a_plan_and_of_other_peers() {
        let head = "/ip4/127.0.0.1/tcp/20000/p2p/12D3KooWAkDQ1fUrsXHKBbQ6gQoCKFLtNkCmmqsHAcFLSRWnkxFv";
        let heads: Vec<Head> = vec![head.parse().unwrap()];
        let steady = load::plan(heads.clone(), 1_000, Vec::new());
        let mut rates = Vec::new();
        for trigger in Trigger::ALL {
            let lasts = Duration::from_secs(10);
            let Some(plan) = extra(*trigger, heads.clone(), 1_000, 200.0, lasts) else { continue };
            assert_eq!(plan.check(), Ok(()), "{trigger}");
            assert!((plan.seed, plan.first_id) != (steady.seed, steady.first_id), "{trigger}");
            assert!(!plan.sources.iter().any(|source| steady.sources.contains(source)), "{trigger}");
            let Pace::Open { per_second } = plan.steps[0].pace else { panic!("{trigger}") };
            rates.push((trigger.to_string(), per_second.round()));
        }
        let expected =
            [("hot-key", 463.0), ("abusive-peer", 50.0), ("network", 1_000.0), ("reprovide", 2_000.0)];
        let expected = expected.into_iter().chain([("burst", 1_800.0), ("memory", 4_800.0)]);
        assert!(rates.iter().map(|(name, rate)| (&**name, *rate)).eq(expected), "{rates:?}");
    }
}
