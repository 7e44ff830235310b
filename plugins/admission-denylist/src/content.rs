//! What a file held when it was read: by this a change is noticed.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

const READ_BYTES: usize = 1 << 16;

/// What a file held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    /// How many of its bytes were read.
    pub(crate) len: u64,
    digest: [u8; 32],
    /// When it was written last, asked after its last byte was read.
    modified: Option<SystemTime>,
}

/// A file that is read, and the digest of what was read so far.
#[derive(Debug)]
pub(crate) struct Hashed {
    file: File,
    digest: Sha256,
    len: u64,
}

/// A file beside what it held before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) now: Content,
    pub(crate) change: Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The same bytes, whatever the time.
    Same,
    /// All it held before, and more after it.
    Appended,
    Other,
}

impl Content {
    pub(crate) fn has_the_bytes_of(&self, other: &Self) -> bool {
        (self.len, self.digest) == (other.len, other.digest)
    }
}

impl Seen {
    /// Reads a file up to a limit.
    ///
    /// # Errors
    /// That of the file system.
    pub(crate) fn of(path: &Path, bytes_max: u64, before: &Content) -> io::Result<Self> {
        let mut file = Hashed::of(File::open(path)?);
        let until = before.len.min(bytes_max);
        file.skip(until)?;
        let held: [u8; 32] = file.digest.clone().finalize().into();
        let has_all = file.len == before.len && held == before.digest;
        file.skip(bytes_max.saturating_sub(file.len))?;
        let now = file.content()?;
        let change = match has_all {
            true if now.len == before.len => Change::Same,
            true => Change::Appended,
            false => Change::Other,
        };
        Ok(Self { now, change })
    }
}

impl Hashed {
    pub(crate) fn of(file: File) -> Self {
        Self { file, digest: Sha256::new(), len: 0 }
    }

    /// What was read of the file.
    pub(crate) fn content(&self) -> io::Result<Content> {
        let modified = self.file.metadata()?.modified().ok();
        Ok(Content { len: self.len, digest: self.digest.clone().finalize().into(), modified })
    }

    /// Reads so many bytes, fewer when the file ends before.
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let mut left = bytes;
        let mut buffer = vec![0; READ_BYTES];
        while left > 0 {
            let part = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            match self.read(&mut buffer[..part]) {
                Ok(0) => break,
                Ok(read) => left -= read as u64,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.digest.update(&buffer[..read]);
        self.len += read as u64;
        Ok(read)
    }
}
