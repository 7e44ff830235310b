//! The beginning: the first leases and their heads.

use super::super::call::{Call, ended};
use super::{Heads, LeaseKeeper};
use hydra_api::IdError;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long the first acquisition may take: the search for many new identities takes a while.
const FIRST_CALL_MAX: Duration = Duration::from_secs(600);

/// Why a node cannot begin.
#[derive(Debug)]
pub(crate) enum BeginError<E> {
    /// The allocator gave no leases, or could not be told the ports.
    Ids(IdError),
    /// A head cannot start.
    Head(E),
}

impl<H: Heads> LeaseKeeper<H> {
    /// Acquires the first leases and starts their heads.
    ///
    /// # Cancel safety
    /// A dropped future leaves what was acquired and started with the keeper, and the acquisition if it is under way.
    pub(super) async fn begin(&mut self) -> Result<(), BeginError<H::Error>> {
        let (ids, wanted) = (Arc::clone(&self.ids), self.wanted);
        self.acquiring = Some(Call::new("acquire", FIRST_CALL_MAX, async move { ids.acquire(wanted).await }));
        let (begun, result) = ended(&mut self.acquiring).await;
        self.on_acquired(begun, Ok(result.map_err(BeginError::Ids)?));
        for slot in self.idle(Instant::now()) {
            self.start(slot).map_err(BeginError::Head)?;
        }
        self.view.publish(&self.leases.counts(Instant::now()));
        self.report_ports().await.map_err(BeginError::Ids)
    }

    /// Reports the ports that the heads listen on, if one of them is not the port of its lease: else a later start would not
    /// find them.
    async fn report_ports(&mut self) -> Result<(), IdError> {
        if self.leases.renewal_is_due(Instant::now()) {
            let asked = self.leases.slots();
            let mut call = Some(self.renew(asked.clone()));
            let (begun, result) = ended(&mut call).await;
            self.on_renewed(&asked, begun, Ok(result?));
        }
        Ok(())
    }
}
