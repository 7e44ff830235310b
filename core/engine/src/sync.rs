//! Locks that a panic does not close, and counters for which threads do not contend.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

/// Locks for a few instructions; a panic elsewhere under the lock leaves counts at worst one off, so it is no reason
/// to stop serving.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(test)]
    LOCKS.with(|locks| locks.set(locks.get() + 1));
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
thread_local! {
    /// How many locks this thread has taken: every lock of the engine is taken by [`lock`].
    pub(crate) static LOCKS: Cell<u64> = const { Cell::new(0) };
}

/// The most copies of a striped value.
const STRIPES_MAX: usize = 16;

/// A value in one copy for each core, on cache lines of its own: each thread changes its own copy, readers add them up.
#[derive(Debug)]
pub(crate) struct Striped<T>(Box<[Padded<T>]>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(usize::MAX) };
}

impl<T: Default> Default for Striped<T> {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let len = cores.next_power_of_two().min(STRIPES_MAX);
        Self((0..len).map(|_| Padded::default()).collect())
    }
}

impl<T> Striped<T> {
    /// The copy of this thread, which it may share with few others.
    #[inline]
    pub(crate) fn mine(&self) -> &T {
        &self.0[thread() & (self.0.len() - 1)].0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }

    /// The sum of one counter of all copies.
    pub(crate) fn sum(&self, counter: impl Fn(&T) -> &AtomicU64) -> u64 {
        self.iter().map(|copy| counter(copy).load(Ordering::Relaxed)).sum()
    }
}

#[inline]
fn thread() -> usize {
    THREAD.with(|thread| {
        if thread.get() == usize::MAX {
            thread.set(NEXT_THREAD.fetch_add(1, Ordering::Relaxed));
        }
        thread.get()
    })
}

/// Adds to a counter.
#[inline]
pub(crate) fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

/// Reads a counter.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_among_the_stripes() {
        let counter = Striped::<AtomicU64>::default();
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| (0..1_000).for_each(|_| add(counter.mine(), 1)));
            }
        });
        assert_eq!(counter.sum(|copy| copy), 32_000);
    }
}
