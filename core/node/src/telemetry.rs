//! What the node tells operators of itself.

mod otlp;

pub(crate) use otlp::Endpoint;
pub use otlp::{Exporter, ExporterError, REQUESTS, Stats, Target, Told};
