//! One client: its identities, one after the other, and the limit of its requests in flight.

use crate::identity::identity;
use crate::plan::{Connections, Head, Plan};
use crate::session::Session;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// A client. It has one session at a time, and a later one after a number of requests if identities rotate.
#[derive(Debug)]
pub(crate) struct Client {
    plan: Arc<Plan>,
    index: u32,
    head: Head,
    current: Mutex<Current>,
    /// One for each request that may be in flight.
    pub(crate) permits: Semaphore,
    /// The requests of one session; none if it lasts.
    requests_max: Option<u64>,
}

#[derive(Debug)]
struct Current {
    /// None once its last request has it; the next request makes another one.
    session: Option<Arc<Session>>,
    requests: u64,
    /// How many sessions there were before.
    nth: u64,
}

/// Whether further requests will use the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Later {
    Used,
    Closed,
}

impl Client {
    /// The client with this index, below [`Plan::clients`].
    ///
    /// # Errors
    /// If its first session cannot be made.
    pub(crate) fn new(plan: Arc<Plan>, index: u32) -> io::Result<Self> {
        let head = plan.heads.get(index as usize % plan.heads.len().max(1)).cloned();
        let head = head.ok_or_else(|| io::Error::other("no head"))?;
        let (in_flight_max, requests_max) = match plan.connections {
            Connections::PerRequest => (1, Some(1)),
            Connections::Kept if plan.ids > plan.clients.into() => {
                (plan.streams_per_client_max as usize, Some(plan.requests_per_id))
            }
            Connections::Kept => (plan.streams_per_client_max as usize, None),
        };
        let current = Mutex::new(Current { session: None, requests: 0, nth: 0 });
        let client =
            Self { plan, index, head, current, permits: Semaphore::new(in_flight_max), requests_max };
        client.current_session()?;
        Ok(client)
    }

    /// The session for one more request. The caller holds one of the permits.
    ///
    /// # Errors
    /// If a further session cannot be made.
    pub(crate) fn session(&self) -> io::Result<(Arc<Session>, Later)> {
        let mut current = self.lock();
        let session = self.held(&mut current)?;
        current.requests += 1;
        if self.requests_max.is_none_or(|max| current.requests < max) {
            return Ok((session, Later::Used));
        }
        *current = Current { session: None, requests: 0, nth: current.nth + 1 };
        Ok((session, Later::Closed))
    }

    /// The session of the next request, without counting one.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn current_session(&self) -> io::Result<Arc<Session>> {
        self.held(&mut self.lock())
    }

    /// True if sessions end before the run does.
    pub(crate) const fn rotates(&self) -> bool {
        self.requests_max.is_some()
    }

    fn held(&self, current: &mut Current) -> io::Result<Arc<Session>> {
        if let Some(session) = &current.session {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(session(&self.plan, self.index, &self.head, current.nth)?);
        current.session = Some(Arc::clone(&session));
        Ok(session)
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn session(plan: &Plan, index: u32, head: &Head, nth: u64) -> io::Result<Session> {
    let id = id_number(plan, index, nth);
    let sources = plan.sources.len() as u64;
    let source = id.checked_rem(sources).and_then(|nth| plan.sources.get(nth as usize)).copied();
    Session::new(plan, head.clone(), identity(plan.seed, plan.first_id + id), source)
}

/// The identity of a client's `nth` session. Each client rotates over identities that no other client has.
fn id_number(plan: &Plan, index: u32, nth: u64) -> u64 {
    let (clients, index) = (u64::from(plan.clients), u64::from(index));
    let own = (plan.ids - index).div_ceil(clients);
    index + clients * (nth % own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn clients_rotate_over_all_identities_and_share_none() {
        let plan = Plan { clients: 3, ids: 8, ..Plan::new(vec![], vec![]) };
        let mut owners = BTreeMap::new();
        for index in 0..3 {
            for nth in 0..10 {
                let owner = *owners.entry(id_number(&plan, index, nth)).or_insert(index);
                assert_eq!(owner, index);
            }
        }
        assert!(owners.keys().copied().eq(0..8), "{owners:?}");
    }
}
