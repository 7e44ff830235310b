use super::*;
use crate::observe::metrics::text;
use hydra_api::{Buckets, Histogram, Plugin, Scope};
use hydra_conformance::doubles::{Behaviour, Double};
use hydra_store_memory::Memory;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::sync::{Arc, mpsc};

/// Publishes what it is made to.
#[derive(Debug)]
struct Publishes(fn() -> Vec<Metric>);

impl Behaviour for Publishes {
    fn metrics(&self, _: Vec<Metric>) -> Vec<Metric> {
        (self.0)()
    }
}

async fn store(publishes: fn() -> Vec<Metric>) -> Arc<dyn ProviderStore> {
    let memory = Memory::open(Default::default(), &Scope::new("unused")).await.unwrap();
    Arc::new(Double::of(memory, Publishes(publishes)))
}

/// A page of this alone.
#[derive(Debug)]
struct Alone(Published);

impl Collector for Alone {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.write("mine", &mut Page::new(encoder))
    }
}

fn page(published: Published) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Alone(published)));
    let mut page = String::new();
    encode(&mut page, &registry).unwrap();
    text::of_open_metrics(&page)
}

async fn page_of(publishes: fn() -> Vec<Metric>) -> String {
    page(Published::of(&*store(publishes).await, &Mutex::default()))
}

fn refused(page: &str) -> usize {
    let line = page.lines().find_map(|line| line.strip_prefix("hydra_store_series_refused "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn series_are_written_by_family_with_the_kind_of_the_store() {
    let told = page_of(|| {
        let idle = |state, count| Metric::gauge("db_connections", "Connections.", count).with("state", state);
        let buckets = Buckets::new(&[0.5, 1.0], vec![1, 0, 2], 7.5);
        vec![
            idle("idle", 2.0),
            Metric::counter("db_errors_total", "Errors.", 3).with("error_type", "57"),
            idle("used", 1.0),
            Metric::histogram("db_duration_seconds", "Durations.", buckets).with("tier", "0"),
        ]
    });
    let expected = "# HELP db_connections Connections.
# TYPE db_connections gauge
db_connections{store=\"mine\",state=\"idle\"} 2.0
db_connections{store=\"mine\",state=\"used\"} 1.0
# HELP db_errors_total Errors.
# TYPE db_errors_total counter
db_errors_total{store=\"mine\",error_type=\"57\"} 3
# HELP db_duration_seconds Durations.
# TYPE db_duration_seconds histogram
db_duration_seconds_sum{store=\"mine\",tier=\"0\"} 7.5
db_duration_seconds_count{store=\"mine\",tier=\"0\"} 3
db_duration_seconds_bucket{le=\"0.5\",store=\"mine\",tier=\"0\"} 1
db_duration_seconds_bucket{le=\"1.0\",store=\"mine\",tier=\"0\"} 1
db_duration_seconds_bucket{le=\"+Inf\",store=\"mine\",tier=\"0\"} 3
";
    let told = told.await;
    let (of_store, of_node) = told.split_at(told.find("# HELP hydra_").unwrap());
    assert_eq!(of_store, expected);
    assert_eq!(refused(of_node), 0);
}

#[tokio::test]
async fn what_is_malformed_is_left_out_and_counted() {
    let told = page_of(|| {
        vec![
            Metric::gauge("hydra_records", "Another number of records.", 7.0),
            Metric::gauge("db_evil", "Evil.\ndb_more 1", 1.0),
            Metric::gauge("db_evil", "Evil.", f64::NAN),
            Metric::gauge("db_evil", "Evil.", 1.0)
                .with("peer", "12D3KooWHigCG8nhuhGw3cFFmmKwRMTkUXkVd9SYdSBqeMrbjYBb"),
            Metric::gauge("db_evil", "Evil.", 1.0).with("a", "b\"} 1\nhydra_records 7"),
            Metric::histogram("db_evil", "Evil.", Buckets::new(&[1.0], vec![1], 1.0)),
            Metric::gauge("db_good", "Good.", 1.0),
            Metric::gauge("db_good", "Good again.", 2.0),
        ]
    })
    .await;
    assert_eq!(refused(&told), 7);
    assert!(told.contains("\ndb_good{store=\"mine\"} 1.0\n"), "{told}");
    assert!(!told.contains("evil") && !told.contains("hydra_records"), "{told}");
}

#[tokio::test]
async fn a_store_has_a_bounded_number_of_samples() {
    let told = page_of(|| {
        let buckets = || Histogram::new(Histogram::SECONDS).read();
        (0..500)
            .map(|number| {
                Metric::histogram("db_many_seconds", "Many.", buckets()).with("number", number.to_string())
            })
            .collect()
    })
    .await;
    let samples = told.lines().filter(|line| line.starts_with("db_many")).count();
    assert!(samples > 900 && samples <= Metric::SAMPLES_MAX, "{samples}");
    assert!(refused(&told) > 400);
}

#[tokio::test]
async fn a_store_that_panics_has_published_nothing() {
    let told = page_of(|| panic!("as this store always does")).await;
    assert_eq!(refused(&told), 1);
    assert!(!told.contains("db_"), "{told}");
}

#[tokio::test]
async fn a_store_that_never_answers_holds_up_one_scrape() {
    let turn = Arc::new(Mutex::new(()));
    let hangs = store(|| {
        loop {
            std::thread::park()
        }
    })
    .await;
    let (begun, has_begun) = mpsc::sync_channel(1);
    let (held, first) = (Arc::clone(&turn), Arc::clone(&hangs));
    std::thread::spawn(move || {
        begun.send(()).unwrap();
        Published::of(&*first, &held)
    });
    has_begun.recv().unwrap();
    while turn.try_lock().is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(refused(&page(Published::of(&*hangs, &turn))), 1);
}
