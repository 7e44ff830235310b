//! The vocabulary of requests: who asks, and how it ends.

mod key;

pub use key::Refused;
pub(crate) use key::{Form, announced, form};

use hydra_api::{Operation, Outcome, PeerId, Request, Rung};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The authenticated id of the peer.
    pub peer: PeerId,
    /// Where the connection comes from; `None` when it is relayed.
    pub address: Option<IpAddr>,
    /// The slot of the head that was asked.
    pub head: u32,
}

impl Caller {
    pub(crate) const fn request(self, operation: Operation, key: &[u8]) -> Request<'_> {
        Request::new(operation, self.peer, self.address, self.head, key)
    }
}

/// Which head is near to which key: among the servers closest to it, at which clients look for its records.
pub trait Nearness: fmt::Debug + Send + Sync {
    /// Whether the head of this slot is near to the key. Asked for single requests, and only while the answer decides
    /// what is shed: it neither waits nor takes a lock.
    fn is_near(&self, head: u32, key: &[u8]) -> bool;
}

/// How far the head that was asked is from the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distance {
    Near,
    Far,
}

/// How a request, or a part of it, has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ending {
    /// Answered from the store or the cache, or its write taken.
    Served,
    /// It repeats a record that was written recently, and the node is too busy to write it again.
    Known,
    /// The soft deadline came before the store's answer.
    Late,
    /// No permit was free within the time that a read waits.
    NoPermit,
    /// The store failed.
    StoreFailed,
    /// A policy declined it.
    Declined,
    /// The node's rung left the store alone, or the node is closing.
    Shed,
    /// The key is one for which no store is asked (V20).
    NotKept,
    /// The write queue had no room for it.
    QueueFull,
    /// As many providers of its key are known as there may be, and it is none of them.
    KeyFull,
    /// The store has no room for it.
    NoRoom,
    /// A better value record of its key is known.
    Outdated,
    /// It was malformed.
    Refused,
    /// The client went away first.
    Abandoned,
}

impl Ending {
    /// Every ending, in the order of their discriminants.
    pub const ALL: [Self; 14] = [
        Self::Served,
        Self::Known,
        Self::Late,
        Self::NoPermit,
        Self::StoreFailed,
        Self::Declined,
        Self::Shed,
        Self::NotKept,
        Self::QueueFull,
        Self::KeyFull,
        Self::NoRoom,
        Self::Outdated,
        Self::Refused,
        Self::Abandoned,
    ];

    /// Its name in metrics, traces and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Known => "known",
            Self::Late => "late",
            Self::NoPermit => "no_permit",
            Self::StoreFailed => "store_failed",
            Self::Declined => "declined",
            Self::Shed => "shed",
            Self::NotKept => "not_kept",
            Self::QueueFull => "queue_full",
            Self::KeyFull => "key_full",
            Self::NoRoom => "no_room",
            Self::Outdated => "outdated",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
        }
    }

    /// What the policies that admitted the request are told.
    pub(crate) const fn outcome(self, rung: Rung, took: Duration) -> Outcome {
        match self {
            Self::Served | Self::Known | Self::NotKept | Self::Outdated | Self::Refused => {
                Outcome::Served { rung, took }
            }
            Self::Late => Outcome::Late { took },
            Self::NoPermit => Outcome::NoPermit { took },
            Self::StoreFailed => Outcome::StoreFailed { took },
            Self::Shed | Self::QueueFull | Self::KeyFull | Self::NoRoom => Outcome::Shed,
            Self::Declined => Outcome::NeverStarted,
            Self::Abandoned => Outcome::Abandoned,
        }
    }
}

/// Where the answer to a read comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// There is none.
    Nothing,
    /// From the store, asked for it.
    Store,
    /// From the store, asked for another request for the same key at the same time.
    Shared,
    /// From the cache.
    Cache,
    /// From the cache, older than it would be given while the store answers.
    StaleCache,
    /// From the write queue alone: the store was not asked, or did not answer.
    WriteQueue,
}

impl Source {
    /// Its name in traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Store => "store",
            Self::Shared => "shared",
            Self::Cache => "cache",
            Self::StaleCache => "stale_cache",
            Self::WriteQueue => "write_queue",
        }
    }
}

/// A store call that read for a request, by itself or together with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadCall {
    /// When it began.
    pub at: Instant,
    /// How many keys it read.
    pub keys: u32,
    /// How it had ended when the request was answered: served or failed; nothing while it was under way.
    pub ending: Option<Ending>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_stand_at_their_discriminants() {
        for (index, ending) in Ending::ALL.into_iter().enumerate() {
            assert_eq!(ending as usize, index);
        }
    }
}
