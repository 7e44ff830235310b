//! What is known of an arm at a place.

use crate::arm::Arm;
use crate::figures::Figures;
use crate::judge::{self, Verdict};
use crate::place::Place;
use crate::results::Results;
use crate::trial::Trial;
use crate::trigger::Trigger;
use std::io;

/// What is known of an arm at a place.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    pub(crate) arm: &'a Arm,
    pub(crate) steps: Vec<Figures>,
    pub(crate) trials: Vec<Trial>,
}

impl<'a> Known<'a> {
    /// What the results have of these arms, in their order.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn at(place: &Place, results: &Results, arms: &'a [Arm]) -> io::Result<Vec<Self>> {
        let mut known = Vec::new();
        for arm in arms {
            let mut trials = results.trials()?;
            trials.retain(|trial| trial.place == place.name && trial.arm == arm.name);
            trials.sort_by_key(|trial| Trigger::ALL.iter().position(|of| of.to_string() == trial.trigger));
            let steps = results.steps(place, &arm.name)?;
            if !steps.is_empty() || !trials.is_empty() {
                known.push(Self { arm, steps, trials });
            }
        }
        Ok(known)
    }

    /// The verdicts of its curve.
    pub(crate) fn of_curve(&self, place: &Place) -> Vec<Verdict> {
        judge::curve(place.backend, &self.steps)
    }

    /// All its verdicts, each with where it comes from: the curve or a trigger.
    pub(crate) fn verdicts(&self, place: &Place) -> Vec<(String, Verdict)> {
        let curve = self.of_curve(place).into_iter().map(|verdict| ("curve".to_owned(), verdict));
        let trials = self.trials.iter().flat_map(|trial| {
            judge::trial(trial).into_iter().map(|verdict| (trial.trigger.clone(), verdict))
        });
        curve.chain(trials).collect()
    }
}
