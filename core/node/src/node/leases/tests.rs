//! Leases that are renewed, lost, found again and shared, on a paused clock. `LeasedIds` is the allocator.

mod bad_plugin;
mod fake;
mod fleet;

use crate::net::supervise::Phase;
use fake::{Keeper, LIFE, SECOND, run_for};
use hydra_conformance::doubles::{Delay, Fleet, Lapsed, Link};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_at_a_third_of_its_life() {
    let fleet = Fleet::new(3, LIFE);
    let keeper = Keeper::start(&fleet, 2).await;
    run_for(100 * LIFE).await;
    assert_eq!(keeper.starts(), [(0, 1), (1, 1)], "no head was started again");
    let [renewed, failed] = keeper.renewals();
    assert!((270..=340).contains(&renewed), "{renewed} renewals in 100 lives");
    assert_eq!(failed, 0);
}

#[tokio::test(start_paused = true)]
async fn leases_without_a_life_are_not_renewed() {
    let keeper = Keeper::of(bad_plugin::Scripted::giving(&[(0, None), (1, None)]), 2).await;
    run_for(1000 * LIFE).await;
    assert_eq!(keeper.renewals(), [0, 0]);
    assert_eq!(keeper.starts(), [(0, 1), (1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_head_stops_before_its_lease_ends_unproven_and_starts_once_it_is_proven_again() {
    for link in [Link::Down, Link::Silent, Link::LosesAnswers] {
        let fleet = Fleet::new(1, LIFE);
        let keeper = Keeper::start(&fleet, 1).await;
        run_for(LIFE).await;
        keeper.ids().set_link(link);
        let ends = fleet.last(0).unwrap().ends;
        while keeper.runs(0) {
            run_for(SECOND / 10).await;
        }
        assert!(tokio::time::Instant::now() <= ends + LIFE, "{link:?}: it stops at some time");
        if link != Link::LosesAnswers {
            assert!(tokio::time::Instant::now() < ends, "{link:?}: it has ended when the lease ends");
        }
        keeper.ids().set_link(Link::Up);
        run_for(LIFE).await;
        assert!(keeper.runs(0), "{link:?}");
        assert_eq!(keeper.starts(), [(0, 1), (0, 1)], "{link:?}: in the same epoch");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_stops_no_head() {
    let fleet = Fleet::new(2, LIFE);
    let keeper = Keeper::start(&fleet, 2).await;
    for link in [Link::Down, Link::Silent, Link::LosesAnswers, Link::Corrupt] {
        keeper.ids().set_link(link);
        run_for(LIFE / 3).await;
        keeper.ids().set_link(Link::Up);
        run_for(LIFE).await;
    }
    assert_eq!(keeper.starts(), [(0, 1), (1, 1)]);
    assert!(keeper.renewals()[1] > 0, "some renewals failed");
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_proves_the_lease_from_the_beginning_of_its_call() {
    let fleet = Fleet::new(1, LIFE);
    let keeper = Keeper::start(&fleet, 1).await;
    keeper.ids().set_delay(Delay { there: SECOND, back: 8 * SECOND });
    run_for(10 * LIFE).await;
    assert_eq!(keeper.starts(), [(0, 1)], "nine seconds are less than a call may take");
    let left = keeper.view.remaining(tokio::time::Instant::now()).unwrap();
    assert!(
        left < LIFE - 8 * SECOND,
        "{left:?} are left just after no answer, as the answer was under way for long"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_stops_its_head_and_another_slot_takes_its_place() {
    let fleet = Fleet::new(3, LIFE);
    let keeper = Keeper::start(&fleet, 2).await;
    fleet.take_away(0);
    run_for(LIFE / 2).await;
    assert!(!keeper.runs(0) && keeper.runs(1) && keeper.runs(2));
    assert_eq!(keeper.starts(), [(0, 1), (1, 1), (2, 1)]);
    fleet.take_away(1);
    run_for(LIFE).await;
    assert!(!keeper.runs(1), "no slot is left to take its place");
    fleet.give_back(0);
    run_for(3 * LIFE).await;
    assert_eq!(keeper.starts().last(), Some(&(0, 2)), "what was given back is taken in a new epoch");
    assert!(keeper.runs(0) && keeper.runs(2));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_lapsed_and_is_lost_is_acquired_again() {
    let fleet = Fleet::new(1, LIFE);
    fleet.set_lapsed(Lapsed::Lost);
    let keeper = Keeper::start(&fleet, 1).await;
    keeper.ids().set_link(Link::Down);
    run_for(2 * LIFE).await;
    assert!(!keeper.runs(0));
    keeper.ids().set_link(Link::Up);
    run_for(LIFE).await;
    assert_eq!(keeper.starts(), [(0, 1), (0, 2)]);
}

#[tokio::test(start_paused = true)]
async fn operators_see_what_is_held() {
    let fleet = Fleet::new(2, LIFE);
    let keeper = Keeper::start(&fleet, 2).await;
    assert_eq!(keeper.shown(), [2, 0, 0, 0], "proven, unproven, lost, expired");
    keeper.ids().set_link(Link::Corrupt);
    run_for(2 * LIFE).await;
    assert_eq!(keeper.shown(), [0, 2, 0, 2]);
    assert!(keeper.view.is_corrupt());
    fleet.take_away(0);
    keeper.ids().set_link(Link::Up);
    run_for(LIFE).await;
    assert_eq!(keeper.shown(), [1, 0, 1, 2]);
    assert!(!keeper.view.is_corrupt());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_cannot_start_or_ends_by_itself_is_started_later() {
    let fleet = Fleet::new(2, LIFE);
    let keeper = Keeper::start(&fleet, 1).await;
    keeper.heads.fail_starts(3);
    keeper.heads.end(0);
    run_for(2 * SECOND).await;
    assert!(!keeper.runs(0), "not at once");
    run_for(LIFE).await;
    assert!(keeper.runs(0));
    assert_eq!(fleet.holder(0).map(|holder| holder.epoch), Some(1), "the lease was kept meanwhile");
}

#[tokio::test(start_paused = true)]
async fn a_changed_port_is_reported_at_once() {
    let fleet = Fleet::new(2, LIFE);
    let keeper = Keeper::start(&fleet, 1).await;
    keeper.heads.listen_on(7_000);
    fleet.take_away(0);
    run_for(LIFE).await;
    let next = fleet.join();
    fleet.take_away(1);
    fleet.give_back(1);
    let lease = hydra_api::IdAllocator::acquire(&next, hydra_api::HeadCount::MIN).await.unwrap();
    assert_eq!((lease[0].slot, lease[0].port), (1, 7_001), "the port of slot 1");
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_heads_and_tells_what_to_release() {
    let fleet = Fleet::new(3, LIFE);
    let keeper = Keeper::start(&fleet, 2).await;
    keeper.phase.send_replace(Phase::Draining);
    run_for(3 * LIFE).await;
    assert!(keeper.runs(0) && keeper.runs(1), "what drains is kept");
    keeper.heads.hang();
    let stopping = tokio::time::Instant::now();
    let held = keeper.stop().await;
    assert!(stopping.elapsed() < 3 * SECOND, "a head that does not end is aborted");
    assert_eq!(held.iter().map(|held| (held.slot, held.epoch)).collect::<Vec<_>>(), [(0, 1), (1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_a_moment_for_slots_that_are_being_acquired() {
    let fleet = Fleet::new(2, LIFE);
    let keeper = Keeper::start(&fleet, 1).await;
    fleet.take_away(0);
    keeper.ids().set_delay(Delay { there: Duration::ZERO, back: 9 * SECOND });
    while fleet.holder(1).is_none() {
        run_for(SECOND / 10).await;
    }
    run_for(9 * SECOND - SECOND / 5).await;
    let held = keeper.stop().await;
    assert_eq!(
        held.iter().map(|held| held.slot).collect::<Vec<_>>(),
        [1],
        "it was given when the stop began"
    );
}

#[tokio::test(start_paused = true)]
async fn more_leases_than_wanted_do_not_hold_up_renewals() {
    let ids = bad_plugin::Scripted::giving(&[(0, Some(LIFE)), (1, Some(LIFE))]).releasing_never();
    let keeper = Keeper::of(ids, 1).await;
    run_for(10 * LIFE).await;
    assert_eq!(keeper.starts(), [(0, 1)], "the head serves all the time");
}

#[tokio::test(start_paused = true)]
async fn a_keeper_whose_node_is_gone_ends_with_its_heads() {
    let fleet = Fleet::new(1, LIFE);
    let mut keeper = Keeper::start(&fleet, 1).await;
    drop(std::mem::replace(&mut keeper.phase, tokio::sync::watch::channel(Phase::Serving).0));
    run_for(3 * SECOND).await;
    assert!(!keeper.runs(0));
    assert!(keeper.task.is_finished());
}
