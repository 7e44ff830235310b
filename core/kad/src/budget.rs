//! Memory that all connections of a node draw on, counted in bytes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes shared by everyone who holds a clone: what one takes, another cannot.
///
/// Nobody waits for it. Who gets nothing does without.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    bytes_max: usize,
    taken: AtomicUsize,
    /// What it is a share of.
    whole: Option<Budget>,
}

impl Budget {
    /// A budget of this many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Inner { bytes_max, taken: AtomicUsize::new(0), whole: None }))
    }

    /// A share of this budget: what it takes counts here too, and is at most `bytes_max`.
    pub fn share(&self, bytes_max: usize) -> Self {
        Self(Arc::new(Inner { bytes_max, taken: AtomicUsize::new(0), whole: Some(self.clone()) }))
    }

    /// A charge of nothing, which can [grow](Charge::grow_to).
    pub fn charge(&self) -> Charge {
        Charge { budget: self.clone(), bytes: 0 }
    }

    /// How many bytes are taken now.
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// How many bytes there are.
    pub fn bytes_max(&self) -> usize {
        self.0.bytes_max
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = self
            .0
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(bytes).filter(|sum| *sum <= self.0.bytes_max)
            })
            .is_ok();
        if taken && self.0.whole.as_ref().is_some_and(|whole| !whole.take(bytes)) {
            self.0.taken.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        taken
    }

    fn give_back(&self, bytes: usize) {
        self.0.taken.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.0.whole {
            whole.give_back(bytes);
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {} bytes taken)", self.taken(), self.0.bytes_max)
    }
}

/// Bytes taken from a [`Budget`]; dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: usize,
}

impl Charge {
    /// Takes what is missing to hold `bytes`; holding more already is fine.
    ///
    /// Returns false, and takes nothing, when the budget has not that much left.
    #[must_use]
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let missing = bytes.saturating_sub(self.bytes);
        if missing == 0 {
            return true;
        }
        let taken = self.budget.take(missing);
        if taken {
            self.bytes = bytes;
        }
        taken
    }

    /// Gives everything back.
    pub fn clear(&mut self) {
        if self.bytes > 0 {
            self.budget.give_back(self.bytes);
            self.bytes = 0;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_never_overdrawn_and_gets_everything_back() {
        let budget = Budget::new(100);
        let (mut one, mut two) = (budget.charge(), budget.charge());
        assert!(one.grow_to(60));
        assert!(!two.grow_to(41));
        assert!(two.grow_to(40));
        assert!(!one.grow_to(usize::MAX));
        assert!(one.grow_to(10), "holding more already is fine");
        assert_eq!(budget.taken(), 100);
        drop(one);
        assert_eq!(budget.taken(), 40);
        two.clear();
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn a_share_takes_no_more_than_its_part_and_no_more_than_there_is() {
        let budget = Budget::new(100);
        let (one, two) = (budget.share(60), budget.share(60));
        let (mut first, mut second) = (one.charge(), two.charge());
        assert!(!first.grow_to(61));
        assert!(first.grow_to(60));
        assert!(!second.grow_to(41));
        assert_eq!((two.taken(), budget.taken()), (0, 60), "what is refused is not counted");
        assert!(second.grow_to(40));
        drop((first, second));
        assert_eq!((one.taken(), two.taken(), budget.taken()), (0, 0, 0));
    }
}
