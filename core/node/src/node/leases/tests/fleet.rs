//! Processes that share a fleet, links that fail at random: no identity is ever served twice.

use super::fake::{FakeHeads, Keeper, LIFE, Ledger, SECOND, run_for};
use hydra_conformance::doubles::{Delay, Fleet, Lapsed, Link};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::time::Duration;

const SLOTS: u32 = 6;
const HEADS: u32 = 2;
/// One more than there are slots for.
const PROCESSES_MAX: usize = 4;
/// Connections of real heads end within half a second.
const CLOSE: Duration = Duration::from_millis(500);

#[expect(clippy::print_stdout, reason = "a failure names its seed")]
#[tokio::test(start_paused = true)]
async fn no_slot_is_served_twice_and_all_are_served_once_links_are_up() {
    let mut took_over = 0;
    for seed in (0..100).chain([rand::random()]) {
        println!("seed {seed}");
        took_over += fail_and_mend(seed).await;
    }
    assert!(took_over > 100, "{took_over} processes took the slots of one that was cut off");
}

/// Returns how many processes joined a fleet whose slots were all held at some time.
async fn fail_and_mend(seed: u64) -> usize {
    let mut chance = StdRng::seed_from_u64(seed);
    let fleet = Fleet::new(SLOTS, LIFE);
    fleet.set_lapsed(if chance.random() { Lapsed::Lost } else { Lapsed::Revived });
    let ledger = Ledger::default();
    let (mut keepers, mut took_over) = (Vec::new(), 0);
    for step in 0..60 {
        if keepers.len() < PROCESSES_MAX {
            // Starting a head that another process serves fails an assertion, here or in the task of the keeper.
            let ids = fleet.join();
            let heads = FakeHeads::new(ids.process(), Arc::clone(&ledger), CLOSE);
            let joined = Keeper::join(ids, HEADS, heads).await;
            took_over += usize::from(joined.is_ok() && step > 3);
            keepers.extend(joined);
        }
        let at = chance.random_range(0..keepers.len());
        if chance.random_range(0..10) == 0 {
            let crashed: Keeper = keepers.swap_remove(at);
            crashed.task.abort();
        } else {
            disturb(&keepers[at], &mut chance);
        }
        run_for(SECOND * chance.random_range(1..40)).await;
        assert!(keepers.iter().all(|keeper| !keeper.task.is_finished()), "seed {seed}: a keeper has ended");
    }
    for surplus in keepers.drain(..keepers.len().saturating_sub(PROCESSES_MAX - 1)) {
        surplus.stop().await;
    }
    for keeper in &keepers {
        keeper.ids().set_link(Link::Up);
        keeper.ids().set_delay(Delay::default());
    }
    // The longest pause between tries is a minute.
    run_for(6 * LIFE).await;
    let served = ledger.lock().unwrap().len();
    assert_eq!(served, HEADS as usize * keepers.len(), "seed {seed}: all serve again");
    took_over
}

fn disturb(keeper: &Keeper, chance: &mut StdRng) {
    let links = [Link::Up, Link::Up, Link::Down, Link::Silent, Link::LosesAnswers, Link::Corrupt];
    keeper.ids().set_link(links[chance.random_range(0..links.len())]);
    let mut delay = || Duration::from_millis(chance.random_range(0..6_000));
    keeper.ids().set_delay(Delay { there: delay(), back: delay() });
}
