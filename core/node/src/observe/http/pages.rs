//! What is served at which path.

use super::accept;
use super::api;
use super::probes::{self, Check};
use crate::memory::profiles::ProfileError;
use crate::observe::metrics::Metrics;
use crate::observe::node_view::NodeView;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;

const PAGES: &str = "/metrics  metrics for Prometheus
/livez    fails if the process needs a restart; ?verbose lists every check
/readyz   fails while the node does not serve; ?verbose lists every check
/version  the version of the node
/api/v1/status  the node as a whole, as JSON
/api/v1/heads   every head, as JSON
/debug/pprof/heap  a profile of the heap, for pprof
";

/// What the pages are made from.
#[derive(Debug)]
struct Site {
    node_view: Arc<NodeView>,
    metrics: Metrics,
}

/// The pages of a node.
pub(super) fn router(node_view: Arc<NodeView>) -> Router {
    let metrics = Metrics::new(Arc::clone(&node_view));
    Router::new()
        .route("/", get(|| async { PAGES }))
        .route("/metrics", get(metrics_page))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/version", get(version))
        .route("/api/v1/status", get(status))
        .route("/api/v1/heads", get(heads))
        .route("/debug/pprof/heap", get(heap))
        .fallback(|| async { (StatusCode::NOT_FOUND, format!("unknown page; the pages are\n\n{PAGES}")) })
        .with_state(Arc::new(Site { node_view, metrics }))
}

async fn metrics_page(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let format = accept::format(headers.get_all(header::ACCEPT).iter().filter_map(|told| told.to_str().ok()));
    // The open descriptors are counted one by one, which may take some milliseconds.
    let page = tokio::task::spawn_blocking(move || site.metrics.page(format)).await;
    match page {
        Ok(Ok(page)) => ([(header::CONTENT_TYPE, format.content_type())], page).into_response(),
        Ok(Err(_)) | Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "cannot write the page\n").into_response(),
    }
}

async fn livez(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Response {
    verdict("livez", &probes::live(&site.node_view), query.as_deref())
}

async fn readyz(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Response {
    let (mut checks, query) = (probes::ready(&site.node_view), query.as_deref());
    if is_verbose(query) {
        checks.extend(probes::degraded(&site.node_view));
    }
    verdict("readyz", &checks, query)
}

/// Says what went wrong, or every check when it is asked for, in the words of Kubernetes' own probes.
fn verdict(page: &str, checks: &[Check], query: Option<&str>) -> Response {
    let (is_verbose, passed) = (is_verbose(query), checks.iter().all(|check| check.result.is_ok()));
    let mut text = String::new();
    if passed && !is_verbose {
        text.push_str("ok\n");
    }
    for Check { name, result, note } in checks {
        match (result, is_verbose) {
            (Ok(()), true) => _ = writeln!(text, "[+]{name} ok"),
            (Err(why), true) => _ = writeln!(text, "[-]{name} failed: {why}"),
            (Ok(()), false) => {}
            (Err(why), false) => _ = writeln!(text, "{name}: {why}"),
        }
        if let Some(note) = note {
            _ = writeln!(text, "{}{name}: {note}", if is_verbose { "[!]" } else { "" });
        }
    }
    if is_verbose {
        _ = writeln!(text, "{page} check {}", if passed { "passed" } else { "failed" });
    }
    let status = if passed { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Nobody is to take an old verdict for the present one.
    (status, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}

fn is_verbose(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|part| part.split('=').next() == Some("verbose")))
}

async fn status(State(site): State<Arc<Site>>) -> Response {
    json_page(&api::status(&site.node_view).await)
}

async fn heads(State(site): State<Arc<Site>>) -> Response {
    json_page(&api::heads(&site.node_view).await)
}

fn json_page(value: &serde_json::Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, format!("{value}\n")).into_response()
}

/// A heap profile, at the path that `go tool pprof` knows.
async fn heap(State(site): State<Arc<Site>>) -> Response {
    let profiles = Arc::clone(&site.node_view.memory.profiles);
    let (status, why) = match tokio::task::spawn_blocking(move || profiles.take()).await {
        Ok(Ok(profile)) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (header::CONTENT_DISPOSITION, "attachment; filename=\"heap.pb.gz\""),
                (header::CACHE_CONTROL, "no-store"),
            ];
            return (headers, profile).into_response();
        }
        Ok(Err(error)) => match error {
            ProfileError::Busy => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            ProfileError::Unsupported => (StatusCode::NOT_IMPLEMENTED, error.to_string()),
            ProfileError::NoFiles | ProfileError::TooLarge { .. } | ProfileError::Failed(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
        },
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "taking the heap profile panicked".to_owned()),
    };
    (status, why + "\n").into_response()
}

async fn version(State(site): State<Arc<Site>>) -> Response {
    let config = &site.node_view.config;
    let told = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "profile": crate::observe::metrics::PROFILE,
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "store": config.store.kind,
        "ids": config.ids.kind,
        "admission": config.admission.iter().map(|policy| &policy.plugin.kind).collect::<Vec<_>>(),
    });
    ([(header::CONTENT_TYPE, "application/json")], format!("{told}\n")).into_response()
}
