//! Which identities a process serves.

use crate::{PeerId, ReconfigureError};
use async_trait::async_trait;
use serde_json::Value;
use std::error::Error;
use std::fmt::{self, Debug};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Gives out slots, each with an identity and a port that stay the same over restarts.
///
/// A slot is held under a *lease*: for the [`life`](HeadLease::life) that the allocator grants, measured from the
/// beginning of the call on the caller's monotonic clock, so that a clock that is wrong or jumps does no harm. The node renews
/// at a third of the life and stops a head whose lease is lost or about to end without proof of a renewal.
///
/// # Rules
/// - **I1** The same slot gives the same identity and port after a restart.
/// - **I2** Slots, identities and ports of all leases that are held at a time are distinct.
/// - **I3** Wanting more heads adds slots and changes none of those there were.
/// - **I4** What was released is given out again.
/// - **I5** [`HeadLease::peer`] is the id of [`HeadLease::identity`].
/// - **I6** A port that `renew` reports is the one the slot gets from then on.
/// - **I7** No identity's secret is shown by `Debug`, and none is passed to `renew` or `release`.
/// - **I8** A slot is held by one process at a time: another that asks for it fails with [`IdErrorKind::Held`], or
///   gets other slots.
/// - **I9** `preview` tells what `acquire` would give a process that holds nothing, takes nothing, and works beside one
///   that holds the slots. Opened with [`Purpose::Check`](crate::Purpose::Check), nothing is created or changed.
/// - **I10** Each time a slot is given out its epoch is greater than the time before; `renew` keeps it.
/// - **I11** `renew` says of every slot either for how long it is held or that it is lost; one with another epoch than the
///   current one is lost.
/// - **I12** A lease that is not renewed ends after its life, and the slot is given out again; one without a life ends with the process.
#[async_trait]
pub trait IdAllocator: Debug + Send + Sync + 'static {
    /// How many heads it can give to this process in all, as its config has it; `None` if only [`Self::acquire`] can tell.
    /// A node that is configured to have more does not start.
    fn heads_max(&self) -> Option<u32> {
        None
    }

    /// What [`Self::acquire`] would give. `progress` is told, from any thread, how many heads are found so far.
    ///
    /// # Errors
    /// [`IdError`] when there are too few slots, or the state cannot be reached.
    async fn preview(&self, wanted: HeadCount, progress: Progress) -> Result<Vec<HeadPreview>, IdError>;

    /// Takes the leases of `wanted` slots, in addition to those that are held.
    ///
    /// # Errors
    /// [`IdError`]: no further slot is held then.
    async fn acquire(&self, wanted: HeadCount) -> Result<Vec<HeadLease>, IdError>;

    /// Keeps the leases, and reports the ports that the heads listen on. Called after every change of a port, and at a
    /// third of the shortest [`HeadLease::life`].
    ///
    /// # Errors
    /// [`IdError`] when the state cannot be reached; the leases hold until they end.
    async fn renew(&self, held: &[HeldSlot]) -> Result<Renewal, IdError>;

    /// Gives the leases back. Slots that are lost or unknown are left alone.
    ///
    /// # Errors
    /// [`IdError`] when the state cannot be reached; the leases end by themselves.
    async fn release(&self, held: &[HeldSlot]) -> Result<(), IdError>;

    /// Takes up a changed table of the config, as [`Plugin::Config`](crate::Plugin::Config) reads it, while the
    /// allocator is open. All of it is taken, or nothing.
    ///
    /// # Errors
    /// [`ReconfigureError`] when the change cannot be taken up by an open allocator, which is the default.
    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        drop(table);
        Err(ReconfigureError::needs_restart())
    }
}

/// How many heads a process wants.
pub type HeadCount = NonZeroU32;

/// Is told how many heads are found.
pub type Progress = Arc<dyn Fn(u32) + Send + Sync>;

/// A head that [`IdAllocator::acquire`] would give.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeadPreview {
    /// The number of the head in its fleet, from 0.
    pub slot: u32,
    /// The public id.
    pub peer: PeerId,
    /// The TCP and UDP port it would listen on; 0 when the system chooses.
    pub port: u16,
}

impl HeadPreview {
    /// A head with this slot, id and port.
    pub const fn new(slot: u32, peer: PeerId, port: u16) -> Self {
        Self { slot, peer, port }
    }
}

/// The right to serve one identity.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HeadLease {
    /// The number of the head in its fleet, from 0.
    pub slot: u32,
    /// How often the slot was given out so far: greater each time. A fencing number.
    pub epoch: u64,
    /// The public id.
    pub peer: PeerId,
    /// The private key.
    pub identity: Identity,
    /// The TCP and UDP port to listen on; 0 when the system chooses, and `renew` then reports its choice.
    pub port: u16,
    /// The slot's own port, where [`Self::port`] is another that its head moved to because its own was taken: the head goes back
    /// to its own when that is free again.
    pub own_port: Option<u16>,
    /// How long the lease lasts from the beginning of the call that gave it; `None` when it lasts as long as the process.
    pub life: Option<Duration>,
}

impl HeadLease {
    /// A lease of epoch 0 that lasts as long as the process.
    pub const fn new(slot: u32, peer: PeerId, identity: Identity, port: u16) -> Self {
        Self { slot, epoch: 0, peer, identity, port, own_port: None, life: None }
    }

    /// The same with this epoch.
    #[must_use]
    pub fn with_epoch(self, epoch: u64) -> Self {
        Self { epoch, ..self }
    }

    /// The same for a head that moved away from this port of its own. No other lease has it.
    #[must_use]
    pub fn with_own_port(self, port: u16) -> Self {
        Self { own_port: Some(port), ..self }
    }

    /// The same with this life.
    #[must_use]
    pub fn with_life(self, life: Duration) -> Self {
        Self { life: Some(life), ..self }
    }

    /// What `renew` and `release` are told of it while the head listens on `port`.
    pub const fn held_on(&self, port: u16) -> HeldSlot {
        HeldSlot { slot: self.slot, epoch: self.epoch, port }
    }
}

/// A slot that a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HeldSlot {
    /// The number of the head in its fleet.
    pub slot: u32,
    /// The epoch of the lease.
    pub epoch: u64,
    /// The port that the head listens on; 0 when it listens on none yet.
    pub port: u16,
}

impl HeldSlot {
    /// A slot held in this epoch by a head on this port.
    pub const fn new(slot: u32, epoch: u64, port: u16) -> Self {
        Self { slot, epoch, port }
    }
}

/// The secret half of an Ed25519 identity: the 32 byte seed of RFC 8032. Never shown, wiped when dropped.
#[derive(Clone)]
pub struct Identity(Zeroizing<[u8; 32]>);

impl Identity {
    /// The identity of this Ed25519 seed.
    pub fn from_ed25519_seed(seed: [u8; 32]) -> Self {
        Self(Zeroizing::new(seed))
    }

    /// The Ed25519 seed.
    pub fn ed25519_seed(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// What became of the leases that were to be renewed (rule I11).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Renewal {
    /// The slots that are held on.
    pub held: Vec<Renewed>,
    /// The slots that this process holds no more: their heads must stop.
    pub lost: Vec<u32>,
}

impl Renewal {
    /// A renewal of these slots, with these lost.
    pub const fn new(held: Vec<Renewed>, lost: Vec<u32>) -> Self {
        Self { held, lost }
    }
}

/// A lease that was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Renewed {
    /// The slot.
    pub slot: u32,
    /// How long the lease lasts from the beginning of the call of `renew`; `None` when it lasts as long as the process.
    pub life: Option<Duration>,
}

impl Renewed {
    /// A slot that is held for this long.
    pub const fn new(slot: u32, life: Option<Duration>) -> Self {
        Self { slot, life }
    }
}

/// A call to an allocator that failed: what to do about it, which call, why.
#[derive(Debug)]
pub struct IdError {
    kind: IdErrorKind,
    operation: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What to do about a failed call to an allocator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdErrorKind {
    /// The state cannot be reached: try again later.
    Unavailable,
    /// Another process holds the slots: stop it, or ask for others.
    Held,
    /// There are too few slots: want fewer heads.
    Exhausted,
    /// The state is damaged: stop and tell the operator.
    Corrupt,
}

impl IdError {
    /// `operation` failed because of `source`, which must hold no secret.
    pub fn because(
        kind: IdErrorKind,
        operation: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, operation, source: Some(source.into()) }
    }

    /// What to do about it.
    pub const fn kind(&self) -> IdErrorKind {
        self.kind
    }

    /// The call that failed.
    pub const fn operation(&self) -> &'static str {
        self.operation
    }
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            IdErrorKind::Unavailable => "the identities are unavailable",
            IdErrorKind::Held => "another process holds the identities",
            IdErrorKind::Exhausted => "there are too few identities",
            IdErrorKind::Corrupt => "the state of the identities is damaged",
        };
        write!(f, "{}: {what}", self.operation)
    }
}

impl Error for IdError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}
