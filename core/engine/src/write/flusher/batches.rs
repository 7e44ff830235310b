//! A window, cut into batches.

use crate::write::write_queue::InHand;
use std::collections::VecDeque;

/// Records of one insert, sorted by key and provider.
pub(super) type Batch = Vec<InHand>;

/// How many more batches a window may have than it needs: to find records that make others fail. What is left then waits
/// for the next window.
const EXTRA_MAX: usize = 64;

/// After so many failures a record of a batch of 65,536 stands alone.
const FAILURES_MAX: u16 = 8;

/// The batches of a window that are still to be written.
#[derive(Debug)]
pub(super) struct Batches {
    left: VecDeque<Batch>,
    batch_len: usize,
    /// The window before it failed, so that its batches are smaller until the store has taken one.
    shrunk: bool,
    /// How many batches may still be made.
    budget: usize,
}

impl Batches {
    /// Stores write neighbouring keys more cheaply, and sorted writers do not lock each other out. A record that has
    /// failed is in a batch that is smaller with each failure, until it stands alone: one that makes others fail is found.
    /// After windows that failed all batches are smaller, and another one comes first each time, for the same reason.
    pub(super) fn new(window: Vec<InHand>, batch_len: usize, failed_windows: u32) -> Self {
        let budget = window.len().div_ceil(batch_len) + EXTRA_MAX;
        let mut left = cut(window, batch_len, failed_windows);
        let first = failed_windows as usize % left.len().max(1);
        left.rotate_left(first);
        Self { left, batch_len, shrunk: failed_windows > 0, budget }
    }

    /// The store has taken a batch: what is left goes in full batches, as a store that is back has much to catch up with.
    pub(super) fn on_written(&mut self) {
        if std::mem::take(&mut self.shrunk) {
            let left = std::mem::take(&mut self.left).into_iter().flatten().collect();
            self.left = cut(left, self.batch_len, 0);
        }
    }

    /// Puts a batch back in halves, to be written next. Gives it back when the window has made too many batches.
    pub(super) fn split(&mut self, mut batch: Batch) -> Option<Batch> {
        if self.budget == 0 || batch.len() < 2 {
            return Some(batch);
        }
        let second = batch.split_off(batch.len() / 2);
        self.left.push_front(second);
        self.left.push_front(batch);
        None
    }
}

fn cut(mut window: Vec<InHand>, batch_len: usize, failed_windows: u32) -> VecDeque<Batch> {
    let failures = |held: &InHand| held.tries.failures.min(FAILURES_MAX);
    window.sort_unstable_by(|a, b| {
        failures(a)
            .cmp(&failures(b))
            .then_with(|| a.record.key.cmp(&b.record.key))
            .then_with(|| a.record.provider.cmp(&b.record.provider))
    });
    let mut batches = VecDeque::new();
    for alike in window.chunk_by(|a, b| failures(a) == failures(b)) {
        let halvings = 2 * u32::from(failures(&alike[0])) + failed_windows.min(usize::BITS / 4);
        let len = (batch_len >> halvings.min(usize::BITS - 1)).max(1);
        batches.extend(alike.chunks(len).map(<[InHand]>::to_vec));
    }
    batches
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        self.budget = self.budget.checked_sub(1)?;
        self.left.pop_front()
    }
}
