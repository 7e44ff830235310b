//! A store that stands still while it is told to.

use super::{Behaviour, Call, Calls, Double};
use hydra_api::{ProviderStore, StoreError, async_trait};
use std::sync::Arc;
use tokio::sync::watch;

/// A store whose calls do not return while it is frozen, and do not fail either.
pub type FrozenStore = Double<Frozen>;

/// The behaviour of a [`FrozenStore`]: which calls it holds up.
#[derive(Debug)]
pub struct Frozen(watch::Sender<State>);

#[derive(Debug, Clone, Copy, Default)]
struct State {
    calls: Option<Calls>,
    thawed: u64,
}

impl FrozenStore {
    /// A store that is frozen from the start.
    pub fn frozen(inner: Arc<dyn ProviderStore>) -> Self {
        let state = State { calls: Some(Calls::AllWithClose), thawed: 0 };
        Self::of(inner, Frozen(watch::Sender::new(state)))
    }

    /// A store that serves until it is frozen.
    pub fn thawed(inner: Arc<dyn ProviderStore>) -> Self {
        Self::of(inner, Frozen(watch::Sender::default()))
    }

    /// Lets no call through from now on, `close` included.
    pub fn freeze(&self) {
        self.freeze_calls(Calls::AllWithClose);
    }

    /// Lets through all calls but these from now on.
    pub fn freeze_calls(&self, calls: Calls) {
        self.behaviour.0.send_modify(|state| state.calls = Some(calls));
    }

    /// Lets all calls through, those that wait as well.
    pub fn thaw(&self) {
        self.behaviour.0.send_modify(|state| *state = State { calls: None, thawed: state.thawed + 1 });
    }

    /// Lets through the calls that begin from now on. Those that wait go on waiting until it is thawed.
    pub fn pass_new(&self) {
        self.behaviour.0.send_modify(|state| state.calls = None);
    }
}

#[async_trait]
impl Behaviour for Frozen {
    async fn enter(&self, call: Call) -> Result<(), StoreError> {
        // The sender lives as long as the store: waiting ends with the thaw alone.
        let mut frozen = self.0.subscribe();
        let State { calls, thawed } = *frozen.borrow_and_update();
        let holds = |calls: Calls| calls.contain(call);
        if !calls.is_some_and(holds) {
            return Ok(());
        }
        let passes = |state: &State| state.thawed > thawed || state.calls.is_some_and(|calls| !holds(calls));
        let passes = frozen.wait_for(passes).await;
        passes.map(drop).map_err(|_| StoreError::closed(call.operation()))
    }
}
