//! The options of the allocator.

/// The mean number of allocated bytes from one sampled allocation to the next.
pub const SAMPLED_BYTES: u64 = 1 << 19;

/// The options of the allocator, as jemalloc reads them.
///
/// It takes samples from the start on. A thread in the background gives free pages back to the system, most of them within a
/// second, so that the memory that a node gives up near its limit leaves the process.
#[cfg(all(target_os = "linux", not(target_env = "musl")))]
pub const OPTIONS: &str =
    "prof:true,prof_active:true,lg_prof_sample:19,background_thread:true,dirty_decay_ms:1000";

/// The options of the allocator, as jemalloc reads them.
///
/// It takes samples from the start on. There are no threads of the allocator on this system: pages are given back by calls that
/// allocate or free.
#[cfg(all(target_os = "linux", target_env = "musl"))]
pub const OPTIONS: &str = "prof:true,prof_active:true,lg_prof_sample:19,dirty_decay_ms:1000";

/// The options of the allocator, as jemalloc reads them.
///
/// On this system it takes no samples, as nothing could look up the addresses, and has no threads: pages are given back by calls
/// that allocate or free.
#[cfg(not(target_os = "linux"))]
pub const OPTIONS: &str = "dirty_decay_ms:1000";

const LEN: usize = OPTIONS.len() + 1;

/// As a C string.
const TERMINATED: [u8; LEN] = {
    let (mut bytes, mut place) = ([0; LEN], 0);
    while place < OPTIONS.len() {
        bytes[place] = OPTIONS.as_bytes()[place];
        place += 1;
    }
    bytes
};

/// The symbol from which jemalloc reads its options before `main` begins: a pointer to a C string.
#[allow(unsafe_code, reason = "the symbol has the name and the type that jemalloc declares for it")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static MALLOC_CONF: &[u8; LEN] = &TERMINATED;
