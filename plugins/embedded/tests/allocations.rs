//! What a purge of value records allocates, in a binary whose allocations are counted.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use hydra_api::{PurgeProgress, UnixSeconds, ValueKey};
use hydra_conformance::stats_alloc::INSTRUMENTED_SYSTEM;
use hydra_embedded::DamagedRow;
use hydra_embedded::values::{ValueChange, ValueCounts, value_key};

hydra_conformance::count_allocations!();

#[test]
fn a_purge_copies_no_value() {
    let expired = |number: u16| number.is_multiple_of(10);
    let row = |number: u16| {
        let expires = if expired(number) { 1_u32 } else { 1_000 };
        let key = ValueKey::new(&number.to_be_bytes()).unwrap();
        (value_key(&key), [&[0; 4][..], &expires.to_le_bytes(), &[7; 10_000]].concat())
    };
    let rows: Vec<_> = (0..400).map(row).collect();
    let counts = ValueCounts { records: 400, bytes: 400 * 10_002 };
    let (mut change, mut done) = (ValueChange::new(counts), Vec::new());
    let before = INSTRUMENTED_SYSTEM.stats();
    let rows = rows.iter().map(|(key, row)| Ok::<_, DamagedRow>((key, row)));
    let purged = change.purge(&mut done, rows, UnixSeconds(10), 1_000).unwrap();
    let bytes = (INSTRUMENTED_SYSTEM.stats() - before).bytes_allocated;
    assert_eq!((purged.removed, purged.progress), (40, PurgeProgress::Done));
    assert_eq!(change.counts(), Some(ValueCounts { records: 360, bytes: 360 * 10_002 }));
    assert!(bytes < 100_000, "{bytes} bytes were allocated for 4,000,000 of values");
}
