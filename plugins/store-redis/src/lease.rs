//! One process at a time does a chore.

use crate::keyspace::Keyspace;
use crate::net::{Class, Fault};
use redis::Value;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a process is the one, unless it says so again.
const LIFE: Duration = Duration::from_secs(60);

/// The lease of one chore, as one process sees it.
#[derive(Debug)]
pub(crate) struct Lease {
    chore: &'static str,
    /// Who this process is to the others.
    token: [u8; 16],
    held_until: Mutex<Option<Instant>>,
}

impl Lease {
    pub(crate) fn new(chore: &'static str) -> Self {
        Self { chore, token: rand::random(), held_until: Mutex::default() }
    }

    fn held_until(&self) -> Option<Instant> {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold_until(&self, until: Option<Instant>) {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// True if this process is the one. The life counts from before the request, so that it ends here first.
    pub(crate) async fn take(&self, keys: &Keyspace) -> Result<bool, Fault> {
        let now = Instant::now();
        let held_until = self.held_until();
        if held_until.is_some_and(|until| now + LIFE / 2 < until) {
            return Ok(true);
        }
        let name = keys.layout().lease(self.chore);
        // Only a lease that does not end meanwhile is prolonged: it may be another's by then.
        if held_until.is_some_and(|until| now + LIFE / 6 < until) && self.is_ours(keys).await? {
            let mut prolong = redis::cmd("PEXPIRE");
            prolong.arg(&name.bytes).arg(LIFE.as_millis() as u64);
            if keys.ask(&name, prolong).await? == Value::Int(1) {
                self.hold_until(Some(now + LIFE));
                return Ok(true);
            }
        }
        let mut take = redis::cmd("SET");
        take.arg(&name.bytes).arg(&self.token).arg("NX").arg("PX").arg(LIFE.as_millis() as u64);
        let taken = match keys.ask(&name, take).await {
            // No memory is left for a lease, and the chore is what frees some: two that do it do no harm.
            Err(fault) if fault.class == Class::OutOfMemory => return Ok(true),
            // One that was taken by a request whose answer got lost is ours too.
            taken => taken? == Value::Okay || self.is_ours(keys).await?,
        };
        self.hold_until(taken.then_some(now + LIFE / 2));
        Ok(taken)
    }

    async fn is_ours(&self, keys: &Keyspace) -> Result<bool, Fault> {
        let name = keys.layout().lease(self.chore);
        let mut look = redis::cmd("GET");
        look.arg(&name.bytes);
        Ok(keys.ask(&name, look).await? == Value::BulkString(self.token.to_vec()))
    }

    /// Lets another process do it.
    pub(crate) async fn release(&self, keys: &Keyspace) -> Result<(), Fault> {
        let ends = self.held_until();
        if ends.is_none_or(|until| Instant::now() >= until) || !self.is_ours(keys).await? {
            return Ok(());
        }
        let name = keys.layout().lease(self.chore);
        let mut remove = redis::cmd("DEL");
        remove.arg(&name.bytes);
        keys.ask(&name, remove).await.map(drop)
    }
}
