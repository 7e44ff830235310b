//! `hydra plugins`: the plugins that the config can name.

use super::{Failure, Output};
use hydra_api::{Admission, Ids, Registry, Role, Store};
use serde_json::{Value, json};

/// Lists the kinds of every role, and those of imports, with one line each.
pub(crate) fn plugins(registry: &Registry, json: bool, out: &mut Output) -> Result<(), Failure> {
    let imports = registry.importers().iter().map(|entry| ("import", entry.kind(), entry.summary()));
    let rows = rows::<Store>(registry).chain(rows::<Ids>(registry)).chain(rows::<Admission>(registry));
    let rows: Vec<_> = rows.chain(imports).collect();
    if json {
        let list: Vec<Value> = rows
            .iter()
            .map(|(role, kind, summary)| json!({ "role": role, "kind": kind, "summary": summary }))
            .collect();
        return Ok(out.line(Value::Array(list))?);
    }
    let width = rows.iter().map(|(_, kind, _)| kind.len()).max().unwrap_or(0);
    for (role, kind, summary) in rows {
        out.line(format_args!("{role:<9}  {kind:<width$}  {summary}"))?;
    }
    Ok(())
}

type Row = (&'static str, &'static str, &'static str);

fn rows<R: Role>(registry: &Registry) -> impl Iterator<Item = Row> {
    registry.all::<R>().iter().map(|entry| (R::NAME, entry.kind(), entry.summary()))
}
