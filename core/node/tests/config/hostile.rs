//! Nothing that a file or a variable may hold ends in a panic.

use crate::{environment, file, plugins::registry};
use hydra_node::config::{Sources, load};
use proptest::prelude::*;

const FILE: &str = include_str!("../../../../config/hydra.toml");

fn loads_or_reports(sources: &Sources) -> Result<(), TestCaseError> {
    if let Err(issues) = load(&registry(), sources) {
        prop_assert!(!issues.0.is_empty());
        for issue in issues.0 {
            prop_assert!(!issue.message.is_empty());
            // Line and column are computed here.
            prop_assert!(!issue.to_string().is_empty());
        }
    }
    Ok(())
}

/// A line of the annotated file, or something that looks like one.
fn line() -> impl Strategy<Value = String> {
    let lines: Vec<_> = FILE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let value = prop_oneof![
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| format!("{value:?}")),
        "[a-zé\"'\\[\\]{}=.#, ]{0,12}",
        Just("{ file = 1 }".to_owned()),
        Just("[[], {}, 1, 'a']".to_owned()),
        Just("1979-05-27T07:32:00Z".to_owned()),
    ];
    (prop::sample::select(lines), value, 0..4u8).prop_map(|(line, value, how)| {
        match (how, line.split_once(" = ")) {
            (0, Some((key, _))) => format!("{key} = {value}"),
            (1, _) => value,
            _ => line.to_owned(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_file_is_read_or_refused(lines in prop::collection::vec(line(), 0..24)) {
        loads_or_reports(&file(&lines.join("\n")).sources)?;
    }

    #[test]
    fn any_variable_is_read_or_refused(
        name in "HYDRA_(HEADS|STORE|ADMISSION|DATA_DIR|[A-Z_0-9é]{0,6})(__[A-Z_0-9]{0,8}){0,3}",
        value in prop_oneof!["[ -~]{0,20}", Just("{kind = 'fjall'}".to_owned()), Just("[[1]]".to_owned())],
    ) {
        loads_or_reports(&environment(&[(&name, &value), ("HYDRA_HEADS__COUNT", "3")]))?;
    }
}
