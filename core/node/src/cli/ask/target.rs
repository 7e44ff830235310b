//! The peers of a request.

use crate::cli::Failure;
use crate::cli::args::AskArgs;
use crate::config::{Config, PeerAddress};
use serde::Deserialize;
use std::io::ErrorKind;

/// The file in the data directory with the addresses of the heads of a running node.
const HEADS_FILE: &str = "heads.json";

/// One head in the file.
#[derive(Debug, Deserialize)]
struct HeadLine {
    addresses: Vec<PeerAddress>,
}

/// The peer of the arguments, else the heads of the node that runs on the data directory, loopback first.
pub(super) fn peers(config: &Config, args: &AskArgs) -> Result<Vec<PeerAddress>, Failure> {
    if let Some(peer) = &args.peer {
        return Ok(vec![peer.clone()]);
    }
    let path = config.data_dir.join(HEADS_FILE);
    let text = std::fs::read_to_string(&path).map_err(|cause| match cause.kind() {
        ErrorKind::NotFound => Failure::Failed(format!(
            "no node runs on {}: start one with `hydra run`, or set --peer",
            config.data_dir.display()
        )),
        _ => Failure::failed(&format!("cannot read {}", path.display()), cause),
    })?;
    let heads: Vec<HeadLine> = serde_json::from_str(&text)
        .map_err(|cause| Failure::failed(&format!("cannot read {}", path.display()), cause))?;
    let mut addresses: Vec<PeerAddress> =
        heads.into_iter().filter_map(|head| head.addresses.into_iter().min_by_key(distance)).collect();
    addresses.sort_by_key(distance);
    Ok(addresses)
}

/// Orders addresses: loopback first, then TCP before QUIC.
fn distance(address: &PeerAddress) -> (bool, bool) {
    let text = address.to_string();
    let loopback = text.starts_with("/ip4/127.") || text.starts_with("/ip6/::1/");
    (!loopback, text.contains("/quic"))
}
