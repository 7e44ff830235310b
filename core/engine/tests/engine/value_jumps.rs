//! Value records, and a wall clock that jumps.

use crate::doubles::{FAILS, Mood, START, Store, caller, millis, permits};
use crate::jumps::{DAY, Wall};
use crate::names::Name;
use crate::values::{get, put, stored};
use bytes::Bytes;
use hydra_api::{UnixSeconds, ValueKey, ValuePut, ValueRecord};
use hydra_engine::{Clock, Config, Engine, Put};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How long a record is kept after its receipt: short, as the clock is looked at ten times in each second of it.
const LIFE: Duration = Duration::from_secs(2 * 3_600);

fn open(store: &Store, clock: Clock) -> Arc<Engine> {
    let mut config = Config { purge_interval_s: 60, ..permits(4) };
    config.values.ttl_hours = 2;
    Engine::open(store.named(), Vec::new(), config, clock, None)
}

/// A record whose own end is far off: its life in the store ends before.
fn lasting(name: &Name, sequence: u64) -> Bytes {
    name.until(sequence, Duration::from_secs(100 * DAY))
}

/// U6: a worse record is not taken over one that has expired by a clock that jumped alone, whether that is cached or has to be read.
#[tokio::test(start_paused = true)]
async fn u6_a_record_that_a_jump_makes_look_expired_is_still_the_better_one() {
    let store = Store::new(4, 256);
    let (wall, clock) = Wall::new();
    let engine = open(&store, clock);
    let name = Name::of(1);
    assert_eq!(put(&engine, &name, &lasting(&name, 7)).await, Put::Taken);
    sleep(millis(5_000)).await;
    wall.jump(10 * DAY).await;
    assert_eq!(put(&engine, &name, &lasting(&name, 6)).await, Put::Refused, "it is cached");
    sleep(Duration::from_secs(120)).await;
    assert_eq!(put(&engine, &name, &lasting(&name, 5)).await, Put::Refused, "it is read");
    assert_eq!(engine.stats().values.outdated, 2);
    wall.jump(0).await;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(get(&engine, &name).await, Some(lasting(&name, 7)));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_waits_while_the_clock_jumps_is_written() {
    let store = Store::new(4, 256);
    let (wall, clock) = Wall::new();
    let engine = open(&store, clock);
    let name = Name::of(1);
    store.set_writes(FAILS);
    assert_eq!(put(&engine, &name, &lasting(&name, 1)).await, Put::Taken);
    sleep(millis(5_000)).await;
    wall.jump(10 * DAY).await;
    store.set_writes(Mood::Takes(millis(1)));
    sleep(Duration::from_secs(60)).await;
    let stats = engine.stats();
    assert_eq!((stats.values.written, stats.gauge.value_queue.used), (1, 0));
    assert_eq!(stored(&*store.named().store, &name).await, Some(lasting(&name, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_value_record_that_a_jump_makes_look_expired_is_not_purged() {
    let store = Store::new(4, 256);
    let (wall, clock) = Wall::new();
    let engine = open(&store, clock);
    let name = Name::of(1);
    assert_eq!(put(&engine, &name, &lasting(&name, 1)).await, Put::Taken);
    sleep(millis(5_000)).await;
    wall.jump(10 * DAY).await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(get(&engine, &name).await, None, "by this clock");
    wall.jump(0).await;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(get(&engine, &name).await, Some(lasting(&name, 1)));
    // By a clock that went evenly it is.
    sleep(LIFE + Duration::from_secs(600)).await;
    let values = store.named().store;
    assert_eq!(values.values().unwrap().estimate_values().await.unwrap().records, 0);
}

/// What another node wrote, which lets records live longer, or whose clock was ahead.
#[tokio::test(start_paused = true)]
async fn u9_no_record_of_the_store_lives_longer_than_this_node_lets_it() {
    let store = Store::new(4, 256);
    let (_wall, clock) = Wall::new();
    let engine = open(&store, clock);
    let ahead = START.saturating_add(Duration::from_secs(3_650 * DAY));
    let names = [(Name::of(1), START), (Name::of(2), ahead)];
    for (name, received) in &names {
        let record =
            ValueRecord { value: lasting(name, 1), received: *received, expires: UnixSeconds(u32::MAX) };
        let put = ValuePut { key: ValueKey::new(&name.key()).unwrap(), seen: None, record };
        store.named().store.values().unwrap().put_if([put].into(), START).await.unwrap();
    }
    sleep(Duration::from_secs(60)).await;
    let latest = START.saturating_add(LIFE + Duration::from_secs(60));
    for (name, received) in &names {
        let record = engine.value(caller(2), &name.key()).await.record.unwrap();
        assert!(record.expires <= latest, "{received:?}: {:?}", record.expires);
    }
    sleep(LIFE).await;
    assert_eq!(get(&engine, &names[0].0).await, None, "nobody has put it since");
}
