//! Announces every present key once, before the first step.

use crate::client::Client;
use crate::exchange::probe;
use crate::keys::KeySpace;
use crate::plan::Plan;
use crate::session::Session;
use crate::stop::Stop;
use futures::future::join_all;
use hydra_kad::{AskError, ClientStream, Request};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The announcements of a client between two answered requests: they bound what a broken stream can lose.
const CHECKED_EVERY: u64 = 1024;

/// What the preload did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Preloaded {
    /// Announcements that the servers read. Whether they were stored shows in the answers of the run.
    pub announced: u64,
    /// Announcements that could not be sent, also at a second attempt, or were not followed by an answer.
    pub failed: u64,
    /// How long it took, in seconds.
    pub duration_s: f64,
}

/// Announces the present keys at a rate, each client its share, until all are announced or the run is to stop.
pub(crate) async fn preload(
    plan: &Plan,
    keys: &KeySpace,
    clients: &[Arc<Client>],
    per_second: f64,
    stop: &Stop,
) -> Preloaded {
    let start = Instant::now();
    let shares = (0..).zip(clients).map(async |(first, client)| {
        let numbers = (first..plan.keys).step_by(clients.len().max(1));
        let Ok(session) = client.current_session() else {
            return Preloaded { failed: numbers.count() as u64, ..Preloaded::default() };
        };
        let (stream, unchecked, done) = (None, 0, Preloaded::default());
        let announcer = Announcer { plan, keys, session, stream, unchecked, done };
        announcer.announce(numbers, start, per_second, stop).await
    });
    let mut all = Preloaded::default();
    for done in join_all(shares).await {
        all.announced += done.announced;
        all.failed += done.failed;
    }
    Preloaded { duration_s: start.elapsed().as_secs_f64(), ..all }
}

/// The part of one client.
struct Announcer<'a> {
    plan: &'a Plan,
    keys: &'a KeySpace,
    session: Arc<Session>,
    stream: Option<ClientStream>,
    /// Announcements since the last answer on the stream.
    unchecked: u64,
    done: Preloaded,
}

impl Announcer<'_> {
    async fn announce(
        mut self,
        numbers: impl Iterator<Item = u64>,
        start: Instant,
        per_second: f64,
        stop: &Stop,
    ) -> Preloaded {
        for number in numbers {
            if stop.is_set() {
                break;
            }
            let due = start + Duration::from_secs_f64(number as f64 / per_second);
            tokio::time::sleep_until(due.into()).await;
            let providers = vec![self.session.provider().clone()];
            let request = Request::AddProvider { key: self.keys.present(number), providers };
            match self.ask_twice(&request).await {
                Ok(()) => self.unchecked += 1,
                Err(_) => self.done.failed += 1,
            }
            if self.unchecked >= CHECKED_EVERY {
                self.check().await;
            }
        }
        self.check().await;
        self.done
    }

    /// Waits for an answer: what was written to the stream before has then been read.
    async fn check(&mut self) {
        if self.unchecked > 0 {
            let unchecked = std::mem::take(&mut self.unchecked);
            match self.ask(&probe(self.keys)).await {
                Ok(()) => self.done.announced += unchecked,
                Err(_) => self.done.failed += unchecked,
            }
        }
    }

    async fn ask_twice(&mut self, request: &Request) -> Result<(), AskError> {
        match self.ask(request).await {
            Err(AskError::Reset) => {
                // What the broken stream carried may not have been read.
                self.done.failed += std::mem::take(&mut self.unchecked);
                self.ask(request).await
            }
            asked => asked,
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<(), AskError> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.session.open_stream(Instant::now() + self.plan.timeout).await?,
        };
        stream.ask(request, self.plan.timeout).await?;
        self.stream = Some(stream);
        Ok(())
    }
}
