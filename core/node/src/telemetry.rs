//! The export of traces.

mod otlp;

pub use otlp::{Exporter, ExporterError, REQUESTS, SettingOrigin, Stats, Target};
