//! Which requests are served, and how well.

use crate::{PeerId, ReconfigureError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{self, Debug};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Decides for every request that needs the store whether it is served in full, degraded or declined.
///
/// Policies are asked in the order of the config, narrow before wide, and joined by the most severe verdict. The
/// first one that declines ends the asking; those before it are told [`Outcome::NeverStarted`]. FIND_NODE and PING need
/// no store and are always answered: policies are not asked about them.
///
/// # Rules
/// - **A1** A policy that did not decline is told the end of the request exactly once, with the token of its
///   judgement; the node sees to it. On [`Outcome::NeverStarted`] the policy gives back what it took.
/// - **A2** Memory is fixed by the config: a million peers leave it flat.
/// - **A3** `admit` and `settle` do no I/O, take no await, allocate nothing and return within 200 ns.
/// - **A4** Time is the `now` that is passed; no policy reads a clock. A `now` that goes back does no harm.
/// - **A5** A decline takes nothing: it is not settled, and asking again costs the caller's budget nothing.
/// - **A6** Both are called from many threads at once; together they admit no more than one thread could.
/// - **A7** Every reason of a decline is one of [`reasons`](Self::reasons).
///
/// A policy that panics in `admit` counts as if it had admitted, and is not told the end of that request.
pub trait AdmissionPolicy: Debug + Send + Sync + 'static {
    /// The judgement on a request that has just come in. A [`Verdict`] is a judgement with the token 0.
    fn admit(&self, request: &Request<'_>, load: &Load, now: Instant) -> Judgement;

    /// Takes note of how a request that this policy did not decline has ended. `token` is that of its judgement.
    fn settle(&self, request: &Request<'_>, token: Token, outcome: &Outcome, now: Instant);

    /// Why this policy declines: short constant words in snake_case for a metric's label, never a peer's bytes, at most
    /// [`ReasonId::COUNT_MAX`]. Asked once, when the policy has been opened; [`ReasonId`] is an index into it.
    fn reasons(&self) -> Vec<Cow<'static, str>>;

    /// Takes up a changed table of the config, as [`Plugin::Config`](crate::Plugin::Config) reads it, while the policy
    /// is open. All of it is taken, or nothing. It may block as long as opening does: the node calls it on a thread for
    /// that, while requests are judged. Before, the node has opened the table for a check
    /// ([`Purpose::Check`](crate::Purpose::Check)): what that logged need not be logged again.
    ///
    /// # Errors
    /// [`ReconfigureError`] when the change cannot be taken up by an open policy, which is the default.
    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        drop(table);
        Err(ReconfigureError::needs_restart())
    }
}

/// What a policy may know of a request.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Request<'a> {
    /// What is asked for.
    pub operation: Operation,
    /// Who asks. Ids cost nothing to make: be fair by [`Self::address`] first.
    pub peer: PeerId,
    /// Where the connection comes from; `None` when it is relayed.
    pub address: Option<IpAddr>,
    /// The slot of the head that was asked.
    pub head: u32,
    /// The key as it came, not yet validated by any policy; empty for a ping.
    pub key: &'a [u8],
}

impl<'a> Request<'a> {
    /// A request as the node, or a test, describes it.
    pub const fn new(
        operation: Operation,
        peer: PeerId,
        address: Option<IpAddr>,
        head: u32,
        key: &'a [u8],
    ) -> Self {
        Self { operation, peer, address, head, key }
    }
}

/// The requests of the Kademlia protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// Ask for the peers closest to a key.
    FindNode,
    /// Ask for the providers of a key.
    GetProviders,
    /// Announce that the sender provides a key.
    AddProvider,
    /// Ask for a value record.
    GetValue,
    /// Store a value record.
    PutValue,
    /// Ask for a sign of life.
    Ping,
}

impl Operation {
    /// Every operation, in the order of their discriminants.
    pub const ALL: [Self; 6] =
        [Self::FindNode, Self::GetProviders, Self::AddProvider, Self::GetValue, Self::PutValue, Self::Ping];

    /// The specification's word for it, as in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FindNode => "FIND_NODE",
            Self::GetProviders => "GET_PROVIDERS",
            Self::AddProvider => "ADD_PROVIDER",
            Self::GetValue => "GET_VALUE",
            Self::PutValue => "PUT_VALUE",
            Self::Ping => "PING",
        }
    }

    /// Whether the request would write to the store.
    pub const fn is_write(self) -> bool {
        matches!(self, Self::AddProvider | Self::PutValue)
    }
}

/// How busy the node is, as of the moment of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Load {
    /// Records waiting to be written, the window in hand included; more of them where the memory of the queue is fuller than its
    /// places. Those that wait for a part of the store which does not answer are left out, and what they keep of the queue, at most
    /// half, is not in the maximum.
    pub write_queue: Level,
    /// Reads waiting for a permit of the store gate.
    pub waiting: Level,
    /// Permits of the store gate in use: statements in flight.
    pub in_flight: Level,
    /// The rung of the node for requests of this kind.
    pub rung: Rung,
}

impl Load {
    /// A node that has nothing to do.
    pub const IDLE: Self = Self {
        write_queue: Level { used: 0, max: 1 },
        waiting: Level { used: 0, max: 1 },
        in_flight: Level { used: 0, max: 1 },
        rung: Rung::Full,
    };

    /// A load of these levels.
    pub const fn new(write_queue: Level, waiting: Level, in_flight: Level, rung: Rung) -> Self {
        Self { write_queue, waiting, in_flight, rung }
    }
}

/// How full a bounded thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// How much of it is taken.
    pub used: u32,
    /// How much there is.
    pub max: u32,
}

impl Level {
    /// How full it is in percent, 0 to 100; full when there is nothing at all.
    pub const fn percent(self) -> u32 {
        if self.max == 0 || self.used >= self.max {
            return 100;
        }
        (self.used as u64 * 100 / self.max as u64) as u32
    }
}

/// A step of the ladder of degradation. A higher rung is more degraded.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rung {
    /// Everything is answered from the store.
    #[default]
    Full,
    /// Answers are shorter and may come sooner; recently written records are not written again.
    Short,
    /// Answers may be some minutes old and come at once; no known record is written again.
    Stale,
    /// As on the rung before, and the store is asked only for keys to which the head that was asked is near: it is among
    /// the servers closest to them.
    NearOnly,
    /// Nothing is read from the store.
    CacheOnly,
    /// Closer peers alone: full decline.
    RoutingOnly,
}

impl Rung {
    /// Every rung, from full service to full decline.
    pub const ALL: [Self; 6] =
        [Self::Full, Self::Short, Self::Stale, Self::NearOnly, Self::CacheOnly, Self::RoutingOnly];

    /// Its name in config, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Short => "short",
            Self::Stale => "stale",
            Self::NearOnly => "near_only",
            Self::CacheOnly => "cache_only",
            Self::RoutingOnly => "routing_only",
        }
    }

    /// Its place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a policy says of a request, and what it wants to be told again when the request ends.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Judgement {
    /// How the request is served.
    pub verdict: Verdict,
    /// Comes back in [`AdmissionPolicy::settle`]; not used when the verdict is a decline.
    pub token: Token,
}

impl Judgement {
    /// A verdict without a token.
    pub const fn new(verdict: Verdict) -> Self {
        Self { verdict, token: Token(0) }
    }

    /// The same with a token.
    #[must_use]
    pub const fn with_token(self, token: Token) -> Self {
        Self { token, ..self }
    }
}

impl From<Verdict> for Judgement {
    fn from(verdict: Verdict) -> Self {
        Self::new(verdict)
    }
}

/// What a policy remembers of a request from `admit` to `settle`: a slot, a share, a moment. The node does not look
/// into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Token(pub u64);

/// How a request is served. Ordered by severity: [`Ord::max`] joins two verdicts.
#[derive(Debug, Clone, Copy)]
pub enum Verdict {
    /// Serve it as well as the node can.
    Admit,
    /// Serve it as on this rung, or a higher one if the node is there.
    Degrade(Rung),
    /// Answer with closer peers alone; drop a write.
    Decline(ReasonId),
}

impl Verdict {
    const fn severity(self) -> u8 {
        match self {
            Self::Admit => 0,
            Self::Degrade(rung) => rung as u8,
            Self::Decline(_) => u8::MAX,
        }
    }
}

/// Two declines are equal whatever their reasons; a degrade to full service is an admit.
impl PartialEq for Verdict {
    fn eq(&self, other: &Self) -> bool {
        self.severity() == other.severity()
    }
}
impl Eq for Verdict {}
impl PartialOrd for Verdict {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Verdict {
    fn cmp(&self, other: &Self) -> Ordering {
        self.severity().cmp(&other.severity())
    }
}

/// Why a policy declines: an index into its [`AdmissionPolicy::reasons`]. One that is not there is counted as `other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReasonId(pub u16);

impl ReasonId {
    /// How many reasons of one policy are told apart; the others are counted as `other`.
    pub const COUNT_MAX: usize = 64;
}

/// How a request that was not declined has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Answered, or its write taken.
    Served {
        /// The rung on which it was.
        rung: Rung,
        /// How long that took.
        took: Duration,
    },
    /// The soft deadline came before the store's answer.
    Late {
        /// How long that took.
        took: Duration,
    },
    /// No permit of the store gate was free within the time a read may wait.
    NoPermit {
        /// How long that took.
        took: Duration,
    },
    /// The store failed.
    StoreFailed {
        /// How long that took.
        took: Duration,
    },
    /// The node's rung left the store alone, or the write queue had no room.
    Shed,
    /// The client went away first.
    Abandoned,
    /// A later policy declined it: give back what was taken.
    NeverStarted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_join_by_severity() {
        let decline = Verdict::Decline(ReasonId(0));
        let verdicts =
            [Verdict::Admit, Verdict::Degrade(Rung::Short), Verdict::Degrade(Rung::RoutingOnly), decline];
        assert!(verdicts.is_sorted());
        assert_eq!(verdicts.into_iter().max(), Some(decline));
        assert_eq!(Verdict::Admit, Verdict::Degrade(Rung::Full));
    }

    #[test]
    fn a_rung_has_one_word_in_config_and_metrics() {
        for rung in Rung::ALL {
            assert_eq!(serde_json::to_value(rung).unwrap(), rung.as_str());
        }
    }

    #[test]
    fn a_rung_is_found_at_its_index() {
        for (index, rung) in Rung::ALL.into_iter().enumerate() {
            assert_eq!(rung.index(), index);
        }
    }

    #[test]
    fn a_level_of_nothing_is_full() {
        assert_eq!(Level { used: 0, max: 0 }.percent(), 100);
        assert_eq!(Level { used: 1, max: 3 }.percent(), 33);
        assert_eq!(Level { used: u32::MAX, max: 3 }.percent(), 100);
    }
}
