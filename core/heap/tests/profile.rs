//! Profiles of a program that has the allocator.

use flate2::read::GzDecoder;
use std::io::Read;

#[global_allocator]
static ALLOCATOR: hydra_heap::Allocator = hydra_heap::Allocator;

/// Allocates what the profile is to show.
#[inline(never)]
fn allocate(bytes: usize) -> Vec<Vec<u8>> {
    (0..bytes >> 16).map(|number| vec![number as u8; 1 << 16]).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn a_profile_is_compressed_and_leaves_no_file_behind() {
    let directory = tempfile::tempdir().unwrap();
    let before = hydra_heap::sizes().unwrap();
    let held = allocate(64 << 20);
    let sizes = hydra_heap::sizes().unwrap();
    assert!(sizes.allocated - before.allocated >= 64 << 20, "{before:?} {sizes:?}");
    assert!(sizes.allocated <= sizes.active && sizes.active <= sizes.resident, "{sizes:?}");
    let profile = hydra_heap::profile(directory.path()).unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    let mut text = Vec::new();
    GzDecoder::new(&profile[..]).read_to_end(&mut text).unwrap();
    // The strings of pprof's protocol buffer are not encoded.
    for word in ["inuse_space", "bytes", "profile-"] {
        assert!(text.windows(word.len()).any(|part| part == word.as_bytes()), "{word}");
    }
    drop(held);
}
