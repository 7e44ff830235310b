//! A client that asks FIND_NODE and nothing else, at fixed times.

use hydra_integration_tests::peer::Peer;
use libp2p::Multiaddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// Connections. One of them would not have the streams for what is due at once after this process stood still.
const PEERS: usize = 16;
const KEY: &[u8] = b"\x12\x20a key of thirty-two bytes in all";

/// Requests that have ended.
#[derive(Debug, Default)]
struct Asked {
    /// When it was due, and how long after that the answer came.
    answered: Vec<(Instant, Duration)>,
    failed: Vec<String>,
}

/// A client that asks until it is dropped.
#[derive(Debug)]
pub(crate) struct Finder {
    asked: Arc<Mutex<Asked>>,
    task: AbortHandle,
}

impl Finder {
    /// Asks the head at this address, over connections that are made first.
    pub(crate) async fn start(head: Multiaddr, per_second: u32) -> Result<Self, hydra_kad::AskError> {
        let (asked, mut peers) = (Arc::<Mutex<Asked>>::default(), Vec::new());
        for _ in 0..PEERS {
            let peer = Peer::client("/ipfs/kad/1.0.0");
            peer.find_node(&head, KEY).await?;
            peers.push(Arc::new(peer));
        }
        let to = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
            // Each is due in its turn, however late the one before it was.
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
            for peer in peers.iter().cycle() {
                let due = ticks.tick().await.into_std();
                let (peer, head, asked) = (Arc::clone(peer), head.clone(), Arc::clone(&to));
                tokio::spawn(async move {
                    let answer = peer.find_node(&head, KEY).await;
                    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                    match answer {
                        Ok(answer) if answer.closer.is_empty() => asked.failed.push("it is empty".to_owned()),
                        Ok(_) => asked.answered.push((due, due.elapsed())),
                        Err(cause) => asked.failed.push(cause.to_string()),
                    }
                });
            }
        });
        Ok(Self { asked, task: task.abort_handle() })
    }

    /// Asks no more.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }

    /// The 99th percentile of the latencies of what was due in this time.
    pub(crate) fn p99(&self, from: Instant, to: Instant) -> Duration {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let within = asked.answered.iter().filter(|(due, _)| (from..to).contains(due));
        let mut latencies: Vec<_> = within.map(|(_, latency)| *latency).collect();
        latencies.sort_unstable();
        let at = (latencies.len() * 99).div_ceil(100).saturating_sub(1);
        latencies.get(at).copied().unwrap_or(Duration::MAX)
    }

    /// The share of what was due in the first half of this time that was answered before its end; none if nothing was due.
    pub(crate) fn answered_within(&self, from: Instant, to: Instant) -> Option<f64> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let half = from..from + (to - from) / 2;
        let due = asked.answered.iter().filter(|(due, _)| half.contains(due));
        let (all, early) = due.fold((0_u32, 0_u32), |(all, early), (due, latency)| {
            (all + 1, early + u32::from(*due + *latency < to))
        });
        (all > 0).then(|| f64::from(early) / f64::from(all))
    }

    /// Why requests failed.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).failed.clone()
    }
}

impl Drop for Finder {
    fn drop(&mut self) {
        self.task.abort();
    }
}
