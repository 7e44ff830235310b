//! Writes: announcements wait in a queue, and leave it in large batches at a bounded pace.

mod flusher;
mod key_counts;
mod recent;
mod take;
mod worth;
mod write_queue;

pub(crate) use flusher::flush;
pub(crate) use take::{OfKey, Readers, Writer};
pub(crate) use worth::Rank;
pub(crate) use write_queue::WriteQueue;
