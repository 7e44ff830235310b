//! What a plugin that is open does with a changed table.

use crate::check::{Broken, Kept, Outcome, ensure};
use crate::place::Lab;
use hydra_api::{ReconfigureError, Role, Value};
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};

const UNKNOWN: &str = "no_plugin_has_such_a_key";

/// Gives an open plugin its own table, which it takes up or not, and tables that are wrong, which it refuses. The caller
/// sees to it that nothing has changed afterwards.
pub(crate) fn refuses<R: Role>(
    lab: &Lab<R>,
    reconfigure: impl Fn(Value) -> Result<(), ReconfigureError>,
) -> Outcome {
    let give = |table: Value| {
        let shown = table.to_string();
        let panicked = |_| Broken::new(format!("it panicked when it was given {shown}"));
        catch_unwind(AssertUnwindSafe(|| reconfigure(table))).map_err(panicked)
    };
    if let Err(ReconfigureError::Config(issue)) = give(lab.table())? {
        return Err(Broken::new(format!("it refuses its own table: {issue}")));
    }
    let mut with_key = lab.table();
    if let Some(table) = with_key.as_object_mut() {
        table.insert(UNKNOWN.to_owned(), Value::Bool(true));
    }
    let mut none_is_taken = true;
    // The last one has the defaults in place of the settings: were it taken in part, that would show.
    for table in [with_key, json!({ UNKNOWN: true })] {
        match give(table)? {
            Ok(()) => return Err(Broken::new(format!("the key `{UNKNOWN}` was taken"))),
            Err(ReconfigureError::NeedsRestart { .. }) => {}
            Err(error) => {
                none_is_taken = false;
                let said = error.to_string();
                ensure!(said.contains(UNKNOWN), "the error does not name the key: {said}");
            }
        }
    }
    for table in [json!(null), json!(true), json!("table"), json!([1])] {
        let shown = table.to_string();
        ensure!(give(table)?.is_err(), "{shown} was taken for a table");
    }
    if none_is_taken {
        return Ok(Kept::NotApplicable("it takes up no change while it is open"));
    }
    Ok(Kept::Shown)
}
