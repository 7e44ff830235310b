//! A file size limit ends a write, not the process.

use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// SIGXFSZ, which no named kind stands for.
const SIGXFSZ: i32 = 25;

/// Makes a write beyond the file size limit (`ulimit -f`, `LimitFSIZE=`) fail with EFBIG. By default the system ends
/// the process with SIGXFSZ.
///
/// # Errors
/// [`io::Error`] when the signal cannot be handled.
///
/// # Panics
/// Outside of a tokio runtime with its I/O driver.
pub(crate) fn survive_file_size_limit() -> io::Result<()> {
    // The handler stays when the receiver is dropped.
    signal(SignalKind::from_raw(SIGXFSZ)).map(drop)
}
