//! Opens what a config picked.

use crate::config::{Issue, Issues, KeyPath, Loaded, Origin};
use crate::telemetry::{Exporter, ExporterError, Target, Told};
use hydra_api::{
    Admission, IdAllocator, Ids, OpenError, OpenErrorKind, ProviderStore, Purpose, Registry, Role, Scope,
    Store,
};
use hydra_engine::NamedPolicy;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// What a node works with: the plugins of a config, open.
#[derive(Debug)]
pub struct Backends {
    /// Where provider records are kept.
    pub store: Arc<dyn ProviderStore>,
    /// Where the identities come from.
    pub ids: Arc<dyn IdAllocator>,
    /// The policies, called by their kinds, in the order in which they are asked.
    pub admission: Vec<NamedPolicy>,
    /// Where the spans of traced requests go: nowhere, unless one is put here. The node stops it when it stops.
    pub exporter: Exporter,
}

/// A config that is good in itself, but whose plugins could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenBackendsError {
    /// A key turned out to be wrong.
    #[error(transparent)]
    Config(Issues),
    /// The data directory cannot be made.
    #[error("cannot make the data directory {}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What a plugin needs is not to be had, or what it kept is damaged.
    #[error("cannot open {role} `{kind}`")]
    Open {
        /// The role of the plugin.
        role: &'static str,
        /// Its kind.
        kind: String,
        /// Why not.
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
    /// [`OpenBackendsError`]: nothing is left open then.
    pub async fn open(&self, registry: &Registry) -> Result<Backends, OpenBackendsError> {
        self.open_for(registry, Purpose::Serve).await
    }

    /// Opens every plugin for this purpose, the store last. For a check nothing is created.
    ///
    /// # Errors
    /// [`OpenBackendsError`]: nothing is left open then.
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
        let store = &self.config.store;
        let at = KeyPath::root().key(Store::NAME);
        let store = self.open_one::<Store>(registry, &store.kind, store.table(), at, &scope).await?;
        Ok(Backends { store, ids, admission, exporter: Exporter::default() })
    }

    /// Starts to send traces as the config and the standard variables say, if they name a collector.
    ///
    /// # Errors
    /// [`OpenBackendsError::Config`] blames the key or the variable, [`OpenBackendsError::Traces`] the system.
    pub fn exporter(&self) -> Result<Exporter, OpenBackendsError> {
        Exporter::start(&self.config.telemetry.otlp).map_err(|error| self.exporter_error(error))
    }

    /// Where [`Self::exporter`] would send traces.
    ///
    /// # Errors
    /// [`OpenBackendsError::Config`]
    pub fn exporter_target(&self) -> Result<Option<Target>, OpenBackendsError> {
        Target::of(&self.config.telemetry.otlp).map_err(|error| self.exporter_error(error))
    }

    fn exporter_error(&self, error: ExporterError) -> OpenBackendsError {
        match error {
            ExporterError::Setting { told: Told::Key(path), message, help } => {
                config_error(self.issue(path, message, help))
            }
            ExporterError::Setting { told: Told::Variable(name), message, help } => {
                let origin = Origin::Environment(name.to_owned());
                config_error(Issue { key: String::new(), message, help, origin })
            }
            error @ ExporterError::System { .. } => OpenBackendsError::Traces(error),
        }
    }

    /// Makes the data directory at need and opens the allocator of identities alone.
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

fn config_error(issue: Issue) -> OpenBackendsError {
    OpenBackendsError::Config(Issues(vec![issue]))
}
