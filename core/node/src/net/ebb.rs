//! Ebb: while the node declines all reads for long, its heads leave server mode, a few at a time.

mod pace;

use crate::config::Ebb;
use crate::net::heads::HeadList;
use crate::net::supervise::Phase;
use hydra_api::Rung;
use hydra_engine::Engine;
use hydra_kad::Mode;
use pace::{Heads, Move, Pace};
use rand::RngExt;
use rand::seq::IteratorRandom;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the load is looked at.
const STEP: Duration = Duration::from_secs(1);

/// The most that one step counts: a process that stood still says nothing of the load.
const ELAPSED_MAX: Duration = Duration::from_secs(2);

/// What the task needs.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) engine: Arc<Engine>,
    pub(crate) heads: Arc<HeadList>,
    pub(crate) config: Ebb,
    pub(crate) phase: watch::Receiver<Phase>,
}

/// Lets heads leave and come back until the node stops.
pub(crate) async fn run(parts: Parts) {
    let mut phase = parts.phase.clone();
    tokio::select! {
        () = parts.work() => {}
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
    }
}

impl Parts {
    async fn work(&self) {
        let (mut pace, mut last) = (Pace::new(self.config.clone()), Instant::now());
        let mut steps = interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut direction = Move::Stay;
        loop {
            steps.tick().await;
            let elapsed = last.elapsed().min(ELAPSED_MAX);
            last = Instant::now();
            let (all, away) = self.heads.ebb();
            let declines = self.engine.read_rung() == Rung::RoutingOnly;
            let jitter_percent = rand::rng().random_range(0..=100);
            let step = pace.step(elapsed, Heads { declines, all, away }, jitter_percent);
            self.tell(&mut direction, step, (all, away), pace.declined_for());
            match step {
                Move::Stay => {}
                Move::Leave(heads) => self.switch(heads, Mode::Client),
                Move::Return(heads) => self.switch(heads, Mode::Server),
            }
        }
    }

    /// Switches so many heads to this mode, whichever they are.
    fn switch(&self, heads: usize, mode: Mode) {
        let now = self.heads.now();
        let others = now.iter().filter(|head| head.mode() != mode);
        for head in others.sample(&mut rand::rng(), heads) {
            tracing::debug!(head = head.slot, ?mode, "the head changes its mode");
            self.heads.switch(head, mode);
        }
    }

    /// Writes a line when heads begin to leave, begin to come back, and are all back: none for a single head.
    fn tell(&self, direction: &mut Move, step: Move, (all, away): (usize, usize), declined_for: Duration) {
        match (*direction, step) {
            (Move::Stay | Move::Return(_), Move::Leave(_)) => {
                let (for_s, percent) = (declined_for.as_secs(), self.config.heads_percent);
                let interval_s = self.config.interval_s;
                tracing::warn!(
                    for_s,
                    heads = all,
                    percent,
                    interval_s,
                    "all reads have been declined for a long time, heads leave server mode a few at a time"
                );
                *direction = step;
            }
            (Move::Stay | Move::Leave(_), Move::Return(_)) => {
                tracing::info!(
                    away,
                    heads = all,
                    "no read is declined any more, heads return to server mode"
                );
                *direction = step;
            }
            (Move::Return(_), Move::Stay) if away == 0 => {
                tracing::info!(heads = all, "all heads are in server mode again");
                *direction = Move::Stay;
            }
            _ => {}
        }
    }
}
