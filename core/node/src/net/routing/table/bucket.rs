//! Whether there is room for one more.

use super::{Refusal, Server, Snapshot, Table};
use crate::net::address::IpGroup;
use crate::net::routing::kad_id::KadId;

impl Table {
    /// Whether some head has room for a peer of one of these groups, or of none: its bucket there is not full, and not
    /// full of one IP group. Takes no longer for more servers or heads.
    ///
    /// All ids that share more bits with the peer than any head does are one bucket of the head that shares the most.
    /// For every other head the peer falls into a bucket that holds all of these and more. So the closest head decides.
    pub(super) fn room_for(
        &self,
        snapshot: &Snapshot,
        id: &KadId,
        groups: &[IpGroup],
    ) -> Result<(), Refusal> {
        let limits = &self.limits;
        if snapshot.foreign_len() >= limits.len_max {
            return Err(Refusal::Full);
        }
        let Some(head) = snapshot.closest_own(id) else { return Err(Refusal::Full) };
        let bucket = || {
            let bucket = snapshot.bucket(&head, head.common_prefix(id));
            // There may be more than the limit since a head has left.
            bucket.filter(|server| !server.is_own() && server.id != *id)
        };
        if bucket().take(limits.bucket_len_max).count() >= limits.bucket_len_max {
            return Err(Refusal::Full);
        }
        let is_open = |group: &IpGroup| {
            let of_group = |server: &&std::sync::Arc<Server>| server.group == Some(*group);
            snapshot.group_len(*group) < limits.group_len_max
                && bucket().filter(of_group).count() < limits.bucket_group_len_max
        };
        if groups.is_empty() || groups.iter().any(is_open) { Ok(()) } else { Err(Refusal::Group) }
    }
}
