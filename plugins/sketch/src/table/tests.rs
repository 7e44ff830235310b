use super::*;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

/// A seed that is the same each time.
type Fixed = BuildHasherDefault<DefaultHasher>;

fn fixed(len: u32) -> Table<Fixed> {
    Table::with_hasher(len, Fixed::default())
}

/// The same numbers each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

#[test]
fn a_set_is_one_cache_line() {
    assert_eq!(size_of::<Set>(), 64);
}

#[test]
fn a_key_is_counted_up_to_the_limit_and_no_further() {
    let table = fixed(64);
    let (one, limit) = (table.place("one"), Count::of(3));
    assert_eq!((0..10).filter(|_| table.add(one, 5, limit).is_ok()).count(), 3);
    assert_eq!(table.add(one, 5, limit), Err(limit));
    assert_eq!(table.count(one, 5), limit);
    assert_eq!(table.count(one, 5 + 64), limit.over(2), "half a life on it has halved");
    let added = table.add(one, 5 + 64, limit).unwrap();
    assert_eq!(added.count, limit.over(2).plus(Count::ONE));
}

#[test]
fn what_is_taken_back_was_never_there() {
    let table = fixed(64);
    let one = table.place(1);
    let before = table.add(one, 0, Count::MAX).unwrap();
    let added = table.add(one, 0, Count::MAX).unwrap();
    assert_eq!(added.slot, before.slot);
    table.take_back(added.slot, 0);
    assert_eq!(table.count(one, 0), before.count);
    (0..5).for_each(|_| table.take_back(added.slot, 0));
    assert_eq!(table.count(one, 0), Count::ZERO);
}

/// As many keys as there may be: no counter is ever below what its key was asked for.
#[test]
fn no_key_of_the_table_is_counted_too_low_with_any_number_of_keys() {
    let (table, mut chance) = (fixed(64), Chance(7));
    let mut asked: HashMap<u64, u64> = HashMap::new();
    for _ in 0..100_000 {
        // A few that are asked for often, and many that are asked for once.
        let key = if chance.below(2) == 0 { chance.below(8) } else { chance.below(1 << 30) };
        let added = table.add(table.place(key), 0, Count::MAX).unwrap();
        let asked = asked.entry(key).or_default();
        *asked += 1;
        assert!(added.count.to_bits() as u64 >= Count::ONE.to_bits() as u64 * *asked, "{key}");
    }
}

/// Of keys that are rare against the counters, what a newcomer takes over is about nothing.
#[test]
fn rare_keys_by_the_million_take_over_little() {
    let (table, mut chance) = (fixed(65_536), Chance(11));
    let mut highest = Count::ZERO;
    for round in 0..2_000_000_u64 {
        // 100,000 new keys a second.
        let tick = round * 10_000 / crate::TICK_NS;
        let added = table.add(table.place(chance.below(1 << 40)), tick, Count::MAX).unwrap();
        if round > 1_000_000 {
            highest = highest.max(added.count);
        }
    }
    assert!(highest < Count::of(12), "{highest:?}");
}

#[test]
fn a_key_that_is_asked_for_keeps_its_counter_while_its_set_has_lower_ones() {
    let (table, mut chance) = (fixed(64), Chance(3));
    let busy = table.place("busy");
    for round in 0..10_000 {
        let tick = round / 50;
        table.add(busy, tick, Count::MAX).unwrap();
        table.add(table.place(chance.below(1 << 30)), tick, Count::MAX).unwrap();
        assert!(table.count(busy, tick) > Count::ZERO, "lost in round {round}");
    }
}

#[test]
fn threads_together_add_no_more_than_the_limit() {
    let table = fixed(64);
    let (one, limit) = (table.place("one"), Count::of(5_000));
    let added: usize = std::thread::scope(|scope| {
        let add = || (0..3_000).filter(|_| table.add(one, 1, limit).is_ok()).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(add)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(added, 5_000);
}

#[test]
fn a_tick_that_goes_back_adds_and_takes_nothing() {
    let table = fixed(64);
    let one = table.place("one");
    table.add(one, 100, Count::MAX).unwrap();
    assert_eq!(table.count(one, 0), Count::ONE);
    assert_eq!(table.add(one, 0, Count::MAX).unwrap().count, Count::of(2));
    assert_eq!(table.count(one, 100), Count::of(2));
}

#[test]
fn counts_go_on_to_halve_after_years() {
    let years = Tick::from(u32::MAX);
    for start in [years - 32, years, years + 1, 5 * years] {
        let table = fixed(64);
        let (one, limit) = (table.place("one"), Count::of(8));
        assert_eq!((0..10).filter(|_| table.add(one, start, limit).is_ok()).count(), 8);
        assert_eq!(table.count(one, start + 64), Count::of(4), "at {start}");
        assert!(table.add(one, start + 64, limit).is_ok());
    }
}

#[test]
fn two_tables_place_a_key_by_different_seeds() {
    let (one, other) = (Table::new(1 << 16), Table::new(1 << 16));
    assert!((0..64).any(|key| one.place(key) != other.place(key)));
}
