//! An allocator that breaks the rules: the node keeps its head.

use super::fake::{FakeHeads, Keeper, LIFE, Ledger, SECOND, run_for};
use hydra_api::{
    HeadCount, HeadLease, HeadPreview, HeldSlot, IdAllocator, IdError, Identity, PeerId, Progress, Renewal,
    Renewed, async_trait,
};
use std::sync::Mutex;
use std::time::Duration;

/// Gives what a test says, whatever is wanted.
#[derive(Debug, Default)]
pub(super) struct Scripted {
    /// What every call of `acquire` gives: slots with lives.
    gives: Vec<(u32, Option<Duration>)>,
    renews: Mutex<Option<Renews>>,
    released: Mutex<Vec<HeldSlot>>,
    releases_never: bool,
}

type Renews = fn(&[HeldSlot]) -> Renewal;

impl Scripted {
    pub(super) fn giving(gives: &[(u32, Option<Duration>)]) -> Self {
        Self { gives: gives.to_vec(), ..Self::default() }
    }

    /// Calls of `release` do not return, and renewals succeed.
    pub(super) fn releasing_never(self) -> Self {
        Self { releases_never: true, ..self.renewing(|held| all_for(held, LIFE)) }
    }

    fn renewing(self, renews: Renews) -> Self {
        *self.renews.lock().unwrap() = Some(renews);
        self
    }
}

#[async_trait]
impl IdAllocator for Scripted {
    async fn preview(&self, _: HeadCount, _: Progress) -> Result<Vec<HeadPreview>, IdError> {
        Ok(Vec::new())
    }
    async fn acquire(&self, _: HeadCount) -> Result<Vec<HeadLease>, IdError> {
        let lease = |(slot, life): &(u32, Option<Duration>)| {
            let seed = [u8::try_from(*slot).unwrap(); 32];
            let peer = PeerId::new(&[0, 1, seed[0]]).unwrap();
            let lease = HeadLease::new(*slot, peer, Identity::from_ed25519_seed(seed), 7_000).with_epoch(1);
            match life {
                Some(life) => lease.with_life(*life),
                None => lease,
            }
        };
        Ok(self.gives.iter().map(lease).collect())
    }
    async fn renew(&self, held: &[HeldSlot]) -> Result<Renewal, IdError> {
        let renews = *self.renews.lock().unwrap();
        Ok(renews.map_or_else(Renewal::default, |renews| renews(held)))
    }
    async fn release(&self, held: &[HeldSlot]) -> Result<(), IdError> {
        if self.releases_never {
            std::future::pending::<()>().await;
        }
        self.released.lock().unwrap().extend(held);
        Ok(())
    }
}

fn all_for(held: &[HeldSlot], life: Duration) -> Renewal {
    Renewal::new(held.iter().map(|held| Renewed::new(held.slot, Some(life))).collect(), Vec::new())
}

#[tokio::test(start_paused = true)]
async fn more_leases_than_wanted_are_released_and_a_slot_given_twice_counts_once() {
    let ids = Scripted::giving(&[(0, None), (0, None), (1, None), (2, None), (3, None)]);
    let keeper = Keeper::of(ids, 2).await;
    run_for(LIFE).await;
    assert_eq!(keeper.starts(), [(0, 1), (1, 1)]);
    let released = keeper.ids().released.lock().unwrap().clone();
    assert_eq!(released.iter().map(|held| held.slot).collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_renewal_is_a_renewal_that_failed() {
    let ids = Scripted::giving(&[(0, Some(LIFE))]).renewing(|_| panic!("the plugin is at fault"));
    let keeper = Keeper::of(ids, 1).await;
    run_for(LIFE / 2).await;
    assert!(keeper.runs(0) && keeper.renewals()[1] > 0);
    *keeper.ids().renews.lock().unwrap() = Some(|held| all_for(held, LIFE));
    run_for(10 * LIFE).await;
    assert_eq!(keeper.starts(), [(0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn lives_of_nothing_and_of_ages_do_no_harm() {
    let ids = Scripted::giving(&[(0, Some(Duration::MAX))]).renewing(|held| all_for(held, Duration::ZERO));
    let keeper = Keeper::of(ids, 1).await;
    run_for(1000 * LIFE).await;
    assert_eq!(keeper.renewals(), [0, 0], "a life of ages needs no renewal for long");
    assert!(keeper.runs(0));
    keeper.stop().await;

    let ids = Scripted::giving(&[(0, Some(Duration::ZERO))]).renewing(|held| all_for(held, Duration::ZERO));
    let keeper = Keeper::of(ids, 1).await;
    run_for(100 * SECOND).await;
    assert!(!keeper.runs(0), "a lease without a life is over before its head could serve");
    let [renewed, _] = keeper.renewals();
    assert!(renewed <= 1_200, "{renewed} renewals in 100 s");
}

#[tokio::test(start_paused = true)]
async fn slots_that_were_not_asked_for_change_nothing() {
    let ids = Scripted::giving(&[(0, Some(LIFE)), (1, Some(LIFE))]).renewing(|held| {
        let mut renewal = all_for(held, LIFE);
        renewal.held.push(Renewed::new(77, Some(LIFE)));
        renewal.lost = vec![78, 79];
        renewal
    });
    let keeper = Keeper::of(ids, 2).await;
    run_for(10 * LIFE).await;
    assert_eq!(keeper.starts(), [(0, 1), (1, 1)]);
    assert_eq!(keeper.shown(), [2, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_a_renewal_leaves_out_is_not_proven() {
    let ids =
        Scripted::giving(&[(0, Some(LIFE)), (1, Some(LIFE))]).renewing(|held| all_for(&held[..1], LIFE));
    let keeper = Keeper::of(ids, 2).await;
    while keeper.runs(1) {
        run_for(SECOND).await;
    }
    assert!(keeper.runs(0));
    assert_eq!(keeper.view.expired.load(std::sync::atomic::Ordering::Relaxed), 1);
    // Its lease has ended, so it is acquired again.
    run_for(LIFE).await;
    assert!(keeper.starts().len() > 2);
}

#[tokio::test(start_paused = true)]
async fn an_allocator_that_gives_fewer_than_wanted_is_asked_less_and_less() {
    let keeper = Keeper::of(Scripted::giving(&[(0, None)]), 3).await;
    run_for(1000 * SECOND).await;
    assert_eq!(keeper.starts(), [(0, 1)]);
    let acquired = keeper.view.acquisitions[0].load(std::sync::atomic::Ordering::Relaxed);
    assert!((10..40).contains(&acquired), "{acquired} calls in 1,000 s");
}

/// A lease that ended long ago, and of which the allocator knows nothing any more, is not held: another is acquired.
#[tokio::test(start_paused = true)]
async fn a_slot_that_renewals_leave_out_is_acquired_again_after_its_life() {
    let ids =
        Scripted::giving(&[(0, Some(LIFE)), (1, Some(LIFE))]).renewing(|held| all_for(&held[..1], LIFE));
    let keeper = Keeper::of(ids, 2).await;
    run_for(2 * LIFE).await;
    let before = keeper.view.acquisitions[0].load(std::sync::atomic::Ordering::Relaxed);
    run_for(100 * LIFE).await;
    let after = keeper.view.acquisitions[0].load(std::sync::atomic::Ordering::Relaxed);
    assert!(after > before, "no slot is acquired though one of two heads is missing for {:?}", 100 * LIFE);
}

/// An allocator that has nothing to give is not asked every second for ever.
#[tokio::test(start_paused = true)]
async fn an_allocator_that_gives_nothing_is_asked_less_and_less() {
    let keeper = Keeper::of(Scripted::giving(&[]), 1).await;
    run_for(600 * SECOND).await;
    let asked = keeper.view.acquisitions[0].load(std::sync::atomic::Ordering::Relaxed);
    assert!(asked <= 30, "asked {asked} times in ten minutes");
}

/// A slot whose head runs keeps its identity, whatever the allocator gives for it later.
#[tokio::test(start_paused = true)]
async fn another_identity_for_a_slot_is_given_back() {
    use super::super::state::Leases;
    let now = tokio::time::Instant::now();
    let ids = Scripted::giving(&[(0, Some(LIFE))]);
    let mut leases = Leases::new(1, now);
    let first = ids.acquire(HeadCount::MIN).await.unwrap();
    let peer = first[0].peer;
    leases.on_acquired(now, first, now);
    let mut other = Scripted::giving(&[(7, Some(LIFE))]).acquire(HeadCount::MIN).await.unwrap();
    (other[0].slot, other[0].epoch) = (0, 9);
    let surplus = leases.on_acquired(now, other, now);
    assert_eq!(surplus.iter().map(|held| (held.slot, held.epoch)).collect::<Vec<_>>(), [(0, 9)]);
    let kept = &leases.held()[&0].lease;
    assert_eq!((kept.peer, kept.epoch), (peer, 1));
}

/// A first call that hangs or panics is a start that failed.
#[tokio::test(start_paused = true)]
async fn the_first_call_is_bounded_and_its_panic_is_an_error() {
    #[derive(Debug)]
    struct First(fn());
    #[async_trait]
    impl IdAllocator for First {
        async fn preview(&self, _: HeadCount, _: Progress) -> Result<Vec<HeadPreview>, IdError> {
            Ok(Vec::new())
        }
        async fn acquire(&self, _: HeadCount) -> Result<Vec<HeadLease>, IdError> {
            (self.0)();
            std::future::pending().await
        }
        async fn renew(&self, _: &[HeldSlot]) -> Result<Renewal, IdError> {
            Ok(Renewal::default())
        }
        async fn release(&self, _: &[HeldSlot]) -> Result<(), IdError> {
            Ok(())
        }
    }
    for does in [|| (), || panic!("the plugin is at fault")] {
        let heads = FakeHeads::new(0, Ledger::default(), SECOND / 2);
        assert!(Keeper::join(First(does), 1, heads).await.is_err());
    }
}

/// Another process may serve the identity from the moment in which the lease is lost: its head answers nothing more,
/// however long it takes to stop.
#[tokio::test(start_paused = true)]
async fn a_lost_lease_proves_nothing() {
    use super::super::state::Leases;
    let now = tokio::time::Instant::now();
    let ids = Scripted::giving(&[(0, Some(LIFE))]);
    let mut leases = Leases::new(1, now);
    leases.on_acquired(now, ids.acquire(HeadCount::MIN).await.unwrap(), now);
    let proof = std::sync::Arc::clone(&leases.held()[&0].proof);
    let asked = leases.slots();
    assert_eq!(leases.on_renewed(&asked, now, &Renewal::new(Vec::new(), vec![0]), now), [0].into());
    assert!(!proof.holds((now + SECOND).into_std()), "the head goes on answering");
}

/// A slot that is given anew while its head has stopped is one that can lapse again.
#[tokio::test(start_paused = true)]
async fn a_lease_that_is_given_anew_after_it_lapsed_lapses_again_in_time() {
    use super::super::state::Leases;
    let begun = tokio::time::Instant::now();
    let given = |epoch| {
        let peer = PeerId::new(&[0, 1, 7]).unwrap();
        let lease = HeadLease::new(0, peer, Identity::from_ed25519_seed([7; 32]), 7_000);
        vec![lease.with_epoch(epoch).with_life(LIFE)]
    };
    // Two are wanted, so slots are acquired again and again.
    let mut leases = Leases::new(2, begun);
    leases.on_acquired(begun, given(1), begun);
    let lapsed = begun + LIFE;
    assert_eq!((leases.expire(lapsed), leases.expire(lapsed)), (vec![0], vec![]));

    leases.on_acquired(lapsed, given(2), lapsed);
    let again = lapsed + LIFE;
    // Neither a renewal nor an acquisition is due in between: both are under way.
    assert!(leases.next(true, true, lapsed) < again, "the end of the second life is waited for");
    assert_eq!(leases.expire(again), [0], "the second lapse is noticed");
    assert_eq!(leases.expired, 2, "and counted");
}
