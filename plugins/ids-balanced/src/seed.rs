//! The one secret: 32 bytes, in a file of its own or in a secret of the operator's.

use crate::config::Config;
use crate::{Derivation, files};
use hydra_api::{OpenError, Scope};
use rand::TryRng;
use rand::rngs::SysRng;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A seed file is one line; more than this is none.
const BYTES_MAX: u64 = 4_096;

/// The secret that every identity is derived from. Never shown, wiped when dropped.
#[derive(Clone)]
pub struct Seed {
    bytes: Zeroizing<[u8; 32]>,
    derivation: Derivation,
}

/// A text that is no [`Seed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a seed is 64 hexadecimal digits, as `openssl rand -hex 32` prints them, with the version of the derivation and a \
     colon before them: `2:`, or nothing for version 1"
)]
pub struct SeedError;

impl Seed {
    /// The seed of these bytes and this derivation.
    pub fn from_bytes(bytes: [u8; 32], derivation: Derivation) -> Self {
        Self { bytes: Zeroizing::new(bytes), derivation }
    }

    /// By which rules identities follow from it.
    pub fn derivation(&self) -> Derivation {
        self.derivation
    }

    /// Reads 64 hexadecimal digits, with or without the version of the derivation and a colon before them, and white space
    /// around all. Without a version it is [`Derivation::One`]: seeds were made so before there were versions.
    ///
    /// # Errors
    /// [`SeedError`] when it is anything else.
    pub fn parse(text: &str) -> Result<Self, SeedError> {
        let text = text.trim();
        let (derivation, digits) = match text.split_once(':') {
            Some((version, digits)) => (Derivation::of(version).ok_or(SeedError)?, digits.as_bytes()),
            None => (Derivation::One, text.as_bytes()),
        };
        if digits.len() != 64 {
            return Err(SeedError);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: u8| char::from(at).to_digit(16).ok_or(SeedError);
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self { bytes, derivation })
    }

    fn random() -> io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        SysRng.try_fill_bytes(&mut *bytes).map_err(io::Error::other)?;
        Ok(Self { bytes, derivation: Derivation::NEWEST })
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The seed that the config names, if there is one. Creates nothing.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) fn find(config: &Config, scope: &Scope) -> Result<Option<Self>, OpenError> {
        if config.seed.is_some() || scope.resolve(&config.seed_file).exists() {
            return Self::load(config, scope).map(Some);
        }
        Ok(None)
    }

    /// The seed that the config names; its file is made when there is none.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be read.
    pub(crate) fn load(config: &Config, scope: &Scope) -> Result<Self, OpenError> {
        if let Some(source) = &config.seed {
            let secret = source.read().map_err(|cause| OpenError::config("seed", cause.to_string()))?;
            let none =
                |cause: SeedError| OpenError::config("seed", format!("{source} holds no seed: {cause}"));
            return Self::parse(secret.expose()).map_err(none);
        }
        let path = scope.resolve(&config.seed_file);
        let failed = |what, cause| OpenError::unavailable(format!("cannot {what} {}", path.display()), cause);
        match File::open(&path) {
            Ok(file) => Self::read(file, &path),
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                make(&path).map_err(|cause| failed("make the seed file", cause))?;
                // Another process may have been faster: what is there counts.
                Self::read(File::open(&path).map_err(|cause| failed("read the seed file", cause))?, &path)
            }
            Err(cause) => Err(failed("read the seed file", cause)),
        }
    }

    fn read(file: File, path: &Path) -> Result<Self, OpenError> {
        let shown = path.display();
        let failed = |cause| OpenError::unavailable(format!("cannot read the seed file {shown}"), cause);
        let kind = file.metadata().map_err(failed)?.file_type();
        if !kind.is_file() {
            let what = if kind.is_dir() { "is a directory" } else { "is not a regular file" };
            return Err(OpenError::config("seed_file", format!("{shown} {what}: name a file")));
        }
        let mode = mode_beyond_owner(&file).map_err(failed)?;
        let mut text = Zeroizing::new(String::with_capacity(BYTES_MAX as usize));
        match file.take(BYTES_MAX).read_to_string(&mut text) {
            Ok(_) => {}
            Err(cause) if cause.kind() == ErrorKind::InvalidData => {}
            Err(cause) => return Err(failed(cause)),
        }
        // First of all it must be a seed: a file of another program is neither to be deleted nor to be closed to others.
        let seed = Self::parse(&text).map_err(|cause| {
            let message = format!(
                "the file {shown} holds no seed: if it is the seed file, it is damaged: put back a copy of it, or delete it \
                 to start with new identities; if it is another file, change `seed_file`"
            );
            OpenError::corrupt(message, cause)
        })?;
        match mode {
            None => Ok(seed),
            Some(mode) => {
                let message = format!(
                    "{shown} can be read by others than its owner (mode {mode:03o}), and every private key follows from \
                     it: chmod 600 {shown}, or start anew with another seed if others may have read it"
                );
                Err(OpenError::config("seed_file", message))
            }
        }
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// Makes a seed file that is either whole or not there, and not in the place of another.
fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let seed = Seed::random()?;
    let line = Zeroizing::new(format!("{}:{}\n", seed.derivation, *Zeroizing::new(hex(seed.as_bytes()))));
    let written = unique_beside(path)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&written)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    // A link, unlike a rename, fails where a file is. Some file systems know no links.
    let placed = match std::fs::hard_link(&written, path) {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(_) if path.exists() => Ok(()),
        Err(_) => std::fs::copy(&written, path).map(drop),
    };
    std::fs::remove_file(&written)?;
    placed?;
    files::sync_parent(path)
}

fn unique_beside(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    SysRng.try_fill_bytes(&mut random).map_err(io::Error::other)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", hex(&random)));
    Ok(name.into())
}

#[cfg(unix)]
fn mode_beyond_owner(file: &File) -> io::Result<Option<u32>> {
    let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata()?) & 0o777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

#[cfg(not(unix))]
fn mode_beyond_owner(_file: &File) -> io::Result<Option<u32>> {
    Ok(None)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
    }
    text
}

#[cfg(test)]
mod tests;
