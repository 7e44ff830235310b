//! `hydra config check`: all mistakes of a config at once. Nothing is opened or created.

mod addresses;
mod files;

pub(crate) use addresses::address_warnings;

use super::failure::warn;
use super::{Failure, Output};
use crate::config::{Descriptors, Examined, Issue, Issues, KeyPath, Loaded, Origin, RAISE, Sources, examine};
use crate::node::backends::OpenBackendsError;
use hydra_api::{Ids, Registry, Role};

/// Prints `ok`, and the warnings to standard error.
///
/// # Errors
/// All mistakes.
pub(crate) fn check(registry: &Registry, sources: &Sources, out: &mut Output) -> Result<(), Failure> {
    let Examined { loaded, mut issues } = examine(registry, sources);
    let mut warnings = Vec::new();
    if let Some(loaded) = &loaded {
        issues.extend(loaded.warnings().iter().cloned());
        let mut found = found(loaded, issues.is_empty(), &mut warnings);
        if issues.is_empty() {
            let of_plugins = loaded.check_files(registry).into_iter();
            let is_new = |issue: &Issue| !found.iter().any(|known| known.key == issue.key);
            found.extend(of_plugins.filter(is_new).collect::<Vec<_>>());
        }
        // A key has one mistake at a time.
        issues.extend(
            found
                .into_iter()
                .filter(|issue| issue.key.is_empty() || !issues.iter().any(|known| known.key == issue.key))
                .collect::<Vec<_>>(),
        );
    }
    warnings.iter().for_each(warn);
    if !issues.is_empty() {
        issues.sort_by_key(|issue| match &issue.origin {
            Origin::File(place) => (place.line(), place.column()),
            _ => (0, 0),
        });
        return Err(Issues(issues).into());
    }
    Ok(match warnings.len() {
        0 => out.line("ok"),
        1 => out.line("ok, with 1 warning"),
        many => out.line(format_args!("ok, with {many} warnings")),
    }?)
}

/// The mistakes that the config alone does not show. Sums are made only of numbers that were given.
fn found(loaded: &Loaded, is_valid: bool, warnings: &mut Vec<Issue>) -> Vec<Issue> {
    let mut issues = files::missing(loaded);
    let not_permitted = addresses::not_permitted(loaded);
    // Of a config with mistakes it is not known which addresses are left.
    if is_valid && not_permitted.is_empty() {
        warnings.extend(addresses::none_left(loaded));
    }
    issues.extend(not_permitted);
    if is_valid {
        issues.extend(slots(loaded));
        issues.extend(descriptors(loaded, warnings));
        warnings.extend(port_of_pages(loaded));
    }
    warnings.extend(addresses::private_in_public(loaded));
    warnings.extend(addresses::not_dialed(loaded));
    if let Err(OpenBackendsError::Config(Issues(of_traces))) = loaded.exporter_target() {
        let is_new =
            |issue: &Issue| issue.key.is_empty() || !issues.iter().any(|known| known.key == issue.key);
        issues.extend(of_traces.into_iter().filter(is_new).collect::<Vec<_>>());
    }
    issues
}

fn heads(key: &str) -> KeyPath {
    KeyPath::root().key("heads").key(key)
}

/// A number in the table of the identities. These keys have one meaning for every kind: `first_slot`, `slots_max` and `port_base`.
fn of_ids(loaded: &Loaded, key: &str) -> Option<u32> {
    let value = loaded.value(&KeyPath::root().key(Ids::NAME).key(key))?;
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

/// More heads than there are slots, or ports for them.
fn slots(loaded: &Loaded) -> Option<Issue> {
    let (count, first) = (loaded.config.heads.count, of_ids(loaded, "first_slot").unwrap_or(0));
    let ports = of_ids(loaded, "port_base").filter(|base| *base != 0);
    let ports = ports.map(|base| (u32::from(u16::MAX) + 1).saturating_sub(base.saturating_add(first)));
    let room = [of_ids(loaded, "slots_max"), ports].into_iter().flatten().min()?;
    (count > room).then(|| loaded.too_many_heads(room))
}

/// The port of the HTTP endpoints among those of the heads: the head of that slot would listen on another.
fn port_of_pages(loaded: &Loaded) -> Option<Issue> {
    let http = &loaded.config.telemetry.http;
    let first =
        of_ids(loaded, "port_base").filter(|base| *base != 0)? + of_ids(loaded, "first_slot").unwrap_or(0);
    let ports = first..first.saturating_add(loaded.config.heads.count);
    let shares = loaded
        .config
        .heads
        .listen
        .iter()
        .any(|ip| ip.is_unspecified() || http.listen.ip().is_unspecified() || *ip == http.listen.ip());
    let port = u32::from(http.listen.port());
    (http.enabled && shares && ports.contains(&port)).then(|| {
        let message = format!("port {port} is also the port of the head of slot {}", port - first);
        let help = format!("choose a port outside of {} to {}", ports.start, ports.end - 1);
        let at = KeyPath::root().key("telemetry").key("http").key("listen");
        loaded.issue_of(
            &[at, KeyPath::root().key(Ids::NAME).key("port_base"), heads("count")],
            message,
            Some(help),
        )
    })
}

/// The descriptors that the config needs, against the limit of this process: a mistake if the node cannot start, and a
/// warning if it cannot have as many connections as it may.
fn descriptors(loaded: &Loaded, warnings: &mut Vec<Issue>) -> Option<Issue> {
    let (_, limit) = rlimit::getrlimit(rlimit::Resource::NOFILE).ok()?;
    let needed = Descriptors::of(&loaded.config);
    let Descriptors { listeners, connections, pending, dials, store, http, process } = needed;
    if let Err(too_few) = needed.suffice(limit) {
        let at = [heads("count"), heads("listen")];
        return Some(loaded.issue_of(&at, too_few.to_string(), Some(too_few.remedy())));
    }
    if needed.all() > limit {
        let all = needed.all();
        let message = format!(
            "the node needs up to {all} file descriptors (listeners {listeners}, HTTP endpoints {http}, process \
             {process}, store {store}, connections {connections}, connections being established {pending}, \
             dials {dials}), and the \
             limit is {limit}: the node lowers its connection limits to fit"
        );
        let help =
            format!("{RAISE}, or lower `connections.per_node_max` or `connections.pending_per_node_max`");
        let marks = KeyPath::root().key("connections");
        let keys = [marks.key("per_node_max"), marks.key("pending_per_node_max"), heads("count")];
        warnings.push(loaded.issue_of(&keys, message, Some(help)));
    }
    None
}
