//! Opens the plugins of a config.

mod error;
mod exporter;

pub use crate::observe::store_opening::StoreOpening;
pub use error::OpenBackendsError;

use crate::config::{Issue, KeyPath, Loaded};
use crate::memory::Heap;
use crate::node::late_store::{LateStore, Opening};
use crate::node::opening::{self, AttemptError};
use crate::observe::otlp::Exporter;
use error::config_error;
use hydra_api::{
    Admission, Causes, Entry, IdAllocator, Ids, OpenErrorKind, ProviderStore, Purpose, Registry, Role, Scope,
    Store,
};
use hydra_engine::NamedPolicy;
use serde_json::Value;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// After this time the log says that a plugin is not open yet, and a node that may start without its store does so.
const PATIENCE: Duration = Duration::from_secs(10);

/// The open plugins of a config.
#[derive(Debug)]
pub struct Backends {
    /// The store of provider records.
    pub store: Arc<dyn ProviderStore>,
    /// How far the opening of the store is, if the node starts without it (`start_without_store`); the default is an open store.
    pub opening: StoreOpening,
    /// The source of the identities.
    pub ids: Arc<dyn IdAllocator>,
    /// The policies, named by their kinds, in the order in which they are evaluated.
    pub admission: Vec<NamedPolicy>,
    /// The exporter of traces; the default exports nothing. The node stops it during its own shutdown.
    pub exporter: Exporter,
    /// What the allocator of the program says of the heap, if it can.
    pub heap: Option<Heap>,
}

impl Loaded {
    /// Creates the data directory if needed and opens every plugin, the store last.
    ///
    /// # Errors
    /// [`OpenBackendsError`]; nothing stays open.
    pub async fn open(&self, registry: &Registry) -> Result<Backends, OpenBackendsError> {
        self.open_for(registry, Purpose::Serve).await
    }

    /// Opens every plugin for this purpose, the store last. A check creates nothing.
    ///
    /// # Errors
    /// [`OpenBackendsError`]; nothing stays open.
    pub async fn open_for(
        &self,
        registry: &Registry,
        purpose: Purpose,
    ) -> Result<Backends, OpenBackendsError> {
        let scope = self.scope(registry, purpose)?;
        let (admission, ids) = self.open_all_but_store(registry, &scope).await?;
        let (store, opening) = self.open_store(registry, &scope).await?;
        Ok(Backends { store, opening, ids, admission, exporter: Exporter::default(), heap: None })
    }

    /// Looks at every plugin except for the store, for a check.
    ///
    /// # Errors
    /// [`OpenBackendsError`]
    pub(crate) async fn check_all_but_store(
        &self,
        registry: &Registry,
    ) -> Result<Vec<NamedPolicy>, OpenBackendsError> {
        let scope = self.scope(registry, Purpose::Check)?;
        Ok(self.open_all_but_store(registry, &scope).await?.0)
    }

    async fn open_all_but_store(
        &self,
        registry: &Registry,
        scope: &Scope,
    ) -> Result<(Vec<NamedPolicy>, Arc<dyn IdAllocator>), OpenBackendsError> {
        let mut admission = Vec::new();
        for (index, policy) in self.config.admission.iter().enumerate() {
            let at = KeyPath::root().key(Admission::NAME).item(index);
            let (kind, table) = (&policy.plugin.kind, policy.plugin.table());
            let opened = self.open_one::<Admission>(registry, kind, table, at, scope).await?;
            admission.push(NamedPolicy { name: kind.clone(), mode: policy.mode, policy: opened });
        }
        let ids = self.open_ids_in(registry, scope).await?;
        self.check_heads(&*ids)?;
        Ok((admission, ids))
    }

    /// Opens only the store, for this purpose; one that cannot be reached is an error. A check creates nothing.
    ///
    /// # Errors
    /// [`OpenBackendsError`]
    pub async fn open_store_for(
        &self,
        registry: &Registry,
        purpose: Purpose,
    ) -> Result<Arc<dyn ProviderStore>, OpenBackendsError> {
        let scope = self.scope(registry, purpose)?;
        let (kind, table) = (&self.config.store.kind, self.config.store.table());
        self.open_one::<Store>(registry, kind, table, KeyPath::root().key(Store::NAME), &scope).await
    }

    /// Opens the store. A node that may start without it does not wait long for it.
    async fn open_store(
        &self,
        registry: &Registry,
        scope: &Scope,
    ) -> Result<(Arc<dyn ProviderStore>, StoreOpening), OpenBackendsError> {
        let (kind, table) = (&self.config.store.kind, self.config.store.table());
        let at = KeyPath::root().key(Store::NAME);
        if !self.config.start_without_store || scope.purpose() != Purpose::Serve {
            let store = self.open_one::<Store>(registry, kind, table, at, scope).await?;
            return Ok((store, StoreOpening::default()));
        }
        let (entry, scope) = (self.entry::<Store>(registry, kind, &at)?, scope.clone());
        // Nothing waits for it but the store itself, which says when it takes too long.
        let open =
            move || -> Opening { Box::pin(opening::open(entry.clone(), table.clone(), scope.clone(), None)) };
        let mut first = open();
        let (cause, under_way) = match timeout(PATIENCE, &mut first).await {
            Ok(Ok(store)) => return Ok((store, StoreOpening::default())),
            Ok(Err(error)) if error.is_unavailable() => (Causes(&error).to_string(), None),
            Ok(Err(error)) => return Err(self.open_error::<Store>(kind, &at, error)),
            Err(_) => (format!("it has not opened within {PATIENCE:?}"), Some(first)),
        };
        let within = Duration::from_secs(self.config.open_timeout_s.into());
        let late = LateStore::new(cause, within, under_way, open);
        let opening = late.opening();
        Ok((Arc::new(late), opening))
    }

    /// Creates the data directory if needed and opens only the allocator of identities.
    ///
    /// # Errors
    /// [`OpenBackendsError`]
    pub async fn open_ids(&self, registry: &Registry) -> Result<Arc<dyn IdAllocator>, OpenBackendsError> {
        self.open_ids_in(registry, &self.scope(registry, Purpose::Serve)?).await
    }

    async fn open_ids_in(
        &self,
        registry: &Registry,
        scope: &Scope,
    ) -> Result<Arc<dyn IdAllocator>, OpenBackendsError> {
        let ids = &self.config.ids;
        let at = KeyPath::root().key(Ids::NAME);
        self.open_one::<Ids>(registry, &ids.kind, ids.table(), at, scope).await
    }

    /// More heads than the allocator can give are a mistake of the config.
    fn check_heads(&self, ids: &dyn IdAllocator) -> Result<(), OpenBackendsError> {
        let count = self.config.heads.count;
        match ids.heads_max() {
            Some(max) if count > max => Err(config_error(self.too_many_heads(max))),
            Some(_) | None => Ok(()),
        }
    }

    /// The issue of more heads than the allocator has room for.
    pub(crate) fn too_many_heads(&self, room: u32) -> Issue {
        let (count, kind) = (self.config.heads.count, &self.config.ids.kind);
        let message = format!("{count} heads are configured, and [ids] kind `{kind}` has room for {room}");
        let help = "lower `heads.count`, or change the slots and ports of [ids]".to_owned();
        let ids = KeyPath::root().key(Ids::NAME);
        let keys = ["slots_max", "first_slot", "port_base"].map(|key| ids.key(key));
        let count = KeyPath::root().key("heads").key("count");
        self.issue_of(&[&[count][..], &keys].concat(), message, Some(help))
    }

    fn scope(&self, registry: &Registry, purpose: Purpose) -> Result<Scope, OpenBackendsError> {
        let path = &self.config.data_dir;
        if let Some(issue) = self.data_dir_is_none() {
            return Err(config_error(issue));
        }
        if !matches!(purpose, Purpose::Check | Purpose::Use) {
            std::fs::create_dir_all(path)
                .map_err(|source| OpenBackendsError::DataDir { path: path.clone(), source })?;
        }
        Ok(Scope::new(path).with_purpose(purpose).with_registry(Arc::new(registry.clone())))
    }

    /// The issue of a data directory that is a file, or is to be below one.
    fn data_dir_is_none(&self) -> Option<Issue> {
        let is_no_dir = |path: &Path| std::fs::metadata(path).is_ok_and(|found| !found.is_dir());
        let path = self.config.data_dir.ancestors().find(|path| is_no_dir(path))?;
        let message = format!("{} is not a directory", path.display());
        Some(self.issue(KeyPath::root().key("data_dir"), message, None))
    }

    /// What is wrong with the data directory, and with the files that the tables of plugins name. Opens and creates nothing.
    pub(crate) fn check_files(&self, registry: &Registry) -> Vec<Issue> {
        if let Some(issue) = self.data_dir_is_none() {
            return vec![issue];
        }
        let (root, config) = (KeyPath::root(), &self.config);
        let scope = Scope::new(&config.data_dir).with_purpose(Purpose::Check);
        let scope = scope.with_registry(Arc::new(registry.clone()));
        let mut issues = Vec::new();
        let (store, ids) = (&config.store, &config.ids);
        issues.extend(self.files_of::<Store>(
            registry,
            &store.kind,
            store.table(),
            root.key(Store::NAME),
            &scope,
        ));
        issues.extend(self.files_of::<Ids>(registry, &ids.kind, ids.table(), root.key(Ids::NAME), &scope));
        for (index, policy) in config.admission.iter().enumerate() {
            let (plugin, at) = (&policy.plugin, root.key(Admission::NAME).item(index));
            issues.extend(self.files_of::<Admission>(registry, &plugin.kind, plugin.table(), at, &scope));
        }
        issues
    }

    fn files_of<R: Role>(
        &self,
        registry: &Registry,
        kind: &str,
        table: Value,
        at: KeyPath,
        scope: &Scope,
    ) -> Option<Issue> {
        let error = registry.find::<R>(kind)?.check_files(table, scope).err()?;
        let key = match error.kind() {
            OpenErrorKind::Config { key } => at.join(&KeyPath::of_dotted(key)),
            _ => at,
        };
        Some(self.issue(key, Causes(&error).to_string(), None))
    }

    /// Opens a plugin within `open_timeout_s`.
    async fn open_one<R: Role>(
        &self,
        registry: &Registry,
        kind: &str,
        table: Value,
        at: KeyPath,
        scope: &Scope,
    ) -> Result<Arc<R::Object>, OpenBackendsError> {
        let (entry, within) = (self.entry::<R>(registry, kind, &at)?, self.open_within(scope));
        let mut attempt = pin!(opening::open(entry, table, scope.clone(), within));
        let opened = match timeout(PATIENCE, &mut attempt).await {
            Ok(opened) => opened,
            Err(_) => {
                let (role, after_s) = (R::NAME, PATIENCE.as_secs());
                tracing::warn!(role, kind, after_s, "the plugin is not open yet, waiting for it");
                attempt.await
            }
        };
        opened.map_err(|error| self.open_error::<R>(kind, &at, error))
    }

    fn entry<R: Role>(
        &self,
        registry: &Registry,
        kind: &str,
        at: &KeyPath,
    ) -> Result<Entry<R>, OpenBackendsError> {
        let unknown = || config_error(self.issue(at.key("kind"), format!("unknown kind `{kind}`"), None));
        registry.find::<R>(kind).cloned().ok_or_else(unknown)
    }

    /// A migration takes as long as it takes.
    fn open_within(&self, scope: &Scope) -> Option<Duration> {
        let within = Duration::from_secs(self.config.open_timeout_s.into());
        (scope.purpose() != Purpose::Migrate).then_some(within)
    }

    fn open_error<R: Role>(&self, kind: &str, at: &KeyPath, error: AttemptError) -> OpenBackendsError {
        let (role, kind) = (R::NAME, kind.to_owned());
        match error {
            AttemptError::Panicked => OpenBackendsError::Panicked { role, kind },
            AttemptError::TooLate { within, .. } => OpenBackendsError::TooLate { role, kind, within },
            AttemptError::Open(source) => match source.kind() {
                OpenErrorKind::Config { key } => {
                    config_error(self.issue(at.join(&KeyPath::of_dotted(key)), source.to_string(), None))
                }
                _ => OpenBackendsError::Open { role, kind, source },
            },
        }
    }
}
