//! How batches of spans are sent, and what is told of it.

mod grpc;
mod http;
mod tell;

use super::count::Stats;
use super::target::{ExporterError, Target};
use crate::config::OtlpProtocol;
use opentelemetry_otlp::SpanExporter as Otlp;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use std::sync::Arc;
use tell::Teller;

/// Sends batches, counts them, and tells when that begins or ceases to fail.
#[derive(Debug)]
pub(super) struct Sender {
    exporter: Otlp,
    /// What gRPC runs on.
    _runtime: Option<grpc::Runtime>,
    stats: Arc<Stats>,
    teller: Teller,
}

impl Sender {
    /// Makes what sends to this target. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ExporterError::System`]
    pub(super) fn start(target: &Target, stats: Arc<Stats>) -> Result<Self, ExporterError> {
        let (exporter, runtime) = match target.protocol {
            OtlpProtocol::Grpc => {
                let (exporter, runtime) = grpc::start(target)?;
                (exporter, Some(runtime))
            }
            OtlpProtocol::Http => (http::start(target)?, None),
        };
        let teller = Teller::new(target.to_string());
        Ok(Self { exporter, _runtime: runtime, stats, teller })
    }
}

impl SpanExporter for Sender {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let len = batch.len() as u64;
        self.stats.leave(len);
        if self.stats.is_over() {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        let sent = self.exporter.export(batch).await;
        match &sent {
            Ok(()) => self.stats.add_exported(len),
            Err(_) => self.stats.add_failed(len),
        }
        self.teller.tell(sent.as_ref().err(), &self.stats);
        sent
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// What the system refused.
fn system(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ExporterError {
    ExporterError::System { what, source: source.into() }
}
