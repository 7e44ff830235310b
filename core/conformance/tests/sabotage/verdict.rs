//! What a suite must find.

use hydra_conformance::{Conclusion, Finding, Suite};
use libtest_mimic::{Failed, Trial};

/// A test that an honest plugin keeps all rules, and that each case puts its rule to the test in one of the suites.
pub(crate) fn honest(role: &str, suites: impl Fn() -> Vec<Suite> + Send + 'static) -> Trial {
    Trial::test(format!("{role}::Honest"), move || {
        let findings = findings(suites());
        let kept = |case| findings.iter().any(|one| one.case == case && one.conclusion == Conclusion::Kept);
        let broken = |one: &&Finding| matches!(one.conclusion, Conclusion::Broken(_)) || !kept(one.case);
        let faults: Vec<_> = findings.iter().filter(broken).collect();
        if faults.is_empty() { Ok(()) } else { Err(Failed::from(format!("an honest plugin: {faults:#?}"))) }
    })
}

/// A test that this case finds fault with a plugin that breaks its rule, and that no case of another rule does, except
/// `also`, which cannot be kept without that rule.
pub(crate) fn caught(
    role: &str,
    sabotage: &str,
    case: &'static str,
    also: &'static [&'static str],
    suites: impl Fn() -> Vec<Suite> + Send + 'static,
) -> Trial {
    Trial::test(format!("{role}::{sabotage}"), move || {
        let is_broken = |one: &Finding| matches!(one.conclusion, Conclusion::Broken(_));
        let faults: Vec<_> = findings(suites()).into_iter().filter(is_broken).collect();
        if !faults.iter().any(|one| one.case == case) {
            return Err(Failed::from(format!("{case} finds no fault; these do: {faults:#?}")));
        }
        // A case that compares with a model names all the rules that it is about.
        let rule = case.split('_').next().filter(|word| is_rule(word));
        let of_rule = |one: &&Finding| {
            let is_about_it = |rule: &str| one.case.split('_').any(|word| word == rule);
            one.case == case || also.contains(&one.case) || rule.is_some_and(is_about_it)
        };
        match faults.iter().find(|one| !of_rule(one)) {
            Some(other) => Err(Failed::from(format!("a case of another rule finds fault: {other:#?}"))),
            None => Ok(()),
        }
    })
}

/// The name of a numbered rule, `s12` for example; other cases begin with any word.
fn is_rule(word: &str) -> bool {
    word.len() > 1
        && word.starts_with(['s', 'r', 'a', 'i'])
        && word[1..].bytes().all(|byte| byte.is_ascii_digit())
}

fn findings(suites: Vec<Suite>) -> Vec<Finding> {
    suites.into_iter().flat_map(Suite::findings).collect()
}
