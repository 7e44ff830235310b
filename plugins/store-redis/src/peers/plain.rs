//! Peers' rows without scripts.

use super::{Row, get, life};
use crate::keyspace::Keyspace;
use crate::layout::{Fingerprint, Layout};
use crate::net::{Fault, Request};
use crate::plain;
use hydra_api::UnixSeconds;
use hydra_remote::ProviderNews;
use std::sync::Arc;

/// Writes peers' rows; the rows afterwards.
pub(super) async fn put(
    keys: &Keyspace,
    layout: &Layout,
    stale: &[(Fingerprint, ProviderNews)],
    now: UnixSeconds,
) -> Vec<Result<Option<Arc<Row>>, Fault>> {
    let fingerprints: Vec<_> = stale.iter().map(|(fingerprint, _)| *fingerprint).collect();
    let mut rows = get(keys, layout, &fingerprints).await;
    let mut requests = Vec::new();
    let mut places = Vec::new();
    for (at, (row, (fingerprint, news))) in rows.iter_mut().zip(stale).enumerate() {
        let Ok(known) = row else { continue };
        if known.as_ref().is_some_and(|known| known.peer != news.peer) {
            continue;
        }
        let after = Arc::new(match known {
            Some(known) if news.addresses.is_empty() => (**known).clone(),
            _ => Row { peer: news.peer, addresses: news.addresses.clone(), addresses_at: now },
        });
        let name = layout.peer(fingerprint);
        let mut set = redis::cmd("SET");
        set.arg(&name.bytes).arg(after.to_bytes()).arg("KEEPTTL");
        requests.push(Request { slot: name.slot, command: set, script: None });
        requests.extend(plain::keep(&name, life(news, now)));
        places.push(at);
        *known = Some(after);
    }
    let answers = keys.fleet.send(&requests).await;
    for (at, answers) in places.into_iter().zip(answers.chunks(3)) {
        if let Some(Err(fault)) = answers.iter().find(|answer| answer.is_err()) {
            rows[at] = Err(fault.clone());
        }
    }
    rows
}
