//! What the process takes of its machine, under the names that Prometheus gives these metrics, and what its log lacks.

use super::page::Page;
use crate::observe::log_limit;
use metrics_process::collector::collect;
use std::fmt;

pub(super) fn write(page: &mut Page<'_>) -> fmt::Result {
    let process = collect();
    // What the system does not tell is left out.
    let one = |value: Option<u64>| value.map(|value| ([], value));
    page.counters(
        "process_cpu_seconds_total",
        "CPU time used by the process, in user and system mode.",
        process.cpu_seconds_total.map(|seconds| ([], seconds)),
    )?;
    page.gauges("process_open_fds", "Open file descriptors.", one(process.open_fds))?;
    // 0 stands for no limit.
    let max = process.max_fds.map(|max| if max == 0 { u64::MAX } else { max });
    page.gauges("process_max_fds", "Limit of the open file descriptors.", one(max))?;
    page.gauges("process_resident_memory_bytes", "Memory in use.", one(process.resident_memory_bytes))?;
    page.gauges("process_virtual_memory_bytes", "Address space in use.", one(process.virtual_memory_bytes))?;
    page.gauges("process_threads", "Threads.", one(process.threads))?;
    page.counter(
        "hydra_log_lines_left_out_total",
        "Log lines of libraries that were left out: at most 5 lines from one place in their code are logged in 10 seconds.",
        log_limit::left_out(),
    )?;
    page.gauges(
        "process_start_time_seconds",
        "Start time of the process, in seconds since 1970.",
        one(process.start_time_seconds),
    )
}
