//! Sending over gRPC.

use super::super::target::{ExporterError, Target};
use super::system;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithTonicConfig};
use reqwest::header::HeaderMap;
use std::mem::take;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Error};

const NO_CLIENT: &str = "cannot make a client for gRPC";

/// The runtime that connections to the collector live on: one thread, apart from those that serve requests.
#[derive(Debug)]
pub(super) struct Runtime(Option<tokio::runtime::Runtime>);

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A name that is being looked up would be waited for.
            runtime.shutdown_background();
        }
    }
}

/// Makes an exporter, and what it lives on.
///
/// # Errors
/// [`ExporterError::System`]
pub(super) fn start(target: &Target) -> Result<(SpanExporter, Runtime), ExporterError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .thread_name("otlp")
        .enable_all()
        .build()
        .map_err(|cause| system("cannot start the runtime for traces", cause))?;
    let channel = {
        let _entered = runtime.enter();
        channel(target).map_err(|cause| system(NO_CLIENT, cause))?
    };
    let runtime = Runtime(Some(runtime));
    let headers = target.headers.clone();
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_timeout(target.timeout)
        .with_interceptor(move |request| Ok(with_headers(request, &headers)))
        .build()
        .map_err(|cause| system(NO_CLIENT, cause))?;
    Ok((exporter, runtime))
}

/// A connection that is made when something is to be sent, and again when it is lost.
fn channel(target: &Target) -> Result<Channel, Error> {
    let mut endpoint = Endpoint::from_shared(target.endpoint.as_str().to_owned())?
        .timeout(target.timeout)
        .connect_timeout(target.timeout);
    if target.endpoint.is_tls() {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().with_enabled_roots())?;
    }
    Ok(endpoint.connect_lazy())
}

/// The request with these headers, in the place of those of the same name that the variables told.
fn with_headers(mut request: tonic::Request<()>, headers: &HeaderMap) -> tonic::Request<()> {
    let mut all = take(request.metadata_mut()).into_headers();
    for (name, value) in headers {
        all.insert(name, value.clone());
    }
    *request.metadata_mut() = MetadataMap::from_headers(all);
    request
}
