//! Where log lines go: standard error, for people on a terminal and as JSON otherwise.

use crate::config::{Log, LogFormat};
use crate::telemetry::Exporter;
use std::io::{self, IsTerminal};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// Libraries whose everyday talk nobody needs: they warn, unless the level names them. What OpenTelemetry has to say of an
/// export that fails, and it says it of every one, the exporter says once. yamux warns of every connection that the remote
/// resets.
const LIBRARIES: &str = "fjall=warn,lsm_tree=warn,libp2p=warn,quinn=warn,hickory=warn,yamux=error,\
    multistream_select=warn,h2=warn,hyper=warn,reqwest=warn,tonic=warn,tower=warn,opentelemetry=off";
/// The spans of traced requests are for the collector: in log lines they would say the same of each line again.
const TRACES: &str = "hydra::request=off";

/// Starts logging as the config says, and gives the exporter its spans.
pub(crate) fn start(log: &Log, exporter: &Exporter) {
    install(&log.level, log.format, exporter);
}

/// Starts logging for a command that ends soon: warnings, unless the config asks for something of its own.
pub(crate) fn start_quiet(log: &Log) {
    let level = if log.level == Log::LEVEL { "warn" } else { &log.level };
    install(level, log.format, &Exporter::default());
}

fn install(level: &str, format: LogFormat, exporter: &Exporter) {
    let installed = tracing_subscriber::registry()
        .with(lines(format).with_filter(filter(level)))
        .with(exporter.layer())
        .try_init();
    // A program that embeds the node may have its own subscriber, which then stays.
    drop(installed);
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!("{LIBRARIES},{TRACES},{level}"))
}

fn lines(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let pretty = match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let lines = fmt::layer().with_writer(io::stderr);
    match pretty {
        true => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        false => lines.json().flatten_event(true).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Debug, Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged inside of the span of a traced request, while the exporter's layer wants that span.
    fn logged(level: &str) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let lines = fmt::layer().json().flatten_event(true).with_writer(move || writer.clone());
        let wants = tracing_subscriber::filter::filter_fn(|metadata| metadata.is_span());
        let traces = fmt::layer().with_writer(io::sink).with_filter(wants);
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter(level))).with(traces);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!(target: crate::telemetry::REQUESTS, "request", secret = 1)
                .in_scope(|| tracing::info_span!("own").in_scope(|| tracing::info!("inside")));
        });
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lines_of_the_log_do_not_repeat_the_request_unless_they_are_to() {
        let line = logged("info");
        assert!(line.contains("inside") && line.contains("own"), "{line}");
        assert!(!line.contains("request"), "{line}");
        assert!(logged("info,hydra::request=info").contains("request"));
    }
}
