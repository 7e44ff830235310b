//! About how many value records there are: the indexes know their lengths, and some records stand for the lengths of all.

use super::packed::HEADER_LEN;
use crate::keyspace::Keyspace;
use crate::layout::{Layout, PARTITIONS};
use crate::net::{Fault, Request};
use hydra_api::{StoreError, ValueEstimate, ValueKey};
use redis::Value;
use std::time::Duration;

/// If some servers do not answer, the others stand for them.
pub(super) async fn estimate(keys: &Keyspace) -> Result<ValueEstimate, StoreError> {
    let layout = keys.layout();
    let counted = |partition| {
        let index = layout.value_index(partition);
        // How many there are, and one of them at random.
        ["ZCARD", "ZRANDMEMBER"].map(|name| {
            let mut command = redis::cmd(name);
            command.arg(&index.bytes);
            Request { slot: index.slot, command, script: None }
        })
    };
    let requests: Vec<_> = (0..PARTITIONS).flat_map(counted).collect();
    let answers = keys.fleet.send(&requests).await;
    let (mut records, mut known, mut sample, mut failed) = (0u64, 0u64, Vec::new(), None);
    for answers in answers.chunks(2) {
        match answers {
            [Ok(Value::Int(count)), Ok(member)] => {
                known += 1;
                records += u64::try_from(*count).unwrap_or_default();
                if let Value::BulkString(key) = member {
                    sample.extend(ValueKey::new(key));
                }
            }
            [Err(fault), _] | [_, Err(fault)] => failed = Some(fault.clone()),
            _ => {}
        }
    }
    match failed {
        Some(fault) if known == 0 => return Err(fault.into_error("estimate_values")),
        Some(fault) => {
            keys.fleet.log_in_part(&fault);
            let all = u128::from(records) * u128::from(PARTITIONS) / u128::from(known);
            records = u64::try_from(all).unwrap_or(u64::MAX);
        }
        None => {}
    }
    let bytes = records as f64 * mean_len(keys, &layout, &sample).await;
    Ok(ValueEstimate::new(records, bytes as u64, Duration::ZERO))
}

/// The mean length of the keys and values of some records. One that is gone meanwhile is left out.
async fn mean_len(keys: &Keyspace, layout: &Layout, sample: &[ValueKey]) -> f64 {
    let request = |key: &ValueKey| {
        let name = layout.value(key);
        let mut command = redis::cmd("STRLEN");
        command.arg(&name.bytes);
        Request { slot: name.slot, command, script: None }
    };
    let requests: Vec<_> = sample.iter().map(request).collect();
    let answers = keys.fleet.send(&requests).await;
    let len = |(key, answer): (&ValueKey, Result<Value, Fault>)| match answer {
        Ok(Value::Int(len)) => {
            let value = usize::try_from(len).ok()?.checked_sub(HEADER_LEN)?;
            Some((key.as_bytes().len() + value) as f64)
        }
        _ => None,
    };
    let lens: Vec<f64> = sample.iter().zip(answers).filter_map(len).collect();
    lens.iter().sum::<f64>() / (lens.len() as f64).max(1.0)
}
