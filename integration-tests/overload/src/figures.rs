//! The figures of a step.

use crate::load::{ABSENT_SHARE, Row};
use hydra_load::{Operation, StepReport};
use std::str::FromStr;

/// What a step showed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures {
    /// The rate in multiples of the one that saturates the server.
    pub(crate) multiple: f64,
    /// Requests per second that were to be sent.
    pub(crate) rate: f64,
    /// Requests per second that were due.
    pub(crate) offered: f64,
    /// Full answers per second, of all requests.
    pub(crate) full: f64,
    /// Answers per second to GET_PROVIDERS for keys that have providers, with providers.
    pub(crate) found: f64,
    /// The share of these among all GET_PROVIDERS for such keys.
    pub(crate) found_share: f64,
    /// Latencies of all answers to GET_PROVIDERS.
    pub(crate) get_p50_ms: f64,
    pub(crate) get_p99_ms: f64,
    /// The highest 99th percentile of the latencies of an operation.
    pub(crate) p99_ms: f64,
    pub(crate) lag_p99_ms: f64,
    /// Requests without an answer.
    pub(crate) unanswered: u64,
    /// Statements and commands of the server per second, and store calls of the node.
    pub(crate) statements: f64,
    pub(crate) commands: f64,
    pub(crate) store_calls: f64,
    pub(crate) active_max: f64,
    pub(crate) permits_max: f64,
    /// Connections that the node opened during the step.
    pub(crate) connections_opened: f64,
    /// CPU in cores.
    pub(crate) store_cpu: f64,
    pub(crate) node_cpu: f64,
    pub(crate) generator_cpu: f64,
    pub(crate) node_rss_mib: f64,
    /// Of the reads that the cache answers, the share.
    pub(crate) cache_hit_share: f64,
    /// Of the keys that needed a permit, those that got none in time.
    pub(crate) denied_share: f64,
    pub(crate) store_failures: f64,
    /// The highest rung of the reads, and of the writes.
    pub(crate) read_rung: String,
    pub(crate) write_rung: String,
    pub(crate) load_average: f64,
}

/// A generator that starts requests later than this, at the 99th percentile, cannot offer the load.
const LAG_MS_MAX: f64 = 250.0;

/// The rungs from the lowest to the highest.
const RUNGS: [&str; 6] = ["full", "short", "stale", "near_only", "cache_only", "routing_only"];

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
        let rung = |of: &dyn Fn(&Row) -> &str| {
            let highest = rows.iter().filter_map(|row| RUNGS.iter().position(|rung| *rung == of(row))).max();
            RUNGS[highest.unwrap_or_default()].to_owned()
        };
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
            node_cpu: report.server.map_or(0.0, |node| node.cpu_cores),
            generator_cpu: report.generator.map_or(0.0, |generator| generator.cpu_cores),
            node_rss_mib: max(&|row| row.second.server.map_or(0.0, |node| node.rss_mib)),
            active_max: max(&|row| row.sample.store.active),
            permits_max: max(&|row| row.sample.node.permits_max),
            load_average: max(&|row| row.sample.load_average),
            read_rung: rung(&|row| &row.sample.node.read_rung),
            write_rung: rung(&|row| &row.sample.node.write_rung),
            ..Self::of_counters(rows)
        }
    }

    /// What the counters of the server and the node show between the first and the last sample.
    fn of_counters(rows: &[Row]) -> Self {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Self::default() };
        let (first, last) = (&first.sample, &last.sample);
        let seconds = last.at_s - first.at_s;
        if seconds <= 0.0 {
            return Self::default();
        }
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let node = |of: fn(&crate::sample::NodeSample) -> f64| of(&last.node) - of(&first.node);
        let (hits, misses) = (node(|node| node.cache_hits), node(|node| node.cache_misses));
        Self {
            statements: (last.store.statements - first.store.statements) / seconds,
            commands: (last.store.commands - first.store.commands) / seconds,
            store_calls: node(|node| node.store_reads + node.store_writes) / seconds,
            connections_opened: last.store.connections - first.store.connections,
            store_cpu: (last.store_cpu_s - first.store_cpu_s) / seconds,
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

    /// The names of the columns of [`Self::csv`].
    pub(crate) fn csv_header() -> &'static str {
        "multiple,rate,offered_per_s,full_per_s,found_per_s,found_share,get_p50_ms,get_p99_ms,p99_ms,lag_p99_ms,\
         unanswered,statements_per_s,commands_per_s,store_calls_per_s,active_max,permits_max,connections_opened,store_cpu_cores,\
         node_cpu_cores,generator_cpu_cores,node_rss_mib,cache_hit_share,denied_share,store_failures,read_rung,\
         write_rung,load_average"
    }

    /// The step as a line of CSV, without a line feed.
    pub(crate) fn csv(&self) -> String {
        let numbers = [
            self.multiple,
            self.rate,
            self.offered,
            self.full,
            self.found,
            self.found_share,
            self.get_p50_ms,
            self.get_p99_ms,
            self.p99_ms,
            self.lag_p99_ms,
            self.unanswered as f64,
            self.statements,
            self.commands,
            self.store_calls,
            self.active_max,
            self.permits_max,
            self.connections_opened,
            self.store_cpu,
            self.node_cpu,
            self.generator_cpu,
            self.node_rss_mib,
            self.cache_hit_share,
            self.denied_share,
            self.store_failures,
        ];
        let numbers: Vec<_> = numbers.iter().map(|number| format!("{number:.4}")).collect();
        format!("{},{},{},{:.2}", numbers.join(","), self.read_rung, self.write_rung, self.load_average)
    }
}

impl FromStr for Figures {
    type Err = String;

    /// Reads a line of CSV.
    fn from_str(line: &str) -> Result<Self, String> {
        let mut cells = line.split(',');
        let mut text = || cells.next().ok_or_else(|| format!("too few columns: {line}"));
        let mut number = || text()?.parse::<f64>().map_err(|cause| format!("not a number, {cause}: {line}"));
        Ok(Self {
            multiple: number()?,
            rate: number()?,
            offered: number()?,
            full: number()?,
            found: number()?,
            found_share: number()?,
            get_p50_ms: number()?,
            get_p99_ms: number()?,
            p99_ms: number()?,
            lag_p99_ms: number()?,
            unanswered: number()? as u64,
            statements: number()?,
            commands: number()?,
            store_calls: number()?,
            active_max: number()?,
            permits_max: number()?,
            connections_opened: number()?,
            store_cpu: number()?,
            node_cpu: number()?,
            generator_cpu: number()?,
            node_rss_mib: number()?,
            cache_hit_share: number()?,
            denied_share: number()?,
            store_failures: number()?,
            read_rung: text()?.to_owned(),
            write_rung: text()?.to_owned(),
            load_average: text()?.parse().map_err(|cause| format!("not a number, {cause}: {line}"))?,
        })
    }
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
    use crate::sample::{NodeSample, Sample};
    use crate::server::Counts;
    use hydra_load::{Counts as Outcomes, OperationFigures};

    fn row(at_s: f64, statements: f64, rung: &str) -> Row {
        let node = NodeSample { read_rung: rung.to_owned(), ..NodeSample::default() };
        let store = Counts { statements, active: at_s, ..Counts::default() };
        Row { sample: Sample { at_s, store, node, ..Sample::default() }, ..Row::default() }
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
        assert_eq!(figures.csv().split(',').count(), Figures::csv_header().split(',').count());
    }

    #[test]
    fn a_line_of_csv_is_read_as_it_was_written() {
        let rows = [row(1.0, 100.0, "full"), row(2.0, 150.0, "stale")];
        let figures = Figures::of(2.0, &report(Outcomes { full: 9, ..Outcomes::default() }), &rows);
        assert_eq!(figures.csv().parse(), Ok(figures.clone()));
        assert!(Figures::csv_header().parse::<Figures>().is_err() && "1,2".parse::<Figures>().is_err());
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
