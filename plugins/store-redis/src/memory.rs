//! The memory of the servers: read with each estimate, and published with its age.

use crate::net::{Fleet, SYSTEM};
use futures::future::join_all;
use hydra_api::Metric;
use redis::{Pipeline, Value};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What the servers said of their memory last, all masters together.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// A user without the right to ask is not to fail again and again.
    may_ask: bool,
    last: Mutex<Option<(Instant, Used)>>,
}

/// Bytes in use, and the limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Used {
    used: u64,
    /// None if a server has no limit.
    max: Option<u64>,
    /// The part of its limit that the fullest server with one has used: slots are not spread evenly, and keys not at all.
    fullest: Option<f64>,
}

impl Memory {
    /// Asks the servers from now on, as one of them has answered.
    pub(crate) fn asking() -> Self {
        Self { may_ask: true, ..Self::default() }
    }

    /// Asks all masters. Those that do not answer have said nothing.
    pub(crate) async fn read(&self, fleet: &Fleet) {
        if !self.may_ask {
            return;
        }
        let mut ask = Pipeline::new();
        ask.cmd("INFO").arg("memory");
        let asked = fleet.nodes().into_iter().map(|node| {
            let ask = &ask;
            async move { node.exchange(ask, 1).await }
        });
        let said = join_all(asked).await.into_iter().filter_map(|said| of_reply(&said.ok()?.pop()?));
        if let Some(used) = said.reduce(Used::and) {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), used));
        }
    }

    /// What was read last; nothing before the first time.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((at, Used { used, max, fullest })) = last else { return Vec::new() };
        let gauge = |name, help, value| Metric::gauge(name, help, value).with("db_system_name", SYSTEM);
        let mut metrics = vec![
            gauge("db_memory_bytes", "Memory in use by all masters together.", used as f64),
            gauge(
                "db_memory_age_seconds",
                "Time since the servers were asked for their memory.",
                at.elapsed().as_secs_f64(),
            ),
        ];
        metrics.extend(max.map(|max| {
            let help = "Limit of the memory of all masters together; absent if one has none.";
            gauge("db_memory_max_bytes", help, max as f64)
        }));
        metrics.extend(fullest.map(|fullest| {
            let help = "Share of its memory limit that the fullest master has used, from 0 to 1; absent if none has a limit.";
            gauge("db_memory_used_ratio", help, fullest)
        }));
        metrics
    }
}

impl Used {
    fn and(self, other: Self) -> Self {
        let max = self.max.zip(other.max).map(|(one, other)| one.saturating_add(other));
        let fullest = [self.fullest, other.fullest].into_iter().flatten().reduce(f64::max);
        Self { used: self.used.saturating_add(other.used), max, fullest }
    }
}

/// What `INFO memory` says.
fn of_reply(said: &Value) -> Option<Used> {
    let info: String = redis::from_redis_value_ref(said).ok()?;
    let value = |name: &str| -> Option<u64> {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim().parse().ok()
    };
    let (used, max) = (value("used_memory")?, value("maxmemory").filter(|max| *max > 0));
    Some(Used { used, max, fullest: max.map(|max| used as f64 / max as f64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_added_up_and_one_without_a_limit_has_none() {
        let said = |text: &str| of_reply(&Value::BulkString(text.as_bytes().to_vec()));
        let one = said("# Memory\r\nused_memory:100\r\nused_memory_rss:7\r\nmaxmemory:1000\r\n").unwrap();
        let two = said("used_memory:50\r\nmaxmemory:0\r\n").unwrap();
        assert_eq!((one.used, one.max, two.max), (100, Some(1000), None));
        assert_eq!((one.and(one).max, one.and(two).max, one.and(two).used), (Some(2000), None, 150));
        assert_eq!(said("# Memory\r\n"), None);
    }

    #[test]
    fn one_full_server_shows_among_others() {
        let said = |used: u64, max: u64| {
            let text = format!("used_memory:{used}\r\nmaxmemory:{max}\r\n");
            of_reply(&Value::BulkString(text.into_bytes())).unwrap()
        };
        let all = [said(10, 100), said(99, 100), said(10, 100)].into_iter().reduce(Used::and).unwrap();
        assert_eq!((all.used, all.max, all.fullest), (119, Some(300), Some(0.99)));
        assert_eq!(said(7, 0).and(said(50, 100)).fullest, Some(0.5));
        assert_eq!(said(7, 0).fullest, None);
    }
}
