//! An allocator of identities whose leases end.

mod fleet;

pub use fleet::{Fleet, Holder, Lapsed};

use hydra_api::{
    HeadCount, HeadLease, HeadPreview, HeldSlot, IdAllocator, IdError, IdErrorKind, Progress, Renewal,
    async_trait,
};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// The allocator of one process of a [`Fleet`]: in memory, with leases that end, and a link to the fleet that can be slow
/// or cut. It keeps rules I1 to I12.
///
/// A process that crashes is one whose allocator is dropped: its leases end after their life.
///
/// ```
/// use hydra_api::{HeadCount, IdAllocator};
/// use hydra_conformance::doubles::{Fleet, Link};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), hydra_api::IdError> {
/// let fleet = Fleet::new(10, Duration::from_secs(30));
/// let (one, other) = (fleet.join(), fleet.join());
/// let leases = one.acquire(HeadCount::MIN).await?;
/// one.set_link(Link::Down);
/// let held = [leases[0].held_on(leases[0].port)];
/// assert!(one.renew(&held).await.is_err());
/// tokio::time::sleep(Duration::from_secs(30)).await;
/// // The lease has ended, so another process is given the slot, in a new epoch.
/// assert_eq!(other.acquire(HeadCount::MIN).await?[0].epoch, leases[0].epoch + 1);
/// one.set_link(Link::Up);
/// assert_eq!(one.renew(&held).await?.lost, [0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LeasedIds {
    fleet: Fleet,
    process: u64,
    link: watch::Sender<(Link, Delay)>,
}

/// How calls of one process reach its fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// They do.
    #[default]
    Up,
    /// They fail with [`IdErrorKind::Unavailable`] and have no effect.
    Down,
    /// They do not return and have no effect until the link changes.
    Silent,
    /// They take effect, and fail with [`IdErrorKind::Unavailable`].
    LosesAnswers,
    /// They fail with [`IdErrorKind::Corrupt`] and have no effect.
    Corrupt,
}

/// How long a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delay {
    /// From the beginning of the call until it takes effect.
    pub there: Duration,
    /// From its effect until it returns.
    pub back: Duration,
}

impl LeasedIds {
    fn new(fleet: Fleet, process: u64) -> Self {
        Self { fleet, process, link: watch::Sender::default() }
    }

    /// The number of the process in its fleet, from 1.
    pub const fn process(&self) -> u64 {
        self.process
    }

    /// What it shares with other processes.
    pub const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// From now on calls reach the fleet like this. Calls that are under way follow.
    pub fn set_link(&self, link: Link) {
        self.link.send_modify(|(now, _)| *now = link);
    }

    /// From now on calls take this long.
    pub fn set_delay(&self, delay: Delay) {
        self.link.send_modify(|(_, now)| *now = delay);
    }

    /// Takes a call there and its answer back.
    async fn call<T>(
        &self,
        operation: &'static str,
        effect: impl FnOnce(&Fleet) -> Result<T, IdError> + Send,
    ) -> Result<T, IdError> {
        let delay = self.link.borrow().1;
        pause(delay.there).await;
        let lost = || IdError::because(IdErrorKind::Unavailable, operation, "the test cuts the link");
        // The sender lives as long as the allocator.
        let link = self.link.subscribe().wait_for(|(link, _)| *link != Link::Silent).await.map(|link| link.0);
        let answer = match link {
            Ok(Link::Up) => effect(&self.fleet),
            Ok(Link::LosesAnswers) => effect(&self.fleet).and_then(|_| Err(lost())),
            Ok(Link::Corrupt) => {
                Err(IdError::because(IdErrorKind::Corrupt, operation, "the test damages the state"))
            }
            Ok(Link::Down | Link::Silent) | Err(_) => Err(lost()),
        };
        pause(delay.back).await;
        answer
    }
}

async fn pause(length: Duration) {
    if length > Duration::ZERO {
        sleep(length).await;
    }
}

#[async_trait]
impl IdAllocator for LeasedIds {
    async fn preview(&self, wanted: HeadCount, progress: Progress) -> Result<Vec<HeadPreview>, IdError> {
        let heads = self.call("preview", |fleet| fleet.preview(wanted)).await?;
        progress(wanted.get());
        Ok(heads)
    }

    /// # Cancel safety
    /// A call that is dropped before it takes effect takes no slot; one that is dropped later has taken them until their
    /// life ends.
    async fn acquire(&self, wanted: HeadCount) -> Result<Vec<HeadLease>, IdError> {
        self.call("acquire", |fleet| fleet.acquire(self.process, wanted)).await
    }

    async fn renew(&self, held: &[HeldSlot]) -> Result<Renewal, IdError> {
        self.call("renew", |fleet| Ok(fleet.renew(held))).await
    }

    async fn release(&self, held: &[HeldSlot]) -> Result<(), IdError> {
        self.call("release", |fleet| {
            fleet.release(held);
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests;
