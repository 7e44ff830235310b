//! Reading: down the list, as far as it takes.

use crate::fill::{Answer, fill};
use crate::marks::Complete;
use crate::tiers::Tiers;
use crate::upper::Upper;
use hydra_api::{Causes, ContentKey, Found, StoreError, StoreErrorKind, UnixSeconds};
use std::num::NonZeroU32;
use std::sync::Arc;

/// What is known of a key so far.
type Known = Result<Answer, StoreErrorKind>;

/// The live providers of each key. Each upper tier is asked for the keys for which it can answer, the last one for the rest;
/// what a tier has found is then put into those above it.
pub(crate) async fn providers(
    tiers: &Tiers,
    keys: &Arc<[ContentKey]>,
    now: UnixSeconds,
    limit: NonZeroU32,
) -> Result<Vec<Found>, StoreError> {
    let doubt = tiers.doubts.latest();
    let since = tiers.since(doubt);
    let mut known: Vec<Known> = keys.iter().map(|_| Err(StoreErrorKind::Unavailable)).collect();
    for (place, upper) in tiers.uppers.iter().enumerate() {
        ask_upper(tiers, (place, upper), keys, &mut known, (now, limit)).await;
    }
    ask_last(tiers, keys, &mut known, (now, limit), doubt).await?;
    fill(tiers, keys, &known, &since, now).await;
    let found = known.into_iter().map(|known| match known {
        Ok(answer) => Found::Known(answer.providers),
        Err(kind) => Found::Unknown(kind),
    });
    Ok(found.collect())
}

async fn ask_upper(
    tiers: &Tiers,
    (place, upper): (usize, &Upper),
    keys: &[ContentKey],
    known: &mut [Known],
    (now, limit): (UnixSeconds, NonZeroU32),
) {
    let open = keys.iter().enumerate().filter(|(at, _)| known[*at].is_err());
    let asked: Vec<(usize, Complete)> =
        open.filter_map(|(at, key)| Some((at, upper.marks.find(key, now)?))).collect();
    if asked.is_empty() {
        return;
    }
    let of_tier: Vec<ContentKey> = asked.iter().map(|(at, _)| keys[*at]).collect();
    let Some(found) = upper.providers(&of_tier, (now, limit), tiers.times.read_max).await else { return };
    for ((at, complete), found) in asked.into_iter().zip(found) {
        match accepted(tiers, complete, found, (now, limit)) {
            Some(answer) => {
                if answer.complete.len > complete.len {
                    upper.marks.raise(&keys[at], answer.complete.len, answer.complete.live_until, now);
                }
                known[at] = Ok(Answer { from: place, ..answer });
            }
            // It has lost some, does not answer, or has other addresses: a fill sets it right.
            None => upper.marks.remove(&keys[at]),
        }
    }
}

/// The answer of an upper tier for a key, unless a tier below it may know more.
fn accepted(
    tiers: &Tiers,
    complete: Complete,
    found: Found,
    (now, limit): (UnixSeconds, NonZeroU32),
) -> Option<Answer> {
    let limit = limit.get();
    let mut providers = found.known()?;
    providers.truncate(in_memory(limit));
    let is_true = complete.admits(providers.len(), limit)
        && providers.iter_mut().all(|provider| tiers.addresses.confirm(provider, now));
    let is_whole = providers.len() < in_memory(limit);
    let complete = Complete::of(&providers, complete.since);
    is_true.then_some(Answer { providers, complete, from: 0, fills: is_whole })
}

/// Asks the last tier for what is not known yet.
///
/// # Errors
/// That of the last tier, if nothing is known of any key.
async fn ask_last(
    tiers: &Tiers,
    keys: &Arc<[ContentKey]>,
    known: &mut [Known],
    (now, limit): (UnixSeconds, NonZeroU32),
    doubt: u64,
) -> Result<(), StoreError> {
    let rest: Vec<usize> = (0..keys.len()).filter(|at| known[*at].is_err()).collect();
    if rest.is_empty() && !keys.is_empty() {
        return Ok(());
    }
    let all = rest.len() == keys.len();
    let asked = if all { Arc::clone(keys) } else { rest.iter().map(|at| keys[*at]).collect() };
    let found =
        match tiers.last.providers(asked, now, limit).await.and_then(|found| counted(found, rest.len())) {
            Ok(found) => found,
            Err(error) if all => return Err(error),
            Err(error) => {
                if let Some(error) = tiers.rest_of_reads.failed(Causes(&error).to_string()) {
                    tracing::warn!(
                        error,
                        "the last tier fails: keys for which no upper tier answers are unknown"
                    );
                }
                rest.iter().for_each(|at| known[*at] = Err(error.kind()));
                return Ok(());
            }
        };
    if let Some(failures) = tiers.rest_of_reads.succeeded() {
        tracing::info!(failures, "the last tier answers again");
    }
    for (at, found) in rest.into_iter().zip(found) {
        known[at] = match found {
            Found::Unknown(kind) => Err(kind),
            Found::Known(providers) => {
                // Each one, not only those up to the first that may be old.
                let learn = |all, provider| tiers.addresses.learn(provider, doubt, now) && all;
                let has_newest = providers.iter().fold(true, learn);
                // Of a reading that was cut at its limit nobody knows what is left out. Nor is it put into an upper tier: what that
                // has besides may be older than what the last one has.
                let is_whole = providers.len() < in_memory(limit.get());
                let complete = Complete::of(&providers, now);
                Ok(Answer { providers, complete, from: tiers.uppers.len(), fills: has_newest && is_whole })
            }
        };
    }
    Ok(())
}

fn in_memory(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn counted(found: Vec<Found>, keys: usize) -> Result<Vec<Found>, StoreError> {
    if found.len() == keys {
        return Ok(found);
    }
    let how = "the last tier answered for more or fewer keys than it was asked for";
    Err(StoreError::because(StoreErrorKind::Unavailable, "providers", how))
}
