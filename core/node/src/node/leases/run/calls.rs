//! The calls of the allocator that the keeper makes, and what follows from their answers.

use super::super::call::Call;
use super::{Heads, LeaseKeeper};
use crate::observe::lease_view::LeaseCall;
use hydra_api::{Causes, HeadLease, HeldSlot, IdError, Renewal};
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::time::Instant;

impl<H: Heads> LeaseKeeper<H> {
    /// Renews these leases.
    pub(super) fn renew(&self, held: Vec<HeldSlot>) -> Call<Renewal> {
        let ids = Arc::clone(&self.ids);
        Call::new("renew", self.leases.call_max(), async move { ids.renew(&held).await })
    }

    /// Acquires what is missing, if it is due.
    pub(super) fn acquire(&self, now: Instant) -> Option<Call<Vec<HeadLease>>> {
        let missing = u32::try_from(self.leases.to_acquire(now)).ok().and_then(NonZeroU32::new)?;
        let ids = Arc::clone(&self.ids);
        Some(Call::new("acquire", self.leases.call_max(), async move { ids.acquire(missing).await }))
    }

    /// Takes up how a renewal ended.
    pub(super) fn on_renewed(
        &mut self,
        asked: &[HeldSlot],
        begun: Instant,
        result: Result<Renewal, IdError>,
    ) {
        let now = Instant::now();
        match result {
            Ok(renewal) => {
                for slot in self.leases.on_renewed(asked, begun, &renewal, now) {
                    tracing::error!(head = slot, "the lease is lost, stopping the head");
                }
                self.on_answer(LeaseCall::Renew);
            }
            Err(error) => {
                self.leases.on_renewal_failed(now);
                self.on_failure(LeaseCall::Renew, &error);
            }
        }
    }

    /// Takes up how an acquisition ended.
    pub(super) fn on_acquired(&mut self, begun: Instant, result: Result<Vec<HeadLease>, IdError>) {
        let now = Instant::now();
        match result {
            Ok(leases) => {
                self.surplus.extend(self.leases.on_acquired(begun, leases, now));
                self.on_answer(LeaseCall::Acquire);
            }
            Err(error) => {
                self.leases.on_acquire_failed(now);
                self.on_failure(LeaseCall::Acquire, &error);
            }
        }
    }

    /// Releases what an allocator gave beyond what was wanted.
    pub(super) fn release(&mut self) -> Call<()> {
        let (ids, surplus) = (Arc::clone(&self.ids), std::mem::take(&mut self.surplus));
        let leases = surplus.len();
        self.releasing.clone_from(&surplus);
        tracing::warn!(leases, "the allocator gave more leases than wanted, releasing them");
        Call::new("release", self.leases.call_max(), async move { ids.release(&surplus).await })
    }

    fn on_answer(&mut self, call: LeaseCall) {
        self.view.record(call, Ok(()));
        if self.failures[call as usize].end() {
            tracing::info!(call = call.as_str(), "the allocator of identities answers again");
        }
    }

    fn on_failure(&mut self, call: LeaseCall, error: &IdError) {
        self.view.record(call, Err(error));
        let causes = Causes(error).to_string();
        if self.failures[call as usize].is_news(&causes, Instant::now()) {
            tracing::error!(
                call = call.as_str(),
                error = causes,
                "the allocator of identities failed, trying again"
            );
        }
    }
}

/// Logs how a release ended.
pub(super) fn on_released(result: Result<(), IdError>) {
    if let Err(error) = result {
        tracing::warn!(error = %Causes(&error), "cannot release leases, they end by themselves");
    }
}
