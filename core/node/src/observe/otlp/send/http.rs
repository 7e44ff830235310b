//! Sending protobuf over HTTP.

use super::super::target::{ExporterError, Target};
use super::system;
use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use reqwest::blocking::Client;
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use std::thread;

const NO_CLIENT: &str = "cannot make a client for HTTP";

/// A client that blocks: the SDK drives exports on a thread without a runtime, where any other would fail.
#[derive(Debug)]
struct WithHeaders {
    client: Client,
    headers: HeaderMap,
}

/// Makes an exporter.
///
/// # Errors
/// [`ExporterError::System`]
pub(super) fn start(target: &Target) -> Result<SpanExporter, ExporterError> {
    let client = thread::scope(|scope| {
        // It may not be made where a runtime is entered.
        let making = thread::Builder::new().spawn_scoped(scope, || client(target));
        let made = making.map_err(|cause| system(NO_CLIENT, cause))?.join();
        made.map_err(|_| system(NO_CLIENT, "it panicked"))?.map_err(|cause| system(NO_CLIENT, cause))
    })?;
    SpanExporter::builder()
        .with_http()
        .with_http_client(WithHeaders { client, headers: target.headers.clone() })
        .with_endpoint(target.endpoint.as_str())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(target.timeout)
        .build()
        .map_err(|cause| system(NO_CLIENT, cause))
}

fn client(target: &Target) -> reqwest::Result<Client> {
    // A redirect would make a GET of the POST and lose the spans with a good answer.
    let builder = Client::builder().timeout(target.timeout).redirect(Policy::none());
    match target.endpoint.is_tls() {
        true => builder.build(),
        // Without any root: a machine that has none can still send where none is asked for.
        false => builder.tls_certs_only([]).build(),
    }
}

#[async_trait]
impl HttpClient for WithHeaders {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        for (name, value) in &self.headers {
            // In the place of one of the same name that a variable told.
            request.headers_mut().insert(name, value.clone());
        }
        self.client.send_bytes(request).await
    }
}
