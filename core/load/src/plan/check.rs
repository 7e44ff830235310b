//! The bounds of a plan.

use super::{Pace, Plan, Presence, Transport};
use std::ops::RangeInclusive;
use std::time::Duration;

const STEP_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
const RATE_MAX: f64 = 1_000_000.0;
const CONCURRENCY_MAX: u32 = 65_536;
const STREAMS_MAX: u32 = 256;
const ZIPF_MAX: f64 = 10.0;

/// Why a plan cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum PlanError {
    #[error("no head is given")]
    NoHead,
    #[error("{0} is out of bounds: {1}")]
    Bounds(&'static str, String),
    #[error("the Zipf exponent is out of bounds: 0 to {ZIPF_MAX}")]
    Zipf,
    #[error("the abusive client needs at least one other client")]
    AbusiveAlone,
    #[error("there are fewer identities than clients: raise the identities or lower the clients")]
    FewIds,
    #[error("local addresses need heads over TCP")]
    SourcesOfTcp,
}

impl Plan {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.heads.is_empty() {
            return Err(PlanError::NoHead);
        }
        within("the number of clients", self.clients, 1..=Self::CLIENTS_MAX)?;
        within("the number of identities", self.ids, 1..=Self::IDS_MAX)?;
        within("the number of the first identity", self.first_id, 0..=Self::IDS_MAX)?;
        within("the number of requests per identity", self.requests_per_id, 1..=u64::MAX)?;
        within("the number of keys", self.keys, 1..=Self::KEYS_MAX)?;
        within("the share of absent keys", self.absent_share, 0.0..=1.0)?;
        within("the share of the hot key", self.hot_share, 0.0..=1.0)?;
        within("the number of steps", self.steps.len(), 1..=Self::STEPS_MAX)?;
        within("the number of streams per client", self.streams_per_client_max, 1..=STREAMS_MAX)?;
        within("the time limit", self.timeout, Duration::from_millis(1)..=TIMEOUT_MAX)?;
        within("the latency of a late answer", self.late_after, Duration::from_millis(1)..=TIMEOUT_MAX)?;
        within("the number of outstanding requests", self.outstanding_max, 1..=Self::OUTSTANDING_MAX)?;
        if !(0.0..=ZIPF_MAX).contains(&self.zipf) {
            return Err(PlanError::Zipf);
        }
        if self.ids < self.clients.into() {
            return Err(PlanError::FewIds);
        }
        if !self.sources.is_empty() && self.heads.iter().any(|head| head.transport() != Transport::Tcp) {
            return Err(PlanError::SourcesOfTcp);
        }
        self.check_pace()
    }

    fn check_pace(&self) -> Result<(), PlanError> {
        if let Presence::Preload { per_second } = self.presence {
            within("the rate of the preload", per_second, f64::MIN_POSITIVE..=RATE_MAX)?;
        }
        if let Some(multiple) = self.abusive {
            within("the multiple of the abusive client", multiple, 1.0..=RATE_MAX)?;
            if self.clients < 2 {
                return Err(PlanError::AbusiveAlone);
            }
        }
        for step in &self.steps {
            within("the duration of a step", step.duration, Duration::from_millis(1)..=STEP_MAX)?;
            match step.pace {
                Pace::Open { per_second } => {
                    within("the rate", per_second * self.rate_factor(), 0.001..=RATE_MAX)?;
                }
                Pace::Closed { concurrency } => within("the concurrency", concurrency, 1..=CONCURRENCY_MAX)?,
            }
        }
        Ok(())
    }
}

fn within<T: PartialOrd + std::fmt::Debug>(
    what: &'static str,
    value: T,
    bounds: RangeInclusive<T>,
) -> Result<(), PlanError> {
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(PlanError::Bounds(what, format!("{value:?} is not in {:?} to {:?}", bounds.start(), bounds.end())))
}

#[cfg(test)]
mod tests {
    use super::super::Step;
    use super::*;

    #[test]
    fn values_out_of_bounds_are_refused() {
        let head = format!("/ip4/127.0.0.1/tcp/1/p2p/{}", libp2p::PeerId::random()).parse().unwrap();
        let step = |per_second| Step { pace: Pace::Open { per_second }, duration: Duration::from_secs(1) };
        let plan = Plan::new(vec![head], vec![step(10.0)]);
        assert_eq!(plan.check(), Ok(()));
        let refused: [fn(&mut Plan); 10] = [
            |plan| plan.heads.clear(),
            |plan| plan.steps.clear(),
            |plan| plan.clients = 0,
            |plan| plan.ids = 1,
            |plan| plan.absent_share = 1.1,
            |plan| plan.hot_share = f64::NAN,
            |plan| plan.zipf = -1.0,
            |plan| plan.abusive = Some(0.5),
            |plan| plan.timeout = Duration::ZERO,
            |plan| plan.presence = Presence::Preload { per_second: 0.0 },
        ];
        for (nth, change) in refused.iter().enumerate() {
            let mut changed = plan.clone();
            change(&mut changed);
            assert!(changed.check().is_err(), "{nth}");
        }
        let quic = format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{}", libp2p::PeerId::random()).parse().unwrap();
        let sources = vec!["127.0.0.2".parse().unwrap()];
        let over_quic = Plan { heads: vec![quic], sources: sources.clone(), ..plan.clone() };
        assert_eq!(over_quic.check(), Err(PlanError::SourcesOfTcp));
        assert_eq!(Plan { sources, ..plan.clone() }.check(), Ok(()));
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Plan { steps: vec![step(rate)], ..plan.clone() }.check().is_err(), "{rate}");
        }
    }
}
