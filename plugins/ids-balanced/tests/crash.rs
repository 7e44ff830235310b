//! What a process that is killed at any moment leaves behind: epochs that grow, and slots that keep their identity.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "the process that is killed says what it has taken")]

use hydra_api::{HeadCount, HeadLease, IdAllocator, Scope};
use hydra_ids_balanced::{Balanced, Config};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const DIR: &str = "HYDRA_TEST_CRASH_DIR";
const HEADS: HeadCount = HeadCount::new(3).unwrap();

#[test]
#[ignore = "the process that i10_epochs_grow_over_kills kills"]
fn acquires_until_it_is_killed() {
    let dir = std::env::var(DIR).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let ids = open(Path::new(&dir));
        for round in 0u16.. {
            let leases = ids.acquire(HEADS).await.unwrap();
            for lease in &leases {
                println!("lease {} {} {}", lease.slot, lease.epoch, lease.peer);
            }
            // A port that changes makes it write the other file, too.
            let held: Vec<_> = leases.iter().map(|lease| lease.held_on(40_000 + round % 100)).collect();
            ids.renew(&held[..1]).await.unwrap();
            ids.release(&held).await.unwrap();
        }
    });
}

#[test]
fn i10_epochs_grow_over_kills() {
    let dir = tempfile::tempdir().unwrap();
    let mut last: BTreeMap<u32, (u64, String)> = BTreeMap::new();
    for killed in 0..20 {
        for line in lines_until_killed(dir.path(), 3 + killed * 7) {
            let mut words = line.split(' ');
            let mut next = || words.next().unwrap();
            let (slot, epoch, peer) = (next().parse().unwrap(), next().parse().unwrap(), next().to_owned());
            if let Some((before, same)) = last.insert(slot, (epoch, peer.clone())) {
                assert!(before < epoch, "slot {slot}: epoch {epoch} after {before}, {killed} kills");
                assert_eq!(same, peer);
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let leases: Vec<HeadLease> = runtime.block_on(open(dir.path()).acquire(HEADS)).unwrap();
    assert!(leases.iter().all(|lease| lease.epoch > last[&lease.slot].0), "{leases:?} after {last:?}");
}

/// What the process says of its leases until it has said so many lines, and then is killed with those it says meanwhile.
fn lines_until_killed(dir: &Path, wanted: usize) -> Vec<String> {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "acquires_until_it_is_killed", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(process.stdout.take().unwrap());
    let mut lines = out.lines().map_while(Result::ok).filter_map(|line| {
        // A line that was cut by the kill says nothing.
        let lease = line.strip_prefix("lease ")?;
        (lease.split(' ').count() == 3).then(|| lease.to_owned())
    });
    let mut said: Vec<String> = lines.by_ref().take(wanted).collect();
    process.kill().unwrap();
    said.extend(lines);
    process.wait().unwrap();
    said
}

fn open(dir: &Path) -> Balanced {
    Balanced::new(Config::default(), &Scope::new(dir)).unwrap()
}
