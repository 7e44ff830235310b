//! Opening the tiers.

use crate::addresses::KnownAddresses;
use crate::config::{Config, TIERS};
use crate::marks::Marks;
use crate::report::Report;
use crate::tiers::{Doubts, Tiers, Times};
use crate::upper::{OpenTier, Upper};
use futures::FutureExt;
use hydra_api::{Causes, Nested, OpenError, OpenErrorKind, ProviderStore, Purpose, Scope, Store, Value};
use rand::RngExt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// The pause between two attempts to open an upper tier, give or take a quarter.
const PAUSE: Duration = Duration::from_secs(1);

/// How long an attempt to open an upper tier takes at most. The node itself waits longer for the whole store.
const OPEN_MAX: Duration = Duration::from_secs(30);

/// Keys that say where a store keeps its records.
const PLACE_KEYS: [&str; 5] = ["dir", "hosts", "database", "schema", "prefix"];

/// Opens all tiers, the last one first. Nothing stays open after an error.
///
/// # Errors
/// [`OpenError`] of a tier. An upper one that a node that serves cannot reach is opened later instead.
pub(crate) async fn open(config: &Config, scope: &Scope) -> Result<Tiers, OpenError> {
    if !TIERS.contains(&config.tiers.len()) {
        let message = format!("{} to {} tiers are needed", TIERS.start(), TIERS.end());
        return Err(OpenError::config("tiers", message));
    }
    refuse_twice(&config.tiers, scope)?;
    let Some((last, uppers)) = config.tiers.split_last() else {
        return Err(OpenError::config("tiers", "there is no tier"));
    };
    let last = scope.open(&key(uppers.len()), last).await?;
    let mut opened: Vec<Upper> = Vec::new();
    for (place, tier) in uppers.iter().enumerate() {
        match open_upper(config, place, tier, scope).await {
            Ok(upper) => opened.push(upper),
            Err(error) => {
                for upper in opened {
                    upper.close(PAUSE).await;
                }
                if let Err(cause) = last.close().await {
                    tracing::warn!(error = %Causes(&cause), "cannot close the last tier");
                }
                return Err(error);
            }
        }
    }
    Ok(Tiers {
        uppers: opened,
        last,
        rest_of_reads: Report::default(),
        addresses: KnownAddresses::new(len(config.providers_max)),
        writes: config.writes,
        times: Times {
            read_max: Duration::from_millis(config.read_timeout_ms.into()),
            write_max: Duration::from_millis(config.write_timeout_ms.into()),
            fill_max: Duration::from_millis(config.fill_timeout_ms.into()),
        },
        doubts: Doubts::default(),
    })
}

async fn open_upper(
    config: &Config,
    place: usize,
    tier: &Nested<Store>,
    scope: &Scope,
) -> Result<Upper, OpenError> {
    let marks = Marks::new(len(config.complete_keys_max), Duration::from_secs(config.complete_s.into()));
    let (key, name) = (key(place), format!("{} ({})", key(place), tier.kind()));
    let store = Arc::new(OnceLock::new());
    let opening = match open_in_time(scope, &key, tier).await {
        Ok(opened) => {
            store.get_or_init(|| OpenTier::new(opened));
            None
        }
        Err(error) if serves(scope) && *error.kind() == OpenErrorKind::Unavailable => {
            Some(open_later(&error, &name, key, (tier.clone(), scope.clone()), Arc::clone(&store)))
        }
        Err(error) => return Err(error),
    };
    Ok(Upper::new(name, store, opening, marks))
}

/// Whether an upper tier may be away.
fn serves(scope: &Scope) -> bool {
    matches!(scope.purpose(), Purpose::Serve | Purpose::Use)
}

/// Opens a tier, unless that takes too long or panics: then it is unavailable. A check or a migration takes as long as it takes.
async fn open_in_time(
    scope: &Scope,
    key: &str,
    tier: &Nested<Store>,
) -> Result<Arc<dyn ProviderStore>, OpenError> {
    let attempt = AssertUnwindSafe(scope.open(key, tier)).catch_unwind();
    let opened = if serves(scope) {
        let late =
            |_| OpenError::unavailable("cannot open the tier", format!("no answer within {OPEN_MAX:?}"));
        timeout(OPEN_MAX, attempt).await.map_err(late)?
    } else {
        attempt.await
    };
    opened.unwrap_or_else(|_| Err(OpenError::unavailable("cannot open the tier", "it panicked")))
}

/// Opens a tier in the background, as often as it takes, after it failed with `error`.
fn open_later(
    error: &OpenError,
    name: &str,
    key: String,
    (tier, scope): (Nested<Store>, Scope),
    store: Arc<OnceLock<OpenTier>>,
) -> AbortHandle {
    let report = Report::default();
    if let Some(error) = report.failed(Causes(error).to_string()) {
        tracing::warn!(tier = name, error, "cannot open an upper tier, serving without it and trying again");
    }
    let name = name.to_owned();
    let attempts = async move {
        loop {
            let pause = PAUSE.mul_f64(rand::rng().random_range(0.75..1.25));
            tokio::time::sleep(pause).await;
            match open_in_time(&scope, &key, &tier).await {
                Ok(opened) => {
                    store.get_or_init(|| OpenTier::new(opened));
                    tracing::info!(tier = name, "the upper tier is open");
                    return;
                }
                Err(error) => {
                    if let Some(error) = report.failed(Causes(&error).to_string()) {
                        tracing::warn!(tier = name, error, "cannot open an upper tier, trying again");
                    }
                }
            }
        }
    };
    tokio::spawn(attempts).abort_handle()
}

/// Where a tier stands in the table.
fn key(place: usize) -> String {
    format!("tiers[{place}]")
}

fn len(max: u32) -> usize {
    usize::try_from(max).unwrap_or(usize::MAX)
}

/// Refuses tiers that keep their records in the same place, as far as their tables say so: an upper one would take itself for the
/// last. The tiers of a tier count as well.
///
/// # Errors
/// [`OpenError::config`] of the lower of the two.
pub(crate) fn refuse_twice(tiers: &[Nested<Store>], scope: &Scope) -> Result<(), OpenError> {
    let mut all = Vec::new();
    flatten("", tiers.iter().map(|tier| (tier.kind().to_owned(), tier.table())).collect(), &mut all);
    for (at, one) in all.iter().enumerate() {
        for other in &all[..at] {
            if let Some(shared) = shared_place(one, other, scope) {
                let message =
                    format!("{} has the same `{shared}`: each tier needs a place of its own", other.key);
                return Err(OpenError::config(format!("{}.{shared}", one.key), message));
            }
        }
    }
    Ok(())
}

/// A tier that has no tiers itself.
struct Leaf {
    key: String,
    kind: String,
    table: Value,
}

fn flatten(above: &str, tiers: Vec<(String, Value)>, all: &mut Vec<Leaf>) {
    for (place, (kind, table)) in tiers.into_iter().enumerate() {
        let key = format!("{above}{}", key(place));
        match table.get("tiers").and_then(Value::as_array) {
            Some(below) if kind == "tiered" => {
                let kind = |table: &Value| table.get("kind")?.as_str().map(str::to_owned);
                let below = below.iter().map(|table| (kind(table).unwrap_or_default(), table.clone()));
                flatten(&format!("{key}."), below.collect(), all);
            }
            _ => all.push(Leaf { key, kind, table }),
        }
    }
}

/// The key by which two tiers are in the same place.
fn shared_place(one: &Leaf, other: &Leaf, scope: &Scope) -> Option<&'static str> {
    let (table_of_one, table_of_other) = (&one.table, &other.table);
    let dir = |table: &Value| Some(scope.resolve(Path::new(table.get("dir")?.as_str()?)));
    if dir(table_of_one).is_some_and(|of_one| dir(table_of_other) == Some(of_one)) {
        return Some("dir");
    }
    let named = PLACE_KEYS.into_iter().find(|key| table_of_one.get(key).is_some())?;
    let is_same = PLACE_KEYS.iter().all(|key| table_of_one.get(key) == table_of_other.get(key));
    (one.kind == other.kind && is_same).then_some(named)
}
