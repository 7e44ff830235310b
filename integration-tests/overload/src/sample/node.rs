//! What a node's metrics say.

use hydra_integration_tests::exposition::Exposition;

/// The rungs from the lowest to the highest. One that is not listed here counts as the lowest.
const RUNGS: [&str; 7] = ["full", "short", "stale", "near_only", "cache_only", "routing_only", "ebb"];

/// What a node's metrics say, or those of several together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NodeSample {
    pub(crate) read_rung: String,
    pub(crate) write_rung: String,
    pub(crate) reads_wanted: f64,
    pub(crate) reads_denied: f64,
    pub(crate) permits_used: f64,
    pub(crate) permits_max: f64,
    pub(crate) cache_hits: f64,
    pub(crate) cache_misses: f64,
    pub(crate) store_reads: f64,
    pub(crate) store_writes: f64,
    /// All store calls that have ended, and the seconds that they took.
    pub(crate) store_calls: f64,
    pub(crate) store_call_s: f64,
    pub(crate) store_failures: f64,
    pub(crate) records_written: f64,
    pub(crate) records_dropped: f64,
    pub(crate) write_queue: f64,
    pub(crate) waiting: f64,
    /// Requests that policies degraded or declined.
    pub(crate) judged: f64,
}

impl NodeSample {
    /// What a scrape says.
    pub(crate) fn of(scrape: &Exposition) -> Self {
        let sum = |name: &str, labels: &[(&str, &str)]| scrape.sum(name, labels);
        let calls = |operation| sum("hydra_store_call_duration_seconds_count", &[("operation", operation)]);
        // A policy in the shadow changes nothing.
        let verdicts = |labels: &[(&str, &str)]| {
            let shadow: Vec<_> = labels.iter().copied().chain([("mode", "shadow")]).collect();
            let name = "hydra_admission_verdicts_total";
            sum(name, labels) - sum(name, &shadow)
        };
        Self {
            read_rung: rung(scrape, "reads"),
            write_rung: rung(scrape, "writes"),
            reads_wanted: sum("hydra_store_reads_wanted_total", &[]),
            reads_denied: sum("hydra_store_reads_denied_total", &[]),
            permits_used: sum("hydra_store_permits_used", &[]),
            permits_max: sum("hydra_store_permits_max", &[]),
            cache_hits: sum("hydra_cache_hits_total", &[]),
            cache_misses: sum("hydra_cache_misses_total", &[]),
            store_reads: calls("providers"),
            store_writes: calls("insert"),
            store_calls: sum("hydra_store_call_duration_seconds_count", &[]),
            store_call_s: sum("hydra_store_call_duration_seconds_sum", &[]),
            store_failures: sum("hydra_store_calls_failed_total", &[]),
            records_written: sum("hydra_records_written_total", &[]),
            records_dropped: sum("hydra_records_dropped_total", &[]),
            write_queue: sum("hydra_write_queue_records", &[]),
            waiting: sum("hydra_waiting_reads", &[]),
            judged: verdicts(&[]) - verdicts(&[("verdict", "admit")]),
        }
    }

    /// This one and another one together; of the rungs the higher one.
    pub(crate) fn with(self, other: &Self) -> Self {
        let higher = |one: String, other: &str| {
            if one.is_empty() || rung_of(&one) < rung_of(other) { other.to_owned() } else { one }
        };
        Self {
            read_rung: higher(self.read_rung, &other.read_rung),
            write_rung: higher(self.write_rung, &other.write_rung),
            reads_wanted: self.reads_wanted + other.reads_wanted,
            reads_denied: self.reads_denied + other.reads_denied,
            permits_used: self.permits_used + other.permits_used,
            permits_max: self.permits_max + other.permits_max,
            cache_hits: self.cache_hits + other.cache_hits,
            cache_misses: self.cache_misses + other.cache_misses,
            store_reads: self.store_reads + other.store_reads,
            store_writes: self.store_writes + other.store_writes,
            store_calls: self.store_calls + other.store_calls,
            store_call_s: self.store_call_s + other.store_call_s,
            store_failures: self.store_failures + other.store_failures,
            records_written: self.records_written + other.records_written,
            records_dropped: self.records_dropped + other.records_dropped,
            write_queue: self.write_queue + other.write_queue,
            waiting: self.waiting + other.waiting,
            judged: self.judged + other.judged,
        }
    }

    /// The node has stopped: its counters stay, and it holds nothing any more.
    pub(crate) fn stop(&mut self) {
        (self.permits_used, self.permits_max, self.write_queue, self.waiting) = (0.0, 0.0, 0.0, 0.0);
        self.read_rung.clear();
        self.write_rung.clear();
    }

    /// The store calls that were started so far.
    pub(crate) fn started(&self) -> f64 {
        self.store_calls + self.permits_used
    }
}

/// How high a rung is: 0 for the lowest, also for none.
pub(crate) fn rung_of(name: &str) -> usize {
    RUNGS.iter().position(|rung| *rung == name).unwrap_or_default()
}

/// The rung on which a lane stands.
fn rung(scrape: &Exposition, lane: &str) -> String {
    let is_on =
        |labels: &std::collections::BTreeMap<String, String>| labels.get("lane").is_some_and(|of| of == lane);
    let found = scrape
        .samples()
        .find(|(name, labels, value)| name == "hydra_lane_rung" && *value == 1.0 && is_on(labels));
    found.and_then(|(_, labels, _)| labels.get("rung").cloned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_integration_tests::exposition::Format;

    const PAGE: &str = "\
# HELP hydra_lane_rung The rung.
# TYPE hydra_lane_rung gauge
hydra_lane_rung{lane=\"reads\",rung=\"full\"} 0
hydra_lane_rung{lane=\"reads\",rung=\"short\"} 1
hydra_lane_rung{lane=\"writes\",rung=\"full\"} 1
# HELP hydra_cache_hits_total Hits.
# TYPE hydra_cache_hits_total counter
hydra_cache_hits_total{kind=\"present\"} 3
hydra_cache_hits_total{kind=\"absent\"} 4
# HELP hydra_store_permits_max The limit.
# TYPE hydra_store_permits_max gauge
hydra_store_permits_max 5
# HELP hydra_store_permits_used Calls.
# TYPE hydra_store_permits_used gauge
hydra_store_permits_used 2
";

    fn sample() -> NodeSample {
        NodeSample::of(&Exposition::parse(PAGE, Format::Text).unwrap())
    }

    #[test]
    fn a_scrape_of_the_node_is_read() {
        let sample = sample();
        assert_eq!((sample.read_rung.as_str(), sample.write_rung.as_str()), ("short", "full"));
        assert_eq!((sample.cache_hits, sample.permits_max, sample.started()), (7.0, 5.0, 2.0));
    }

    #[test]
    fn nodes_are_summed_and_the_higher_rung_counts() {
        let other = NodeSample { read_rung: "full".to_owned(), write_rung: "stale".to_owned(), ..sample() };
        let both = sample().with(&other);
        assert_eq!((both.read_rung.as_str(), both.write_rung.as_str()), ("short", "stale"));
        assert_eq!((both.cache_hits, both.permits_max), (14.0, 10.0));
        let sum = NodeSample::default().with(&other).with(&NodeSample::default());
        assert_eq!(sum.read_rung, "full", "a node that has stopped stands on no rung");
    }

    #[test]
    fn a_node_that_has_stopped_keeps_its_counters_and_nothing_else() {
        let mut sample = sample();
        sample.stop();
        assert_eq!((sample.cache_hits, sample.permits_max, sample.started()), (7.0, 0.0, 0.0));
    }
}
