//! The network: one head and what it uses.

pub(crate) mod head;
