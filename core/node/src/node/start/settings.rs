//! The settings of the parts, as the config says them.

use super::StartError;
use crate::config::{Config, Diversity, Network};
use crate::net::address::of_peer;
use crate::net::routing::lookup::{Contact, Pace};
use crate::net::routing::table::Limits;
use libp2p::StreamProtocol;
use std::time::Duration;

/// Closer peers in answers and peers in a bucket (k).
const BUCKET_LEN_MAX: usize = 20;

/// The protocol and its limits.
pub(super) fn kad(config: &Config) -> Result<hydra_kad::Config, StartError> {
    let name = &config.network.protocol;
    let protocol =
        StreamProtocol::try_from_owned(name.clone()).map_err(|_| StartError::Protocol(name.clone()))?;
    let mut kad = hydra_kad::Config::new([protocol]);
    kad.limits.frame_bytes_max = config.kad.frame_bytes_max as usize;
    kad.limits.streams_max = config.kad.streams_per_connection_max as usize;
    kad.limits.frame_wait = Duration::from_secs(config.kad.stream_idle_s.into());
    let budget = usize::try_from(config.kad.frames_bytes_max).unwrap_or(usize::MAX);
    kad.frames = hydra_kad::Budget::new(budget);
    kad.answers = hydra_kad::Budget::new(budget);
    Ok(kad)
}

/// How many peers the table may have.
pub(super) fn table_limits(config: &Config) -> Limits {
    let network = &config.network;
    let of = |max: u32| match network.diversity {
        Diversity::On => max as usize,
        Diversity::Off => usize::MAX,
    };
    Limits {
        len_max: network.table_len_max(config.heads.count) as usize,
        bucket_len_max: BUCKET_LEN_MAX,
        bucket_group_len_max: of(network.group_bucket_peers_max),
        group_len_max: of(network.group_peers_max),
        group_own_max: of(network.group_own_heads_max),
    }
}

/// How lookups go about it.
pub(super) fn pace(network: &Network) -> Pace {
    Pace {
        parallel_max: network.lookup_alpha as usize,
        settled_min: network.lookup_beta as usize,
        ..Pace::AMINO
    }
}

/// Who is asked first, each peer once.
pub(super) fn bootstrap(network: &Network) -> Vec<Contact> {
    let mut contacts: Vec<Contact> = Vec::new();
    for told in &network.bootstrap {
        match contacts.iter_mut().find(|contact| contact.peer == told.peer()) {
            Some(contact) => contact.addresses.push(told.address().clone()),
            None => contacts.push(Contact { peer: told.peer(), addresses: vec![told.address().clone()] }),
        }
    }
    for contact in &mut contacts {
        contact.addresses = of_peer(&contact.peer, std::mem::take(&mut contact.addresses));
    }
    contacts
}

/// How long a peer has to answer a probe.
pub(super) fn probe_timeout(config: &Config) -> Duration {
    Duration::from_millis(config.network.probe_timeout_ms.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_room_for_the_neighbours_and_the_buckets_of_every_head() {
        const NEIGHBOURS: usize = 20;
        let mut config = Config::default();
        for heads in [1, 100, 1_000, 3_000] {
            config.heads.count = heads;
            let room = table_limits(&config).len_max;
            // Heads are spread evenly: as far as their prefixes differ they share buckets, at each depth one for every prefix.
            let depth = heads.ilog2();
            let shared = (0..=depth).map(|depth| BUCKET_LEN_MAX << depth).sum::<usize>();
            let needed = heads as usize * NEIGHBOURS + shared;
            assert!(room >= needed, "{heads} heads: {room} of {needed}");
        }
        config.network.table_len_max = Some(50);
        assert_eq!(table_limits(&config).len_max, 50, "what the config says stands");
    }
}
