//! Value records: servers that are killed or full, answers that get lost, and a master that is away.

use crate::cluster::cluster;
use crate::shop::{PATIENCE, Shop, config, server};
use crate::{lacks_expire_options, trial, trial_unless};
use hydra_api::{
    Causes, FoundValue, PurgeProgress, PutOutcome, StoreError, StoreErrorKind, ValueKey, ValuePut,
    ValueRecord, ValueStore,
};
use hydra_conformance::given::{LIFE, NOW};
use hydra_store_redis::{Config, Scripts};
use libtest_mimic::Trial;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

const WRITERS: u8 = 4;
const UNKNOWN: PutOutcome = PutOutcome::Unknown(StoreErrorKind::Unavailable);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_put_that_a_killed_server_leaves_open_is_not_said_to_be_stored", || killed(Scripts::Auto)),
        trial_unless(lacks_expire_options, "the_same_of_a_put_without_scripts", || killed(Scripts::Off)),
        trial("a_put_whose_answer_is_lost_knows_its_own_record", || lost_answer(Scripts::Auto)),
        trial_unless(lacks_expire_options, "a_transaction_whose_answer_is_lost_knows_its_own_record", || {
            lost_answer(Scripts::Off)
        }),
        trial("a_connection_that_was_closed_costs_no_put", || closed_connections(Scripts::Auto)),
        trial_unless(lacks_expire_options, "a_connection_that_was_closed_costs_no_transaction", || {
            closed_connections(Scripts::Off)
        }),
        trial("full_memory_refuses_value_records_and_is_purged", || full(Scripts::Auto)),
        trial_unless(lacks_expire_options, "full_memory_refuses_value_records_without_scripts", || {
            full(Scripts::Off)
        }),
        trial("a_dead_master_costs_its_own_value_records", || dead_master(Scripts::Auto)),
        trial_unless(
            lacks_expire_options,
            "a_dead_master_costs_its_own_value_records_without_scripts",
            || dead_master(Scripts::Off),
        ),
    ]
}

/// Keys that look like hash tags.
fn key(number: u8) -> ValueKey {
    ValueKey::new(&[b'{', number, b'}', b'{', b'a', b'}', b'\r', b'\n']).unwrap()
}

fn value(number: u64) -> Vec<u8> {
    [&number.to_be_bytes()[..], &[7; 300]].concat()
}

/// The value of a number that comes after that of the one before; 0 stands for nothing.
fn after(key: ValueKey, before: u64) -> ValuePut {
    let seen = (before > 0).then(|| value(before).into());
    let (received, expires) = (NOW, NOW.saturating_add(LIFE));
    ValuePut { key, seen, record: ValueRecord { value: value(before + 1).into(), received, expires } }
}

fn number_of(found: &FoundValue) -> Option<u64> {
    match found {
        FoundValue::Known(None) => Some(0),
        FoundValue::Known(Some(record)) => {
            let (first, _) = record.value.split_first_chunk().unwrap();
            assert_eq!(record.value, value(u64::from_be_bytes(*first)));
            Some(u64::from_be_bytes(*first))
        }
        FoundValue::Unknown(_) => None,
    }
}

impl Shop {
    fn values(&self) -> &dyn ValueStore {
        self.0.values().unwrap()
    }

    async fn put_after(&self, key: ValueKey, before: u64) -> Result<PutOutcome, StoreError> {
        let mut outcomes = self.values().put_if([after(key, before)].into(), NOW).await?;
        Ok(outcomes.pop().unwrap())
    }

    async fn number(&self, key: ValueKey) -> Result<u64, StoreError> {
        let found = self.values().get([key].into(), NOW).await?;
        number_of(&found[0]).ok_or_else(|| StoreError::new(StoreErrorKind::Unavailable, "get"))
    }

    async fn number_again(&self, key: ValueKey) -> u64 {
        let since = Instant::now();
        loop {
            match self.number(key).await {
                Ok(number) => return number,
                Err(error) => assert!(since.elapsed() < PATIENCE, "{}", Causes(&error)),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// What a killed server leaves open is not said to be stored, and what is said to be stored is there.
pub(crate) async fn killed(scripts: Scripts) {
    let mut server = server(&["--appendonly", "yes", "--appendfsync", "always"]);
    let shop = Arc::new(Shop::of(Config { scripts, ..config(&[server.port()]) }).await);
    let mut numbers = [0; WRITERS as usize];
    for _ in 0..4 {
        let mut writers = JoinSet::new();
        for (writer, mut last) in (0..WRITERS).zip(numbers) {
            let shop = Arc::clone(&shop);
            writers.spawn(async move {
                loop {
                    match shop.put_after(key(writer), last).await {
                        Ok(PutOutcome::Stored) => last += 1,
                        Ok(PutOutcome::Unknown(_)) | Err(_) => return (writer, last),
                        Ok(other) => panic!("a put after {last} is {other:?}"),
                    }
                }
            });
        }
        sleep(Duration::from_millis(200)).await;
        server.kill().unwrap();
        let ended = writers.join_all().await;
        server.launch().unwrap();
        for (writer, last) in ended {
            let found = shop.number_again(key(writer)).await;
            assert!(last > 0, "nothing was put before the server was killed");
            assert!((last..=last + 1).contains(&found), "{last} is stored, and {found} is there");
            numbers[usize::from(writer)] = found;
        }
    }
}

/// Carries messages to a server, and loses the answer to the next one that has these bytes: the connection ends when it comes.
struct Link {
    port: u16,
    loses: Arc<Mutex<Option<&'static [u8]>>>,
}

impl Link {
    fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = Self { port: listener.local_addr().unwrap().port(), loses: Arc::default() };
        let loses = Arc::clone(&link.loses);
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let loses = Arc::clone(&loses);
                // It ends with the connection.
                std::thread::spawn(move || drop(carry(client, to, &loses)));
            }
        });
        link
    }

    fn lose(&self, answer_to: &'static [u8]) {
        *self.loses.lock().unwrap() = Some(answer_to);
    }

    /// True if an answer was lost.
    fn has_lost(&self) -> bool {
        self.loses.lock().unwrap().is_none()
    }
}

fn carry(mut client: TcpStream, to: u16, loses: &Mutex<Option<&'static [u8]>>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", to))?;
    let (mut answers, mut asker) = (server.try_clone()?, client.try_clone()?);
    let is_mute = Arc::new(AtomicBool::new(false));
    let mute = Arc::clone(&is_mute);
    std::thread::spawn(move || -> std::io::Result<()> {
        let mut answer = [0; 1 << 16];
        loop {
            let len = answers.read(&mut answer)?;
            if len == 0 || mute.load(Ordering::Acquire) {
                return asker.shutdown(Shutdown::Both);
            }
            asker.write_all(&answer[..len])?;
        }
    });
    let mut message = vec![0; 1 << 16];
    loop {
        let len = client.read(&mut message)?;
        if len == 0 {
            return server.shutdown(Shutdown::Both);
        }
        let mut loses = loses.lock().unwrap();
        if loses.is_some_and(|bytes| message[..len].windows(bytes.len()).any(|window| window == bytes)) {
            is_mute.store(true, Ordering::Release);
            *loses = None;
        }
        drop(loses);
        server.write_all(&message[..len])?;
    }
}

/// A put whose answer is lost is sent again, and knows its own record.
pub(crate) async fn lost_answer(scripts: Scripts) {
    let server = server(&[]);
    let link = Link::start(server.port());
    let shop = Shop::of(Config { scripts, ..config(&[link.port]) }).await;
    let writes: &'static [u8] = if scripts == Scripts::Off { b"EXEC" } else { b"EVALSHA" };
    assert_eq!(shop.put_after(key(1), 0).await.unwrap(), PutOutcome::Stored);
    for before in 1..10 {
        link.lose(writes);
        assert_eq!(shop.put_after(key(1), before).await.unwrap(), PutOutcome::Stored);
        assert!(link.has_lost());
        assert_eq!(shop.number(key(1)).await.unwrap(), before + 1);
        let direct = Shop::of(Config { scripts, ..config(&[server.port()]) }).await;
        assert_eq!(direct.number(key(1)).await.unwrap(), before + 1);
    }
    if scripts == Scripts::Auto {
        // It might have been stored at first, and replaced since.
        link.lose(writes);
        assert_eq!(shop.put_after(key(1), 3).await.unwrap(), UNKNOWN);
    }
    assert_eq!(shop.put_after(key(1), 3).await.unwrap(), PutOutcome::Changed);
}

/// Connections that the server has closed cost no put.
pub(crate) async fn closed_connections(scripts: Scripts) {
    let server = server(&[]);
    let shop = Shop::of(Config { scripts, ..config(&[server.port()]) }).await;
    for before in 0..5 {
        server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
        assert_eq!(shop.put_after(key(1), before).await.unwrap(), PutOutcome::Stored);
    }
}

pub(crate) async fn full(scripts: Scripts) {
    let server = server(&[]);
    let shop = Shop::of(Config { scripts, ..config(&[server.port()]) }).await;
    for number in 0..20 {
        assert_eq!(shop.put_after(key(number), 0).await.unwrap(), PutOutcome::Stored);
    }
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let puts: Arc<[_]> = (0..40).map(|number| after(key(number), u64::from(number < 20))).collect();
    let outcomes = shop.values().put_if(puts, NOW).await.unwrap();
    assert_eq!(outcomes, vec![PutOutcome::NoRoom; 40]);
    for number in 0..40 {
        assert_eq!(shop.number(key(number)).await.unwrap(), u64::from(number < 20));
    }
    // What goes makes room.
    assert_eq!(shop.values().delete_values((0..5).map(key).collect()).await.unwrap(), 5);
    let late = NOW.saturating_add(LIFE);
    if scripts == Scripts::Off {
        // A server whose memory is full refuses transactions, whatever is in them.
        assert!(shop.values().purge_values(late, NonZeroU32::new(4).unwrap()).await.is_ok());
        server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    }
    let (mut removed, mut passes) = (0, 0);
    // A pass goes on where the one that was refused has ended.
    while passes < 2 {
        let purged = shop.values().purge_values(late, NonZeroU32::new(4).unwrap()).await.unwrap();
        removed += purged.removed;
        match purged.progress {
            PurgeProgress::Done => passes += 1,
            PurgeProgress::More => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(removed, 15);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert_eq!(shop.values().estimate_values().await.unwrap().records, 0);
    assert_eq!(shop.put_after(key(1), 0).await.unwrap(), PutOutcome::Stored);
}

/// Of a dead master its own keys alone are unknown.
pub(crate) async fn dead_master(scripts: Scripts) {
    const KEYS: Range<u8> = 0..100;
    let (mut cluster, config) = cluster(0);
    let shop = Shop::of(Config { scripts, ..config }).await;
    let puts = |before| -> Arc<[_]> { KEYS.map(|number| after(key(number), before)).collect() };
    assert_eq!(shop.values().put_if(puts(0), NOW).await.unwrap(), vec![PutOutcome::Stored; 100]);
    cluster.nodes[1].kill().unwrap();
    let found = shop.values().get(KEYS.map(key).collect(), NOW).await.unwrap();
    let numbers: Vec<_> = found.iter().map(number_of).collect();
    let unknown = numbers.iter().filter(|number| number.is_none()).count();
    assert!((10..60).contains(&unknown) && !numbers.contains(&Some(0)), "{numbers:?}");
    let since = Instant::now();
    loop {
        let outcomes = shop.values().put_if(puts(1), NOW).await.unwrap();
        for (number, outcome) in numbers.iter().zip(&outcomes) {
            // A connection that is lost leaves open what has changed.
            let is_known = [PutOutcome::Stored, PutOutcome::Changed, UNKNOWN].contains(outcome);
            assert!(if number.is_none() { *outcome == UNKNOWN } else { is_known }, "{outcomes:?}");
        }
        if outcomes.iter().filter(|outcome| **outcome == UNKNOWN).count() == unknown {
            break;
        }
        assert!(since.elapsed() < PATIENCE);
    }
    let estimate = shop.values().estimate_values().await.unwrap();
    assert!((60..140).contains(&estimate.records), "{estimate:?}");
    cluster.nodes[1].launch().unwrap();
    for (number, before) in KEYS.zip(numbers) {
        let expected = if before.is_none() { 1 } else { 2 };
        assert_eq!(shop.number_again(key(number)).await, expected, "key {number}");
    }
}
