//! What makes a type a plugin.

mod registry;

pub(crate) use registry::parse;
pub use registry::{ConfigIssue, Entry, Registry};

use crate::{AdmissionPolicy, IdAllocator, Nested, ProviderStore};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A part of a node that TOML picks by its [`KIND`](Self::KIND).
///
/// ```toml
/// [store]
/// kind = "fjall"      # KIND; the other keys of the table are the plugin's own Config
/// ```
pub trait Plugin: Send + Sync + 'static {
    /// Which part it plays: [`Store`], [`Admission`] or [`Ids`].
    type Role: Role;

    /// Its table in TOML, without the node's own keys: `kind`, and for an admission policy `mode`. Derive `serde`'s
    /// traits with `deny_unknown_fields` and `default`, and state bounds with `#[schemars(range(…))]`: unknown keys and
    /// values out of bounds are then refused with file and line, and the key's doc comment stands in the generated
    /// reference.
    type Config: DeserializeOwned + Serialize + JsonSchema + Send + 'static;

    /// The word in TOML, in kebab-case.
    const KIND: &'static str;

    /// One line on what it is good for.
    const SUMMARY: &'static str;

    /// What is wrong with a table each of whose keys is right by itself, such as a lower bound above an upper one. It reads and opens nothing:
    /// whoever reads a config calls it, and tells the key with file and line.
    ///
    /// # Errors
    /// [`OpenError::config`], or several at once by [`OpenError::all`].
    fn check_config(config: &Self::Config) -> Result<(), OpenError> {
        let _ = config;
        Ok(())
    }

    /// What is wrong with the files and directories that a table names, and with its secrets. It may read them; it creates, changes, locks and
    /// connects to nothing. `hydra config check` calls it with a table that has all defaults, after [`Self::check_config`]; opening finds the
    /// same by itself.
    ///
    /// # Errors
    /// [`OpenError::config`]
    fn check_files(config: &Self::Config, scope: &Scope) -> Result<(), OpenError> {
        let _ = (config, scope);
        Ok(())
    }

    /// Opens it: connects, creates files, recovers. Called before any head listens; with `start_without_store` a store is opened
    /// again, while the heads serve, after an attempt that failed, panicked or took too long.
    ///
    /// # Errors
    /// [`OpenError`]; the node tells the operator and does not start.
    ///
    /// # Cancel safety
    /// The node drops an attempt that takes longer than `open_timeout_s`. It leaves nothing behind that keeps the next one from
    /// opening.
    fn open(
        config: Self::Config,
        scope: &Scope,
    ) -> impl Future<Output = Result<Arc<<Self::Role as Role>::Object>, OpenError>> + Send;
}

/// A part that plugins can play. Sealed: the parts are [`Store`], [`Admission`] and [`Ids`].
pub trait Role: sealed::Sealed + Sized + Send + Sync + 'static {
    /// The trait object of this part.
    type Object: ?Sized + Send + Sync + 'static;

    /// The name of the part, which is also the name of its table in TOML.
    const NAME: &'static str;

    #[doc(hidden)]
    fn entries(registry: &Registry) -> &Vec<Entry<Self>>;
    #[doc(hidden)]
    fn entries_mut(registry: &mut Registry) -> &mut Vec<Entry<Self>>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! role {
    ($(#[$doc:meta])* $role:ident, $object:ty, $name:literal, $field:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub enum $role {}
        impl sealed::Sealed for $role {}
        impl Role for $role {
            type Object = $object;
            const NAME: &'static str = $name;
            fn entries(registry: &Registry) -> &Vec<Entry<Self>> {
                &registry.$field
            }
            fn entries_mut(registry: &mut Registry) -> &mut Vec<Entry<Self>> {
                &mut registry.$field
            }
        }
    };
}
role!(
    /// Keeps provider records: a [`ProviderStore`].
    Store, dyn ProviderStore, "store", stores
);
role!(
    /// Decides on requests: an [`AdmissionPolicy`].
    Admission, dyn AdmissionPolicy, "admission", admissions
);
role!(
    /// Gives out identities: an [`IdAllocator`].
    Ids, dyn IdAllocator, "ids", ids
);

/// What a plugin may know of the node that opens it: where its files are, what it is opened for, and the other plugins.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Scope {
    data_dir: PathBuf,
    purpose: Purpose,
    registry: Arc<Registry>,
}

/// What a plugin is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Purpose {
    /// To be used by a node that serves. It alone may set damaged records aside and begin with none.
    #[default]
    Serve,
    /// To see whether it could be: nothing is created, changed or migrated, and nothing that a serving node holds is taken from
    /// it.
    Check,
    /// To bring what it keeps into the form that this version needs, and then to be closed. Damaged records are an error.
    Migrate,
    /// To read what it keeps, or to remove some of it, without a node: it is an error if there is nothing yet, or if it is
    /// damaged, and then nothing is moved aside.
    Use,
}

impl Scope {
    /// The scope of a node that serves and keeps its files in `data_dir`, which exists. It knows no other plugins.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), purpose: Purpose::Serve, registry: Arc::default() }
    }

    /// The same for another purpose. For [`Purpose::Check`] and [`Purpose::Use`] the data directory need not exist.
    #[must_use]
    pub fn with_purpose(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// The same with these plugins to choose nested ones from.
    #[must_use]
    pub fn with_registry(self, registry: Arc<Registry>) -> Self {
        Self { registry, ..self }
    }

    /// Where the node keeps its files.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// What the plugin is opened for.
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// `path` as the operator meant it: relative ones are taken from [`Self::data_dir`].
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.data_dir.join(path)
    }

    /// Opens the plugin that a table inside the caller's own table picks. `key` is where it stands there, dotted.
    ///
    /// # Errors
    /// [`OpenError`] as that plugin gives it; a wrong key is named from the caller's table down.
    pub async fn open<R: Role>(&self, key: &str, nested: &Nested<R>) -> Result<Arc<R::Object>, OpenError> {
        let Some(entry) = self.registry.find::<R>(nested.kind()) else {
            let message = format!("unknown kind `{}`", nested.kind());
            return Err(OpenError::config(format!("{key}.kind"), message));
        };
        entry.open(nested.table(), self).await.map_err(|error| error.below(key))
    }
}

/// A plugin that could not be opened.
#[derive(Debug)]
pub struct OpenError {
    kind: OpenErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    others: Box<[OpenError]>,
}

/// What to do about a plugin that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// A key of its table is wrong: correct it.
    Config {
        /// The key, dotted from the plugin's table down.
        key: String,
    },
    /// Something it needs cannot be reached or is in use: start again when it can.
    Unavailable,
    /// What it kept is damaged.
    Corrupt,
}

impl OpenError {
    /// The value of `key` cannot be used: `message` says why, and what would do.
    pub fn config(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: OpenErrorKind::Config { key: key.into() },
            message: message.into(),
            source: None,
            others: Box::default(),
        }
    }

    /// Something that the plugin needs cannot be reached.
    pub fn unavailable(message: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let (message, source) = (message.into(), Some(source.into()));
        Self { kind: OpenErrorKind::Unavailable, message, source, others: Box::default() }
    }

    /// What the plugin kept cannot be read.
    pub fn corrupt(message: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let (message, source) = (message.into(), Some(source.into()));
        Self { kind: OpenErrorKind::Corrupt, message, source, others: Box::default() }
    }

    /// All errors of several checks at once: the first one, with the rest as its [`Self::others`].
    ///
    /// # Errors
    /// The first of them.
    pub fn all(checks: impl IntoIterator<Item = Result<(), Self>>) -> Result<(), Self> {
        let mut errors = checks.into_iter().filter_map(Result::err).flat_map(|mut error| {
            let others = std::mem::take(&mut error.others);
            std::iter::once(error).chain(others)
        });
        match errors.next() {
            Some(first) => Err(Self { others: errors.collect(), ..first }),
            None => Ok(()),
        }
    }

    /// What else is wrong with the same table.
    pub fn others(&self) -> &[Self] {
        &self.others
    }

    /// The same error as seen from the table in which the plugin's own stands at `key`.
    fn below(self, at: &str) -> Self {
        let kind = match self.kind {
            OpenErrorKind::Config { key } if key.is_empty() || key == "." => {
                OpenErrorKind::Config { key: at.to_owned() }
            }
            OpenErrorKind::Config { key } => OpenErrorKind::Config { key: format!("{at}.{key}") },
            other => other,
        };
        let others = self.others.into_iter().map(|other| other.below(at)).collect();
        Self { kind, others, ..self }
    }

    /// What to do about it.
    pub const fn kind(&self) -> &OpenErrorKind {
        &self.kind
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}
