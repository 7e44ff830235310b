//! A bound on what libraries log: a peer that breaks a rule again and again, or a system call that fails each time, must
//! not fill the log.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata};
use tracing_log::NormalizeEvent;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter};

/// Lines of one place in the code of a library within [`WINDOW`].
const LINES_MAX: u32 = 5;
const WINDOW: Duration = Duration::from_secs(10);
/// What begins like this is of hydra itself, which logs changes and not each case.
const OWN: &str = "hydra";

/// Lines that were left out, of the whole process: it has one log.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// How many lines the log lacks by now.
pub(crate) fn left_out() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

/// Lets a few lines of each place in the code of libraries pass, and all lines of hydra.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    hashes: RandomState,
    /// As many as places in the code that log, at most.
    places: Mutex<HashMap<u64, Place>>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    since: Instant,
    lines: u32,
}

impl LogLimit {
    fn permits(&self, metadata: &Metadata<'_>, now: Instant) -> bool {
        if metadata.target().starts_with(OWN) {
            return true;
        }
        let place =
            self.hashes.hash_one((metadata.target(), metadata.level(), metadata.file(), metadata.line()));
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(place).or_insert(Place { since: now, lines: 0 });
        if now.saturating_duration_since(place.since) >= WINDOW {
            *place = Place { since: now, lines: 0 };
        }
        place.lines = place.lines.saturating_add(1);
        place.lines <= LINES_MAX
    }
}

impl<S> Filter<S> for LogLimit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    /// No opinion: `None` would lift the hint of the filter beside it.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    /// Each event is judged anew.
    fn callsite_enabled(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        // Lines that come through the crate `log` have their target among their fields.
        let of_log = event.normalized_metadata();
        let permits = self.permits(of_log.as_ref().unwrap_or_else(|| event.metadata()), Instant::now());
        if !permits {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        }
        permits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{Layer, fmt};

    #[derive(Debug, Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_place_of_a_library_logs_a_few_lines_and_hydra_all() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().with_writer(move || writer.clone()).with_filter(LogLimit::default());
        let before = left_out();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            for _ in 0..100 {
                tracing::error!(target: "yamux::connection", "one place");
                tracing::error!(target: "yamux::connection", "another place");
                tracing::error!(target: "hydra_node::net", "our own");
            }
        });
        let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let count = |what: &str| lines.matches(what).count();
        assert_eq!((count("one place"), count("another place"), count("our own")), (5, 5, 100), "{lines}");
        assert!(left_out() - before >= 190);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_logs_again_when_its_window_is_over() {
        let limit = LogLimit::default();
        let began = Instant::now();
        let of = tracing::error_span!(target: "yamux::connection", "line");
        let metadata = of.metadata().unwrap();
        let permitted = |now| (0..10).filter(|_| limit.permits(metadata, now)).count();
        assert_eq!(permitted(began), 5);
        assert_eq!(permitted(began + WINDOW - Duration::from_millis(1)), 0);
        assert_eq!(permitted(began + WINDOW), 5);
    }
}
