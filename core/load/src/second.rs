//! One second of a run.

use crate::figures::Counts;
use crate::outcome::{Operation, Outcome};
use crate::process::ProcessUse;
use serde::Serialize;

/// What happened in about one second: `offered` and `sent` by the time of sending, the outcomes by the time of the end.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Second {
    /// The end of the second, in seconds from the start of the first step.
    pub at_s: f64,
    /// The index of the step; that of the last one while the last requests end.
    pub step: usize,
    /// The rate of the step, without what the abusive client adds; none in a closed loop.
    pub rate: Option<f64>,
    /// Requests that were due, without those of the abusive client.
    pub offered: u64,
    /// Requests of which an attempt began, without those of the abusive client.
    pub sent: u64,
    /// Requests that ended, without those of the abusive client.
    pub outcomes: Counts,
    /// Second attempts after a reset, of all clients.
    pub retries: u64,
    /// Requests of all clients that have been sent and have not ended.
    pub outstanding: u64,
    /// Median and 99th percentile of the latencies of all answers (full, empty and late), in ms, by operation, without
    /// those of the abusive client.
    pub latency_ms: [Option<(f64, f64)>; 4],
    /// Requests of the abusive client that were due.
    pub abusive_offered: u64,
    /// Full answers to the abusive client.
    pub abusive_full: u64,
    /// The 99th percentile of how late the generator started requests, in ms; none in a closed loop.
    pub lag_p99_ms: Option<f64>,
    /// The server.
    pub server: Option<ProcessUse>,
    /// The generator.
    pub generator: Option<ProcessUse>,
}

impl Second {
    /// The names of the columns of [`Self::csv`].
    pub fn csv_header() -> String {
        let mut header = "at_s,step,rate,offered,sent".to_owned();
        Outcome::ALL.iter().for_each(|outcome| append(&mut header, outcome.name()));
        append(&mut header, "retries,outstanding");
        for operation in Operation::ALL {
            append(&mut header, format_args!("{operation}_p50_ms,{operation}_p99_ms"));
        }
        append(&mut header, "abusive_offered,abusive_full,lag_p99_ms");
        append(&mut header, "server_cpu_cores,server_rss_mib,server_fds,generator_cpu_cores");
        header
    }

    /// The second as a line of CSV, without a line feed; a cell without a value is empty.
    pub fn csv(&self) -> String {
        let mut row = format!("{:.3},{}", self.at_s, self.step);
        append(&mut row, cell(self.rate));
        append(&mut row, format_args!("{},{}", self.offered, self.sent));
        Outcome::ALL.iter().for_each(|outcome| append(&mut row, self.outcomes.of(*outcome)));
        append(&mut row, format_args!("{},{}", self.retries, self.outstanding));
        for latency in self.latency_ms {
            let (p50, p99) = latency.unzip();
            append(&mut row, format_args!("{},{}", cell(p50), cell(p99)));
        }
        append(&mut row, format_args!("{},{}", self.abusive_offered, self.abusive_full));
        append(&mut row, cell(self.lag_p99_ms));
        append(&mut row, cell(self.server.map(|server| server.cpu_cores)));
        append(&mut row, cell(self.server.map(|server| server.rss_mib)));
        let fds = self.server.and_then(|server| server.fds);
        append(&mut row, fds.map_or_else(String::new, |fds| fds.to_string()));
        append(&mut row, cell(self.generator.map(|generator| generator.cpu_cores)));
        row
    }
}

fn append(row: &mut String, cell: impl std::fmt::Display) {
    row.push(',');
    row.push_str(&cell.to_string());
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_cell_for_each_column() {
        let columns = Second::csv_header().split(',').count();
        let full = Second {
            rate: Some(1.0),
            latency_ms: [Some((1.0, 2.0)), None, None, Some((3.0, 4.0))],
            server: Some(ProcessUse { cpu_cores: 1.0, rss_mib: 2.0, fds: Some(3) }),
            ..Second::default()
        };
        for second in [Second::default(), full] {
            assert_eq!(second.csv().split(',').count(), columns, "{}", second.csv());
        }
    }
}
