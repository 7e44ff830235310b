//! The memory use, what the node gives up near the limit, and the heap.

use super::page::Page;
use crate::memory::Step;
use crate::memory::view::MemoryView;
use std::fmt;

pub(super) fn write(memory: &MemoryView, page: &mut Page<'_>) -> fmt::Result {
    let usage = memory.usage();
    page.gauges(
        "hydra_memory_used_bytes",
        "Memory in use as the memory guard counts it: of the control group without file cache, or the resident memory of the \
         process; absent if the guard is off.",
        usage.map(|usage| ([], usage.used)),
    )?;
    page.gauges(
        "hydra_memory_limit_bytes",
        "Memory limit that the use is compared with: of the config, a control group or the machine; absent if the guard is off.",
        usage.map(|usage| ([], usage.limit)),
    )?;
    page.gauges(
        "hydra_memory_step",
        "Steps of the memory guard, 1 while in effect: the caches and the write queue are halved (shrink), new inbound \
         connections are refused (refuse), the least useful connections are closed (close).",
        Step::ALL.map(|step| ([("step", step.as_str())], u64::from(memory.is_active(step)))),
    )?;
    page.counters(
        "hydra_memory_steps_total",
        "Beginnings of the steps of the memory guard.",
        Step::ALL.map(|step| ([("step", step.as_str())], memory.begun(step))),
    )?;
    let (written, failed) = memory.profiles.counts();
    page.counters(
        "hydra_heap_profiles_total",
        "Heap profiles written to files, and those that could not be taken or written.",
        [("written", written), ("failed", failed)].map(|(outcome, count)| ([("outcome", outcome)], count)),
    )?;
    let sizes = memory.heap_sizes().map(|sizes| {
        [("allocated", sizes.allocated), ("active", sizes.active), ("resident", sizes.resident)]
    });
    page.gauges(
        "hydra_heap_bytes",
        "Heap of the allocator: what the program has allocated, the pages that contain it (active), and all pages in memory \
         (resident); absent if the allocator does not report it.",
        sizes.into_iter().flatten().map(|(kind, bytes)| ([("kind", kind)], bytes)),
    )
}
