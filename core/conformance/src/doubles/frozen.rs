//! A store that stands still while it is told to.

use super::{Behaviour, Call, Calls, Double};
use hydra_api::{ProviderStore, StoreError, async_trait};
use std::sync::Arc;
use tokio::sync::watch;

/// A store whose calls do not return while it is frozen, and do not fail either.
pub type FrozenStore = Double<Frozen>;

/// The behaviour of a [`FrozenStore`].
#[derive(Debug)]
pub struct Frozen(watch::Sender<Ice>);

/// Which calls are held up.
#[derive(Debug, Clone, Copy)]
enum Ice {
    None,
    Some(Calls),
    /// `close` as well.
    Whole,
}

impl Ice {
    fn holds(self, call: Call) -> bool {
        match self {
            Self::None => false,
            Self::Some(calls) => calls.contain(call),
            Self::Whole => true,
        }
    }
}

impl FrozenStore {
    /// A store that is frozen from the start.
    pub fn frozen(inner: Arc<dyn ProviderStore>) -> Self {
        Self::of(inner, Frozen(watch::Sender::new(Ice::Whole)))
    }

    /// A store that serves until it is frozen.
    pub fn thawed(inner: Arc<dyn ProviderStore>) -> Self {
        Self::of(inner, Frozen(watch::Sender::new(Ice::None)))
    }

    /// Lets no call through from now on, `close` included.
    pub fn freeze(&self) {
        self.behaviour.0.send_replace(Ice::Whole);
    }

    /// Lets through all calls but these from now on.
    pub fn freeze_calls(&self, calls: Calls) {
        self.behaviour.0.send_replace(Ice::Some(calls));
    }

    /// Lets all calls through, those that wait as well.
    pub fn thaw(&self) {
        self.behaviour.0.send_replace(Ice::None);
    }
}

#[async_trait]
impl Behaviour for Frozen {
    async fn enter(&self, call: Call) -> Result<(), StoreError> {
        // The sender lives as long as the store: waiting ends with the thaw alone.
        let mut ice = self.0.subscribe();
        ice.wait_for(|ice| !ice.holds(call)).await.map(drop).map_err(|_| StoreError::closed(call.operation()))
    }
}
