//! Filling: what a lower tier has found is put into those above it, within the call that has read it.

use crate::marks::{Complete, Since};
use crate::tiers::Tiers;
use crate::upper::{Turn, Upper};
use futures::future::join_all;
use hydra_api::{ContentKey, Provider, ProviderRecord, StoreErrorKind, UnixSeconds};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// The records that one call puts into a tier, at most. The keys of the others are read from below again.
const RECORDS_MAX: usize = 4096;

/// What a tier has found of a key.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) providers: Vec<Provider>,
    /// What a tier knows that has taken all of it.
    pub(crate) complete: Complete,
    /// The tier, from the top.
    pub(crate) from: usize,
    /// Whether the tiers above may be filled with it: it is all there is, with the newest addresses.
    pub(crate) fills: bool,
}

/// Puts answers into the tiers above those that have found them. A tier that does not take all of a key, or not in time, does not
/// answer for it.
pub(crate) async fn fill(
    tiers: &Tiers,
    keys: &[ContentKey],
    known: &[Result<Answer, StoreErrorKind>],
    since: &[Since],
    now: UnixSeconds,
) {
    let deepest = known.iter().flatten().map(|answer| answer.from).max().unwrap_or(0);
    let fills = tiers.uppers.iter().zip(since).take(deepest).enumerate().map(|(place, (upper, since))| {
        let mut seen = HashSet::new();
        let from_below = keys.iter().zip(known).filter_map(move |(key, known)| {
            let answer = known.as_ref().ok()?;
            (answer.from > place && answer.fills && seen.insert(*key)).then_some((key, answer))
        });
        fill_one(tiers, upper, from_below.collect(), *since, now)
    });
    join_all(fills).await;
}

async fn fill_one(
    tiers: &Tiers,
    upper: &Upper,
    answers: Vec<(&ContentKey, &Answer)>,
    since: Since,
    now: UnixSeconds,
) {
    if upper.open().is_none() {
        return;
    }
    let mut records: Vec<ProviderRecord> = Vec::new();
    let mut filled: Vec<(&ContentKey, Complete, Range<usize>)> = Vec::new();
    for (key, Answer { providers, complete, .. }) in answers {
        if providers.is_empty() {
            // Nothing to write, so nothing that tells whether a tier answers again.
            if upper.in_use().is_some() {
                upper.marks.put(key, *complete, since, now);
            }
        } else if records.len() + providers.len() <= RECORDS_MAX {
            let begun = records.len();
            records.extend(providers.iter().map(|provider| record(key, provider)));
            filled.push((key, *complete, begun..records.len()));
        }
    }
    let records: Arc<[ProviderRecord]> = records.into();
    let taken = upper.insert(&records, now, tiers.times.fill_max, Turn::Skip).await;
    for (key, complete, of_key) in filled {
        if taken[of_key].iter().all(|taken| *taken) {
            upper.marks.put(key, complete, since, now);
        }
    }
}

fn record(key: &ContentKey, provider: &Provider) -> ProviderRecord {
    let Provider { peer, addresses, expires, .. } = provider;
    ProviderRecord { key: *key, provider: *peer, addresses: addresses.clone(), expires: *expires }
}
