//! Which port belongs to which slot.
//!
//! A slot's own port is the one that its number says, or the one that it had before that rule changed. A head whose own port was
//! taken has moved: the port it got is kept in a file until its own is free again.

use crate::config::PORT_BASE_DEFAULT;
use crate::files;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

/// Files of version 1 have moved ports alone, and no head has gone back from one: they are kept as the slots' own.
const VERSION: u32 = 2;

/// The default base of the time when files had version 1.
const OLD_BASE: u16 = 30_000;

const REPAIR: &str = "put back a copy of it, or delete it to give every head the port of its slot";

/// The ports that are not the ones their slots' numbers say. The file as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ports {
    version: u32,
    port_base: u16,
    /// Own ports that differ from those of the numbers, by slot.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    own: BTreeMap<u32, u16>,
    /// By slot.
    moved: BTreeMap<u32, u16>,
}

/// The port of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assigned {
    /// The port to listen on; 0 where the system is to choose.
    pub(crate) port: u16,
    /// The slot's own, if that is another and no other slot has it.
    pub(crate) own: Option<u16>,
}

impl Ports {
    /// What is kept at `path`. What was kept for another base counts no more: the operator wants other ports. `old_slots` are the
    /// slots that had identities before the default base changed: they keep the ports of the old one.
    pub(crate) fn read(
        path: &Path,
        port_base: u16,
        old_slots: impl FnOnce() -> Vec<u32>,
    ) -> io::Result<Self> {
        let mut ports = Self { version: VERSION, port_base, own: BTreeMap::new(), moved: BTreeMap::new() };
        let is_default = port_base == PORT_BASE_DEFAULT;
        match files::read::<Self>(path, REPAIR)? {
            Some(kept) if !(1..=VERSION).contains(&kept.version) => {
                let cause = format!("its version is {}, not 1 or {VERSION}", kept.version);
                Err(files::damaged(path, REPAIR, &cause))
            }
            Some(kept) if kept.version == VERSION => {
                Ok(if kept.port_base == port_base { kept } else { ports })
            }
            Some(kept) if kept.port_base == port_base => {
                ports.own = kept.moved;
                Ok(ports)
            }
            Some(kept) if kept.port_base == OLD_BASE && is_default => {
                ports.own = old_ports(old_slots());
                ports.own.extend(kept.moved);
                Ok(ports)
            }
            Some(_) => Ok(ports),
            None if is_default => {
                ports.own = old_ports(old_slots());
                Ok(ports)
            }
            None => Ok(ports),
        }
    }

    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        files::write(path, self)
    }

    /// Keeps the port that a slot's head listens on.
    pub(crate) fn set(&mut self, slot: u32, port: u16) {
        if self.own(slot) == Some(port) {
            self.moved.remove(&slot);
        } else {
            self.moved.insert(slot, port);
        }
    }

    /// The port of each slot, none of them twice nor in `taken`. `None` when there are not as many ports. A slot whose
    /// port belongs to another gets the next free one and keeps it.
    pub(crate) fn assign(&mut self, slots: &[u32], taken: &BTreeSet<u16>) -> Option<Vec<Assigned>> {
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
        let ports: Option<Vec<u16>> = slots
            .iter()
            .map(|slot| match (kept.get(slot), self.own(*slot)) {
                (Some(&port), _) => Some(port),
                (None, None) if self.port_base == 0 => Some(0),
                (None, own) => self.first_free(*slot, own?, slots, &mut taken),
            })
            .collect();
        let own = |slot: u32, port: u16| self.own(slot).filter(|own| *own != port && !taken.contains(own));
        let assigned = slots.iter().zip(ports?).map(|(slot, port)| Assigned { port, own: own(*slot, port) });
        Some(assigned.collect())
    }

    fn first_free(&mut self, slot: u32, own: u16, slots: &[u32], taken: &mut BTreeSet<u16>) -> Option<u16> {
        if taken.insert(own) {
            return Some(own);
        }
        let of_slots: BTreeSet<u16> = slots.iter().filter_map(|slot| self.own(*slot)).collect();
        let of_another = |port: u16| {
            of_slots.contains(&port) || self.moved.values().chain(self.own.values()).any(|&it| it == port)
        };
        let port = (own..=u16::MAX).find(|&port| !taken.contains(&port) && !of_another(port))?;
        taken.insert(port);
        self.moved.insert(slot, port);
        Some(port)
    }

    /// The port of the slot while nobody has taken it; none when the system chooses, or when there are not as many.
    fn own(&self, slot: u32) -> Option<u16> {
        let by_number = || {
            let base = Some(u32::from(self.port_base)).filter(|base| *base != 0)?;
            u16::try_from(base.checked_add(slot)?).ok()
        };
        self.own.get(&slot).copied().or_else(by_number)
    }
}

/// The ports that these slots had by the old base.
fn old_ports(slots: Vec<u32>) -> BTreeMap<u32, u16> {
    let port = |slot: u32| u16::try_from(u32::from(OLD_BASE).checked_add(slot)?).ok();
    slots.into_iter().filter_map(|slot| Some((slot, port(slot)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(port_base: u16) -> Ports {
        Ports { version: VERSION, port_base, own: BTreeMap::new(), moved: BTreeMap::new() }
    }

    fn assign(ports: &mut Ports, slots: &[u32]) -> Option<Vec<u16>> {
        let assigned = ports.assign(slots, &BTreeSet::default())?;
        Some(assigned.into_iter().map(|assigned| assigned.port).collect())
    }

    #[test]
    fn a_slot_has_the_port_its_number_says() {
        assert_eq!(assign(&mut ports(30_000), &[0, 1, 200]), Some(vec![30_000, 30_001, 30_200]));
        assert_eq!(assign(&mut ports(0), &[0, 1]), Some(vec![0, 0]), "the system chooses");
        assert_eq!(assign(&mut ports(65_535), &[0, 1]), None);
    }

    #[test]
    fn i6_a_port_that_was_set_is_kept_and_one_set_back_is_forgotten() {
        let mut ports = ports(30_000);
        ports.set(1, 45_000);
        assert_eq!(assign(&mut ports, &[0, 1]), Some(vec![30_000, 45_000]));
        ports.set(1, 30_001);
        assert!(ports.moved.is_empty());
    }

    #[test]
    fn i2_a_slot_whose_port_another_has_taken_gets_a_free_one_and_keeps_it() {
        let mut ports = ports(30_000);
        ports.set(1, 30_003);
        let first = assign(&mut ports, &[0, 1, 2, 3, 4]).unwrap();
        assert_eq!(first, [30_000, 30_003, 30_002, 30_005, 30_004]);
        assert_eq!(assign(&mut ports, &[0, 1, 2, 3, 4]), Some(first));
        ports.set(2, 30_003);
        let distinct: BTreeSet<u16> = assign(&mut ports, &[1, 2]).unwrap().into_iter().collect();
        assert_eq!(distinct.len(), 2, "two slots that were told the same port do not keep both");
    }

    #[test]
    fn another_base_forgets_the_ports_that_were_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ports.json");
        let mut kept = ports(30_000);
        kept.set(1, 45_000);
        kept.write(&path).unwrap();
        assert_eq!(Ports::read(&path, 30_000, Vec::new).unwrap(), kept);
        assert_eq!(Ports::read(&path, 31_000, Vec::new).unwrap(), ports(31_000));
    }

    #[test]
    fn a_head_that_moved_is_told_its_own_port_unless_another_has_it() {
        let mut ports = ports(20_000);
        ports.set(1, 45_000);
        let own = |slots: &[u32], taken: &[u16], ports: &mut Ports| {
            let taken = taken.iter().copied().collect();
            ports.assign(slots, &taken).unwrap().into_iter().map(|it| it.own).collect::<Vec<_>>()
        };
        assert_eq!(own(&[0, 1], &[], &mut ports), [None, Some(20_001)]);
        assert_eq!(own(&[1], &[20_001], &mut ports), [None]);
        ports.set(1, 20_001);
        assert_eq!(own(&[0, 1], &[], &mut ports), [None, None]);
    }

    /// Identities from before the default base changed, with and without a file of their ports.
    #[test]
    fn the_old_default_base_stays_that_of_slots_that_had_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ports.json");
        let read = |base: u16| Ports::read(&path, base, || vec![0, 1, 60_000]).unwrap();
        let mut ports = read(PORT_BASE_DEFAULT);
        assert_eq!(assign(&mut ports, &[0, 1, 2]), Some(vec![30_000, 30_001, 20_002]));
        assert!(ports.assign(&[0, 1], &BTreeSet::new()).unwrap().iter().all(|it| it.own.is_none()));
        assert_eq!(assign(&mut read(25_000), &[0]), Some(vec![25_000]), "the operator has chosen");
        std::fs::write(&path, r#"{ "version": 1, "port_base": 30000, "moved": { "1": 45000 } }"#).unwrap();
        assert_eq!(assign(&mut read(PORT_BASE_DEFAULT), &[0, 1, 2]), Some(vec![30_000, 45_000, 20_002]));
        assert_eq!(assign(&mut read(30_000), &[0, 1, 2]), Some(vec![30_000, 45_000, 30_002]));
        read(PORT_BASE_DEFAULT).write(&path).unwrap();
        let again = Ports::read(&path, PORT_BASE_DEFAULT, Vec::new).unwrap();
        assert_eq!(again, read(PORT_BASE_DEFAULT));
    }
}
