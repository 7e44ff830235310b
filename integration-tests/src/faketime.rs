//! Programs whose wall clock is wrong, by libfaketime.

use std::path::{Path, PathBuf};

/// The library that shifts the clock of a program: that of the variable `HYDRA_TEST_FAKETIME`, or Debian's.
#[must_use]
pub fn library() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("HYDRA_TEST_FAKETIME") {
        return Some(named.into());
    }
    let libraries = std::fs::read_dir("/usr/lib").ok()?.flatten();
    libraries.map(|of| of.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

/// The environment of a program whose wall clock is shifted, such as `+90s`. Leases and time limits go by the other clock.
///
/// # Panics
/// When the path of the library is not UTF-8.
#[must_use]
pub fn shifted<'a>(library: &'a Path, by: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("LD_PRELOAD", library.to_str().expect("a path in UTF-8")),
        ("FAKETIME", by),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ]
}

/// The environment of a program whose wall clock is shifted by what this file says, which may change while it runs.
///
/// # Panics
/// When a path is not UTF-8.
#[must_use]
pub fn following<'a>(library: &'a Path, file: &'a Path) -> [(&'a str, &'a str); 5] {
    [
        ("LD_PRELOAD", library.to_str().expect("a path in UTF-8")),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().expect("a path in UTF-8")),
        ("FAKETIME_CACHE_DURATION", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ]
}
