use super::*;

const LIFE: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

fn count(heads: u32) -> HeadCount {
    HeadCount::new(heads).unwrap()
}

fn held(leases: &[HeadLease]) -> Vec<HeldSlot> {
    leases.iter().map(|lease| lease.held_on(lease.port)).collect()
}

fn slots(renewal: &Renewal) -> Vec<u32> {
    renewal.held.iter().map(|renewed| renewed.slot).collect()
}

#[tokio::test(start_paused = true)]
async fn a_lease_lasts_from_its_effect_and_a_slow_answer_shortens_what_is_left() {
    let (fleet, begun) = (Fleet::new(3, LIFE), tokio::time::Instant::now());
    let ids = fleet.join();
    ids.set_delay(Delay { there: 2 * SECOND, back: 5 * SECOND });
    let leases = ids.acquire(count(1)).await.unwrap();
    assert_eq!(begun.elapsed(), 7 * SECOND);
    let holder = fleet.holder(0).unwrap();
    assert_eq!((holder.process, holder.epoch, holder.ends), (1, 1, begun + 2 * SECOND + LIFE));
    ids.renew(&held(&leases)).await.unwrap();
    assert_eq!(fleet.holder(0).unwrap().ends, begun + 9 * SECOND + LIFE);
}

#[tokio::test(start_paused = true)]
async fn links_fail_in_all_ways() {
    let fleet = Fleet::new(3, LIFE);
    let (ids, other) = (fleet.join(), fleet.join());
    for (link, kind) in [(Link::Down, IdErrorKind::Unavailable), (Link::Corrupt, IdErrorKind::Corrupt)] {
        ids.set_link(link);
        assert_eq!(ids.acquire(count(1)).await.unwrap_err().kind(), kind);
        assert_eq!(fleet.last(0), None, "it had no effect");
    }
    ids.set_link(Link::LosesAnswers);
    assert_eq!(ids.acquire(count(1)).await.unwrap_err().kind(), IdErrorKind::Unavailable);
    assert_eq!(fleet.holder(0).map(|holder| holder.process), Some(1), "it had its effect");
    ids.set_link(Link::Silent);
    let call = ids.acquire(count(1));
    tokio::pin!(call);
    assert!(tokio::time::timeout(SECOND, &mut call).await.is_err());
    assert_eq!(other.acquire(count(1)).await.unwrap()[0].slot, 1, "the link of another is its own");
    ids.set_link(Link::Up);
    assert_eq!(call.await.unwrap()[0].slot, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_away_is_lost_and_comes_back_in_a_new_epoch() {
    let fleet = Fleet::new(2, LIFE);
    let ids = fleet.join();
    let leases = ids.acquire(count(2)).await.unwrap();
    fleet.take_away(0);
    let renewal = ids.renew(&held(&leases)).await.unwrap();
    assert_eq!((slots(&renewal), renewal.lost), (vec![1], vec![0]));
    assert_eq!(ids.acquire(count(1)).await.unwrap_err().kind(), IdErrorKind::Held);
    fleet.give_back(0);
    let again = ids.acquire(count(1)).await.unwrap();
    assert_eq!((again[0].slot, again[0].epoch), (0, 2));
    assert_eq!(ids.renew(&held(&leases[..1])).await.unwrap().lost, [0], "the old epoch stays lost");
    assert_eq!(ids.acquire(count(1)).await.unwrap_err().kind(), IdErrorKind::Exhausted);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_has_ended_is_revived_or_lost() {
    let fleet = Fleet::new(2, LIFE);
    let ids = fleet.join();
    let leases = ids.acquire(count(1)).await.unwrap();
    sleep(2 * LIFE).await;
    assert_eq!(fleet.holder(0), None);
    assert_eq!(slots(&ids.renew(&held(&leases)).await.unwrap()), [0]);
    assert_eq!(fleet.holder(0).map(|holder| holder.epoch), Some(1));
    fleet.set_lapsed(Lapsed::Lost);
    sleep(2 * LIFE).await;
    assert_eq!(ids.renew(&held(&leases)).await.unwrap().lost, [0]);
}
