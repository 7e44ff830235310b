//! About how many records there are: each partition has a number that every write and the purge keep.

use crate::keyspace::Keyspace;
use crate::layout::PARTITIONS;
use crate::net::Request;
use hydra_api::{Estimate, EstimateMethod, StoreError};
use std::time::Duration;

/// Adds the numbers of the partitions up. If some servers do not answer, the others stand for them.
pub(crate) async fn estimate(keys: &Keyspace) -> Result<Estimate, StoreError> {
    let layout = keys.layout();
    let request = |partition| {
        let name = layout.count(partition);
        let mut command = redis::cmd("GET");
        command.arg(&name.bytes);
        Request { slot: name.slot, command, script: None }
    };
    let requests: Vec<_> = (0..PARTITIONS).map(request).collect();
    let (mut records, mut known, mut failed) = (0i64, 0u64, None);
    for answer in keys.fleet.send(&requests).await {
        match answer {
            Ok(said) => {
                known += 1;
                let count: Option<i64> = redis::from_redis_value(said).unwrap_or_default();
                records += count.unwrap_or_default().max(0);
            }
            Err(fault) => failed = Some(fault),
        }
    }
    let records = u64::try_from(records).unwrap_or_default();
    match failed {
        Some(fault) if known == 0 => Err(fault.into_error("estimate")),
        Some(fault) => {
            keys.fleet.log_in_part(&fault);
            let all = u128::from(records) * u128::from(PARTITIONS) / u128::from(known);
            let records = u64::try_from(all).unwrap_or(u64::MAX);
            Ok(Estimate::new(records, Duration::ZERO, EstimateMethod::Sampled))
        }
        None => Ok(Estimate::new(records, Duration::ZERO, EstimateMethod::Counted)),
    }
}
