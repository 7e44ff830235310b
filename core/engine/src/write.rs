//! Writes: announcements wait in a queue, and leave it in large batches at a bounded pace.

mod flusher;
mod recent;
mod take;
mod write_queue;

pub(crate) use flusher::flush;
pub(crate) use take::{Readers, Writer};
pub(crate) use write_queue::WriteQueue;
