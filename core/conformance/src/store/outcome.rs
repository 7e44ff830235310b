//! Cases on what an insert reports of each record: S17.

use super::Shop;
use crate::check::{Kept, Outcome, ensure, ensure_eq};
use crate::given::{NOW, record};
use crate::place::Lab;
use hydra_api::{Inserted, ProviderRecord, RecordOutcome, Store};
use std::num::NonZeroU32;
use std::sync::Arc;

pub(super) async fn s17_what_is_taken_is_read_and_what_is_not_is_left_out(lab: Arc<Lab<Store>>) -> Outcome {
    const KEYS: u64 = 40;
    let shop = Shop::open(&lab).await?;
    let len = shop.write_batch_len_max().min(500) as u64;
    // Many providers of few keys: a store that bounds a key has no room for some.
    for round in 0..10 {
        let batch: Arc<[ProviderRecord]> =
            (0..len).map(|number| record(number % KEYS, round * len + number)).collect();
        let outcomes = match shop.0.insert(batch.clone(), NOW).await? {
            Inserted::All => vec![RecordOutcome::Taken; batch.len()],
            Inserted::Each(outcomes) => outcomes,
        };
        ensure_eq!(outcomes.len(), batch.len(), "the number of outcomes");
        for (record, outcome) in batch.iter().zip(outcomes) {
            let limit = NonZeroU32::new(100_000).unwrap_or(NonZeroU32::MIN);
            let entry = shop.providers_of(record.key, NOW, limit.get()).await?;
            let found = entry.iter().any(|one| one.peer == record.provider);
            match outcome {
                RecordOutcome::Taken => ensure!(found, "a record that was taken is not there"),
                RecordOutcome::NoRoom | RecordOutcome::Refused(_) => {
                    ensure!(!found, "a record is there that was not taken: {outcome:?}");
                }
                other => ensure!(false, "a store that is well says {other:?}"),
            }
        }
    }
    Ok(Kept::Shown)
}
