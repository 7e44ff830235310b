//! A process that is killed while it inserts.

use super::child::{Part, Role};
use super::{Count, Crash, Order, failed, in_runtime, values};
use crate::check::{Broken, Kept, Outcome, ensure};
use crate::given::{Chance, NOW, record};
use crate::store::{all_known, all_taken};
use hydra_api::{Durability, EstimateMethod, PeerId, Provider, ProviderRecord, ProviderStore};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

const ROUNDS: u64 = 7;

/// Records of a batch: half of them of new keys, half of one hot key.
const BATCH: u64 = 100;

/// The most batches that are reported before a kill.
const WORDS_MAX: u64 = 200;

const LIMIT: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();

fn batch(number: u64) -> Vec<ProviderRecord> {
    let fresh = (0..BATCH / 2).map(|of| record(1_000 + number * BATCH + of, of));
    fresh.chain((0..BATCH / 2).map(|of| record(1, number * BATCH + of))).collect()
}

/// The child: a line for each batch that was acknowledged.
pub(super) async fn insert_for_ever(crash: &Crash, dir: &Path, first: u64) -> Result<(), Broken> {
    let store = crash.open(dir).await?;
    let profile = store.profile();
    let len_max = profile.writes.batch_len_max.get();
    let mut out = std::io::stdout().lock();
    for number in first.. {
        for records in batch(number).chunks(len_max) {
            all_taken(&store.insert(records.into(), NOW).await?, records.len())?;
        }
        values::put_batch(&*store, number).await?;
        // The parent may be gone.
        if writeln!(out, "{number}").and_then(|()| out.flush()).is_err() {
            break;
        }
        if !window(&*store).is_some_and(|window| window.is_zero()) {
            // What is not durable at once is so after a time, in which not too much should be written.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    Ok(())
}

fn window(store: &dyn ProviderStore) -> Option<Duration> {
    match store.profile().durability {
        Durability::SurvivesRestart { window } => Some(window),
        Durability::InMemory => None,
    }
}

/// A batch that a child has begun, and how many of its records are there at least.
struct Begun {
    number: u64,
    round: u64,
    least: u64,
    /// The same of its value records with keys of their own.
    least_values: u64,
}

pub(super) fn test(crash: &Crash, number: usize) -> Outcome {
    let dir = tempfile::tempdir().map_err(failed("no temporary directory"))?;
    let window = in_runtime(async {
        let store = crash.open(dir.path()).await?;
        let window = window(&*store);
        store.close().await?;
        Ok::<_, Broken>(window)
    })??;
    let Some(window) = window else {
        return Ok(Kept::NotApplicable("the store keeps its records in memory"));
    };
    // A machine that is busy makes a thread late that flushes now and then.
    let late = if window.is_zero() { window } else { 10 * window + Duration::from_millis(250) };
    let seed = Chance::seed();
    let mut chance = Chance::of(seed);
    let (mut begun, mut replaced) = (Vec::<Begun>::new(), None);
    for round in 0..ROUNDS {
        let first = begun.last().map_or(0, |last| last.number + 1);
        let words = 1 + chance.below(WORDS_MAX);
        let told =
            |how: Broken| Broken::new(format!("round {round}: {how} (to run it again: TEST_SEED={seed})"));
        let killed = kill_after(crash, (number, first), dir.path(), words, late).map_err(told)?;
        for (number, age) in killed {
            let is_sure = age.is_some_and(|age| age >= late);
            let (least, least_values) = if is_sure { (BATCH, values::FRESH) } else { (0, 0) };
            begun.push(Begun { number, round, least, least_values });
            replaced = replaced.max(is_sure.then_some(number));
        }
        in_runtime(look(crash, dir.path(), &mut begun, &mut replaced))?.map_err(told)?;
    }
    Ok(Kept::Shown)
}

/// Starts the child, waits for so many words and so long, and kills it. Its batches in order, each with how long before
/// the kill it was acknowledged; the last one was begun perhaps.
fn kill_after(
    crash: &Crash,
    (number, first): (usize, u64),
    dir: &Path,
    words: u64,
    late: Duration,
) -> Result<Vec<(u64, Option<Duration>)>, Broken> {
    let begun = Instant::now();
    let mut child =
        Part::command(number, dir, Role::Insert { first })?.spawn().map_err(failed("no child"))?;
    let out = child.stdout.take().ok_or_else(|| Broken::new("the child has no output"))?;
    let (mut heard, mut killed, mut said) = (Vec::new(), None, String::new());
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        let Ok(number) = line.parse::<u64>() else {
            said = line;
            continue;
        };
        heard.push((number, Instant::now()));
        if killed.is_none() && heard.len() as u64 >= words && begun.elapsed() >= 2 * late {
            killed = Some(Instant::now());
            // SIGKILL, to this child alone.
            child.kill().map_err(failed("the child cannot be killed"))?;
        }
        ensure!(begun.elapsed() < crash.open_max * 5, "the child is too slow");
    }
    child.wait().map_err(failed("the child cannot be waited for"))?;
    let Some(killed) = killed else {
        return Err(Broken::new(format!("the child ended by itself after {} batches: {said}", heard.len())));
    };
    let next = heard.last().map_or(first, |(number, _)| number + 1);
    let mut batches: Vec<_> =
        heard.into_iter().map(|(number, at)| (number, Some(killed.saturating_duration_since(at)))).collect();
    batches.push((next, None));
    Ok(batches)
}

/// Opens what the child has left, demands of each batch what must be there, and closes it.
async fn look(
    crash: &Crash,
    dir: &Path,
    begun: &mut [Begun],
    replaced: &mut Option<u64>,
) -> Result<(), Broken> {
    let store = crash.open(dir).await?;
    let hot = providers(&*store, &[record(1, 0)]).await?.pop().unwrap_or_default();
    let hot: HashMap<_, _> = hot.into_iter().map(|one| (one.peer, one)).collect();
    let mut records = 0;
    let mut ended = BTreeMap::new();
    for of in &mut *begun {
        let there = there(&*store, &hot, of.number).await?;
        let (number, least) = (of.number, of.least);
        ensure!(there >= least, "of batch {number} {there} records are there, and {least} were for sure");
        if crash.order == Order::Last {
            let ended = ended.entry(of.round).or_insert(false);
            ensure!(there == 0 || there == BATCH, "of batch {number} {there} records of {BATCH} are there");
            ensure!(there == 0 || !*ended, "batch {number} is there, and one before it is not");
            *ended |= there == 0;
        }
        records += there;
        of.least = there;
    }
    let estimate = store.estimate().await?;
    let near = match crash.count {
        Count::Right => estimate.records == records,
        Count::Near => {
            let is_old = estimate.method != EstimateMethod::Counted;
            is_old || estimate.records.abs_diff(records) <= records / 5
        }
    };
    ensure!(near, "there are {records} records, and the store says {estimate:?}");
    look_at_values(crash, &*store, begun, replaced).await?;
    store.close().await?;
    Ok(())
}

/// The same of value records; `replaced` is the batch that has put the value which each batch replaces, or an earlier one. In order they come
/// after the provider records of their batch.
async fn look_at_values(
    crash: &Crash,
    store: &dyn ProviderStore,
    begun: &mut [Begun],
    replaced: &mut Option<u64>,
) -> Result<(), Broken> {
    let Some(values) = store.values() else { return Ok(()) };
    let (mut records, mut before) = (0, None);
    for of in &mut *begun {
        let there = values::there(values, of.number).await?;
        let (number, least, providers) = (of.number, of.least_values, of.least);
        ensure!(
            there >= least,
            "of batch {number} {there} value records are there, and {least} were for sure"
        );
        if crash.order == Order::Last {
            let is_behind = providers > 0 && before == Some((of.round, 0));
            let is_whole = there == 0 || (there == values::FRESH && providers > 0);
            ensure!(
                is_whole && !is_behind,
                "of batch {number} {there} value records and {providers} records are there"
            );
            before = Some((of.round, there));
        }
        records += there;
        of.least_values = there;
    }
    let by = values::replaced_by(values, begun.iter().map(|of| of.number)).await?;
    ensure!(by >= *replaced, "the value that each batch replaces is of {by:?}, and {replaced:?} was sure");
    *replaced = by;
    records += u64::from(by.is_some());
    let estimate = values.estimate_values().await?;
    let near = match crash.count {
        Count::Right => estimate.records == records,
        Count::Near => !estimate.age.is_zero() || estimate.records.abs_diff(records) <= records / 5,
    };
    ensure!(near, "there are {records} value records, and the store says {estimate:?}");
    Ok(())
}

/// How many records of a batch are there. Each is as it was inserted.
async fn there(
    store: &dyn ProviderStore,
    hot: &HashMap<PeerId, Provider>,
    number: u64,
) -> Result<u64, Broken> {
    let batch = batch(number);
    let (fresh, of_hot) = batch.split_at(BATCH as usize / 2);
    let mut found = Vec::with_capacity(batch.len());
    for (record, entry) in fresh.iter().zip(providers(store, fresh).await?) {
        ensure!(entry.len() <= 1, "a key that has one provider has {}", entry.len());
        found.extend(entry.into_iter().map(|one| (record, one)));
    }
    found.extend(of_hot.iter().filter_map(|record| Some((record, hot.get(&record.provider)?.clone()))));
    for (record, one) in &found {
        let whole = one.peer == record.provider && one.expires == record.expires;
        ensure!(
            whole && one.addresses == record.addresses,
            "a record of batch {number} is neither stored nor not: {one:?}"
        );
    }
    Ok(found.len() as u64)
}

/// The entries of the keys of these records.
pub(super) async fn providers(
    store: &dyn ProviderStore,
    records: &[ProviderRecord],
) -> Result<Vec<Vec<Provider>>, Broken> {
    let mut entries = Vec::with_capacity(records.len());
    let len_max = store.profile().reads.batch_len_max.get();
    for records in records.chunks(len_max) {
        let keys = records.iter().map(|record| record.key).collect();
        let answer = store.providers(keys, NOW, LIMIT).await?;
        entries.extend(all_known(answer, records.len())?);
    }
    Ok(entries)
}
