//! The allocator of the program hydra, jemalloc, and profiles of its heap in the format of pprof.
//!
//! A program takes the allocator as its own, and hands the profiles to the node:
//!
//! ```no_run
//! #[global_allocator]
//! static ALLOCATOR: hydra_heap::Allocator = hydra_heap::Allocator;
//!
//! # fn main() -> std::io::Result<()> {
//! std::fs::write("heap.pb.gz", hydra_heap::profile(&std::env::temp_dir())?)
//! # }
//! ```
//!
//! On Linux the allocator samples one allocation in [`SAMPLED_BYTES`] on the average, from the start on: a profile tells what was
//! allocated before the memory became short. The environment variable `_RJEM_MALLOC_CONF` overrides the [`OPTIONS`].

mod options;

pub use options::{OPTIONS, SAMPLED_BYTES};
pub use tikv_jemallocator::Jemalloc as Allocator;

use std::io;
use std::path::Path;
use tikv_jemalloc_ctl::{epoch, stats};

/// What the allocator has of the system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// What the program has allocated.
    pub allocated: u64,
    /// The pages in which that is.
    pub active: u64,
    /// All pages of the allocator that are in memory: also free ones, and its own data.
    pub resident: u64,
}

/// As much as a short profile has.
const PROBE_BYTES: usize = 64 << 10;

/// A profile of what the program has allocated and not freed: pprof's protocol buffer, compressed with gzip. It has addresses and
/// the build id of the program; `pprof` looks up the functions in the program's file.
///
/// Blocks for as long as it takes to write, read and compress it: some milliseconds to a second. One call waits for another.
/// The allocator writes a text file into `directory`, which is removed again.
///
/// # Errors
/// If the program has another allocator, or one whose profiles are switched off; if the file cannot be written.
///
/// # Panics
/// In an async task: call it where blocking is permitted.
pub fn profile(directory: &Path) -> io::Result<Vec<u8>> {
    let control = jemalloc_pprof::PROF_CTL.as_ref();
    let control = control.ok_or_else(|| io::Error::other("the allocator takes no profiles (opt.prof)"))?;
    let mut control = control.blocking_lock();
    if !control.activated() {
        return Err(io::Error::other("the allocator takes no samples (opt.prof_active)"));
    }
    // The first directory that is set stays, whoever sets it.
    let _is_set = tempfile::env::override_temp_dir(directory);
    control.dump_pprof().map_err(|cause| {
        let unwritable = unwritable(directory);
        unwritable.unwrap_or_else(|| io::Error::other(format!("{cause:#}")))
    })
}

/// Why nothing can be written to a directory, if so: the allocator does not say.
fn unwritable(directory: &Path) -> Option<io::Error> {
    let probe = directory.join("probe");
    let failed = std::fs::write(&probe, [0; PROBE_BYTES]).err();
    let _is_removed = std::fs::remove_file(probe).is_ok();
    failed
}

/// What the allocator has of the system now.
///
/// # Errors
/// If the program has another allocator.
pub fn sizes() -> io::Result<Sizes> {
    let read = || {
        epoch::advance()?;
        let [allocated, active, resident] =
            [stats::allocated::read()?, stats::active::read()?, stats::resident::read()?]
                .map(|bytes| bytes as u64);
        Ok(Sizes { allocated, active, resident })
    };
    read().map_err(|cause: tikv_jemalloc_ctl::Error| io::Error::other(cause))
}
