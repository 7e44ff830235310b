//! Secrets in a config: named, never written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Where a secret is read from: `{ file = "…" }` or `{ env = "…" }`. The secret itself never stands in a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretSource {
    /// The file that holds it; white space around it is left out.
    File(PathBuf),
    /// The environment variable that holds it. Names that begin with `HYDRA_` are those of config keys: choose another.
    Env(String),
}

/// A secret that was read: never shown, wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl SecretSource {
    /// The longest secret, in bytes.
    pub const BYTES_MAX: u64 = 64 * 1024;

    /// Reads the secret.
    ///
    /// # Errors
    /// [`SecretError`] when it is missing, unreadable, empty or longer than [`Self::BYTES_MAX`].
    pub fn read(&self) -> Result<Secret, SecretError> {
        let read = match self {
            Self::File(path) => {
                let failed = |cause| SecretError::File { path: path.clone(), cause };
                if std::fs::metadata(path).map_err(failed)?.len() > Self::BYTES_MAX {
                    return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
                }
                Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?)
            }
            Self::Env(name) => {
                Zeroizing::new(std::env::var(name).map_err(|_| SecretError::Env { name: name.clone() })?)
            }
        };
        let trimmed = read.trim();
        if trimmed.is_empty() {
            return Err(SecretError::Empty { place: self.clone() });
        }
        Ok(Secret(Zeroizing::new(trimmed.to_owned())))
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
        }
    }
}

impl Secret {
    /// The secret, for the one who needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret that could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Its file cannot be read.
    #[error("cannot read the secret file {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// Its environment variable is not set, or is no UTF-8.
    #[error("the environment variable {name} is not set")]
    Env {
        /// The variable.
        name: String,
    },
    /// There is nothing in it.
    #[error("the secret from {place} is empty")]
    Empty {
        /// Where it should have been.
        place: SecretSource,
    },
}
