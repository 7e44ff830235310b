//! Which port belongs to which slot.
//!
//! A slot has the port that its number says, unless that was taken once: the port it got instead is kept in a file.

use crate::files;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

const VERSION: u32 = 1;

const REPAIR: &str = "put back a copy of it, or delete it to give every head the port of its slot";

/// The ports that are not the ones their slots' numbers say. The file as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ports {
    version: u32,
    port_base: u16,
    /// By slot.
    moved: BTreeMap<u32, u16>,
}

impl Ports {
    /// What is kept at `path`. What was kept for another base counts no more: the operator wants other ports.
    pub(crate) fn read(path: &Path, port_base: u16) -> io::Result<Self> {
        let none = Self { version: VERSION, port_base, moved: BTreeMap::new() };
        let Some(kept) = files::read::<Self>(path, REPAIR)? else { return Ok(none) };
        if kept.version != VERSION {
            let cause = format!("its version is {}, not {VERSION}", kept.version);
            return Err(files::damaged(path, REPAIR, &cause));
        }
        Ok(if kept.port_base == port_base { kept } else { none })
    }

    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        files::write(path, self)
    }

    /// Keeps the port that a slot's head listens on.
    pub(crate) fn set(&mut self, slot: u32, port: u16) {
        if self.by_number(slot) == Some(port) {
            self.moved.remove(&slot);
        } else {
            self.moved.insert(slot, port);
        }
    }

    /// The port of each slot, none of them twice nor in `taken`; 0 where the system is to choose. `None` when there
    /// are not as many ports. A slot whose port belongs to another gets the next free one and keeps it.
    pub(crate) fn assign(&mut self, slots: &[u32], taken: &BTreeSet<u16>) -> Option<Vec<u16>> {
        let mut taken = taken.clone();
        let mut kept = BTreeMap::new();
        for slot in slots {
            if let Some(&port) = self.moved.get(slot)
                && taken.insert(port)
            {
                kept.insert(*slot, port);
            }
        }
        self.moved.retain(|slot, _| kept.contains_key(slot) || !slots.contains(slot));
        slots
            .iter()
            .map(|slot| match (kept.get(slot), self.port_base) {
                (Some(&port), _) => Some(port),
                (None, 0) => Some(0),
                (None, _) => self.first_free(*slot, slots, &mut taken),
            })
            .collect()
    }

    fn first_free(&mut self, slot: u32, slots: &[u32], taken: &mut BTreeSet<u16>) -> Option<u16> {
        let own = self.by_number(slot)?;
        if taken.insert(own) {
            return Some(own);
        }
        let of_another = |port: u16| {
            self.moved.values().any(|&it| it == port)
                || slots.contains(&(u32::from(port) - u32::from(self.port_base)))
        };
        let port = (own..=u16::MAX).find(|&port| !taken.contains(&port) && !of_another(port))?;
        taken.insert(port);
        self.moved.insert(slot, port);
        Some(port)
    }

    /// The port that the slot's number says; none when the system chooses, or when there are not as many.
    fn by_number(&self, slot: u32) -> Option<u16> {
        if self.port_base == 0 {
            return None;
        }
        u16::try_from(u32::from(self.port_base).checked_add(slot)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(port_base: u16) -> Ports {
        Ports { version: VERSION, port_base, moved: BTreeMap::new() }
    }

    #[test]
    fn a_slot_has_the_port_its_number_says() {
        assert_eq!(ports(30_000).assign(&[0, 1, 200], &BTreeSet::new()), Some(vec![30_000, 30_001, 30_200]));
        assert_eq!(ports(0).assign(&[0, 1], &BTreeSet::new()), Some(vec![0, 0]), "the system chooses");
        assert_eq!(ports(65_535).assign(&[0, 1], &BTreeSet::new()), None);
    }

    #[test]
    fn i6_a_port_that_was_set_is_kept_and_one_set_back_is_forgotten() {
        let mut ports = ports(30_000);
        ports.set(1, 45_000);
        assert_eq!(ports.assign(&[0, 1], &BTreeSet::new()), Some(vec![30_000, 45_000]));
        ports.set(1, 30_001);
        assert!(ports.moved.is_empty());
    }

    #[test]
    fn i2_a_slot_whose_port_another_has_taken_gets_a_free_one_and_keeps_it() {
        let mut ports = ports(30_000);
        ports.set(1, 30_003);
        let first = ports.assign(&[0, 1, 2, 3, 4], &BTreeSet::new()).unwrap();
        assert_eq!(first, [30_000, 30_003, 30_002, 30_005, 30_004]);
        assert_eq!(ports.assign(&[0, 1, 2, 3, 4], &BTreeSet::new()), Some(first));
        ports.set(2, 30_003);
        let distinct: BTreeSet<u16> = ports.assign(&[1, 2], &BTreeSet::new()).unwrap().into_iter().collect();
        assert_eq!(distinct.len(), 2, "two slots that were told the same port do not keep both");
    }

    #[test]
    fn another_base_forgets_the_ports_that_were_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ports.json");
        let mut kept = ports(30_000);
        kept.set(1, 45_000);
        kept.write(&path).unwrap();
        assert_eq!(Ports::read(&path, 30_000).unwrap(), kept);
        assert_eq!(Ports::read(&path, 31_000).unwrap(), ports(31_000));
    }
}
