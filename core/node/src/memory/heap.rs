//! What the allocator of the program says of its heap.

use std::io;
use std::path::Path;

/// What the allocator of a program can say of the heap.
#[derive(Debug, Clone, Copy)]
pub struct Heap {
    /// A profile of what is allocated now, in the format of pprof, compressed. It may block, and may use the directory, which
    /// exists, for files of its own.
    pub profile: fn(&Path) -> io::Result<Vec<u8>>,
    /// What the allocator has of the system now.
    pub sizes: fn() -> io::Result<HeapSizes>,
}

/// What an allocator has of the system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeapSizes {
    /// What the program has allocated.
    pub allocated: u64,
    /// The pages in which that is.
    pub active: u64,
    /// All pages of the allocator that are in memory.
    pub resident: u64,
}
