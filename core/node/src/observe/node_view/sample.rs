//! The view of a node that is not there, for tests.

use super::NodeView;
use crate::config::{Config, Connections};
use crate::memory::profiles::Profiles;
use crate::memory::view::MemoryView;
use crate::net::dial_gate::DialGate;
use crate::net::head::connection_limits::{Marks, NodeConnections, PlaceLimits};
use crate::net::heads::{Head, HeadList, Status};
use crate::net::routing::table::{Limits, Table};
use crate::net::supervise::Phase;
use crate::observe::lease_view::LeaseView;
use crate::observe::otlp::Exporter;
use crate::observe::store_opening::StoreOpening;
use hydra_api::{
    ContentKey, Estimate, EstimateMethod, Found, Inserted, ProviderRecord, ProviderStore, PurgeProgress,
    Purged, RecordOutcome, StoreError, StoreProfile, UnixSeconds, async_trait,
};
use hydra_engine::{Clock, Engine, NamedStore};
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// A node that is not there, and the hands that move it.
pub(crate) struct Sample {
    pub(crate) node_view: Arc<NodeView>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) heads: Vec<watch::Sender<Status>>,
}

/// A node with so many heads, each of which is starting. To be called in a tokio runtime.
pub(crate) fn node(heads: u32) -> Sample {
    let (phase, phase_seen) = watch::channel(Phase::Serving);
    let (list, leases) = (HeadList::default(), LeaseView::holding(heads));
    let hands = (0..heads).map(|slot| add_head(slot, &list)).collect();
    let store: Arc<dyn ProviderStore> = Arc::new(Nothing);
    let named = NamedStore { name: "nothing".to_owned(), store: Arc::clone(&store) };
    let config = Config::default();
    let memory = MemoryView::new(Arc::new(Profiles::new(&config, None)));
    let limits = Limits {
        len_max: 100,
        bucket_len_max: 20,
        bucket_group_len_max: 20,
        group_len_max: 20,
        group_own_max: 20,
    };
    let node_view = Arc::new(NodeView {
        engine: Engine::open(named, Vec::new(), config.engine.clone(), Clock::system(), None),
        table: Arc::new(Table::new(config.network.addresses, limits)),
        dials: Arc::new(DialGate::new(config.network.addresses)),
        scout_restarts: Arc::default(),
        rounds: Arc::default(),
        report: Arc::default(),
        config: Arc::new(config),
        store,
        opening: StoreOpening::default(),
        wire: Arc::default(),
        connections: Arc::new(NodeConnections::new(
            Marks { max: 3, high: 2, low: 1 },
            PlaceLimits::of_node(&Connections::default()),
        )),
        memory: Arc::new(memory),
        heads: Arc::new(list),
        leases: Arc::new(leases),
        traces: None,
        exporter: Exporter::default(),
        phase: phase_seen,
        tasks: OnceLock::new(),
    });
    Sample { node_view, phase, heads: hands }
}

impl Sample {
    /// The first heads, so many, listen.
    pub(crate) fn listen(&self, heads: usize) {
        let listening = || Status {
            addresses: vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()],
            ready: true,
            failure: None,
            ..Status::default()
        };
        self.heads.iter().take(heads).for_each(|head| drop(head.send_replace(listening())));
    }
}

fn add_head(slot: u32, list: &HeadList) -> watch::Sender<Status> {
    let (hand, status) = watch::channel(Status::default());
    list.add(Head::idle(slot, status));
    hand
}

/// A store that holds nothing.
#[derive(Debug)]
struct Nothing;

#[async_trait]
impl ProviderStore for Nothing {
    fn profile(&self) -> StoreProfile {
        StoreProfile::builder().build()
    }
    async fn insert(&self, batch: Arc<[ProviderRecord]>, _: UnixSeconds) -> Result<Inserted, StoreError> {
        Ok(Inserted::Each(vec![RecordOutcome::NoRoom; batch.len()]))
    }
    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        _: UnixSeconds,
        _: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        Ok(vec![Found::Known(Vec::new()); keys.len()])
    }
    async fn purge_expired(&self, _: UnixSeconds, _: NonZeroU32) -> Result<Purged, StoreError> {
        Ok(Purged::new(0, PurgeProgress::Done))
    }
    async fn estimate(&self) -> Result<Estimate, StoreError> {
        Ok(Estimate::new(0, Duration::ZERO, EstimateMethod::Counted))
    }
    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
