//! A collector of traces: it takes both protocols on one port and keeps every span.

use crate::span::Span;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::serve::Listener;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// How long spans may take to arrive. Generous: many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(60);

/// The protocols, as a config names them.
pub(crate) const PROTOCOLS: [&str; 2] = ["grpc", "http/protobuf"];

/// A collector on a free port of loopback. It ends with the test.
#[derive(Debug)]
pub(crate) struct Collector {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shelf: Arc<Shelf>,
    task: AbortHandle,
}

/// What a collector does with what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes it at once.
    Takes,
    /// Takes it after a while.
    TakesLate(Duration),
    /// Never answers.
    Hangs,
}

#[derive(Debug)]
struct Shelf {
    manner: Manner,
    refuses: AtomicBool,
    spans: watch::Sender<Vec<Span>>,
    headers: Mutex<BTreeMap<String, String>>,
}

impl Collector {
    /// A collector of this manner.
    pub(crate) async fn start(manner: Manner) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), manner)
    }

    /// One that listens here: at an address of a TCP socket, or behind TLS.
    pub(crate) fn on<L>(listener: L, manner: Manner) -> Self
    where
        L: Listener<Addr = SocketAddr> + Send + Sync,
    {
        let shelf = Arc::new(Shelf {
            manner,
            refuses: AtomicBool::new(false),
            spans: watch::Sender::default(),
            headers: Mutex::default(),
        });
        let address = listener.local_addr().unwrap();
        let grpc = Routes::new(TraceServiceServer::from_arc(Arc::clone(&shelf))).into_axum_router();
        let http = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&shelf));
        let served = axum::serve(listener, grpc.merge(http));
        let task = tokio::spawn(async move { served.await.unwrap() }).abort_handle();
        Self { address, shelf, task }
    }

    /// Its address, as a config names it.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.shelf.spans.borrow().clone()
    }

    /// Waits until the spans are as wanted, and returns all.
    pub(crate) async fn spans_until(&self, wanted: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let mut spans = self.shelf.spans.subscribe();
        // What has come says more than that the time is up.
        drop(timeout(PATIENCE, spans.wait_for(|spans| wanted(spans))).await.map(|seen| seen.map(drop)));
        self.spans()
    }

    /// The value of a header of what came last.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.shelf.headers.lock().unwrap().get(name).cloned()
    }

    /// From now on it refuses what it is sent, or takes it again.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.shelf.refuses.store(refuses, Ordering::Relaxed);
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shelf {
    /// Whether it was taken.
    async fn take(&self, sent: ExportTraceServiceRequest, headers: &HeaderMap) -> bool {
        match self.manner {
            Manner::Takes => {}
            Manner::TakesLate(late) => tokio::time::sleep(late).await,
            Manner::Hangs => std::future::pending().await,
        }
        if self.refuses.load(Ordering::Relaxed) {
            return false;
        }
        let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        *self.headers.lock().unwrap() =
            headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        self.spans.send_modify(|spans| spans.extend(Span::all_of(sent)));
        true
    }
}

#[tonic::async_trait]
impl TraceService for Shelf {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        match self.take(request.into_inner(), &headers).await {
            true => Ok(Response::new(ExportTraceServiceResponse::default())),
            false => Err(Status::permission_denied("as the test wants it")),
        }
    }
}

async fn take(State(shelf): State<Arc<Shelf>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    let Ok(sent) = ExportTraceServiceRequest::decode(body) else {
        return (StatusCode::BAD_REQUEST, Vec::new());
    };
    match shelf.take(sent, &headers).await {
        true => (StatusCode::OK, ExportTraceServiceResponse::default().encode_to_vec()),
        false => (StatusCode::FORBIDDEN, Vec::new()),
    }
}

/// An address at which nobody listens.
pub(crate) async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
