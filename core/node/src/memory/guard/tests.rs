//! The guard of a node that is not there.

use super::*;
use crate::config::Config;
use crate::memory::HeapSizes;
use crate::memory::heap::Heap;
use crate::observe::node_view::sample::{self, Sample};
use hydra_memory_usage::Source;
use std::path::Path;
use tempfile::TempDir;

fn empty(_: &Path) -> io::Result<Vec<u8>> {
    Ok(Vec::new())
}

/// A node and its guard, which looks when it is told to.
fn guarded() -> (Sample, Watcher, TempDir) {
    let (node, data_dir) = (sample::node(1), tempfile::tempdir().unwrap());
    let config = Config { data_dir: data_dir.path().to_owned(), ..Config::default() };
    let heap = Heap { profile: empty, sizes: || Ok(HeapSizes::default()) };
    let parts = Parts {
        engine: Arc::clone(&node.node_view.engine),
        connections: Arc::clone(&node.node_view.connections),
        view: Arc::new(MemoryView::new(Arc::new(Profiles::new(&config, Some(heap))))),
    };
    let watcher = Watcher {
        parts,
        gauge: Gauge::new(None),
        steps: Steps::new(&config.memory),
        closed: None,
        profile_interval: Duration::from_secs(300),
        profiled: None,
        writing: Vec::new(),
        unreadable: None,
    };
    (node, watcher, data_dir)
}

fn usage(percent: u64) -> Usage {
    Usage { used: percent, limit: 100, source: Source::Given }
}

#[test]
fn a_limit_above_that_of_the_system_is_told() {
    let proc = tempfile::tempdir().unwrap();
    std::fs::create_dir(proc.path().join("self")).unwrap();
    std::fs::write(proc.path().join("meminfo"), "MemTotal:  1048576 kB\n").unwrap();
    std::fs::write(proc.path().join("self/status"), "VmRSS:  1024 kB\n").unwrap();
    let (system, gib) = (Gauge::from_proc(proc.path(), None), 1 << 30);
    let expected = Usage { used: 1 << 20, limit: gib, source: Source::Machine };
    assert_eq!(below(gib + 1, &system), Some(expected));
    assert_eq!(below(gib, &system), None);
}

#[tokio::test]
async fn a_node_gives_up_more_the_nearer_the_limit_is_and_takes_it_back() {
    let (_node, mut guard, _data_dir) = guarded();
    let (engine, connections) = (Arc::clone(&guard.parts.engine), Arc::clone(&guard.parts.connections));
    let view = Arc::clone(&guard.parts.view);
    let rooms = || {
        let gauge = engine.stats().gauge;
        (gauge.cache_bytes_max, u64::from(gauge.write_queue.max), gauge.write_queue_bytes_max)
    };
    let (now, full) = (Instant::now(), rooms());
    guard.look(usage(84), now);
    assert_eq!((rooms(), view.highest(), view.in_words()), (full, None, None));
    guard.look(usage(85), now);
    assert_eq!(rooms(), (full.0 / 2, full.1 / 2, full.2 / 2));
    assert_eq!((view.highest(), connections.inbound()), (Some(Step::Shrink), Inbound::Admitted));
    guard.look(usage(96), now);
    assert_eq!((view.highest(), connections.inbound()), (Some(Step::Close), Inbound::Refused));
    assert_eq!(
        view.in_words().unwrap(),
        "96 % of the limit is used: the caches and the write queue are halved, new inbound connections are refused, \
         the least useful connections are closed"
    );
    guard.look(usage(10), now);
    assert_eq!((rooms(), view.highest(), connections.inbound()), (full, None, Inbound::Admitted));
    assert_eq!(Step::ALL.map(|step| view.begun(step)), [1; 3]);
}

#[tokio::test]
async fn a_step_has_one_profile_written_in_its_interval_and_a_higher_one_another() {
    let (_node, mut guard, _data_dir) = guarded();
    let begun = Instant::now();
    let mut profiled = |seconds: u64, percent: u64| {
        guard.look(usage(percent), begun + Duration::from_secs(seconds));
        guard.profiled.map(|(at, step)| (at.duration_since(begun).as_secs(), step))
    };
    assert_eq!(profiled(0, 10), None);
    assert_eq!(profiled(1, 85), Some((1, Step::Shrink)));
    assert_eq!(profiled(2, 10), Some((1, Step::Shrink)));
    assert_eq!(profiled(3, 85), Some((1, Step::Shrink)), "there was one lately");
    assert_eq!(profiled(4, 96), Some((4, Step::Close)), "of several steps the highest");
    assert_eq!(profiled(5, 10), Some((4, Step::Close)));
    assert_eq!(profiled(303, 92), Some((4, Step::Close)));
    assert_eq!(profiled(304, 10), Some((4, Step::Close)));
    assert_eq!(profiled(305, 85), Some((305, Step::Shrink)));
}

#[tokio::test]
async fn steps_end_when_the_use_cannot_be_read_for_long() {
    let (_node, mut guard, _data_dir) = guarded();
    let (view, connections) = (Arc::clone(&guard.parts.view), Arc::clone(&guard.parts.connections));
    let (begun, error) = (Instant::now(), io::Error::other("no descriptor"));
    guard.look(usage(96), begun);
    guard.on_unreadable(&error, begun);
    guard.on_unreadable(&error, begun + UNREADABLE_MAX / 2);
    assert_eq!((view.highest(), connections.inbound()), (Some(Step::Close), Inbound::Refused));
    guard.on_unreadable(&error, begun + UNREADABLE_MAX);
    assert_eq!((view.highest(), connections.inbound()), (None, Inbound::Admitted));
    assert_eq!(view.usage(), None, "what was read last is no figure of now");
}

#[tokio::test]
async fn few_connections_are_closed_once_that_frees_no_memory() {
    let (_node, mut guard, _data_dir) = guarded();
    let begun = Instant::now();
    let mut closings = |seconds: std::ops::Range<u64>, percent: u64| {
        let mut all = Vec::new();
        for second in seconds {
            guard.look(usage(percent), begun + Duration::from_secs(second));
            let at = guard.closed.map(|closing| closing.at.duration_since(begun).as_secs());
            all.extend(at.filter(|at| *at == second));
        }
        all
    };
    assert_eq!(closings(0..70, 96), [0, 2, 4, 6, 66]);
    assert!(closings(70..72, 10).is_empty());
    assert_eq!(closings(72..75, 96), [72, 74], "in another step it is tried anew");
}
