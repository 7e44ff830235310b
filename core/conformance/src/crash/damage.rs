//! Files that are damaged while nobody has them open.

use super::child::{Part, Role};
use super::{Crash, Notice, failed, in_runtime};
use crate::check::{Broken, Kept, Outcome, ensure};
use crate::given::{Chance, NOW, record};
use crate::store::{all_known, all_taken};
use crate::tree::Tree;
use hydra_api::{
    Causes, Durability, Found, OpenErrorKind, ProviderRecord, ProviderStore, Purpose, StoreError,
    StoreErrorKind,
};
use std::io::Read;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records of the store that is damaged.
const RECORDS: u64 = 5000;

/// Bytes of a file that are overwritten where a part of it is.
const TORN_LEN: usize = 1024;

const LIMIT: NonZeroU32 = NonZeroU32::new(1000).unwrap();

/// What happens to a file.
#[derive(Debug, Clone, Copy)]
enum Way {
    Cut,
    Emptied,
    Overwritten,
    /// A part in the middle.
    Torn,
    OneByte,
    Removed,
}

impl Way {
    const ALL: [Self; 6] =
        [Self::Cut, Self::Emptied, Self::Overwritten, Self::Torn, Self::OneByte, Self::Removed];

    fn befall(self, file: &Path, chance: &mut Chance) -> std::io::Result<()> {
        let mut content = std::fs::read(file)?;
        let len = content.len();
        match self {
            Self::Cut => content.truncate(len / 2),
            Self::Emptied => content.clear(),
            Self::Overwritten => content.fill(0xa5),
            Self::Torn => content.iter_mut().skip(len / 3).take(TORN_LEN).for_each(|byte| *byte = 0xa5),
            Self::OneByte => {
                let place = chance.below(len as u64) as usize;
                content.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 0x5a);
            }
            Self::Removed => return std::fs::remove_file(file),
        }
        std::fs::write(file, content)
    }
}

fn records() -> Vec<ProviderRecord> {
    (0..RECORDS).map(|number| record(number / 2, number % 50)).collect()
}

/// Damaged files and a node.
pub(super) fn test(crash: &Crash, number: usize) -> Outcome {
    each_damage(crash, number, Role::Serve)
}

/// Damaged files and a command without a node.
pub(super) fn test_of_looks(crash: &Crash, number: usize) -> Outcome {
    each_damage(crash, number, Role::Use)
}

fn each_damage(crash: &Crash, number: usize, role: Role) -> Outcome {
    let pristine = tempfile::tempdir().map_err(failed("no temporary directory"))?;
    let in_memory = in_runtime(fill(crash, pristine.path()))??;
    if in_memory {
        return Ok(Kept::NotApplicable("the store keeps its records in memory"));
    }
    let mut names = Vec::new();
    files(pristine.path(), &mut names).map_err(failed("the data directory cannot be read"))?;
    names.sort();
    if names.is_empty() {
        return Ok(Kept::NotApplicable("the store keeps no files in the data directory"));
    }
    let seed = Chance::seed();
    let mut chance = Chance::of(seed);
    for name in names.iter().step_by(names.len().div_ceil(crash.files_max.max(1))) {
        let name = name.strip_prefix(pristine.path()).unwrap_or(name);
        for way in Way::ALL {
            let how = |how: &dyn std::fmt::Display| {
                Broken::new(format!("{} {way:?}: {how} (to run it again: TEST_SEED={seed})", name.display()))
            };
            let dir = tempfile::tempdir().map_err(failed("no temporary directory"))?;
            copy(pristine.path(), dir.path()).map_err(failed("the files cannot be copied"))?;
            way.befall(&dir.path().join(name), &mut chance).map_err(failed("the file cannot be changed"))?;
            in_a_child(crash, number, dir.path(), role).map_err(|broken| how(&broken))?;
        }
    }
    Ok(Kept::Shown)
}

/// Fills a store and closes it, twice, so that there are files of more than one kind; whether it keeps nothing.
async fn fill(crash: &Crash, dir: &Path) -> Result<bool, Broken> {
    for half in records().chunks(RECORDS as usize / 2) {
        let store = crash.open(dir).await?;
        if store.profile().durability == Durability::InMemory {
            return Ok(true);
        }
        insert(&*store, half).await?;
        store.close().await?;
    }
    Ok(false)
}

/// A store that aborts takes its process along, and one that hangs stays: both are found from outside.
fn in_a_child(crash: &Crash, number: usize, dir: &Path, role: Role) -> Result<(), Broken> {
    let mut child = Part::command(number, dir, role)?.spawn().map_err(failed("no child"))?;
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed("the child cannot be waited for"))? {
            break status;
        }
        if begun.elapsed() > crash.open_max {
            child.kill().and_then(|()| child.wait()).map_err(failed("the child cannot be killed"))?;
            return Err(Broken::new(format!("it has hung for {:?}", crash.open_max)));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut said = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut said).map_err(failed("the child's output cannot be read"))?;
    }
    ensure!(status.success(), "{} ({status})", said.trim());
    Ok(())
}

/// The child: opens the store for a look and reads all. What is damaged is an error, and never an empty store. An engine may tidy
/// up when it opens its files, and find the damage later, but moves nothing. One that notices damage by itself shows everything, or fails,
/// sooner or later, and changes nothing.
pub(super) async fn look(crash: &Crash, dir: &Path) -> Result<(), Broken> {
    let before = Tree::of(dir)?;
    let store = match crash.open_for(Purpose::Use, dir).await {
        Ok(store) => store,
        Err(error) => {
            // Without its only file there are no records.
            let fits = matches!(error.kind(), OpenErrorKind::Corrupt | OpenErrorKind::Config { .. });
            ensure!(fits, "a look fails as {:?}: {}", error.kind(), Causes(&error));
            return damage_is_left(crash, &before, dir);
        }
    };
    let least = match crash.notice {
        Notice::AfterCleanStop => Least::All,
        Notice::Perhaps => Least::One,
    };
    let found = read(&*store, &records(), least).await?;
    // What is damaged may not be closed either.
    drop(store.close().await);
    match found {
        Err(error) if error.kind() != StoreErrorKind::Corrupt => Err(error.into()),
        Err(_) => damage_is_left(crash, &before, dir),
        Ok(()) => before.nothing_moved(dir),
    }
}

/// What a look that found damage may not have changed.
fn damage_is_left(crash: &Crash, before: &Tree, dir: &Path) -> Result<(), Broken> {
    match crash.notice {
        Notice::AfterCleanStop => before.unchanged(dir),
        Notice::Perhaps => before.nothing_moved(dir),
    }
}

/// The child: opens the store as a node, reads all, inserts all, and reads all again; once more when a call finds damage.
pub(super) async fn serve(crash: &Crash, dir: &Path) -> Result<(), Broken> {
    const TRIES: usize = 3;
    let before = Tree::of(dir)?;
    for _ in 0..TRIES {
        let store = match crash.open(dir).await {
            Ok(store) => store,
            Err(error) if *error.kind() == OpenErrorKind::Corrupt => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // Without a word all of it must be there. What was moved aside shows beside the files.
        let least = match crash.notice {
            Notice::AfterCleanStop if before.nothing_moved(dir).is_ok() => Least::All,
            Notice::AfterCleanStop | Notice::Perhaps => Least::Nothing,
        };
        match use_it(&*store, least).await? {
            Use::Through => {
                store.close().await?;
                return Ok(());
            }
            // What is damaged may not be flushed either. The next start must know what to do.
            Use::FoundDamage => drop(store.close().await),
        }
    }
    Err(Broken::new(format!("it is damaged still after {TRIES} starts")))
}

enum Use {
    Through,
    FoundDamage,
}

async fn use_it(store: &dyn ProviderStore, least: Least) -> Result<Use, Broken> {
    let corrupt = |error: StoreError| {
        let found = error.kind() == StoreErrorKind::Corrupt;
        found.then_some(Use::FoundDamage).ok_or_else(|| Broken::from(error))
    };
    let records = records();
    // What is there is what was inserted; it may be less.
    if let Err(error) = read(store, &records, least).await? {
        return corrupt(error);
    }
    for chunk in records.chunks(store.profile().writes.batch_len_max.get()) {
        match store.insert(chunk.into(), NOW).await {
            Ok(inserted) => all_taken(&inserted, chunk.len())?,
            Err(error) => return corrupt(error),
        }
    }
    match read(store, &records, Least::All).await? {
        Ok(()) => Ok(Use::Through),
        Err(error) => corrupt(error),
    }
}

/// How many of the records must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Least {
    Nothing,
    One,
    All,
}

async fn read(
    store: &dyn ProviderStore,
    records: &[ProviderRecord],
    least: Least,
) -> Result<Result<(), StoreError>, Broken> {
    let mut keys: Vec<_> = records.iter().map(|record| record.key).collect();
    keys.dedup();
    let (mut left, mut found, mut is_damaged) = (records, 0, false);
    for keys in keys.chunks(store.profile().reads.batch_len_max.get()) {
        let mut answer = match store.providers(keys.into(), NOW, LIMIT).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        // What is damaged may concern single keys. What is told of the others is to be true all the same.
        let damaged: Vec<_> =
            answer.iter().map(|one| *one == Found::Unknown(StoreErrorKind::Corrupt)).collect();
        answer.iter_mut().zip(&damaged).filter(|(_, damaged)| **damaged).for_each(|(one, _)| {
            *one = Found::Known(Vec::new());
        });
        is_damaged |= damaged.contains(&true);
        for ((key, entry), damaged) in keys.iter().zip(all_known(answer, keys.len())?).zip(damaged) {
            let len = left.iter().take_while(|record| record.key == *key).count();
            let (of_key, rest) = left.split_at(len);
            left = rest;
            found += entry.len();
            for one in &entry {
                let inserted = of_key.iter().any(|record| {
                    record.provider == one.peer
                        && record.expires == one.expires
                        && (record.addresses == one.addresses || one.addresses.is_empty())
                });
                ensure!(inserted, "it returns what was never inserted: {one:?}");
            }
            ensure!(
                damaged || least != Least::All || entry.len() == of_key.len(),
                "of {} providers of a key {} are there, and no damage was found",
                of_key.len(),
                entry.len()
            );
        }
    }
    if is_damaged {
        return Ok(Err(StoreError::new(StoreErrorKind::Corrupt, "providers")));
    }
    ensure!(least != Least::One || found > 0, "it shows an empty store instead of the damage");
    Ok(Ok(()))
}

async fn insert(store: &dyn ProviderStore, records: &[ProviderRecord]) -> Result<(), Broken> {
    for chunk in records.chunks(store.profile().writes.batch_len_max.get()) {
        let chunk: Arc<[_]> = chunk.into();
        all_taken(&store.insert(Arc::clone(&chunk), NOW).await?, chunk.len())?;
    }
    Ok(())
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { files(&path, found)? } else { found.push(path) }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
