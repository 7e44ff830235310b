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
    cases: Vec<Ready>,
    alone: Alone,
    name: String,
    ignored: bool,
    lack: Option<&'static str>,
}

/// A case that knows its plugin and its place.
struct Ready {
    rule: Rule,
    plugin: &'static str,
    name: &'static str,
    run: Box<dyn Fn() -> Outcome + Send + Sync>,
}

/// How a case has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The name of the case.
    pub case: &'static str,
    /// The rule that it puts to the test.
    pub rule: Rule,
    /// Whether the rule holds.
    pub conclusion: Conclusion,
}

/// What a case has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conclusion {
    /// The rule holds.
    Kept,
    /// The rule does not apply, and why.
    NotApplicable(&'static str),
    /// The rule is broken, and how.
    Broken(String),
}

/// Whether the cases of a suite measure the whole process, so that nothing may run beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alone {
    No,
    Yes,
}

/// How many threads run the tasks of a case. The clock of a case can be paused on one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    One,
    Two,
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
        trials.extend(suite.trials());
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

impl Suite {
    pub(crate) fn of<P, F, Fut>(cases: Vec<Case<P::Role>>, place: F, alone: Alone, threads: Threads) -> Self
    where
        P: Plugin,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Place> + Send + 'static,
    {
        let place = Arc::new(place);
        let ready = |case: Case<P::Role>| {
            let place = Arc::clone(&place);
            let run = move || {
                let place = Arc::clone(&place);
                in_runtime(threads, async move {
                    let lab = Lab::new::<P>(place().await)?;
                    (case.run)(Arc::new(lab)).await
                })
            };
            Ready { rule: case.rule, plugin: P::KIND, name: case.name, run: Box::new(run) }
        };
        let cases = cases.into_iter().map(ready).collect();
        Self { cases, alone, name: String::new(), ignored: false, lack: None }
    }

    /// Gives the suite a name of its own, for a plugin that is tested in more than one configuration.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Leaves out the cases whose names do not begin like this, in a place that is made for some rules: `"s17"`.
    #[must_use]
    pub fn only(mut self, beginning: &str) -> Self {
        self.cases.retain(|case| case.name.starts_with(beginning));
        self
    }

    /// Leaves out the cases whose names begin like this.
    #[must_use]
    pub fn without(mut self, beginning: &str) -> Self {
        self.cases.retain(|case| !case.name.starts_with(beginning));
        self
    }

    /// Shows every case as ignored when `absent`: the backend is not there. Where it must be there, pass `false` and
    /// let the cases fail.
    #[must_use]
    pub fn ignored_if(mut self, absent: bool) -> Self {
        self.ignored = absent;
        self
    }

    /// Shows every case as ignored if there is a reason, and names it: the backend is there, and lacks what the suite needs.
    #[must_use]
    pub fn ignored_for(mut self, lack: Option<&'static str>) -> Self {
        self.lack = lack;
        self
    }

    /// Runs the cases one after another and returns what they have found, for those who look into the suite itself.
    pub fn findings(self) -> Vec<Finding> {
        let finding = |case: &Ready| Finding {
            case: case.name,
            rule: case.rule,
            conclusion: match (case.run)() {
                Ok(Kept::Shown) => Conclusion::Kept,
                Ok(Kept::NotApplicable(why)) => Conclusion::NotApplicable(why),
                Err(how) => Conclusion::Broken(how.to_string()),
            },
        };
        self.cases.iter().map(finding).collect()
    }

    fn trials(self) -> impl Iterator<Item = Trial> {
        let trial = move |case: Ready| {
            let name = format!("{}::{}", case.plugin, case.name);
            let lack = self.lack;
            let trial =
                Trial::ignorable_test(name, move || match lack.map_or_else(|| (case.run)(), lacking) {
                    Ok(Kept::Shown) => Ok(Completion::Completed),
                    Ok(Kept::NotApplicable(why)) => Ok(Completion::ignored_with(why)),
                    Err(how) => Err(Failed::from(message(case.rule, &how))),
                });
            trial.with_kind(self.name.clone()).with_ignored_flag(self.ignored)
        };
        self.cases.into_iter().map(trial)
    }
}

fn lacking(what: &'static str) -> Outcome {
    Ok(Kept::NotApplicable(what))
}

fn message(rule: Rule, how: &Broken) -> String {
    format!("rule {} is broken: {how}\n  {} {}", rule.id, rule.id, rule.text)
}

/// Runs a case on a thread of its own: neither a plugin that blocks nor a paused clock stops the wait for it.
fn in_runtime(threads: Threads, case: impl Future<Output = Outcome> + Send + 'static) -> Outcome {
    let mut runtime = match threads {
        Threads::One => tokio::runtime::Builder::new_current_thread(),
        Threads::Two => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|cause| Broken::new(format!("no runtime: {cause}")))?;
    let (ended, end) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let outcome = runtime.block_on(AssertUnwindSafe(case).catch_unwind());
        runtime.shutdown_background();
        // Nobody waits any longer for a case that is late.
        drop(ended.send(outcome));
    });
    match end.recv_timeout(CASE_MAX) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(Broken::new(format!("the plugin panicked: {}", words(&*panic)))),
        Err(_) => Err(Broken::new(format!("the plugin did not return within {CASE_MAX:?}"))),
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.cases.iter().map(|case| case.name)).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The numbered rules in the documentation of a trait: a list item with a bold number, and the lines that go on
    /// with it.
    fn documented(source: &str) -> Vec<(String, String)> {
        let mut rules: Vec<(String, String)> = Vec::new();
        let mut goes_on = false;
        for line in source.lines() {
            let line = line.trim().strip_prefix("///").map_or("", str::trim);
            if let Some((id, text)) = line.strip_prefix("- **").and_then(|line| line.split_once("** ")) {
                rules.push((id.to_owned(), text.to_owned()));
                goes_on = true;
            } else if line.is_empty() {
                goes_on = false;
            } else if let Some((_, text)) = rules.last_mut().filter(|_| goes_on) {
                text.push_str(&format!(" {line}"));
            }
        }
        rules
    }

    /// Without the marks of Markdown; of a link with a target of its own, the text.
    fn plain(text: &str) -> String {
        let mut parts = text.split("](");
        let mut plain = parts.next().unwrap_or_default().to_owned();
        parts.for_each(|part| plain.push_str(part.split_once(')').map_or(part, |(_, rest)| rest)));
        plain.retain(|c| !"`[]".contains(c));
        plain
    }

    /// Demands that the rules in the documentation of a trait, these rules and those of its cases are the same.
    pub(crate) fn quoted_and_covered(source: &str, rules: &[Rule], covered: &[Rule]) {
        let documented = documented(source);
        assert_eq!(documented.len(), rules.len(), "as many rules as are documented");
        for ((id, text), rule) in documented.iter().zip(rules) {
            assert_eq!((id.as_str(), plain(text).as_str()), (rule.id, rule.text));
            assert!(covered.contains(rule), "{id} has no case");
        }
    }

    #[test]
    fn a_failure_names_the_rule_and_quotes_it() {
        let said = message(crate::store::RULES[1], &Broken::new("it is shorter"));
        assert!(said.contains("rule S2") && said.contains("never shortens a record's life"), "{said}");
    }
}
