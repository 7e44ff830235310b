//! The steps that a node takes as its memory use nears the limit.

use crate::config::Memory;

/// What the node gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The caches and the write queue are halved.
    Shrink,
    /// New inbound connections are refused.
    Refuse,
    /// The least useful connections are closed.
    Close,
}

impl Step {
    /// All of them, the first one first, in the order of their discriminants.
    pub(crate) const ALL: [Self; 3] = [Self::Shrink, Self::Refuse, Self::Close];

    /// The word in metrics, in JSON and in the names of files.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Shrink => "shrink",
            Self::Refuse => "refuse",
            Self::Close => "close",
        }
    }

    /// What it means, in the words of the log.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Shrink => "the caches and the write queue are halved",
            Self::Refuse => "new inbound connections are refused",
            Self::Close => "the least useful connections are closed",
        }
    }
}

/// Which steps are in effect.
#[derive(Debug)]
pub(super) struct Steps {
    /// From which use on, in percent; 0 for never.
    percent: [u32; Step::ALL.len()],
    recover: u32,
    active: [bool; Step::ALL.len()],
}

/// A step that begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Begins(Step),
    Ends(Step),
}

impl Steps {
    pub(super) fn new(config: &Memory) -> Self {
        Self {
            percent: [config.shrink_percent, config.refuse_percent, config.close_percent],
            recover: config.recover_percent,
            active: [false; Step::ALL.len()],
        }
    }

    /// What changes at this use: beginnings in the order of the steps, then ends in the opposite order.
    pub(super) fn at(&mut self, percent: f64) -> Vec<Change> {
        let mut changes = Vec::new();
        for step in Step::ALL {
            let begins = self.percent[step as usize];
            if !self.is_active(step) && begins > 0 && percent >= f64::from(begins) {
                self.active[step as usize] = true;
                changes.push(Change::Begins(step));
            }
        }
        for step in Step::ALL.into_iter().rev() {
            let ends = self.percent[step as usize].saturating_sub(self.recover);
            if self.is_active(step) && percent < f64::from(ends) {
                self.active[step as usize] = false;
                changes.push(Change::Ends(step));
            }
        }
        changes
    }

    pub(super) fn is_active(&self, step: Step) -> bool {
        self.active[step as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::Change::{Begins, Ends};
    use super::*;

    #[test]
    fn steps_begin_at_their_percentage_and_end_below_it() {
        let mut steps = Steps::new(&Memory::default());
        assert_eq!(steps.at(84.9), []);
        assert_eq!(steps.at(85.0), [Begins(Step::Shrink)]);
        assert_eq!(steps.at(91.0), [], "it is in effect");
        assert_eq!(steps.at(96.0), [Begins(Step::Refuse), Begins(Step::Close)]);
        assert_eq!(steps.at(90.0), [], "5 percent below is not reached");
        assert_eq!(steps.at(89.9), [Ends(Step::Close)]);
        assert_eq!(steps.at(92.5), []);
        assert_eq!(steps.at(10.0), [Ends(Step::Refuse), Ends(Step::Shrink)]);
        assert!(Step::ALL.into_iter().all(|step| !steps.is_active(step)));
    }

    #[test]
    fn a_step_that_is_switched_off_never_begins() {
        let mut steps = Steps::new(&Memory { refuse_percent: 0, ..Memory::default() });
        assert_eq!(steps.at(200.0), [Begins(Step::Shrink), Begins(Step::Close)]);
    }
}
