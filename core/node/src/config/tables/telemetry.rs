//! Metrics, probes and traces.

use super::values::Socket;
use hydra_api::SecretSource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

/// What operators can observe: metrics and probes over HTTP, traces over OTLP.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// The HTTP endpoints for operators: `/metrics`, `/livez`, `/readyz`, `/version`, `/api/v1/status`,
    /// `/api/v1/heads`, `/debug/pprof/heap`.
    pub http: Http,
    /// The export of traces over the OpenTelemetry protocol (OTLP).
    pub otlp: Otlp,
    /// The sampling of traces.
    pub traces: Traces,
}

/// The HTTP endpoints for operators: `/metrics`, `/livez`, `/readyz`, `/version`, `/api/v1/status`,
/// `/api/v1/heads`, `/debug/pprof/heap`. They have no authentication: keep them on loopback or behind a proxy
/// that authenticates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Enables the HTTP endpoints.
    pub enabled: bool,
    /// The listen address, as `address:port`. Port 0 selects a free port; `hydra run` prints it. The node does not
    /// start if the port is in use. Change it so that a Prometheus on another host can reach the node.
    #[schemars(with = "Socket")]
    pub listen: SocketAddr,
}

impl Http {
    /// [`Self::listen`] by default.
    pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);
}

impl Default for Http {
    fn default() -> Self {
        Self { enabled: true, listen: Self::LISTEN }
    }
}

/// The export of traces over the OpenTelemetry protocol (OTLP). Each key takes precedence over the standard variable
/// that its description names; if neither is set, the default applies. Without an endpoint, or with
/// `OTEL_SDK_DISABLED=true`, nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// The URL of the collector, such as `http://localhost:4317` for gRPC or `http://localhost:4318` for HTTP. For
    /// HTTP `/v1/traces` is appended if it is missing. If unset: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, which is used
    /// unchanged, or `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[schemars(length(min = 1, max = 2_000))]
    pub endpoint: Option<String>,
    /// The transport to the collector. If unset: `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`, `OTEL_EXPORTER_OTLP_PROTOCOL`,
    /// or else `grpc` for an endpoint on port 4317 and `http/protobuf` for all others.
    pub protocol: Option<OtlpProtocol>,
    /// Headers of every export request, such as credentials: each value names the file or the environment variable
    /// that holds it. Headers of `OTEL_EXPORTER_OTLP_TRACES_HEADERS` or `OTEL_EXPORTER_OTLP_HEADERS` are added unless
    /// a header here has the same name.
    pub headers: BTreeMap<String, SecretSource>,
    /// The time limit of one export request, in milliseconds. The spans of a request that exceeds it are lost and
    /// counted as failed. Raise it for a slow collector. If unset: `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT`,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`, or else 10000.
    #[schemars(range(min = Self::TIMEOUT_MS_MIN, max = Self::TIMEOUT_MS_MAX))]
    pub timeout_ms: Option<u32>,
    /// The maximum number of spans that wait for export. When the queue is full, new spans are dropped and counted;
    /// raise it if that happens. Its memory, about 0.4 kB for each span, is allocated at startup.
    #[schemars(range(min = 64, max = 1_048_576))]
    pub queue_len_max: u32,
}

/// The transport to a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OtlpProtocol {
    /// gRPC.
    #[serde(rename = "grpc")]
    Grpc,
    /// Protobuf over HTTP.
    #[serde(rename = "http/protobuf")]
    Http,
}

impl OtlpProtocol {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Grpc, Self::Http];

    /// The word in TOML and in the standard variables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }
}

impl Otlp {
    /// [`Self::timeout_ms`] if neither the config nor a variable sets it.
    pub const TIMEOUT_MS: u32 = 10_000;
    /// The least [`Self::timeout_ms`].
    pub const TIMEOUT_MS_MIN: u32 = 100;
    /// The most [`Self::timeout_ms`].
    pub const TIMEOUT_MS_MAX: u32 = 60_000;
    /// [`Self::queue_len_max`] by default.
    pub const QUEUE_LEN_MAX: u32 = 2_048;
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: None,
            headers: BTreeMap::new(),
            timeout_ms: None,
            queue_len_max: Self::QUEUE_LEN_MAX,
        }
    }
}

/// The sampling of traces. It applies if an endpoint is configured; a request that is not traced costs next to
/// nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// The share of all requests that is traced, from 0 (none) to 1 (all). Raise it on a node with few requests; each
    /// traced request costs time and export traffic.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ratio: f64,
    /// The duration from which a GET_PROVIDERS, GET_VALUE or PUT_VALUE is traced regardless of `ratio`, in
    /// milliseconds, up to `kept_per_second_max`. 0 switches this off. Other requests never wait, so it does
    /// not apply to them. Lower it to trace more requests of a fast node.
    #[schemars(range(min = 0, max = 60_000))]
    pub slow_ms: u32,
    /// The maximum number of requests per second that are traced because they were slow or degraded. Further ones are
    /// only counted, so that tracing adds no load to an overloaded node. 0 traces none of them. Raise it if the
    /// collector can take more.
    #[schemars(range(min = 0, max = 100_000))]
    pub kept_per_second_max: u32,
}

impl Traces {
    /// [`Self::ratio`] by default.
    pub const RATIO: f64 = 0.01;
    /// [`Self::slow_ms`] by default.
    pub const SLOW_MS: u32 = 200;
    /// [`Self::kept_per_second_max`] by default.
    pub const KEPT_PER_SECOND_MAX: u32 = 1_000;
}

impl Default for Traces {
    fn default() -> Self {
        Self { ratio: Self::RATIO, slow_ms: Self::SLOW_MS, kept_per_second_max: Self::KEPT_PER_SECOND_MAX }
    }
}
