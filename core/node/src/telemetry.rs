//! What the node tells operators of itself.

mod otlp;

pub use otlp::{Exporter, ExporterError, REQUESTS, Stats, Target, Told};
