use super::*;
use std::time::Duration;

fn gauge(name: &'static str) -> Metric {
    Metric::gauge(name, "Something.", 1.0)
}

#[test]
fn what_is_not_well_formed_is_refused_by_its_rule() {
    let buckets = |bounds, counts| Metric::histogram("db_a", "A.", Buckets::new(bounds, counts, 1.0));
    let long = "a".repeat(33);
    for (metric, rule) in [
        (gauge("hydra_records"), MetricError::Name),
        (gauge("process_threads"), MetricError::Name),
        (gauge("db_"), MetricError::Name),
        (gauge("db_A"), MetricError::Name),
        (gauge("db_a{b=\"c\"} 1\nhydra_b"), MetricError::Name),
        (gauge("db_a_count"), MetricError::Name),
        (gauge("db_a_total"), MetricError::Name),
        (Metric::counter("db_a", "A.", 1), MetricError::Name),
        (Metric::counter("db_a_sum_total", "A.", 1), MetricError::Name),
        (Metric::gauge("db_a", "", 1.0), MetricError::Help),
        (Metric::gauge("db_a", "A.\n# EOF", 1.0), MetricError::Help),
        (gauge("db_a").with("store", "x"), MetricError::Label),
        (gauge("db_a").with("le", "1"), MetricError::Label),
        (gauge("db_a").with("B", "x"), MetricError::Label),
        (gauge("db_a").with("b", "x").with("b", "y"), MetricError::Label),
        (gauge("db_a").with("b", "127.0.0.1"), MetricError::Value),
        (gauge("db_a").with("b", "::1"), MetricError::Value),
        (gauge("db_a").with("b", "x\"y"), MetricError::Value),
        (gauge("db_a").with("b", ""), MetricError::Value),
        (gauge("db_a").with("b", long), MetricError::Value),
        (Metric::gauge("db_a", "A.", f64::NAN), MetricError::Figure),
        (Metric::gauge("db_a", "A.", f64::INFINITY), MetricError::Figure),
        (buckets(&[1.0, 2.0], vec![1, 2]), MetricError::Figure),
        (buckets(&[2.0, 1.0], vec![1, 2, 3]), MetricError::Figure),
        (buckets(&[], vec![1]), MetricError::Figure),
    ] {
        assert_eq!(metric.check(), Err(rule), "{metric:?}");
    }
    let many =
        (0..7).fold(gauge("db_a"), |metric, at| metric.with(["a", "b", "c", "d", "e", "f", "g"][at], "x"));
    assert_eq!(many.check(), Err(MetricError::Label));
    assert_eq!(gauge("db_client_connections").with("db_system_name", "postgresql").check(), Ok(()));
    assert_eq!(
        Metric::counter("db_client_errors_total", "Errors.", 3).with("error_type", "57").check(),
        Ok(())
    );
}

#[test]
fn series_are_of_one_type_and_come_once_and_are_bounded() {
    let twice = vec![
        gauge("db_a").with("b", "x").with("c", "y"),
        gauge("db_a").with("c", "y").with("b", "x"),
        Metric::histogram("db_a", "A.", Histogram::new(Histogram::LENGTHS).read()),
        gauge("db_a").with("b", "z"),
    ];
    let (taken, refused) = well_formed(twice);
    assert_eq!(taken.len(), 2);
    let because: Vec<_> = refused.iter().map(|one| one.because).collect();
    assert_eq!(because, [MetricError::Twice, MetricError::Type]);

    let counter = || Metric::counter("db_a_total", "A.", 1);
    for one_family in [vec![gauge("db_a"), counter()], vec![counter(), gauge("db_a")]] {
        let (taken, refused) = well_formed(one_family);
        assert_eq!((taken.len(), refused[0].because), (1, MetricError::Type));
    }

    let many = (0..2 * Metric::SAMPLES_MAX).map(|number| gauge("db_a").with("b", number.to_string()));
    let (taken, refused) = well_formed(many.collect());
    assert_eq!((taken.len(), refused.len()), (Metric::SAMPLES_MAX, Metric::SAMPLES_MAX));
    assert!(refused.iter().all(|one| one.because == MetricError::TooMany));
}

#[test]
fn a_histogram_keeps_what_is_recorded() {
    let histogram = Histogram::new(&[1.0, 2.0]);
    for value in [0.5, 1.0, 1.5, 7.0, f64::NAN, -1.0] {
        histogram.record(value);
    }
    histogram.record_time(Duration::from_millis(1500));
    let read = histogram.read();
    assert_eq!((read.counts.as_slice(), read.sum), ([4, 2, 1].as_slice(), 11.5));
    assert_eq!((read.count(), histogram.count()), (7, 7));
    assert!(Metric::histogram("db_a", "A.", read).check().is_ok());
}
