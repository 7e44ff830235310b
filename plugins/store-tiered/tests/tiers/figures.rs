//! What the store publishes of its tiers.

use crate::rig::{Shop, Tier, counting, memory, open, open_with};
use hydra_api::metrics::well_formed;
use hydra_api::{Figure, Metric, ProviderStore, StoreErrorKind};
use hydra_conformance::doubles::{Behaviour, Double, FailingStore};
use hydra_conformance::given::{NOW, batch, record};
use serde_json::json;
use std::sync::Arc;

/// Publishes as many series as it has to.
#[derive(Debug)]
struct Publishes(fn() -> Vec<Metric>);

impl Behaviour for Publishes {
    fn metrics(&self, _: Vec<Metric>) -> Vec<Metric> {
        (self.0)()
    }
}

fn publishing(publishes: fn() -> Vec<Metric>) -> Arc<dyn ProviderStore> {
    Arc::new(Double::of(memory(), Publishes(publishes)))
}

fn errors(number: u64) -> Vec<Metric> {
    vec![Metric::counter("db_errors_total", "Errors.", number)]
}

/// The well-formed series of this name, as tier and figure.
fn told(shop: &Shop, name: &str) -> Vec<(String, Figure)> {
    let (taken, refused) = well_formed(shop.0.metrics());
    assert_eq!(refused, []);
    let of_name = taken.into_iter().filter(|metric| metric.name == name);
    of_name.map(|metric| (metric.label("tier").unwrap_or_default().to_owned(), metric.figure)).collect()
}

fn series<const N: usize>(series: [(&str, Figure); N]) -> Vec<(String, Figure)> {
    series.into_iter().map(|(tier, figure)| (tier.to_owned(), figure)).collect()
}

#[tokio::test]
async fn the_series_of_the_tiers_are_told_apart() {
    let shop = open([publishing(|| errors(3)), publishing(|| errors(5))]).await;
    let expected = series([("1", Figure::Counter(5)), ("0", Figure::Counter(3))]);
    assert_eq!(told(&shop, "db_errors_total"), expected);
}

#[tokio::test]
async fn tiers_of_a_tier_are_told_apart() {
    let inner = open([publishing(|| errors(3)), publishing(|| errors(5))]).await;
    let shop = open([publishing(|| errors(7)), inner.0]).await;
    let expected =
        series([("1-1", Figure::Counter(5)), ("1-0", Figure::Counter(3)), ("0", Figure::Counter(7))]);
    assert_eq!(told(&shop, "db_errors_total"), expected);
}

#[tokio::test]
async fn a_tier_that_panics_silences_no_other() {
    let shop = open([publishing(|| panic!("as it always does")), publishing(|| errors(5))]).await;
    assert_eq!(told(&shop, "db_errors_total"), series([("1", Figure::Counter(5))]));
}

#[tokio::test]
async fn a_tier_that_is_away_or_fails_is_not_in_use() {
    let failing = Arc::new(FailingStore::new(memory(), StoreErrorKind::Unavailable, 0, 1));
    let tiers = [Tier::of(failing.clone()), Tier::away(), Tier::of(publishing(|| errors(5)))];
    let shop = open_with(&tiers, json!({})).await;
    let in_use = |used: f64| series([("0", Figure::Gauge(used)), ("1", Figure::Gauge(0.0))]);
    assert_eq!(told(&shop, "db_tier_in_use"), in_use(1.0));
    failing.set(StoreErrorKind::Unavailable, 1000);
    shop.0.insert(batch(&[record(1, 1)]), NOW).await.unwrap();
    assert_eq!(told(&shop, "db_tier_in_use"), in_use(0.0));
}

#[tokio::test]
async fn upper_tiers_estimate_too_and_their_failures_change_nothing() {
    let (upper, last) = (counting(), counting());
    let failing = Arc::new(FailingStore::new(upper.clone(), StoreErrorKind::Unavailable, 0, 1));
    let shop = open([failing.clone(), last.clone()]).await;
    shop.0.estimate().await.unwrap();
    assert_eq!((upper.counted().statements, last.counted().statements), (1, 1));
    failing.set(StoreErrorKind::Unavailable, 1000);
    shop.0.estimate().await.unwrap();
    assert_eq!(told(&shop, "db_tier_in_use"), series([("0", Figure::Gauge(1.0))]));
}
