//! The log: on standard error, as text on a terminal and as JSON otherwise.

use crate::config::{Loaded, Log, LogFormat, text_concealed};
use crate::observe::log_limit::LogLimit;
use crate::observe::otlp::Exporter;
use std::io::{self, IsTerminal, Write};
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// The default levels of libraries; the config's level overrides them. OpenTelemetry logs every failed export, which
/// the exporter logs once per change, so it is off. yamux warns of every connection that the remote resets, sqlx of every notice
/// of the server, such as one to each connection that ends with it. The storage engines log each error that they return, in words for
/// their own developers; the stores log what it means, once per change. The reader of /etc/resolv.conf warns of each line of it that it
/// cannot read, each time; the transport that resolves names says once what that means.
const LIBRARIES: &str = "fjall=off,lsm_tree=off,sled=off,libp2p=warn,quinn=warn,hickory=warn,\
    hickory_resolver::system_conf=off,yamux=error,sqlx=error,\
    multistream_select=warn,h2=warn,hyper=warn,reqwest=warn,tonic=warn,tower=warn,opentelemetry=off";
/// The spans of traced requests go to the collector; in the log they would repeat the request in each line.
const TRACES: &str = "hydra::request=off";

/// The level of the running log.
#[derive(Debug, Clone)]
pub(crate) struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    /// Changes the level; false if the log is gone.
    pub(crate) fn set(&self, level: &str) -> bool {
        self.0.reload(filter(level)).is_ok()
    }
}

/// Starts the log, and passes spans to the exporter. The level can be changed later.
pub(crate) fn start(log: &Log, exporter: &Exporter) -> Level {
    install(&log.level, log.format, exporter)
}

/// Starts the log of a short command: warnings only, unless the config sets a level.
pub(crate) fn start_quiet(log: &Log) {
    let level = if log.level == Log::LEVEL { "warn" } else { &log.level };
    let _level = install(level, log.format, &Exporter::default());
}

/// Standard error, without the credentials of URLs: those of libraries' errors among them.
#[derive(Debug)]
struct Concealing(io::Stderr);

impl Concealing {
    fn stderr() -> Self {
        Self(io::stderr())
    }
}

impl Write for Concealing {
    /// A whole event: the layer writes each at once.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(event) {
            Ok(text) => self.0.write_all(text_concealed(text).as_bytes())?,
            Err(_) => self.0.write_all(event)?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Logs what is no error of the config, but was hardly meant.
pub(crate) fn warn_of(loaded: &Loaded) {
    for warning in loaded.warnings() {
        tracing::warn!("{warning}");
    }
}

fn install(level: &str, format: LogFormat, exporter: &Exporter) -> Level {
    let (filter, handle) = reload::Layer::new(filter(level));
    let installed = tracing_subscriber::registry()
        .with(lines(format).with_filter(filter.and(LogLimit::default())))
        .with(exporter.layer())
        .try_init();
    // A program that embeds the node may have installed its own subscriber, which takes precedence.
    drop(installed);
    Level(handle)
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
    let lines = fmt::layer().with_writer(Concealing::stderr);
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

    /// The log line of an event inside the span of a traced request, while another layer enables that span.
    fn logged(level: &str) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let lines = fmt::layer().json().flatten_event(true).with_writer(move || writer.clone());
        let wants = tracing_subscriber::filter::filter_fn(|metadata| metadata.is_span());
        let traces = fmt::layer().with_writer(io::sink).with_filter(wants);
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter(level))).with(traces);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!(target: crate::observe::otlp::REQUESTS, "request", secret = 1)
                .in_scope(|| tracing::info_span!("own").in_scope(|| tracing::info!("inside")));
        });
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// What crates log of an error.
    fn errors(level: &str) -> Vec<bool> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let lines = fmt::layer().json().flatten_event(true).with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter(level)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "sled::pagecache", "raw");
            tracing::error!(target: "fjall::journal", "raw");
            tracing::error!(target: "lsm_tree::tree", "raw");
            tracing::error!(target: "hickory_resolver::system_conf::unix", "raw");
            tracing::error!(target: "hickory_resolver::resolver", "told");
            tracing::error!(target: "hydra_store_sled::keeper", "told");
        });
        let bytes = buffer.0.lock().unwrap().clone();
        let logged = String::from_utf8(bytes).unwrap();
        let targets = [
            "sled::pagecache",
            "fjall::journal",
            "lsm_tree::tree",
            "hickory_resolver::system_conf::unix",
            "hickory_resolver::resolver",
            "hydra_store_sled::keeper",
        ];
        targets.map(|target| logged.contains(&format!("\"{target}\""))).into()
    }

    #[test]
    fn libraries_whose_errors_are_told_log_nothing_unless_the_level_names_them() {
        assert_eq!(errors("info"), [false, false, false, false, true, true]);
        assert_eq!(errors("info,sled=warn,lsm_tree=error"), [true, false, true, false, true, true]);
    }

    #[test]
    fn log_lines_repeat_the_request_only_if_the_level_names_it() {
        let line = logged("info");
        assert!(line.contains("inside") && line.contains("own"), "{line}");
        assert!(!line.contains("request"), "{line}");
        assert!(logged("info,hydra::request=info").contains("request"));
    }
}
