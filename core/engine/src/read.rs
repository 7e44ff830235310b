//! Reads: from the cache, else one flight for all requests for a key, in as few store calls as can be.

mod answer;
mod cache;
mod flights;
mod line;
mod reader;

pub use answer::{Answer, Reply};
pub(crate) use reader::Reader;
