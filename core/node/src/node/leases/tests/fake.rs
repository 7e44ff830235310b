//! Heads that are tasks without a swarm, and a ledger of which process serves which slot.

use super::super::run::{BeginError, Heads, LeaseKeeper};
use crate::net::requests::proof::Proof;
use crate::net::supervise::Phase;
use crate::observe::lease_view::LeaseView;
use hydra_api::{HeadCount, HeadLease, HeldSlot, IdAllocator, IdError};
use hydra_conformance::doubles::{Fleet, LeasedIds};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

pub(super) const LIFE: Duration = Duration::from_secs(30);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Lets so much time pass, in steps, so that tasks run in between.
pub(super) async fn run_for(length: Duration) {
    tokio::time::sleep(length).await;
}

/// The slots that are served now, over all processes that share it, each with its process.
pub(super) type Ledger = Arc<Mutex<BTreeMap<u32, u64>>>;

/// What heads did and what a test has them do.
#[derive(Debug, Clone, Default)]
pub(super) struct Control(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Slot and epoch of each start.
    starts: Vec<(u32, u64)>,
    failing_starts: u32,
    hangs: bool,
    /// The port of slot 0; `None` for the port of the lease.
    ports_from: Option<u16>,
    tasks: HashMap<u32, AbortHandle>,
}

impl Control {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
    /// The next starts, so many, fail.
    pub(super) fn fail_starts(&self, starts: u32) {
        self.state().failing_starts = starts;
    }
    /// From now on heads do not stop when they are told to.
    pub(super) fn hang(&self) {
        self.state().hangs = true;
    }
    /// From now on the head of slot s listens on this port plus s.
    pub(super) fn listen_on(&self, port: u16) {
        self.state().ports_from = Some(port);
    }
    /// Ends a head as a panic in its task would.
    pub(super) fn end(&self, slot: u32) {
        self.state().tasks[&slot].abort();
    }
}

/// Takes a slot out of the ledger when the task of a head ends, however it ends.
struct Serving(Ledger, u32);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.lock().unwrap().remove(&self.1);
    }
}

/// The heads of one process.
#[derive(Debug)]
pub(super) struct FakeHeads {
    pub(super) process: u64,
    pub(super) ledger: Ledger,
    /// How long connections take to end.
    pub(super) close: Duration,
    pub(super) control: Control,
    pub(super) tasks: JoinSet<()>,
    pub(super) running: HashMap<u32, (watch::Sender<Phase>, AbortHandle)>,
}

impl FakeHeads {
    pub(super) fn new(process: u64, ledger: Ledger, close: Duration) -> Self {
        let (control, tasks, running) = (Control::default(), JoinSet::new(), HashMap::new());
        Self { process, ledger, close, control, tasks, running }
    }
}

impl Heads for FakeHeads {
    type Error = io::Error;

    fn start(&mut self, lease: &HeadLease, proof: Arc<Proof>) -> Result<u16, io::Error> {
        let mut state = self.control.state();
        if let Some(left) = state.failing_starts.checked_sub(1) {
            state.failing_starts = left;
            return Err(io::ErrorKind::AddrInUse.into());
        }
        assert!(proof.holds(tokio::time::Instant::now().into_std()), "slot {} without proof", lease.slot);
        let other = self.ledger.lock().unwrap().insert(lease.slot, self.process);
        assert_eq!(other, None, "slot {} is served twice", lease.slot);
        let serving = Serving(Arc::clone(&self.ledger), lease.slot);
        let (phase, mut seen) = watch::channel(Phase::Serving);
        let (control, close) = (self.control.clone(), self.close);
        let task = self.tasks.spawn(async move {
            let _serving = serving;
            let _stopped = seen.wait_for(|phase| *phase == Phase::Stopping).await.is_ok();
            if control.state().hangs {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(close).await;
        });
        state.starts.push((lease.slot, lease.epoch));
        state.tasks.insert(lease.slot, task.clone());
        self.running.insert(lease.slot, (phase, task));
        let moved = state.ports_from.map(|first| first + u16::try_from(lease.slot).unwrap());
        Ok(moved.unwrap_or(lease.port))
    }

    fn set_phase(&mut self, phase: Phase) {
        for (now, _) in self.running.values() {
            now.send_replace(phase);
        }
    }

    fn stop(&mut self, slot: u32) {
        self.running[&slot].0.send_replace(Phase::Stopping);
    }

    fn abort(&mut self, slot: u32) {
        self.running[&slot].1.abort();
    }

    async fn ended(&mut self) -> u32 {
        let Some(ended) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        let slot = *self.running.iter().find(|(_, head)| head.1.id() == id).unwrap().0;
        self.running.remove(&slot);
        slot
    }
}

/// A keeper that runs, and what a test sees of it.
pub(super) struct Keeper<I = LeasedIds> {
    ids: Arc<I>,
    pub(super) view: Arc<LeaseView>,
    pub(super) heads: Control,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) task: JoinHandle<Vec<HeldSlot>>,
    ledger: Ledger,
}

impl Keeper {
    /// One more process of a fleet, with so many heads.
    pub(super) async fn start(fleet: &Fleet, heads: u32) -> Self {
        Self::of(fleet.join(), heads).await
    }
}

impl<I: IdAllocator> Keeper<I> {
    /// A process with this allocator.
    pub(super) async fn of(ids: I, heads: u32) -> Self {
        Self::with(ids, heads, FakeHeads::new(0, Ledger::default(), SECOND / 2)).await
    }

    /// A process with these heads.
    pub(super) async fn with(ids: I, wanted: u32, heads: FakeHeads) -> Self {
        Self::join(ids, wanted, heads).await.unwrap()
    }

    /// The same where the slots may be held by others.
    pub(super) async fn join(ids: I, wanted: u32, heads: FakeHeads) -> Result<Self, IdError> {
        let (ids, wanted) = (Arc::new(ids), HeadCount::new(wanted).unwrap());
        let (view, control, ledger) =
            (Arc::<LeaseView>::default(), heads.control.clone(), Arc::clone(&heads.ledger));
        let keeper = LeaseKeeper::new(Arc::<I>::clone(&ids), wanted, heads, Arc::clone(&view));
        let (phase, seen) = watch::channel(Phase::Serving);
        let (begun, told) = oneshot::channel();
        let task = tokio::spawn(keeper.run(seen, begun));
        match told.await.unwrap() {
            Ok(()) => {}
            Err(BeginError::Ids(error)) => return Err(error),
            Err(BeginError::Head(error)) => panic!("{error}"),
        }
        Ok(Self { ids, view, heads: control, phase, task, ledger })
    }

    pub(super) fn ids(&self) -> &I {
        &self.ids
    }

    /// Slot and epoch of every start so far.
    pub(super) fn starts(&self) -> Vec<(u32, u64)> {
        self.heads.state().starts.clone()
    }

    /// Whether the head of a slot runs.
    pub(super) fn runs(&self, slot: u32) -> bool {
        self.ledger.lock().unwrap().contains_key(&slot)
    }

    /// Renewals that succeeded and that failed.
    pub(super) fn renewals(&self) -> [u64; 2] {
        [0, 1].map(|outcome: usize| self.view.renewals[outcome].load(Ordering::Relaxed))
    }

    /// Leases proven and unproven now, and lost and expired so far.
    pub(super) fn shown(&self) -> [u64; 4] {
        let view = &self.view;
        [&view.proven, &view.unproven, &view.lost, &view.expired].map(|value| value.load(Ordering::Relaxed))
    }

    /// Stops it, and returns what it held.
    pub(super) async fn stop(self) -> Vec<HeldSlot> {
        self.phase.send_replace(Phase::Stopping);
        self.task.await.unwrap()
    }
}
