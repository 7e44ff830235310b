//! The members of a sorted set, in its order: by expiry, and by fingerprint among equals.

use super::Filling;
use super::place::Within;
use crate::keyspace::Keyspace;
use crate::layout::{Fingerprint, Name};
use crate::net::Fault;
use hydra_api::{ContentKey, UnixSeconds};

/// Members of one request.
const MEMBERS: usize = 1000;

/// Adds the living after a member to a page. What of the set is done afterwards.
pub(super) async fn fill(
    keys: &Keyspace,
    name: &Name,
    key: ContentKey,
    done: Option<Within>,
    page: &mut Filling,
) -> Result<Within, Fault> {
    let mut last = match done {
        Some(Within::Set(score, member)) => Some((score, member)),
        Some(Within::Packed(_) | Within::Whole | Within::Nothing) | None => None,
    };
    // Among members of one expiry, those up to the last are read again: they are in order, so they come first.
    let mut offset = 0;
    loop {
        let living = page.now.0.saturating_add(1);
        let min = last.map_or(living, |(score, _)| score.max(living));
        let mut command = redis::cmd("ZRANGEBYSCORE");
        command.arg(&name.bytes).arg(min).arg("+inf").arg("WITHSCORES");
        command.arg("LIMIT").arg(offset).arg(MEMBERS);
        let said = keys.ask(name, command).await?;
        let found: Vec<(Vec<u8>, f64)> = redis::from_redis_value(said).map_err(Fault::unreadable)?;
        let before = last;
        for (member, score) in &found {
            // Scores are whole numbers of 32 bits.
            let Ok(fingerprint) = Fingerprint::try_from(&member[..]) else { continue };
            let place = (*score as u32, fingerprint);
            if last.is_some_and(|last| place <= last) {
                continue;
            }
            if page.room() == 0 {
                return Ok(last.map_or(Within::Nothing, |(score, member)| Within::Set(score, member)));
            }
            page.entries.push(super::Entry { key, fingerprint, expires: UnixSeconds(place.0) });
            last = Some(place);
        }
        if found.len() < MEMBERS {
            return Ok(Within::Whole);
        }
        // A request from the expiry of the new last member on. If there was no new one the same goes further on, by half of what
        // it read: some of that may be gone by then, and those after it move up.
        offset = if last == before { offset + MEMBERS / 2 } else { 0 };
    }
}
