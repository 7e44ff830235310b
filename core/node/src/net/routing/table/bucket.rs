//! Whether there is room for one more.

use super::{Refusal, Server, Snapshot, Table};
use crate::net::address::IpGroup;
use crate::net::routing::kad_id::KadId;
use std::sync::Arc;

impl Table {
    /// Whether some head has room for a peer: its bucket there is not full, and not full of one IP group.
    pub(super) fn room_for(
        &self,
        snapshot: &Snapshot,
        id: &KadId,
        groups: &[IpGroup],
    ) -> Result<(), Refusal> {
        let limits = &self.limits;
        let foreign = snapshot.servers().filter(|server| !server.is_own()).count();
        if foreign >= limits.len_max {
            return Err(Refusal::Full);
        }
        if has_of_group(snapshot.servers(), groups, limits.group_len_max) {
            return Err(Refusal::Group);
        }
        let mut refusal = Refusal::Full;
        for head in snapshot.servers().filter(|server| server.is_own()) {
            let bucket =
                || snapshot.bucket(&head.id, head.id.common_prefix(id)).filter(|server| !server.is_own());
            if bucket().take(limits.bucket_len_max).count() >= limits.bucket_len_max {
                continue;
            }
            if has_of_group(bucket(), groups, limits.bucket_group_len_max) {
                refusal = Refusal::Group;
                continue;
            }
            return Ok(());
        }
        Err(refusal)
    }
}

/// Whether any of `groups` has `max` foreign peers or more among `servers`.
fn has_of_group<'a>(servers: impl Iterator<Item = &'a Arc<Server>>, groups: &[IpGroup], max: usize) -> bool {
    let mut counts = vec![0; groups.len()];
    for server in servers.filter(|server| !server.is_own()) {
        for (group, count) in groups.iter().zip(&mut counts) {
            *count += usize::from(server.groups.contains(group));
            if *count >= max {
                return true;
            }
        }
    }
    false
}
