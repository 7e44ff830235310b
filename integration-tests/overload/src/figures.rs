//! The figures of a step.

use crate::csv::row;
use crate::load::{ABSENT_SHARE, Row};
use crate::sample::{NodeSample, rung_of};
use hydra_load::{Operation, StepReport};

row!(
    /// What a step showed.
    Figures {
        /// The rate in multiples of the one that saturates the server.
        multiple: f64 = "multiple",
        /// Requests per second that were to be sent.
        rate: f64 = "rate",
        /// Requests per second that were due.
        offered: f64 = "offered_per_s",
        /// Full answers per second, of all requests.
        full: f64 = "full_per_s",
        /// Answers per second to GET_PROVIDERS for keys that have providers, with providers.
        found: f64 = "found_per_s",
        /// The share of these among all GET_PROVIDERS for such keys.
        found_share: f64 = "found_share",
        /// Latencies of all answers to GET_PROVIDERS.
        get_p50_ms: f64 = "get_p50_ms",
        get_p99_ms: f64 = "get_p99_ms",
        /// The highest 99th percentile of the latencies of an operation.
        p99_ms: f64 = "p99_ms",
        lag_p99_ms: f64 = "lag_p99_ms",
        /// Requests without an answer.
        unanswered: u64 = "unanswered",
        /// Statements and commands of the server per second, and store calls of the node.
        statements: f64 = "statements_per_s",
        commands: f64 = "commands_per_s",
        store_calls: f64 = "store_calls_per_s",
        active_max: f64 = "active_max",
        permits_max: f64 = "permits_max",
        /// Connections that the node opened during the step.
        connections_opened: f64 = "connections_opened",
        /// CPU in cores.
        store_cpu: f64 = "store_cpu_cores",
        node_cpu: f64 = "node_cpu_cores",
        generator_cpu: f64 = "generator_cpu_cores",
        node_rss_mib: f64 = "node_rss_mib",
        /// Of the reads that the cache answers, the share.
        cache_hit_share: f64 = "cache_hit_share",
        /// Of the keys that needed a permit, those that got none in time.
        denied_share: f64 = "denied_share",
        store_failures: f64 = "store_failures",
        /// The highest rung of the reads, and of the writes.
        read_rung: String = "read_rung",
        write_rung: String = "write_rung",
        load_average: f64 = "load_average",
        /// Store calls per second that write.
        writes: f64 = "writes_per_s",
        /// The mean duration of a store call, in milliseconds.
        call_ms: f64 = "call_ms",
        /// The most announcements in the write queue, and requests outstanding.
        write_queue_max: f64 = "write_queue_max",
        outstanding_max: f64 = "outstanding_max",
        /// Requests that ended late, and of those without an answer the resets and the time-outs.
        late: u64 = "late",
        resets: u64 = "resets",
        timeouts: u64 = "timeouts",
        /// Second attempts.
        retries: u64 = "retries",
        /// The 99th percentile of the latencies of FIND_NODE, which needs no store.
        find_p99_ms: f64 = "find_p99_ms",
        /// How many GET_PROVIDERS for keys that have providers the shares are of.
        present: f64 = "present",
    }
);

/// A generator that starts requests later than this, at the 99th percentile, cannot offer the load.
const LAG_MS_MAX: f64 = 250.0;

impl Figures {
    /// The figures of a step: `rows` are those of its seconds.
    pub(crate) fn of(multiple: f64, report: &StepReport, rows: &[Row]) -> Self {
        let load = &report.ordinary;
        let per_second = |count: f64| if report.duration_s > 0.0 { count / report.duration_s } else { 0.0 };
        let share = found_share(report);
        let get = load.operations.get(&Operation::Get);
        let gets = get.map_or(0, |get| get.outcomes.sum()) as f64;
        let answered = get.and_then(|get| get.answered).unwrap_or_default();
        let p99s = load.operations.values().filter_map(|figures| Some(figures.answered?.p99_ms));
        let max = |of: &dyn Fn(&Row) -> f64| rows.iter().map(of).fold(0.0, f64::max);
        Self {
            multiple,
            rate: report.rate.unwrap_or_default(),
            offered: per_second(load.offered as f64),
            full: load.goodput_per_second,
            found: per_second(share * (1.0 - ABSENT_SHARE) * gets),
            found_share: share,
            get_p50_ms: answered.p50_ms,
            get_p99_ms: answered.p99_ms,
            p99_ms: p99s.fold(0.0, f64::max),
            lag_p99_ms: report.lag.map_or(0.0, |lag| lag.p99_ms),
            unanswered: unanswered(report),
            late: load.outcomes.late,
            resets: load.outcomes.reset,
            timeouts: load.outcomes.timeout,
            retries: load.retries,
            find_p99_ms: load
                .operations
                .get(&Operation::Find)
                .and_then(|find| find.answered)
                .map_or(0.0, |of| of.p99_ms),
            present: (1.0 - ABSENT_SHARE) * gets,
            generator_cpu: report.generator.map_or(0.0, |generator| generator.cpu_cores),
            node_rss_mib: max(&|row| row.sample.node_rss_mib),
            write_queue_max: max(&|row| row.sample.node.write_queue),
            outstanding_max: max(&|row| row.second.outstanding as f64),
            active_max: max(&|row| row.sample.store.active),
            permits_max: max(&|row| row.sample.node.permits_max),
            load_average: max(&|row| row.sample.load_average),
            read_rung: highest_rung(rows, |row| &row.sample.node.read_rung),
            write_rung: highest_rung(rows, |row| &row.sample.node.write_rung),
            ..Self::of_counters(rows)
        }
    }

    /// What the counters of the server and the node show between the first and the last sample.
    fn of_counters(rows: &[Row]) -> Self {
        let store = |of: fn(&Row) -> f64| increase(rows, of);
        let node = |of: fn(&NodeSample) -> f64| increase(rows, |row| of(&row.sample.node));
        let rate = |count: f64, seconds: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let (store_s, node_s) = (store(|row| row.sample.at_s), store(|row| row.sample.node_at_s));
        let (hits, misses) = (node(|node| node.cache_hits), node(|node| node.cache_misses));
        let calls = node(|node| node.store_calls);
        Self {
            statements: rate(store(|row| row.sample.store.statements), store_s),
            commands: rate(store(|row| row.sample.store.commands), store_s),
            store_calls: rate(node(|node| node.store_reads + node.store_writes), node_s),
            writes: rate(node(|node| node.store_writes), node_s),
            connections_opened: store(|row| row.sample.store.connections),
            store_cpu: rate(store(|row| row.sample.store_cpu_s), store_s),
            node_cpu: rate(store(|row| row.sample.node_cpu_s), node_s),
            call_ms: 1e3 * share(node(|node| node.store_call_s), calls),
            cache_hit_share: share(hits, hits + misses),
            denied_share: share(node(|node| node.reads_denied), node(|node| node.reads_wanted)),
            store_failures: node(|node| node.store_failures),
            ..Self::default()
        }
    }

    /// Whether the generator could not offer the load: what the step shows is then the machine, and nothing of the node.
    pub(crate) fn is_beyond_generator(&self) -> bool {
        self.lag_p99_ms > LAG_MS_MAX
    }
}

/// By how much a number rose over these rows. One that falls began anew from 0, as the counters of a server that was restarted.
pub(crate) fn increase(rows: &[Row], of: impl Fn(&Row) -> f64) -> f64 {
    let step = |pair: &[Row]| match pair {
        [one, next] if of(next) >= of(one) => of(next) - of(one),
        [_, next] => of(next),
        _ => 0.0,
    };
    rows.windows(2).map(step).sum()
}

/// The highest rung of these rows.
pub(crate) fn highest_rung(rows: &[Row], of: impl Fn(&Row) -> &str) -> String {
    rows.iter()
        .map(of)
        .filter(|rung| !rung.is_empty())
        .max_by_key(|rung| rung_of(rung))
        .unwrap_or_default()
        .to_owned()
}

/// Of the GET_PROVIDERS for keys that have providers, the share that was answered in time with providers. How many of the
/// requests were for such keys follows from their share in the plan; what failed or was late counts as not answered.
pub(crate) fn found_share(report: &StepReport) -> f64 {
    let Some(get) = report.ordinary.operations.get(&Operation::Get) else { return 0.0 };
    let gets = get.outcomes.sum() as f64;
    let failed = gets - (get.outcomes.full + get.outcomes.empty) as f64;
    let present = (1.0 - ABSENT_SHARE) * gets;
    if present <= 0.0 {
        return 0.0;
    }
    let missing = get.outcomes.empty as f64 + (1.0 - ABSENT_SHARE) * failed;
    (1.0 - missing / present).max(0.0)
}

/// Requests that ended otherwise than with an answer, or did not end.
fn unanswered(report: &StepReport) -> u64 {
    let outcomes = &report.ordinary.outcomes;
    outcomes.reset + outcomes.timeout + outcomes.refused + outcomes.unsent + report.ordinary.unfinished
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv;
    use crate::sample::{NodeSample, Sample};
    use crate::server::Counts;
    use hydra_load::{Counts as Outcomes, OperationFigures};

    fn row(at_s: f64, statements: f64, rung: &str) -> Row {
        let node = NodeSample { read_rung: rung.to_owned(), ..NodeSample::default() };
        let store = Counts { statements, active: at_s, ..Counts::default() };
        Row { sample: Sample { at_s, store, node, node_at_s: at_s, ..Sample::default() }, ..Row::default() }
    }

    fn report(get: Outcomes) -> StepReport {
        let mut report = StepReport {
            rate: Some(100.0),
            concurrency: None,
            duration_s: 10.0,
            ordinary: hydra_load::Figures { outcomes: get.clone(), ..Default::default() },
            abusive: None,
            lag: None,
            server: None,
            generator: None,
        };
        let figures = OperationFigures { outcomes: get, ..OperationFigures::default() };
        report.ordinary.operations.insert(Operation::Get, figures);
        report
    }

    #[test]
    fn rates_are_of_the_samples_and_maxima_of_all_rows() {
        let rows = [row(1.0, 100.0, "full"), row(2.0, 150.0, "stale"), row(5.0, 500.0, "short")];
        let figures = Figures::of(2.0, &report(Outcomes::default()), &rows);
        assert_eq!((figures.statements, figures.active_max), (100.0, 5.0));
        assert_eq!(figures.read_rung, "stale");
    }

    #[test]
    fn a_line_of_csv_is_read_as_it_was_written() {
        let rows = [row(1.0, 100.0, "full"), row(2.0, 150.0, "stale")];
        let figures = Figures::of(2.0, &report(Outcomes { full: 9, ..Outcomes::default() }), &rows);
        assert_eq!(csv::read(&csv::write(std::slice::from_ref(&figures))), Ok(vec![figures]));
    }

    #[test]
    fn a_counter_that_began_anew_is_counted_from_0() {
        let rows = [row(1.0, 100.0, ""), row(2.0, 150.0, ""), row(3.0, 10.0, ""), row(4.0, 30.0, "")];
        assert_eq!(increase(&rows, |row| row.sample.store.statements), 80.0);
        assert_eq!(increase(&rows[..1], |row| row.sample.store.statements), 0.0);
    }

    #[test]
    fn what_is_empty_late_or_failed_is_not_found() {
        let all = |full, empty, timeout| report(Outcomes { full, empty, timeout, ..Outcomes::default() });
        assert_eq!(found_share(&all(1000, 0, 0)), 1.0);
        assert!((found_share(&all(900, 100, 0)) - 0.75).abs() < 1e-9);
        assert!((found_share(&all(500, 0, 500)) - 0.5).abs() < 1e-9);
        assert_eq!(Figures::of(1.0, &all(0, 0, 3), &[]).unanswered, 3);
    }
}
