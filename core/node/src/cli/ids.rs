//! `hydra ids`: the identities of a config, without starting them.

use super::{Failure, Output};
use crate::config::Loaded;
use hydra_api::{HeadCount, HeadLease, IdAllocator, Registry};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::{self, IsTerminal};

/// How many steps the progress bar takes.
const STEPS: u32 = 20;

/// The fewest heads of one step.
const STEP_LEN_MIN: u32 = 64;

/// Takes the leases of the configured heads, prints them and gives them back.
pub(crate) async fn ids(
    loaded: &Loaded,
    registry: &Registry,
    json: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let allocator = loaded.open_ids(registry).await?;
    let leases = acquire(&*allocator, loaded.config.heads.count).await?;
    let printed = print(&leases, json || !out.is_terminal(), out);
    allocator.release(leases).await.map_err(|cause| Failure::failed("cannot give the ids back", cause))?;
    Ok(printed?)
}

/// Takes all leases. Finding an identity takes a while the first time, so that on a terminal a bar shows how far it is:
/// ever more are taken and given back, each of them found once.
async fn acquire(allocator: &dyn IdAllocator, count: u32) -> Result<Vec<HeadLease>, Failure> {
    let step = (count / STEPS).max(STEP_LEN_MIN);
    if io::stderr().is_terminal() && count > step {
        let bar = ProgressBar::new(u64::from(count)).with_message("finding identities");
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}") {
            bar.set_style(style);
        }
        for taken in (step..count).step_by(step as usize) {
            let leases = take(allocator, taken).await?;
            allocator
                .release(leases)
                .await
                .map_err(|cause| Failure::failed("cannot give the ids back", cause))?;
            bar.set_position(u64::from(taken));
        }
        bar.finish_and_clear();
    }
    take(allocator, count).await
}

async fn take(allocator: &dyn IdAllocator, count: u32) -> Result<Vec<HeadLease>, Failure> {
    let wanted = HeadCount::new(count).unwrap_or(HeadCount::MIN);
    allocator.acquire(wanted).await.map_err(|cause| Failure::failed("cannot take the ids", cause))
}

fn print(leases: &[HeadLease], json: bool, out: &mut Output) -> io::Result<()> {
    if !json {
        out.line("slot   port   kademlia prefix                   peer id")?;
    }
    for lease in leases {
        let id = Sha256::digest(lease.peer.as_bytes());
        let prefix = u32::from_be_bytes([id[0], id[1], id[2], id[3]]);
        let peer = match libp2p::PeerId::from_bytes(lease.peer.as_bytes()) {
            Ok(peer) => peer.to_base58(),
            Err(_) => lease.peer.to_string(),
        };
        match json {
            true => out.line(json!({
                "slot": lease.slot,
                "peer": peer,
                "port": lease.port,
                "kademlia_prefix": format!("{prefix:032b}"),
            }))?,
            false => out.line(format_args!("{:<5}  {:<5}  {prefix:032b}  {peer}", lease.slot, lease.port))?,
        }
    }
    Ok(())
}
