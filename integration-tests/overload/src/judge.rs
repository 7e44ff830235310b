//! Compares what was measured with the figures to be reached.

mod curve;
mod trigger;

pub(crate) use curve::{at, curve};
pub(crate) use trigger::trial;

use crate::arm::Arm;

/// What has to hold in every run, however short: these figures do not depend on how fast the machine is.
const SAFETY: [&str; 6] = ["statements", "active", "unanswered", "started", "recovered", "alive"];

/// A figure that is to be reached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    /// Its name, without spaces.
    pub(crate) id: &'static str,
    pub(crate) figure: String,
    pub(crate) wanted: String,
    pub(crate) measured: String,
    pub(crate) passed: bool,
}

/// What an arm showed that it must not, or did not show that it must; nothing if the laboratory is to be believed.
pub(crate) fn objections(arm: &Arm, verdicts: &[Verdict]) -> Vec<String> {
    if arm.is_baseline() {
        let has_missed =
            verdicts.iter().any(|verdict| !verdict.passed && arm.must_miss.iter().any(|id| id == verdict.id));
        if has_missed || verdicts.is_empty() {
            return Vec::new();
        }
        return vec![format!("{} is a baseline and missed none of {}", arm.title, arm.must_miss.join(", "))];
    }
    if !arm.judged {
        return Vec::new();
    }
    let missed = verdicts.iter().filter(|verdict| !verdict.passed && SAFETY.contains(&verdict.id));
    let object = |verdict: &Verdict| {
        let Verdict { figure, measured, wanted, .. } = verdict;
        format!("{}: {figure} is {measured} instead of {wanted}", arm.title)
    };
    missed.map(object).collect()
}

fn at_most(id: &'static str, figure: String, measured: f64, max: f64) -> Verdict {
    let wanted = format!("at most {}", short(max));
    Verdict { id, figure, wanted, measured: short(measured), passed: measured <= max }
}

fn at_least(id: &'static str, figure: String, measured: f64, min: f64) -> Verdict {
    let wanted = format!("at least {}", short(min));
    Verdict { id, figure, wanted, measured: short(measured), passed: measured >= min }
}

fn none(id: &'static str, figure: &str, count: u64) -> Verdict {
    let figure = figure.to_owned();
    Verdict { id, figure, wanted: "0".to_owned(), measured: count.to_string(), passed: count == 0 }
}

/// Two decimals for a small number, none for a large one.
fn short(number: f64) -> String {
    if number.abs() < 10.0 && number.fract() != 0.0 { format!("{number:.2}") } else { format!("{number:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(failed: &'static str) -> Vec<Verdict> {
        let verdict = |id| Verdict {
            id,
            figure: id.to_owned(),
            wanted: String::new(),
            measured: String::new(),
            passed: id != failed,
        };
        ["statements", "goodput_10", "p99", "recovered"].map(verdict).into()
    }

    #[test]
    fn the_default_must_be_safe_and_a_baseline_must_fail() {
        let arms = Arm::all().unwrap();
        let arm = |name: &str| arms.iter().find(|arm| arm.name == name).unwrap();
        let count = |name, failed| objections(arm(name), &verdicts(failed)).len();
        assert_eq!([count("shipped", ""), count("shipped", "p99"), count("shipped", "recovered")], [0, 0, 1]);
        assert_eq!([count("no-gate", ""), count("no-gate", "goodput_10")], [1, 0]);
        assert_eq!([count("no-batching", ""), count("no-batching", "statements")], [0, 0]);
        assert!(objections(arm("no-gate"), &[]).is_empty(), "it has not run");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.954, 5.0, 12.34, 0.0].map(short), ["0.95", "5", "12", "0"]);
    }
}
