//! The servers in the order of their ids, and those closest to a target.

use super::{Limits, Server};
use crate::net::address::IpGroup;
use crate::net::routing::kad_id::KadId;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// All servers at one moment, sorted by Kademlia id. Never changes; a new one takes its place.
#[derive(Debug)]
pub struct Snapshot {
    slots: Vec<Slot>,
    /// The ids of our own heads, sorted.
    own: Vec<KadId>,
    /// Foreign servers by the group in which they were reached.
    group_lens: HashMap<IpGroup, usize>,
    limits: Limits,
}

/// The id stands beside the pointer, so that a search touches no server it does not return.
#[derive(Debug, Clone)]
struct Slot {
    id: KadId,
    server: Arc<Server>,
}

/// Below this many servers sorting by distance is faster than splitting further.
const SORTED_MAX: usize = 8;

impl Snapshot {
    pub(super) fn new(limits: Limits) -> Self {
        Self { slots: Vec::new(), own: Vec::new(), group_lens: HashMap::new(), limits }
    }

    /// How many there are that are not our own heads.
    pub fn foreign_len(&self) -> usize {
        self.slots.len() - self.own.len()
    }

    /// How many foreign servers were reached in this group.
    pub(super) fn group_len(&self, group: IpGroup) -> usize {
        self.group_lens.get(&group).copied().unwrap_or(0)
    }

    /// The id of the own head that shares the most leading bits with `id`.
    pub(super) fn closest_own(&self, id: &KadId) -> Option<KadId> {
        let at = self.own.partition_point(|own| own < id);
        let around = self.own[at.saturating_sub(1)..].iter().take(2);
        around.max_by_key(|own| own.common_prefix(id)).copied()
    }

    /// How many there are, our own heads included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All servers, in the order of their ids.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.slots.iter().map(|slot| &slot.server)
    }

    /// The server with this id.
    pub fn find(&self, id: &KadId) -> Option<&Arc<Server>> {
        let at = self.slots.binary_search_by_key(id, |slot| slot.id).ok()?;
        Some(&self.slots[at].server)
    }

    /// The servers that share exactly `prefix` leading bits with `id`.
    pub fn bucket(&self, id: &KadId, prefix: u32) -> impl Iterator<Item = &Arc<Server>> {
        let range = if prefix >= KadId::BITS {
            0..0
        } else {
            let (low, high) = id.bucket(prefix);
            self.slots.partition_point(|slot| slot.id < low)
                ..self.slots.partition_point(|slot| slot.id <= high)
        };
        self.slots[range].iter().map(|slot| &slot.server)
    }

    /// The up to `count` servers closest to `target` (requirements Q2 to Q4) that have an address (Q7) and are not
    /// `left_out`, thinned by the diversity rule (Q11, T5).
    pub fn closest(
        &self,
        target: &KadId,
        count: usize,
        left_out: impl Fn(&Server) -> bool,
    ) -> Vec<Arc<Server>> {
        let mut chosen = Vec::with_capacity(count);
        self.each_closest(target, count, left_out, |server| chosen.push(Arc::clone(server)));
        chosen
    }

    /// Shows `take` what [`Self::closest`] returns, the closest first.
    pub fn each_closest(
        &self,
        target: &KadId,
        count: usize,
        left_out: impl Fn(&Server) -> bool,
        mut take: impl FnMut(&Arc<Server>),
    ) {
        let (mut groups, mut left) = (Groups::new(self.limits), count);
        if left > 0 {
            let _stopped = walk(&self.slots, 0, target, &mut |server| {
                if !server.addresses.is_empty() && !left_out(server) && groups.admit(server) {
                    take(server);
                    left -= 1;
                }
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
    }

    /// Whether `id` is among the `count` ids closest to `target`: fewer servers that have an address are closer.
    pub(crate) fn is_among_closest(&self, id: &KadId, target: &KadId, count: usize) -> bool {
        let (own, mut closer) = (id.distance(target), 0);
        let _stopped = walk(&self.slots, 0, target, &mut |server| {
            if server.id.distance(target) >= own {
                return ControlFlow::Break(());
            }
            closer += usize::from(!server.addresses.is_empty());
            if closer < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        closer < count
    }

    pub(super) fn with(&self, server: Arc<Server>) -> Self {
        let mut new = self.without(&server.id);
        if server.is_own() {
            new.own.insert(new.own.partition_point(|own| *own < server.id), server.id);
        } else if let Some(group) = server.group {
            *new.group_lens.entry(group).or_default() += 1;
        }
        let at = new.slots.partition_point(|slot| slot.id < server.id);
        new.slots.insert(at, Slot { id: server.id, server });
        new
    }

    pub(super) fn without(&self, id: &KadId) -> Self {
        let mut new = Self {
            slots: Vec::with_capacity(self.slots.len() + 1),
            own: self.own.clone(),
            group_lens: self.group_lens.clone(),
            limits: self.limits,
        };
        new.slots.extend(self.slots.iter().filter(|slot| slot.id != *id).cloned());
        if let Some(server) = self.find(id) {
            new.own.retain(|own| own != id);
            if let (false, Some(group)) = (server.is_own(), server.group)
                && let Some(len) = new.group_lens.get_mut(&group)
            {
                *len -= 1;
                if *len == 0 {
                    new.group_lens.remove(&group);
                }
            }
        }
        new
    }
}

/// Visits `slots`, which share `bit` leading bits, from the closest to `target` to the farthest.
fn walk(
    slots: &[Slot],
    bit: u32,
    target: &KadId,
    visit: &mut impl FnMut(&Arc<Server>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    if slots.len() <= SORTED_MAX || bit == KadId::BITS {
        let count = slots.len().min(SORTED_MAX);
        let mut nearest = [(0, 0); SORTED_MAX];
        for (at, (place, slot)) in nearest.iter_mut().zip(slots).enumerate() {
            *place = (slot.id.distance_prefix(target), at);
        }
        let whole = |at: usize| slots[at].id.distance(target);
        nearest[..count]
            .sort_unstable_by(|(a, at), (b, bt)| a.cmp(b).then_with(|| whole(*at).cmp(&whole(*bt))));
        return nearest[..count].iter().try_for_each(|(_, at)| visit(&slots[*at].server));
    }
    let (zeros, ones) = slots.split_at(slots.partition_point(|slot| !slot.id.bit(bit)));
    let (near, far) = if target.bit(bit) { (ones, zeros) } else { (zeros, ones) };
    walk(near, bit + 1, target, visit)?;
    walk(far, bit + 1, target, visit)
}

/// Counts the IP groups in one answer: go clients throw away all peers of a group that appears too often.
struct Groups {
    limits: Limits,
    /// Inline for an answer of usual length.
    counts: SmallVec<[(IpGroup, usize, usize); 20]>,
}

impl Groups {
    fn new(limits: Limits) -> Self {
        Self { limits, counts: SmallVec::new() }
    }

    /// Whether one more server of these groups may stand in the answer; counts it when so.
    fn admit(&mut self, server: &Server) -> bool {
        let own = usize::from(server.is_own());
        let fits = |(_, all, owns): &(IpGroup, usize, usize)| {
            *all < self.limits.group_len_max && owns + own <= self.limits.group_own_max
        };
        let counted = |group: &IpGroup| self.counts.iter().position(|(known, ..)| known == group);
        if !server.groups.iter().filter_map(counted).all(|at| fits(&self.counts[at])) {
            return false;
        }
        for group in &server.groups {
            match self.counts.iter_mut().find(|(known, ..)| known == group) {
                Some((_, all, owns)) => {
                    *all += 1;
                    *owns += own;
                }
                None => self.counts.push((*group, 1, own)),
            }
        }
        true
    }
}
