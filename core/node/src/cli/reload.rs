//! The config, read again while the node runs: SIGHUP.

mod changes;

use super::Failure;
use super::logging::{self, Level};
use super::stop::ReloadSignal;
use crate::config::{Issues, KeyPath, Loaded, Sources, load};
use crate::node::backends::Backends;
use changes::{changed, have_same_policies, kept, table_at};
use hydra_api::{
    Admission, Causes, IdAllocator, Ids, ProviderStore, ReconfigureError, Registry, Role, Store,
};
use hydra_engine::NamedPolicy;
use serde_json::Value;
use std::fmt::Display;
use std::sync::Arc;

/// What a config is read from, and the log whose level it sets.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) registry: Registry,
    pub(crate) sources: Sources,
    pub(crate) level: Level,
}

/// Reads the config again at each signal, and has the running node take up what it can.
#[derive(Debug)]
pub(crate) struct Reload {
    inputs: Arc<Inputs>,
    /// The values that are in effect.
    values: Value,
    store: Arc<dyn ProviderStore>,
    ids: Arc<dyn IdAllocator>,
    admission: Vec<NamedPolicy>,
}

/// What becomes of the changes of a config.
#[derive(Debug, Default)]
struct Outcome {
    taken: Vec<KeyPath>,
    needs_restart: Vec<KeyPath>,
}

impl Reload {
    /// For a node that runs by this config and these plugins.
    pub(crate) fn new(inputs: Inputs, loaded: &Loaded, backends: &Backends) -> Self {
        Self {
            inputs: Arc::new(inputs),
            values: loaded.values().clone(),
            store: Arc::clone(&backends.store),
            ids: Arc::clone(&backends.ids),
            admission: backends.admission.clone(),
        }
    }

    /// Follows the signals for ever.
    ///
    /// # Cancel safety
    /// A dropped future leaves the table of each plugin either as it was or changed as a whole.
    pub(crate) async fn follow(&mut self, signal: &mut ReloadSignal) {
        loop {
            signal.given().await;
            tracing::info!(signal = "SIGHUP", "reading the config again");
            match self.read().await {
                Ok(loaded) => self.take_up(loaded).await,
                Err(Failure::Config(Issues(issues))) => issues.iter().for_each(refused),
                Err(Failure::Usage(cause) | Failure::Unavailable(cause) | Failure::Failed(cause)) => {
                    refused(&cause);
                }
            }
        }
    }

    /// The config as a start would find it, with the mistakes that only opening the plugins shows.
    async fn read(&self) -> Result<Loaded, Failure> {
        let inputs = Arc::clone(&self.inputs);
        let loaded = blocking(move || load(&inputs.registry, &inputs.sources)).await?;
        loaded.exporter_target()?;
        loaded.check_all_but_store(&self.inputs.registry).await?;
        Ok(loaded)
    }

    async fn take_up(&mut self, loaded: Loaded) {
        logging::warn_of(&loaded);
        let mut outcome = Outcome::default();
        let mut left = changed(&self.values, loaded.values());
        let level = KeyPath::root().key("log").key("level");
        if left.contains(&level) && self.inputs.level.set(&loaded.config.log.level) {
            left.retain(|key| *key != level);
            outcome.taken.push(level);
        }
        let mut tables = loaded.values().clone();
        if !have_same_policies(&self.values, &tables) {
            // Which table is whose is not known, so each policy keeps its own: denylists read their files again.
            let admission = KeyPath::root().key(Admission::NAME);
            left.retain(|key| !admission.leads_to(key));
            tables = kept(&tables, &self.values, std::slice::from_ref(&admission));
            outcome.needs_restart.push(admission);
        }
        for (at, plugin) in self.plugins() {
            let own: Vec<_> = left.iter().filter(|key| at.leads_to(key)).cloned().collect();
            left.retain(|key| !at.leads_to(key));
            self.reconfigure(at, plugin, own, &tables, &mut outcome).await;
        }
        outcome.needs_restart.extend(left);
        self.values = kept(loaded.values(), &self.values, &outcome.needs_restart);
        outcome.log();
    }

    /// The open plugins and their tables.
    fn plugins(&self) -> Vec<(KeyPath, Plugin)> {
        let (store, ids) = (Arc::clone(&self.store), Arc::clone(&self.ids));
        let admission = self.admission.iter().enumerate().map(|(item, policy)| {
            (KeyPath::root().key(Admission::NAME).item(item), Plugin::Policy(Arc::clone(&policy.policy)))
        });
        [
            (KeyPath::root().key(Store::NAME), Plugin::Store(store)),
            (KeyPath::root().key(Ids::NAME), Plugin::Ids(ids)),
        ]
        .into_iter()
        .chain(admission)
        .collect()
    }

    /// Has a plugin take up its changed keys. One that cannot take up some is given the others alone.
    async fn reconfigure(
        &self,
        at: KeyPath,
        plugin: Plugin,
        own: Vec<KeyPath>,
        wanted: &Value,
        outcome: &mut Outcome,
    ) {
        // A policy also reads its files again when its table is what it was.
        let is_due = !own.is_empty() || matches!(plugin, Plugin::Policy(_));
        let node_reads = [at.key("kind"), at.key("mode")];
        if own.iter().any(|key| node_reads.contains(key)) {
            outcome.needs_restart.extend(own);
            return;
        }
        let Some(table) = is_due.then(|| table_at(wanted, &at)).flatten() else { return };
        let result = match plugin.give(table).await {
            Err(ReconfigureError::NeedsRestart { keys }) if !keys.is_empty() => {
                let fixed: Vec<_> = keys.iter().map(|key| at.join(&KeyPath::of_dotted(key))).collect();
                let (stay, change): (Vec<_>, Vec<_>) =
                    own.iter().cloned().partition(|key| fixed.iter().any(|fixed| fixed.leads_to(key)));
                let table = table_at(&kept(wanted, &self.values, &stay), &at);
                outcome.needs_restart.extend(stay);
                match table.filter(|_| !change.is_empty()) {
                    Some(table) => plugin.give(table).await.map(|()| change),
                    None => Ok(Vec::new()),
                }
            }
            result => result.map(|()| own.clone()),
        };
        match result {
            Ok(taken) => outcome.taken.extend(taken),
            Err(ReconfigureError::Config(issue)) => {
                tracing::error!(table = %at, error = %issue, "the table has a mistake, none of its keys is changed");
                outcome.needs_restart.extend(own);
            }
            Err(_) => {
                let is_new = |key: &KeyPath| !outcome.needs_restart.contains(key);
                let own: Vec<_> = own.into_iter().filter(is_new).collect();
                outcome.needs_restart.extend(own);
            }
        }
    }
}

impl Outcome {
    fn log(&self) {
        let listed = |keys: &[KeyPath]| keys.iter().map(KeyPath::to_string).collect::<Vec<_>>().join(", ");
        match (self.taken.is_empty(), self.needs_restart.is_empty()) {
            (true, true) => tracing::info!("the config is read, no key has changed"),
            (false, _) => {
                tracing::info!(keys = listed(&self.taken), "the config is read, these keys have changed")
            }
            (true, false) => {}
        }
        if !self.needs_restart.is_empty() {
            tracing::warn!(keys = listed(&self.needs_restart), "these keys take effect after a restart");
        }
    }
}

/// An open plugin.
#[derive(Debug, Clone)]
enum Plugin {
    Store(Arc<dyn ProviderStore>),
    Ids(Arc<dyn IdAllocator>),
    Policy(Arc<dyn hydra_api::AdmissionPolicy>),
}

impl Plugin {
    /// Gives the plugin its table. It may block as long as opening does.
    async fn give(&self, table: Value) -> Result<(), ReconfigureError> {
        let plugin = self.clone();
        let given = tokio::task::spawn_blocking(move || match plugin {
            Self::Store(store) => store.reconfigure(table),
            Self::Ids(ids) => ids.reconfigure(table),
            Self::Policy(policy) => policy.reconfigure(table),
        });
        given.await.unwrap_or_else(|panicked| {
            tracing::error!(error = %Causes(&panicked), "the plugin panicked while it took over its changed table");
            Err(ReconfigureError::needs_restart())
        })
    }
}

fn refused(issue: &impl Display) {
    tracing::error!(%issue, "the config has a mistake, nothing is changed");
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Issues> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(cause) => Err(Failure::failed("cannot read the config", cause)),
    }
}
