//! Without scripts: the keys of each server by `SCAN`, each a sorted set.
//!
//! A cursor of `SCAN` is good for one process of a server: when there are other servers, or one was started again, the scan
//! begins anew.

use super::place::{After, Place, PlainPlace, Within};
use super::{Filling, set};
use crate::keyspace::Keyspace;
use crate::layout::{Layout, Name};
use crate::net::{Class, Fault, Node};
use hydra_api::ContentKey;
use redis::Pipeline;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Keys of one step.
const KEYS: usize = 100;
/// Steps of one page: it may have no records where there are few.
const STEPS_MAX: usize = 32;

/// Fills a page; where the next one begins, none at the end.
pub(super) async fn fill(
    keys: &Keyspace,
    layout: &Layout,
    mut place: PlainPlace,
    page: &mut Filling,
) -> Result<Option<Place>, Fault> {
    let mut nodes = keys.fleet.nodes();
    nodes.sort_by_key(|node| node.address.to_string());
    let fleet = fleet(&nodes).await?;
    if place.fleet != fleet {
        place = PlainPlace { fleet, ..PlainPlace::default() };
    }
    for _ in 0..STEPS_MAX {
        let Some(node) = nodes.get(usize::from(place.node)) else { return Ok(None) };
        let (next, names) = step(node, layout, place.cursor).await?;
        let after = fill_from(keys, layout, &names, place.after.take(), page).await?;
        if after.is_some() {
            place.after = after;
            return Ok(Some(Place::Plain(place)));
        }
        place.cursor = next;
        if next == 0 {
            place.node += 1;
        }
        if page.room() == 0 {
            break;
        }
    }
    Ok(Some(Place::Plain(place)))
}

/// One step of `SCAN`: where the next one begins, and the names of sorted sets of ours.
async fn step(node: &Node, layout: &Layout, cursor: u64) -> Result<(u64, BTreeSet<Vec<u8>>), Fault> {
    let mut scan = redis::cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg(layout.pattern()).arg("COUNT").arg(KEYS).arg("TYPE").arg("zset");
    let mut pipeline = Pipeline::new();
    pipeline.add_command(scan);
    let said = node.exchange(&pipeline, 1).await?.pop().unwrap_or_default();
    let (next, names): (u64, Vec<Vec<u8>>) = redis::from_redis_value(said)
        .map_err(|cause| Fault::new(Class::Other, &node.address, cause.to_string()))?;
    Ok((next, names.into_iter().filter(|name| layout.partition_of_plain(name).is_some()).collect()))
}

/// Adds the living of some sets to a page. The set at which the page was full; none if all are done.
async fn fill_from(
    keys: &Keyspace,
    layout: &Layout,
    names: &BTreeSet<Vec<u8>>,
    after: Option<After>,
    page: &mut Filling,
) -> Result<Option<After>, Fault> {
    // A step that has other names now is done again: some that are new before the last one may have been there all the time.
    let after = after.filter(|after| digest(names.range(..=after.name.clone())) == after.digest);
    let (from, mut done) = after.map_or((Vec::new(), None), |after| (after.name, Some(after.within)));
    for bytes in names.range(from.clone()..) {
        let done = done.take().filter(|_| *bytes == from);
        let Some((name, key)) = named(layout, bytes) else { continue };
        if done == Some(Within::Whole) {
            continue;
        }
        let within = set::fill(keys, &name, key, done, page).await?;
        if within != Within::Whole {
            let digest = digest(names.range(..=bytes.clone()));
            return Ok(Some(After { name: bytes.clone(), digest, within }));
        }
    }
    Ok(None)
}

/// The name and the content key of a set.
fn named(layout: &Layout, bytes: &[u8]) -> Option<(Name, ContentKey)> {
    let end = bytes.windows(2).position(|pair| pair == b"}k")?;
    let key = ContentKey::new(&bytes[end + 2..]).ok()?;
    Some((layout.plain(&key), key))
}

fn digest<'n>(names: impl Iterator<Item = &'n Vec<u8>>) -> u64 {
    let mut digest = Sha256::new();
    for name in names {
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name);
    }
    first(&digest.finalize())
}

/// A digest of the servers and of the runs that they are in.
async fn fleet(nodes: &[Arc<Node>]) -> Result<u64, Fault> {
    let mut digest = Sha256::new();
    for node in nodes {
        let mut info = Pipeline::new();
        info.cmd("INFO").arg("server");
        let said = node.exchange(&info, 1).await?.pop().unwrap_or_default();
        // A user without the right to see it cannot tell one run of a server from another.
        let said: String = redis::from_redis_value(said).unwrap_or_default();
        let run = said.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default();
        digest.update(format!("{} {} ", node.address, run.trim()));
    }
    Ok(first(&digest.finalize()))
}

fn first(digest: &[u8]) -> u64 {
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
