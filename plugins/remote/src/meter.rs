//! What is counted of the statements and connections of one store, under the names of OpenTelemetry's semantic conventions for
//! database clients where they have one.

mod underway;

use hydra_api::{Histogram, Metric};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing::Span;
use tracing::field::Empty;

pub use underway::{Connecting, Statement};

const SYSTEM: &str = "db_system_name";
const OPERATION: &str = "db_operation_name";
const ERROR: &str = "error_type";
/// The class of what ended because its caller gave up; every store has it.
const DROPPED: &str = "dropped";

/// The operations of a store. What is none of them is counted as the last.
const OPERATIONS: [&str; 13] = [
    "providers",
    "insert",
    "purge_expired",
    "estimate",
    "delete",
    "scan",
    "close",
    "get",
    "put_if",
    "purge_values",
    "estimate_values",
    "delete_values",
    "other",
];
/// Those that every node does; the others are published once they were done.
const USUAL: usize = 4;

/// What is counted of one store.
#[derive(Debug)]
pub struct Meter {
    system: &'static str,
    length: Length,
    statements: [Statements; OPERATIONS.len()],
    errors: Errors,
    connects: Counts,
    connect_failures: Errors,
    /// Connections that have ended and that no other has replaced yet, by cause.
    lost: [AtomicU64; Cause::ALL.len()],
}

/// What the length of a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Rows that it returns, sends or removes.
    Rows,
    /// Commands that are sent in one piece.
    Commands,
}

/// Why a connection was opened: the first ones, or instead of one that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It replaces none.
    Start,
    /// The connection failed, or the server closed it.
    Lost,
    /// The server did not answer in time.
    Timeout,
    /// The server said that it ends the session.
    Ended,
    /// The server takes no writes any more.
    ReadOnly,
    /// The caller gave up in the middle of a statement.
    Dropped,
}

/// How many connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InUse {
    /// Open, and not in use.
    pub idle: u64,
    /// In use.
    pub used: u64,
    /// The limit.
    pub max: u64,
}

#[derive(Debug)]
struct Statements {
    took: Histogram,
    lengths: Histogram,
}

/// Counters for a fixed list of words. The last one stands for what is not in the list.
#[derive(Debug)]
struct Counts {
    words: &'static [&'static str],
    counts: Box<[AtomicU64]>,
}

/// Errors by class, and what ended because its caller gave up.
#[derive(Debug)]
struct Errors {
    classes: Counts,
    dropped: AtomicU64,
}

impl Cause {
    /// Every cause, in the order of their discriminants.
    pub const ALL: [Self; 6] =
        [Self::Start, Self::Lost, Self::Timeout, Self::Ended, Self::ReadOnly, Self::Dropped];
    const WORDS: [&str; Self::ALL.len()] = ["start", "lost", "timeout", "ended", "read_only", "dropped"];
}

impl Counts {
    fn new(words: &'static [&'static str]) -> Self {
        Self { words, counts: words.iter().map(|_| AtomicU64::new(0)).collect() }
    }

    fn add(&self, word: &str) {
        let last = self.words.len().saturating_sub(1);
        let at = self.words.iter().position(|known| *known == word).unwrap_or(last);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.words.iter().zip(&self.counts).map(|(word, count)| (*word, count.load(Ordering::Relaxed)))
    }
}

impl Errors {
    fn new(classes: &'static [&'static str]) -> Self {
        Self { classes: Counts::new(classes), dropped: AtomicU64::new(0) }
    }

    fn add_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.classes.iter().chain([(DROPPED, self.dropped.load(Ordering::Relaxed))])
    }
}

impl Meter {
    /// That of a store over `system`, as OpenTelemetry names it, whose errors are of these classes. The last class stands for
    /// all that are not in the list.
    pub fn new(system: &'static str, length: Length, errors: &'static [&'static str]) -> Self {
        let statements = || Statements {
            took: Histogram::new(Histogram::SECONDS),
            lengths: Histogram::new(Histogram::LENGTHS),
        };
        Self {
            system,
            length,
            statements: std::array::from_fn(|_| statements()),
            errors: Errors::new(errors),
            connects: Counts::new(&Cause::WORDS),
            connect_failures: Errors::new(errors),
            lost: Default::default(),
        }
    }

    fn of(&self, operation: &str) -> &Statements {
        let last = OPERATIONS.len() - 1;
        &self.statements[OPERATIONS.iter().position(|known| *known == operation).unwrap_or(last)]
    }

    /// Begins to measure a statement. One that is dropped before its end is counted with the error class `dropped`.
    pub fn begin(&self, operation: &'static str) -> Statement<'_> {
        Statement::new(self, operation)
    }

    /// Begins an attempt to connect. One that is dropped before its end is counted as a failure of the class `dropped`.
    pub fn connecting(&self) -> Connecting<'_> {
        Connecting::new(self)
    }

    /// The span of a statement.
    fn span(&self, operation: &'static str) -> Span {
        if Span::current().is_disabled() {
            return Span::none();
        }
        let system = self.system;
        tracing::info_span!(
            "statement",
            otel.name = format!("{operation} {system}"),
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = system,
            db.operation.name = operation,
            db.response.status_code = Empty,
            error.type = Empty,
        )
    }

    /// Counts a statement that has ended in any way.
    fn ended(&self, operation: &str, took: Duration) {
        self.of(operation).took.record_time(took);
    }

    /// Counts the length of a statement.
    pub fn length(&self, operation: &str, length: usize) {
        self.of(operation).lengths.record(length as f64);
    }

    /// Counts an error of a statement.
    pub fn failed(&self, class: &str) {
        self.errors.classes.add(class);
    }

    /// Counts a connection that was opened: in place of one that has ended, if there is one.
    pub fn connected(&self) {
        let taken = Cause::ALL.into_iter().find(|cause| {
            let lost = &self.lost[*cause as usize];
            let less = |lost: u64| lost.checked_sub(1);
            lost.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
        });
        self.connects.add(Cause::WORDS[taken.unwrap_or(Cause::Start) as usize]);
    }

    /// Counts an attempt to connect that failed.
    pub fn connect_failed(&self, class: &str) {
        self.connect_failures.classes.add(class);
    }

    /// Notes that connections have ended: the next ones that are opened replace them.
    pub fn disconnected(&self, cause: Cause, connections: usize) {
        let connections = u64::try_from(connections).unwrap_or(u64::MAX);
        self.lost[cause as usize].fetch_add(connections, Ordering::Relaxed);
    }

    /// All that was counted.
    pub fn metrics(&self, connections: InUse) -> Vec<Metric> {
        let mut metrics = self.of_statements();
        let errors = self.errors.iter().map(|(class, count)| {
            let help = "Errors of statements, by their class (dropped: the caller gave up).";
            Metric::counter("db_client_errors_total", help, count).with(ERROR, class)
        });
        metrics.extend(errors);
        metrics.extend(self.of_connections(connections));
        metrics.into_iter().map(|metric| metric.with(SYSTEM, self.system)).collect()
    }

    fn of_statements(&self) -> Vec<Metric> {
        let is_told =
            |(at, (_, of)): &(usize, (&&'static str, &Statements))| *at < USUAL || of.took.count() > 0;
        let told = || OPERATIONS.iter().zip(&self.statements).enumerate().filter(is_told);
        let took = told().map(|(_, (operation, of))| {
            let help = "Duration of statements, without the wait for a connection.";
            Metric::histogram("db_client_operation_duration_seconds", help, of.took.read())
                .with(OPERATION, *operation)
        });
        let (name, help) = match self.length {
            Length::Rows => ("db_client_operation_rows", "Rows of a statement: returned, sent or removed."),
            Length::Commands => ("db_client_operation_commands", "Commands that were sent in one piece."),
        };
        let lengths = told().map(|(_, (operation, of))| {
            Metric::histogram(name, help, of.lengths.read()).with(OPERATION, *operation)
        });
        took.chain(lengths).collect()
    }

    fn of_connections(&self, InUse { idle, used, max }: InUse) -> Vec<Metric> {
        let gauge = |state, count: u64| {
            Metric::gauge("db_client_connections", "Open connections, by state.", count as f64)
                .with("db_client_connection_state", state)
        };
        let max = Metric::gauge("db_client_connections_max", "Limit of the open connections.", max as f64);
        let connects = self.connects.iter().map(|(cause, count)| {
            let help = "Connections that were opened: at the start or under more load (start), or in place of one that was \
                        lost, gave no answer in time, was ended by the server, had become read-only or was dropped in the middle \
                        of a statement.";
            Metric::counter("db_client_connects_total", help, count).with("cause", cause)
        });
        let failures = self.connect_failures.iter().map(|(class, count)| {
            let help =
                "Attempts to connect that failed, by the class of the error (dropped: the caller gave up).";
            Metric::counter("db_client_connect_failures_total", help, count).with(ERROR, class)
        });
        [gauge("idle", idle), gauge("used", used), max].into_iter().chain(connects).chain(failures).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_api::Figure;
    use hydra_api::metrics::well_formed;

    fn count(meter: &Meter, name: &str, label: (&str, &str)) -> u64 {
        let of = |metric: &&Metric| metric.name == name && metric.label(label.0) == Some(label.1);
        match meter.metrics(InUse::default()).iter().find(of).map(|metric| metric.figure.clone()) {
            Some(Figure::Counter(count)) => count,
            Some(Figure::Histogram(buckets)) => buckets.count(),
            other => panic!("{name} {label:?}: {other:?}"),
        }
    }

    #[test]
    fn a_connection_replaces_one_that_has_ended() {
        let meter = Meter::new("postgresql", Length::Rows, &["57", "other"]);
        (0..4).for_each(|_| meter.connected());
        meter.disconnected(Cause::Timeout, 1);
        meter.disconnected(Cause::Ended, 2);
        (0..4).for_each(|_| meter.connected());
        let connects = |cause| count(&meter, "db_client_connects_total", ("cause", cause));
        assert_eq!(["start", "timeout", "ended", "lost"].map(connects), [5, 1, 2, 0]);
    }

    #[test]
    fn what_is_in_no_list_is_counted_as_other() {
        let meter = Meter::new("redis", Length::Commands, &["MOVED", "other"]);
        ["MOVED", "WHATEVER", "NEW"].into_iter().for_each(|class| meter.failed(class));
        meter.ended("rewind", Duration::from_millis(3));
        let errors = |class| count(&meter, "db_client_errors_total", (ERROR, class));
        assert_eq!(["MOVED", "other"].map(errors), [1, 2]);
        assert_eq!(count(&meter, "db_client_operation_duration_seconds", (OPERATION, "other")), 1);
    }

    #[test]
    fn what_its_caller_gives_up_is_measured_and_is_an_error() {
        let meter = Meter::new("redis", Length::Commands, &["io", "other"]);
        drop(meter.begin("insert"));
        drop(meter.connecting());
        meter.begin("insert").end();
        meter.connecting().end();
        assert_eq!(count(&meter, "db_client_operation_duration_seconds", (OPERATION, "insert")), 2);
        assert_eq!(count(&meter, "db_client_errors_total", (ERROR, "dropped")), 1);
        assert_eq!(count(&meter, "db_client_connect_failures_total", (ERROR, "dropped")), 1);
        assert_eq!(count(&meter, "db_client_errors_total", (ERROR, "other")), 0);
    }

    #[test]
    fn a_statement_has_a_span_only_within_a_call_that_is_traced() {
        let subscriber = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
        tracing::subscriber::with_default(subscriber, || {
            let meter = Meter::new("redis", Length::Commands, &["other"]);
            assert!(meter.span("insert").is_disabled());
            assert!(tracing::Span::none().in_scope(|| meter.span("insert")).is_disabled());
            assert!(!tracing::info_span!("call").in_scope(|| meter.span("insert")).is_disabled());
        });
    }

    #[test]
    fn all_that_is_published_is_well_formed() {
        let meter = Meter::new("redis", Length::Commands, &["other"]);
        OPERATIONS.iter().for_each(|operation| meter.ended(operation, Duration::ZERO));
        assert_eq!(well_formed(meter.metrics(InUse::default())).1, []);
    }
}
