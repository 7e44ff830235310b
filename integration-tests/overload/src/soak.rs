//! The soak: one trigger after the other, drawn by chance, on the same node for a long time.

use crate::arm::Arm;
use crate::csv::{self, row};
use crate::ground::{Ground, REST, Site, say};
use crate::results::Results;
use crate::sample::node_sample;
use crate::trigger::{self, Trigger};
use hydra_conformance::given::Chance;
use hydra_integration_tests::node::Node;
use std::io;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Memory at the end over that after the first trigger: what caches and queues take is there by then.
const MEMORY_MAX: f64 = 1.10;
/// Threads at the end, beyond those of the begin.
const THREADS_MORE: u64 = 4;
/// How long a node has to come to rest.
const PATIENCE: Duration = Duration::from_secs(60);

row!(
    /// The node at rest after a trigger.
    Rested {
        at_s: f64 = "at_s",
        trigger: String = "trigger",
        before_share: f64 = "before_share",
        last_share: f64 = "last_share",
        unanswered: u64 = "unanswered",
        rss_mib: f64 = "rss_mib",
        threads: u64 = "threads",
        descriptors: u64 = "descriptors",
        permits_used: f64 = "permits_used",
        write_queue: f64 = "write_queue",
    }
);

/// Runs for so long; what is wrong.
///
/// # Errors
/// If a load or a trigger fails.
pub(crate) async fn soak(
    site: &mut Site<'_>,
    arm: &Arm,
    base: f64,
    lasts: Duration,
    results: &Results,
) -> io::Result<Vec<String>> {
    let mut ground = site.ground(arm, 1, base).await?;
    let triggers: Vec<_> = Trigger::ALL
        .iter()
        .filter(|trigger| !trigger.is_last() && trigger.is_of(site.place.backend))
        .collect();
    let seed = Chance::seed();
    let mut chance = Chance::of(seed);
    say(&site.place.name, &format!("soak with seed {seed}"));
    let (since, mut all) = (Instant::now(), Vec::new());
    while since.elapsed() < lasts {
        let Some(trigger) = triggers.get(chance.below(triggers.len() as u64) as usize) else { break };
        say(&site.place.name, &trigger.to_string());
        let (trial, _) = trigger::measure(**trigger, &mut ground, &mut site.server, site.form, base).await?;
        let rested = rest(&ground).await?;
        all.push(Rested {
            at_s: since.elapsed().as_secs_f64(),
            trigger: trigger.to_string(),
            before_share: trial.before_share,
            last_share: trial.last_share,
            unanswered: trial.unanswered,
            ..rested
        });
        results.write(&format!("{}-soak.csv", site.place.file_of(&arm.name)), &csv::write(&all))?;
    }
    ground.stop().await?;
    Ok(objections(&all))
}

/// The node once it has nothing to do.
async fn rest(ground: &Ground) -> io::Result<Rested> {
    sleep(REST).await;
    let node = ground.nodes.first().ok_or_else(|| io::Error::other("no node"))?;
    let http = node.http().ok_or_else(|| io::Error::other("the node has no metrics"))?;
    let since = Instant::now();
    loop {
        let sample = node_sample(http).await?;
        let is_idle = sample.permits_used == 0.0 && sample.write_queue == 0.0;
        if is_idle || since.elapsed() > PATIENCE {
            return at_rest(node, sample.permits_used, sample.write_queue);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn at_rest(node: &Node, permits_used: f64, write_queue: f64) -> io::Result<Rested> {
    Ok(Rested {
        rss_mib: node.memory_bytes()? as f64 / f64::from(1 << 20),
        threads: node.threads()?,
        descriptors: node.descriptors()? as u64,
        permits_used,
        write_queue,
        ..Rested::default()
    })
}

/// What is wrong with a soak.
fn objections(all: &[Rested]) -> Vec<String> {
    let (Some(first), Some(last)) = (all.first(), all.last()) else { return Vec::new() };
    let mut wrong = Vec::new();
    if last.rss_mib > MEMORY_MAX * first.rss_mib {
        wrong.push(format!("memory rose from {:.0} to {:.0} MiB", first.rss_mib, last.rss_mib));
    }
    if last.threads > first.threads + THREADS_MORE {
        wrong.push(format!("threads rose from {} to {}", first.threads, last.threads));
    }
    for rested in all.iter().filter(|rested| rested.permits_used > 0.0 || rested.write_queue > 0.0) {
        let Rested { trigger, permits_used, write_queue, .. } = rested;
        wrong.push(format!(
            "after {trigger} {permits_used} permits are in use and {write_queue} writes wait at rest"
        ));
    }
    let unanswered: u64 = all.iter().map(|rested| rested.unanswered).sum();
    if unanswered > 0 {
        wrong.push(format!("{unanswered} requests had no answer"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_or_is_held_at_rest_is_wrong() {
        let rested = Rested { rss_mib: 100.0, threads: 10, ..Rested::default() };
        let wrong = |last: Rested| objections(&[rested.clone(), last]).len();
        assert_eq!(wrong(rested.clone()), 0);
        assert_eq!(wrong(Rested { rss_mib: 111.0, ..rested.clone() }), 1);
        assert_eq!(wrong(Rested { threads: 15, ..rested.clone() }), 1);
        assert_eq!(wrong(Rested { permits_used: 1.0, unanswered: 2, ..rested.clone() }), 2);
        assert!(objections(&[]).is_empty());
    }
}
