//! Opens the plugins of a config.

use crate::config::{Issue, Issues, KeyPath, Loaded, Origin};
use crate::late_store::{LateStore, Opening};
use crate::telemetry::{Exporter, ExporterError, SettingOrigin, Target};
use hydra_api::{
    Admission, IdAllocator, Ids, OpenError, OpenErrorKind, ProviderStore, Purpose, Registry, Role, Scope,
    Store,
};
use hydra_engine::NamedPolicy;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// The open plugins of a config.
#[derive(Debug)]
pub struct Backends {
    /// The store of provider records.
    pub store: Arc<dyn ProviderStore>,
    /// The source of the identities.
    pub ids: Arc<dyn IdAllocator>,
    /// The policies, named by their kinds, in the order in which they are evaluated.
    pub admission: Vec<NamedPolicy>,
    /// The exporter of traces; the default exports nothing. The node stops it during its own shutdown.
    pub exporter: Exporter,
}

/// Why the plugins of a valid config cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenBackendsError {
    /// The value of a key is wrong.
    #[error(transparent)]
    Config(Issues),
    /// The data directory cannot be created.
    #[error("cannot create the data directory {}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A plugin cannot reach what it needs, or its files are damaged.
    #[error("cannot open {role} `{kind}`")]
    Open {
        /// The role of the plugin.
        role: &'static str,
        /// Its kind.
        kind: String,
        /// The cause.
        source: OpenError,
    },
    /// Traces cannot be sent.
    #[error("cannot send traces")]
    Traces(#[source] ExporterError),
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
        let mut admission = Vec::new();
        for (index, policy) in self.config.admission.iter().enumerate() {
            let at = KeyPath::root().key(Admission::NAME).item(index);
            let (kind, table) = (&policy.plugin.kind, policy.plugin.table());
            let opened = self.open_one::<Admission>(registry, kind, table, at, &scope).await?;
            admission.push(NamedPolicy { name: kind.clone(), mode: policy.mode, policy: opened });
        }
        let ids = self.open_ids_in(registry, &scope).await?;
        self.check_heads(&*ids)?;
        let store = self.open_store(registry, &scope).await?;
        Ok(Backends { store, ids, admission, exporter: Exporter::default() })
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

    async fn open_store(
        &self,
        registry: &Registry,
        scope: &Scope,
    ) -> Result<Arc<dyn ProviderStore>, OpenBackendsError> {
        let (kind, table) = (&self.config.store.kind, self.config.store.table());
        let at = KeyPath::root().key(Store::NAME);
        match self.open_one::<Store>(registry, kind, table.clone(), at, scope).await {
            Err(OpenBackendsError::Open { source, .. })
                if self.config.start_without_store
                    && scope.purpose() == Purpose::Serve
                    && *source.kind() == OpenErrorKind::Unavailable =>
            {
                let (registry, scope, kind) = (registry.clone(), scope.clone(), kind.clone());
                let open = move || open_again(registry.clone(), kind.clone(), table.clone(), scope.clone());
                Ok(Arc::new(LateStore::new(&source, open)))
            }
            opened => opened,
        }
    }

    /// Starts the export of traces if the config or the standard variables name a collector.
    ///
    /// # Errors
    /// [`OpenBackendsError::Config`] names the key or the variable; [`OpenBackendsError::Traces`] is a failure of the system.
    pub fn exporter(&self) -> Result<Exporter, OpenBackendsError> {
        Exporter::start(&self.config.telemetry.otlp).map_err(|error| self.exporter_error(error))
    }

    /// The collector to which [`Self::exporter`] would send traces.
    ///
    /// # Errors
    /// [`OpenBackendsError::Config`]
    pub fn exporter_target(&self) -> Result<Option<Target>, OpenBackendsError> {
        Target::of(&self.config.telemetry.otlp).map_err(|error| self.exporter_error(error))
    }

    fn exporter_error(&self, error: ExporterError) -> OpenBackendsError {
        match error {
            ExporterError::Setting { origin: SettingOrigin::Key(path), message, help } => {
                config_error(self.issue(path, message, help))
            }
            ExporterError::Setting { origin: SettingOrigin::Variable(name), message, help } => {
                let origin = Origin::Environment(name.to_owned());
                config_error(Issue { key: String::new(), message, help, origin })
            }
            error @ ExporterError::System { .. } => OpenBackendsError::Traces(error),
        }
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
            Some(max) if count > max => {
                let kind = &self.config.ids.kind;
                let message =
                    format!("{count} heads are configured, and [ids] kind `{kind}` has room for {max}");
                let help = "lower it, or change the slots and ports of [ids]".to_owned();
                let path = KeyPath::root().key("heads").key("count");
                Err(config_error(self.issue(path, message, Some(help))))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn scope(&self, registry: &Registry, purpose: Purpose) -> Result<Scope, OpenBackendsError> {
        let path = &self.config.data_dir;
        if purpose != Purpose::Check {
            std::fs::create_dir_all(path)
                .map_err(|source| OpenBackendsError::DataDir { path: path.clone(), source })?;
        }
        Ok(Scope::new(path).with_purpose(purpose).with_registry(Arc::new(registry.clone())))
    }

    async fn open_one<R: Role>(
        &self,
        registry: &Registry,
        kind: &str,
        table: Value,
        at: KeyPath,
        scope: &Scope,
    ) -> Result<Arc<R::Object>, OpenBackendsError> {
        let Some(entry) = registry.find::<R>(kind) else {
            return Err(config_error(self.issue(at.key("kind"), format!("unknown kind `{kind}`"), None)));
        };
        entry.open(table, scope).await.map_err(|source| match source.kind() {
            OpenErrorKind::Config { key } => {
                config_error(self.issue(at.join(&KeyPath::of_dotted(key)), source.to_string(), None))
            }
            _ => OpenBackendsError::Open { role: R::NAME, kind: kind.to_owned(), source },
        })
    }
}

fn open_again(registry: Registry, kind: String, table: Value, scope: Scope) -> Opening {
    Box::pin(async move {
        match registry.find::<Store>(&kind) {
            Some(entry) => entry.open(table, &scope).await,
            None => Err(OpenError::config("kind", "unknown kind")),
        }
    })
}

fn config_error(issue: Issue) -> OpenBackendsError {
    OpenBackendsError::Config(Issues(vec![issue]))
}
