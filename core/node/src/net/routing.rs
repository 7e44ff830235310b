//! Which servers there are and which of them are near a key: the peer table, and all that fills it and uses it for the heads.

pub(crate) mod advertiser;
pub mod kad_id;
pub mod lookup;
pub(crate) mod network;
pub(crate) mod rounds;
mod saved;
pub(crate) mod scout;
#[cfg(test)]
mod simulated;
pub mod table;
pub(crate) mod table_maintenance;

#[cfg(test)]
mod tests;
