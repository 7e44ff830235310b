//! Cases, gathered into suites and run as tests.

use crate::check::{Broken, Kept, Outcome};
use crate::place::{Lab, Place};
use futures::FutureExt;
use futures::future::BoxFuture;
use hydra_api::{Plugin, Role};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// A numbered rule of a trait of hydra-api, as its documentation words it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its number: `S1`.
    pub id: &'static str,
    /// Its wording, without marks.
    pub text: &'static str,
}

/// The cases of one plugin in one configuration.
pub struct Suite {
    trials: Vec<Trial>,
    alone: Alone,
}

/// Whether the cases of a suite measure the whole process, so that nothing may run beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alone {
    No,
    Yes,
}

/// One case: the rule it puts to the test, its name, and what it does.
pub(crate) struct Case<R: Role> {
    pub(crate) rule: Rule,
    pub(crate) name: &'static str,
    pub(crate) run: fn(Arc<Lab<R>>) -> BoxFuture<'static, Outcome>,
}

/// A case whose function is `async fn(Arc<Lab<_>>) -> Outcome`.
macro_rules! case {
    ($rule:expr, $run:path) => {
        $crate::suite::Case {
            rule: $rule,
            name: stringify!($run),
            run: |lab| ::futures::FutureExt::boxed($run(lab)),
        }
    };
}
pub(crate) use case;

/// No case takes longer, on whatever machine: one that does has hung.
const CASE_MAX: Duration = Duration::from_secs(600);

/// Runs suites as the tests of this binary, with the arguments that every test binary takes.
pub fn run(suites: impl IntoIterator<Item = Suite>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for suite in suites {
        if suite.alone == Alone::Yes {
            arguments.test_threads = Some(1);
        }
        trials.extend(suite.trials);
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

impl Suite {
    pub(crate) fn of<P, F, Fut>(cases: Vec<Case<P::Role>>, place: F, alone: Alone) -> Self
    where
        P: Plugin,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Place> + Send + 'static,
    {
        let place = Arc::new(place);
        let trial = |case: Case<P::Role>| {
            let place = Arc::clone(&place);
            let name = format!("{}::{}", P::KIND, case.name);
            Trial::ignorable_test(name, move || {
                let run = case.run;
                let outcome = in_runtime(async move {
                    let lab = Lab::new::<P>(place().await)?;
                    run(Arc::new(lab)).await
                });
                match outcome {
                    Ok(Kept::Shown) => Ok(Completion::Completed),
                    Ok(Kept::NotApplicable(why)) => Ok(Completion::ignored_with(why)),
                    Err(how) => Err(Failed::from(message(case.rule, &how))),
                }
            })
        };
        Self { trials: cases.into_iter().map(trial).collect(), alone }
    }

    /// Gives the suite a name of its own, for a plugin that is tested in more than one configuration.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.trials = self.trials.into_iter().map(|trial| trial.with_kind(name)).collect();
        self
    }

    /// Shows every case as ignored when `absent`: the backend is not there. Where it must be there, pass `false` and
    /// let the cases fail.
    #[must_use]
    pub fn ignored_if(mut self, absent: bool) -> Self {
        self.trials = self.trials.into_iter().map(|trial| trial.with_ignored_flag(absent)).collect();
        self
    }
}

fn message(rule: Rule, how: &Broken) -> String {
    format!("rule {} is broken: {how}\n  {} {}", rule.id, rule.id, rule.text)
}

fn in_runtime(case: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|cause| Broken::new(format!("no runtime: {cause}")))?;
    let outcome = runtime.block_on(async {
        let case = AssertUnwindSafe(case).catch_unwind();
        match tokio::time::timeout(CASE_MAX, case).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(Broken::new(format!("the plugin panicked: {}", words(&*panic)))),
            Err(_) => Err(Broken::new(format!("the plugin did not return within {CASE_MAX:?}"))),
        }
    });
    runtime.shutdown_background();
    outcome
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.trials.iter().map(Trial::name)).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Demands that the rules in the documentation of a trait, these rules and those of its cases are the same.
    pub(crate) fn quoted_and_covered(source: &str, rules: &[Rule], covered: &[Rule]) {
        let mut documented = Vec::new();
        for line in source.lines().map(|line| line.trim().trim_start_matches("///").trim()) {
            if let Some((id, text)) = line.strip_prefix("- **").and_then(|line| line.split_once("** ")) {
                documented.push((id.to_owned(), text.to_owned()));
            } else if line.is_empty() || line.starts_with('#') {
                continue;
            } else if let Some((_, text)) = documented.last_mut().filter(|(_, text)| !text.ends_with("\n")) {
                if line.starts_with("pub trait") || line.starts_with("#[") {
                    text.push('\n');
                } else {
                    text.push_str(&format!(" {line}"));
                }
            }
        }
        let plain = |text: &str| -> String {
            let text =
                text.lines().next().unwrap_or_default().split(" pub trait ").next().unwrap_or_default();
            text.chars().filter(|c| !"`[]".contains(*c)).collect()
        };
        assert_eq!(documented.len(), rules.len(), "as many rules as are documented");
        for ((id, text), rule) in documented.iter().zip(rules) {
            assert_eq!((id.as_str(), plain(text).trim()), (rule.id, rule.text));
            assert!(covered.contains(rule), "{id} has no case");
        }
    }

    #[test]
    fn a_failure_names_the_rule_and_quotes_it() {
        let said = message(crate::store::RULES[1], &Broken::new("it is shorter"));
        assert!(said.contains("rule S2") && said.contains("never shortens a record's life"), "{said}");
    }
}
