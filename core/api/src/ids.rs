//! Which identities a process serves.

use crate::{PeerId, UnixSeconds};
use async_trait::async_trait;
use std::error::Error;
use std::fmt::{self, Debug};
use std::num::NonZeroU32;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Gives out slots, each with an identity and a port that stay the same over restarts.
///
/// # Rules
/// - **I1** The same slot gives the same identity and port after a restart.
/// - **I2** Slots, identities and ports of all leases that are held at a time are distinct.
/// - **I3** Wanting more heads adds slots and changes none of those there were.
/// - **I4** What was released is given out again.
/// - **I5** [`HeadLease::peer`] is the id of [`HeadLease::identity`].
/// - **I6** A port that `renew` reports is the one the slot gets from then on.
/// - **I7** No identity's secret is shown by `Debug`.
/// - **I8** A slot is held by one process at a time: another that asks for it fails with [`IdErrorKind::Held`], or
///   gets other slots.
/// - **I9** `preview` tells what `acquire` would give a process that holds nothing, takes nothing, and works beside one
///   that holds the slots.
#[async_trait]
pub trait IdAllocator: Debug + Send + Sync + 'static {
    /// What [`Self::acquire`] would give. `progress` is told, from any thread, how many heads are found so far.
    ///
    /// # Errors
    /// [`IdError`] when there are not as many, or the state cannot be reached.
    async fn preview(&self, wanted: HeadCount, progress: Progress) -> Result<Vec<HeadPreview>, IdError>;

    /// Takes the lease of `wanted` slots.
    ///
    /// # Errors
    /// [`IdError`]: no slot is held then.
    async fn acquire(&self, wanted: HeadCount) -> Result<Vec<HeadLease>, IdError>;

    /// Keeps the leases, and tells the ports that the heads listen on. Called after every change of a port, and well
    /// before [`HeadLease::until`].
    ///
    /// # Errors
    /// [`IdError`] when the state cannot be reached; the leases hold until they run out.
    async fn renew(&self, held: &[HeadLease]) -> Result<Renewal, IdError>;

    /// Gives the leases back.
    ///
    /// # Errors
    /// [`IdError`] when the state cannot be reached; the leases run out by themselves.
    async fn release(&self, held: Vec<HeadLease>) -> Result<(), IdError>;
}

/// How many heads a process wants.
pub type HeadCount = NonZeroU32;

/// Is told how many heads are found.
pub type Progress = Arc<dyn Fn(u32) + Send + Sync>;

/// A head that could be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadPreview {
    /// The number of the head in its fleet, from 0.
    pub slot: u32,
    /// The public id.
    pub peer: PeerId,
    /// The TCP and UDP port it would listen on; 0 when the system is to choose.
    pub port: u16,
}

/// The right to serve one identity.
#[derive(Debug, Clone)]
pub struct HeadLease {
    /// The number of the head in its fleet, from 0.
    pub slot: u32,
    /// The public id.
    pub peer: PeerId,
    /// The private key.
    pub identity: Identity,
    /// The TCP and UDP port to listen on; 0 when the system is to choose, and `renew` then tells its choice.
    pub port: u16,
    /// When the lease ends unless renewed; `None` when it lasts as long as the process.
    pub until: Option<UnixSeconds>,
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

/// What became of the leases that were to be renewed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Renewal {
    /// Slots that another process has now: their heads must stop.
    pub lost: Vec<u32>,
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
pub enum IdErrorKind {
    /// The state cannot be reached: try again later.
    Unavailable,
    /// Another process holds the slots: stop it, or ask for others.
    Held,
    /// There are not as many slots: want fewer.
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
            IdErrorKind::Unavailable => "the identities cannot be reached",
            IdErrorKind::Held => "another process holds the identities",
            IdErrorKind::Exhausted => "there are not as many identities",
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
