//! As in `tests/sabotage`, for looks at damaged records: in a binary of its own, which runs itself again with one store each.

mod sabotaged;

use hydra_conformance::crash::{Crash, run};
use libtest_mimic::{Arguments, Failed, Trial};
use sabotaged::{Config, Sabotage, Sabotaged};
use std::process::{Command, ExitCode};

/// The name of the sabotage in a process that puts one store to the test.
const SABOTAGE: &str = "HYDRA_TEST_SABOTAGE";
const CASE: &str = "sabotaged::damage_is_left_as_it_is_by_a_look";

/// Each sabotage and what the case says of it; nothing of an honest store.
const TABLE: &[(Sabotage, Option<&str>)] = &[
    (Sabotage::Honest, None),
    (Sabotage::SetsAside, Some("it shows an empty store instead of the damage")),
    (Sabotage::BeginsEmpty, Some("it shows an empty store instead of the damage")),
    (Sabotage::SetsAsideAndFails, Some("it has moved")),
    (Sabotage::FailsAsUnavailable, Some("a look fails as Unavailable")),
    (Sabotage::ReturnsAnything, Some("it returns what was never inserted")),
    (Sabotage::SetsAsideAndShowsAll, Some("it has moved")),
    (Sabotage::FindsItLater, None),
    (Sabotage::WritesAndFindsItLater, None),
    (Sabotage::NoticesAndFindsItLater, None),
    (Sabotage::NoticesAndWrites, Some("it has changed")),
    (Sabotage::InventsBesideDamage, Some("it returns what was never inserted")),
];

fn main() -> ExitCode {
    let named = std::env::var(SABOTAGE).ok();
    if let Some((sabotage, _)) = TABLE.iter().find(|(one, _)| Some(format!("{one:?}")) == named) {
        let crash = Crash::of::<Sabotaged>(Config { sabotage: *sabotage });
        return run([if sabotage.notices() { crash.notices_damage() } else { crash }]);
    }
    let trials = TABLE.iter().map(|(sabotage, fault)| {
        Trial::test(format!("damage::{sabotage:?}"), move || put_to_the_test(*sabotage, *fault))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn put_to_the_test(sabotage: Sabotage, fault: Option<&str>) -> Result<(), Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args(["--exact", CASE]).env(SABOTAGE, format!("{sabotage:?}")).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let has_run = said.contains("1 passed") || said.contains("1 failed");
    match fault {
        _ if !has_run => Err(Failed::from(format!("the case has not run: {said}"))),
        None if output.status.success() => Ok(()),
        None => Err(Failed::from(format!("an honest store: {said}"))),
        Some(fault) if !output.status.success() && said.contains(fault) => Ok(()),
        Some(fault) => Err(Failed::from(format!("`{fault}` is not in: {said}"))),
    }
}
