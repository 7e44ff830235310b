//! What a server has used: CPU of its processes, and disk.

use hydra_conformance::servers::Postgres as Server;
use std::fs;

/// Ticks of `/proc/<pid>/stat` in a second (`USER_HZ`, the same on every Linux).
const TICKS: f64 = 100.0;

/// The CPU that a server has used, in seconds.
pub(crate) struct Cpu {
    /// Of the processes that run the statements of clients over TCP, as the measured ones are.
    backends: f64,
    /// Of the others, and of those that have ended: the processes that write WAL and pages, autovacuum.
    others: f64,
}

/// CPU per request, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Micros {
    pub(crate) backends: f64,
    pub(crate) all: f64,
}

impl Cpu {
    pub(crate) fn now(server: &Server) -> Self {
        let main = server.pid().unwrap();
        let mut cpu = Self { backends: 0.0, others: ticks(main, &[14, 15, 16, 17]).unwrap() };
        for entry in fs::read_dir("/proc").unwrap() {
            let name = entry.unwrap().file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            if parent(pid) != Some(main) {
                continue;
            }
            // It may have ended meanwhile.
            let Ok(title) = fs::read_to_string(format!("/proc/{pid}/cmdline")) else { continue };
            let Some(seconds) = on_cpu(pid) else { continue };
            // "postgres: hydra hydra 127.0.0.1(41234) idle"
            match title.contains(" 127.0.0.1(") {
                true => cpu.backends += seconds,
                false => cpu.others += seconds,
            }
        }
        cpu
    }

    /// What was used since, by each of so many.
    pub(crate) fn micros_each(&self, server: &Server, count: u64) -> Micros {
        let now = Self::now(server);
        let each = |seconds: f64| seconds * 1e6 / count as f64;
        let backends = each(now.backends - self.backends);
        Micros { backends, all: backends + each(now.others - self.others) }
    }
}

/// The fields of `/proc/<pid>/stat` from the third on. None if the process has ended.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, which may have blanks, ends with the last parenthesis; the third field follows.
    Some(stat.rsplit(')').next()?.split_whitespace().map(str::to_owned).collect())
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?[1].parse().ok()
}

/// Fields of `/proc/<pid>/stat` that count ticks, in seconds.
fn ticks(pid: u32, fields: &[usize]) -> Option<f64> {
    let stat = stat(pid)?;
    Some(fields.iter().map(|field| stat[field - 3].parse::<f64>().unwrap()).sum::<f64>() / TICKS)
}

/// The seconds that a process was on a CPU: to the nanosecond, where ticks are samples.
fn on_cpu(pid: u32) -> Option<f64> {
    let schedstat = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    Some(schedstat.split_whitespace().next()?.parse::<f64>().ok()? / 1e9)
}

/// The bytes on disk of the tables of a schema, indexes included.
pub(crate) fn bytes(server: &Server, schema: &str) -> u64 {
    let query = format!(
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{schema}' AND c.relkind = 'r'"
    );
    server.query("hydra", &query).unwrap()[0].trim().parse().unwrap()
}

/// Lets the server finish what it would do later: hint bits, statistics, dirty pages.
pub(crate) fn settle(server: &Server) {
    server.execute("hydra", "VACUUM ANALYZE").unwrap();
    server.execute("hydra", "CHECKPOINT").unwrap();
}
