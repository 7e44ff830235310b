//! The queue as reads and the flusher see it.

use super::*;
use crate::sync::LOCKS;
use hydra_api::{Addresses, PeerId, UnixSeconds};
use std::collections::HashMap;

fn record(key: u8, provider: u8, told: u8) -> ProviderRecord {
    ProviderRecord {
        key: ContentKey::new(&[key; 34]).unwrap(),
        provider: PeerId::new(&[provider; 38]).unwrap(),
        addresses: if told == 0 { Addresses::none() } else { Addresses::fitting([[told]]) },
        expires: UnixSeconds(1_000),
    }
}

/// Pushes a record to which none gives way.
fn push(queue: &WriteQueue, record: ProviderRecord) -> Pushed {
    let mut evicted = Vec::new();
    let pushed = queue.push(record, &mut evicted);
    assert_eq!(evicted, []);
    pushed
}

fn pending(queue: &WriteQueue, key: u8) -> Vec<(u8, u8)> {
    let found = queue.pending(&ContentKey::new(&[key; 34]).unwrap(), NonZeroU32::new(100).unwrap());
    let told = |record: &ProviderRecord| record.addresses.iter().next().map_or(0, |address| address[0]);
    found.iter().map(|record| (record.provider.as_bytes()[0], told(record))).collect()
}

const AGAIN: Fate = Fate::Again(Tries { failures: 1 });
const AWAY: Fate = Fate::Away(Tries { failures: 0 });

#[test]
fn reads_find_what_waits_and_what_is_being_written() {
    let queue = WriteQueue::new(100, 1 << 20, 2);
    assert!(pending(&queue, 1).is_empty());
    for provider in 1..=3 {
        assert_eq!(push(&queue, record(1, provider, provider)), Pushed::New);
    }
    push(&queue, record(2, 9, 9));
    assert_eq!(pending(&queue, 1), [(3, 3), (2, 2), (1, 1)], "the newest first");
    assert_eq!(queue.take_window().len(), 2);
    assert_eq!(pending(&queue, 1), [(3, 3), (2, 2), (1, 1)], "in hand, too");
    queue.finish_window(&[Fate::Done, AGAIN]);
    assert_eq!(pending(&queue, 1), [(2, 2), (3, 3)], "one is in the store, one waits again");
    assert_eq!(queue.take_window().len(), 2);
    queue.finish_window(&[Fate::Done, Fate::Done]);
    queue.take_window();
    queue.finish_window(&[Fate::Done]);
    assert!(pending(&queue, 1).is_empty() && pending(&queue, 2).is_empty());
    assert_eq!((queue.level().used, queue.bytes()), (0, 0));
}

#[test]
fn an_announcement_of_what_is_being_written_waits_by_itself_and_is_what_reads_see() {
    let queue = WriteQueue::new(100, 1 << 20, 10);
    push(&queue, record(1, 1, 1));
    queue.take_window();
    assert_eq!(push(&queue, record(1, 1, 2)), Pushed::New, "the store is writing the older one");
    assert_eq!(push(&queue, record(1, 1, 3)), Pushed::Merged);
    assert_eq!(pending(&queue, 1), [(1, 3)]);
    // The older one fails: the newer one stands for both.
    queue.finish_window(&[AGAIN]);
    assert_eq!((pending(&queue, 1), queue.level().used), (vec![(1, 3)], 1));
    let window = queue.take_window();
    assert_eq!((window.len(), window[0].tries), (1, Tries::default()));
    push(&queue, record(1, 1, 0));
    queue.finish_window(&[AGAIN]);
    assert_eq!(pending(&queue, 1), [(1, 3)], "addresses that were accepted stay");
}

#[test]
fn what_was_accepted_is_not_dropped_for_what_comes_later() {
    let queue = WriteQueue::new(4, 1 << 20, 4);
    (1..=4).for_each(|provider| _ = push(&queue, record(1, provider, 1)));
    assert_eq!(queue.take_window().len(), 4);
    assert_eq!(push(&queue, record(1, 9, 1)), Pushed::Full, "the window in hand counts");
    queue.finish_window(&[AGAIN; 4]);
    assert_eq!(queue.level().used, 4);
}

/// Records of a part of the store that is away have no more than half of a full queue, and a quarter of a window.
#[test]
fn what_waits_for_a_part_gives_way_to_others() {
    let queue = WriteQueue::new(8, 1 << 20, 8);
    (1..=8).for_each(|provider| _ = push(&queue, record(provider, provider, 1)));
    assert_eq!(queue.take_window().len(), 8);
    queue.finish_window(&[AWAY; 8]);
    assert_eq!((queue.level().used, queue.away()), (8, 8), "none gives way to nothing");
    assert_eq!(queue.open_level(), Level { used: 0, max: 4 });
    assert_eq!(push(&queue, record(1, 1, 2)), Pushed::Merged);
    let mut evicted = Vec::new();
    let pushed: Vec<Pushed> = (11..=15).map(|key| queue.push(record(key, key, 1), &mut evicted)).collect();
    assert_eq!(pushed, [[Pushed::New; 4].as_slice(), &[Pushed::Full]].concat());
    let gone: Vec<u8> = evicted.iter().map(|record| record.key.as_bytes()[0]).collect();
    assert_eq!((gone, queue.level().used, queue.away()), (vec![8, 7, 6, 5], 8, 4));
    assert!(pending(&queue, 8).is_empty() && !queue.has_pending(&evicted[0]));
    assert_eq!((pending(&queue, 1), pending(&queue, 11)), (vec![(1, 2)], vec![(11, 1)]));
    let window: Vec<u8> = queue.take_window().iter().map(|held| held.record.key.as_bytes()[0]).collect();
    assert_eq!(window, [11, 12, 13, 14, 1, 2, 3, 4], "there is room for all");
    // Those in hand give way to nothing.
    assert_eq!(push(&queue, record(16, 16, 1)), Pushed::Full);
    queue.finish_window(&[[Fate::Done; 4], [AWAY; 4]].concat());
    (21..=24).for_each(|key| assert_eq!(push(&queue, record(key, key, 1)), Pushed::New));
    assert_eq!(push(&queue, record(25, 25, 1)), Pushed::Full);
    queue.take_window();
    queue.finish_window(&[Fate::Done; 8]);
    assert_eq!((queue.level().used, queue.away(), queue.bytes()), (0, 0, 0));
    assert!((1..=25).all(|key| pending(&queue, key).is_empty()));
}

#[test]
fn others_have_most_of_a_window() {
    for (window_len, away_len) in [(40, 10), (8, 2), (2, 1), (1, 0)] {
        let queue = WriteQueue::new(200, 1 << 20, window_len);
        (0..100).for_each(|provider| _ = push(&queue, record(1, provider, 1)));
        while queue.away() < 100 {
            let len = queue.take_window().len();
            queue.finish_window(&vec![AWAY; len]);
        }
        (0..100).for_each(|provider| _ = push(&queue, record(2, provider, 1)));
        let window = queue.take_window();
        let away = window.iter().filter(|held| held.record.key.as_bytes()[0] == 1).count();
        assert_eq!((window.len(), away), (window_len, away_len));
        assert!(window.iter().enumerate().all(|(place, held)| held.place == place));
    }
}

/// Reads of a key that waits no more do not take the lock for ever.
#[test]
fn a_key_of_very_many_providers_is_forgotten_once_they_are_written() {
    const LEN: usize = 70_000;
    let queue = WriteQueue::new(LEN, 64 << 20, LEN);
    for number in 0..LEN as u32 {
        let mut id = [0; 38];
        id[..4].copy_from_slice(&number.to_be_bytes());
        assert_eq!(
            push(&queue, ProviderRecord { provider: PeerId::new(&id).unwrap(), ..record(1, 1, 0) }),
            Pushed::New
        );
    }
    let key = record(1, 1, 0).key;
    let hash = queue.hasher.hash_one(key);
    assert!(queue.present.may_have(hash));
    queue.take_window();
    queue.finish_window(&[Fate::Done; LEN]);
    assert!(!queue.present.may_have(hash));
}

#[test]
fn random_use_agrees_with_a_model() {
    let queue = WriteQueue::new(200, 1 << 20, 50);
    let mut model: HashMap<(u8, u8), u8> = HashMap::new();
    let (mut seed, mut window) = (7u64, Vec::new());
    let mut next = |end: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % end
    };
    for _ in 0..20_000 {
        match next(10) {
            0 if window.is_empty() => window = queue.take_window(),
            1 if !window.is_empty() => {
                let fates: Vec<Fate> =
                    window.iter().map(|_| [AGAIN, AWAY, Fate::Done][next(3) as usize]).collect();
                queue.finish_window(&fates);
                window.clear();
                // What is written is no longer there unless it was announced again meanwhile.
                let there: Vec<_> = (0..6)
                    .flat_map(|key| {
                        pending(&queue, key).into_iter().map(move |(provider, _)| (key, provider))
                    })
                    .collect();
                model.retain(|place, _| there.contains(place));
            }
            _ => {
                let (key, provider, told) = (next(6) as u8, next(60) as u8 + 1, next(9) as u8 + 1);
                if push(&queue, record(key, provider, told)) != Pushed::Full {
                    model.insert((key, provider), told);
                }
            }
        }
        let key = next(6) as u8;
        let mut found = pending(&queue, key);
        let mut expected: Vec<_> = model
            .iter()
            .filter(|((of, _), _)| *of == key)
            .map(|((_, provider), told)| (*provider, *told))
            .collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}

#[test]
fn whether_a_provider_of_a_key_waits_is_known_until_it_is_written() {
    let queue = WriteQueue::new(100, 64 << 20, 100);
    let (waiting, other) = (record(1, 1, 0), record(1, 2, 0));
    push(&queue, waiting.clone());
    assert!(queue.has_pending(&waiting));
    assert!(!queue.has_pending(&other));
    assert!(!queue.has_pending(&record(2, 1, 0)));
    assert_eq!(queue.take_window().len(), 1);
    assert!(queue.has_pending(&waiting), "it is being written");
    queue.finish_window(&[Fate::Done]);
    assert!(!queue.has_pending(&waiting));
}

/// Announcements and reads take the same lock: they get in between, however long the window is.
#[test]
fn a_long_window_is_worked_through_under_many_short_locks() {
    const LEN: usize = 20_000;
    let queue = WriteQueue::new(LEN, 64 << 20, LEN);
    for number in 0..LEN as u64 {
        let mut record = record(0, 1, 1);
        record.key = ContentKey::new(&number.to_be_bytes()).unwrap();
        assert_eq!(push(&queue, record), Pushed::New);
    }
    let locks = |work: &dyn Fn()| {
        let before = LOCKS.get();
        work();
        (LOCKS.get() - before) as usize
    };
    let taken = locks(&|| assert_eq!(queue.take_window().len(), LEN));
    let tried = locks(&|| queue.finish_window(&[AGAIN; LEN]));
    assert_eq!(queue.take_window().len(), LEN);
    let done = locks(&|| queue.finish_window(&[Fate::Done; LEN]));
    for locks in [taken, tried, done] {
        assert!(locks >= LEN / 100, "{} entries under one lock: {:?}", LEN / locks, [taken, tried, done]);
    }
    assert_eq!(queue.level().used, 0);
}

#[test]
fn half_of_the_room_takes_nothing_new_until_enough_is_written() {
    let queue = WriteQueue::new(8, 1 << 20, 6);
    (0..6).for_each(|provider| _ = push(&queue, record(1, provider, 0)));
    queue.set_share(MemoryShare::Half);
    assert_eq!(queue.level(), Level { used: 6, max: 4 });
    assert_eq!(queue.bytes_max(), 1 << 19);
    assert_eq!(push(&queue, record(1, 9, 0)), Pushed::Full);
    assert_eq!(push(&queue, record(1, 5, 7)), Pushed::Merged, "what waits is still changed");
    assert_eq!(pending(&queue, 1).len(), 6, "what was accepted stays");
    assert_eq!(queue.take_window().len(), 4, "a window is no larger than the queue");
    queue.finish_window(&[Fate::Done; 4]);
    assert_eq!(push(&queue, record(1, 9, 0)), Pushed::New);
    queue.set_share(MemoryShare::Full);
    (10..15).for_each(|provider| assert_eq!(push(&queue, record(1, provider, 0)), Pushed::New));
    assert_eq!((push(&queue, record(1, 16, 0)), queue.level().max), (Pushed::Full, 8));
}

#[test]
fn records_of_a_part_that_is_away_give_way_when_half_of_the_room_is_left() {
    let queue = WriteQueue::new(8, 1 << 20, 8);
    (0..4).for_each(|provider| _ = push(&queue, record(1, provider, 0)));
    queue.take_window();
    queue.finish_window(&[AWAY; 4]);
    queue.set_share(MemoryShare::Half);
    let mut evicted = Vec::new();
    assert_eq!(queue.push(record(1, 9, 0), &mut evicted), Pushed::New);
    assert_eq!((evicted.len(), queue.level().used, queue.away()), (1, 4, 3));
}

/// `Engine::set_memory_share`: "announcements that were accepted stay until they are written".
#[test]
fn half_of_the_room_drops_nothing_that_was_accepted_and_no_push_evicts_half_of_the_queue() {
    let queue = WriteQueue::new(10_000, 1 << 30, 10_000);
    let numbered = |number: u32| ProviderRecord {
        key: ContentKey::new(&[&number.to_be_bytes()[..], &[7; 30]].concat()).unwrap(),
        ..record(1, 1, 1)
    };
    (0..10_000).for_each(|number| _ = push(&queue, numbered(number)));
    let len = queue.take_window().len();
    queue.finish_window(&vec![AWAY; len]);
    queue.set_share(MemoryShare::Half);
    let mut evicted = Vec::new();
    queue.push(numbered(10_000), &mut evicted);
    assert!(evicted.len() <= LOCKED_MAX, "{} under one lock, in one request", evicted.len());
}
