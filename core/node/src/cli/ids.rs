//! `hydra ids`: the identities of a config, without starting them.

use super::{Failure, Output, search};
use crate::config::Loaded;
use hydra_api::{HeadCount, HeadPreview, Registry};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io;

/// Prints the ids of the configured heads; works while a node serves them.
pub(crate) async fn ids(
    loaded: &Loaded,
    registry: &Registry,
    json: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let allocator = loaded.open_ids(registry).await?;
    let wanted = HeadCount::new(loaded.config.heads.count).unwrap_or(HeadCount::MIN);
    let previews = search::preview(&*allocator, wanted).await;
    let previews = previews.map_err(|cause| Failure::failed("cannot determine the identities", cause))?;
    Ok(print(&previews, json || !out.is_terminal(), out)?)
}

fn print(previews: &[HeadPreview], json: bool, out: &mut Output) -> io::Result<()> {
    if !json {
        out.line("slot   port   kademlia prefix                   peer id")?;
    }
    for HeadPreview { slot, peer, port, .. } in previews {
        let id = Sha256::digest(peer.as_bytes());
        let prefix = u32::from_be_bytes([id[0], id[1], id[2], id[3]]);
        let peer = match libp2p::PeerId::from_bytes(peer.as_bytes()) {
            Ok(peer) => peer.to_base58(),
            Err(_) => peer.to_string(),
        };
        match json {
            true => out.line(json!({
                "slot": slot,
                "peer": peer,
                "port": port,
                "kademlia_prefix": format!("{prefix:032b}"),
            }))?,
            false => out.line(format_args!("{slot:<5}  {port:<5}  {prefix:032b}  {peer}"))?,
        }
    }
    Ok(())
}
