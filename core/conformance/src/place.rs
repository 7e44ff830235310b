//! Where a case opens its plugin.

use crate::Broken;
use hydra_api::{ContentKey, Load, Operation, Plugin, Purpose, Registry, Role, Scope};
use serde::Serialize;
use serde_json::{Map, Value};
use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A place of its own for one case: the plugin's table, and with it what the plugin keeps. A case may open and close
/// the plugin there many times.
///
/// The data directory of the node is temporary and empty at first. Whatever else the table names (a database, a key
/// prefix) must be fresh as well.
#[derive(Debug)]
pub struct Place {
    table: Value,
    pub(crate) load: Load,
    pub(crate) key: Option<ContentKey>,
    pub(crate) operation: Option<Operation>,
    pub(crate) full_within: Option<u32>,
    clock: Clock,
    registry: Registry,
    guard: Option<Box<dyn Guard>>,
}

/// The clock by which the leases of an allocator end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    Real,
    Paused,
}

trait Guard: Any + Send + Sync {}
impl<T: Any + Send + Sync> Guard for T {}

impl std::fmt::Debug for dyn Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guard")
    }
}

impl Place {
    /// A plugin with an empty table: all its defaults.
    pub fn with_defaults() -> Self {
        Self::of(Map::new())
    }

    /// A plugin with this table: a value of its config struct, or `serde_json::json!({ … })`.
    ///
    /// # Panics
    /// When the table has no form in JSON.
    pub fn of(table: impl Serialize) -> Self {
        let table = match serde_json::to_value(table) {
            Ok(table) => table,
            Err(cause) => panic!("a plugin's table must have a form in JSON: {cause}"),
        };
        Self {
            table,
            load: Load::IDLE,
            key: None,
            operation: None,
            full_within: None,
            clock: Clock::Real,
            registry: Registry::default(),
            guard: None,
        }
    }

    /// The load under which an admission policy is asked; [`Load::IDLE`] unless told otherwise.
    #[must_use]
    pub fn under(mut self, load: Load) -> Self {
        self.load = load;
        self
    }

    /// The key that an admission policy is asked for, of those that it declines; a key like any other unless told
    /// otherwise.
    #[must_use]
    pub fn asking_for(mut self, key: ContentKey) -> Self {
        self.key = Some(key);
        self
    }

    /// What an admission policy is asked for, of what it declines; GET_PROVIDERS unless told otherwise.
    #[must_use]
    pub fn asking_to(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Says that the store has no room for some of this many records, about 120 bytes of addresses included, half of
    /// which are of one key: its suite then fills it. Leave room for the cases of the other rules, 100,000 records that
    /// are not of one key; or run a suite with [`Suite::only`](crate::Suite::only) in a place of its own.
    #[must_use]
    pub fn full_within(mut self, records: u32) -> Self {
        self.full_within = Some(records);
        self
    }

    /// Says that the plugin measures time by [`tokio::time::Instant`] alone: the cases of an allocator that wait for the
    /// end of a lease then run on a paused clock. Others wait for it, so give them a short life.
    #[must_use]
    pub fn on_a_paused_clock(mut self) -> Self {
        self.clock = Clock::Paused;
        self
    }

    /// Pauses the clock of the case if the plugin goes by it. To be called before the plugin is opened.
    pub(crate) fn set_clock(&self) {
        if self.clock == Clock::Paused {
            tokio::time::pause();
        }
    }

    /// Demands a life that the case can wait for.
    pub(crate) fn bounded(&self, life: Duration, max: Duration) -> Result<(), Broken> {
        if self.clock == Clock::Real && life > max {
            let how = format!(
                "the suite waits for the end of a lease: give it a life of at most {max:?}, not {life:?}"
            );
            return Err(Broken::new(how));
        }
        Ok(())
    }

    /// The plugins that this one can open inside its own table, with [`Scope::open`]; none unless told otherwise.
    #[must_use]
    pub fn with_plugins(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Keeps `guard` until the case has ended: what drops the database, say.
    #[must_use]
    pub fn guarded_by(mut self, guard: impl Any + Send + Sync) -> Self {
        self.guard = Some(Box::new(guard));
        self
    }
}

/// A place, and how to open the plugin there.
#[derive(Debug)]
pub(crate) struct Lab<R: Role> {
    registry: Arc<Registry>,
    kind: &'static str,
    pub(crate) place: Place,
    data_dir: TempDir,
    _role: std::marker::PhantomData<R>,
}

impl<R: Role> Lab<R> {
    pub(crate) fn new<P: Plugin<Role = R>>(place: Place) -> Result<Self, Broken> {
        let mut registry = place.registry.clone();
        registry.add::<P>();
        let data_dir =
            tempfile::tempdir().map_err(|cause| Broken::new(format!("no temporary directory: {cause}")))?;
        Ok(Self {
            registry: Arc::new(registry),
            kind: P::KIND,
            place,
            data_dir,
            _role: std::marker::PhantomData,
        })
    }

    /// Opens the plugin; again, when it was open here before.
    pub(crate) async fn open(&self) -> Result<Arc<R::Object>, Broken> {
        self.open_for(Purpose::Serve).await
    }

    /// Opens the plugin for some purpose.
    pub(crate) async fn open_for(&self, purpose: Purpose) -> Result<Arc<R::Object>, Broken> {
        self.open_in(self.data_dir(), purpose).await
    }

    /// Opens the plugin for some purpose in another data directory, which need not exist for [`Purpose::Check`].
    pub(crate) async fn open_in(&self, data_dir: &Path, purpose: Purpose) -> Result<Arc<R::Object>, Broken> {
        self.open_with(self.place.table.clone(), Scope::new(data_dir).with_purpose(purpose)).await
    }

    /// Where the node keeps its files in this place.
    pub(crate) fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// The plugin's table.
    pub(crate) fn table(&self) -> Value {
        self.place.table.clone()
    }

    /// Opens the plugin with its table and one key more.
    pub(crate) async fn open_with_key(&self, key: &str) -> Result<Arc<R::Object>, Broken> {
        let mut table = self.table();
        if let Some(table) = table.as_object_mut() {
            table.insert(key.to_owned(), Value::Bool(true));
        }
        self.open_with(table, Scope::new(self.data_dir())).await
    }

    async fn open_with(&self, table: Value, scope: Scope) -> Result<Arc<R::Object>, Broken> {
        let entry =
            self.registry.find::<R>(self.kind).ok_or_else(|| Broken::new("the plugin is not known"))?;
        Ok(entry.open(table, &scope.with_registry(self.registry.clone())).await?)
    }
}
