//! Counters for which threads do not contend: a value in one copy for each core.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;

/// The most copies of a striped value.
const STRIPES_MAX: usize = 16;

/// A value in one copy for each core, 16 at most, on cache lines of its own: each thread changes its own copy, readers add them up.
#[derive(Debug)]
pub struct Striped<T>(Box<[Padded<T>]>);

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
    pub fn mine(&self) -> &T {
        &self.0[thread() & (self.0.len() - 1)].0
    }

    /// All copies.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }

    /// The sum of one counter of all copies. One copy alone may be below zero: what one thread has added another one may take off.
    pub fn sum(&self, counter: impl Fn(&T) -> &AtomicU64) -> u64 {
        let read = |copy| counter(copy).load(Ordering::Relaxed);
        self.iter().map(read).fold(0, u64::wrapping_add)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_among_the_stripes() {
        let counter = Striped::<AtomicU64>::default();
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        counter.mine().fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(counter.sum(|copy| copy), 32_000);
    }

    #[test]
    fn what_another_thread_takes_off_is_taken_off() {
        let counter = Striped::<AtomicU64>::default();
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| counter.mine().fetch_add(3, Ordering::Relaxed));
                scope.spawn(|| counter.mine().fetch_sub(2, Ordering::Relaxed));
            }
        });
        assert_eq!(counter.sum(|copy| copy), 32);
    }
}
