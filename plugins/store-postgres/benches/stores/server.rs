//! What a server has used: CPU of all its processes, and disk.

use hydra_conformance::servers::Postgres as Server;
use std::fs;

/// Ticks of `/proc/<pid>/stat` in a second (`USER_HZ`, the same on every Linux).
const TICKS: f64 = 100.0;

/// The CPU that a server has used, in seconds: its processes, and those that have ended.
pub(crate) struct Cpu(f64);

impl Cpu {
    pub(crate) fn now(server: &Server) -> Self {
        let main = server.pid().unwrap();
        let own = |pid: u32, fields: &[usize]| {
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return (0, 0.0) };
            // The name of the program, which may have blanks, ends with the last parenthesis; the third field follows.
            let fields_from_3: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            let ticks: f64 =
                fields.iter().map(|field| fields_from_3[field - 3].parse::<f64>().unwrap()).sum();
            (fields_from_3[1].parse().unwrap(), ticks / TICKS)
        };
        let children = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let (parent, seconds) = own(pid, &[14, 15]);
            (parent == main).then_some(seconds)
        });
        let ended_too = own(main, &[14, 15, 16, 17]).1;
        Self(children.sum::<f64>() + ended_too)
    }

    /// What was used since, by each of so many, in microseconds.
    pub(crate) fn micros_each(&self, server: &Server, count: u64) -> f64 {
        (Self::now(server).0 - self.0) * 1e6 / count as f64
    }
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
