//! What the node tells of itself, and to whom.

use hydra_api::SecretSource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

/// What the node tells operators of itself: metrics and probes over HTTP, traces over OTLP.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// The pages for operators: `/metrics`, `/livez`, `/readyz`, `/version`.
    pub http: Http,
    /// Where traces are sent, by the OpenTelemetry protocol.
    pub otlp: Otlp,
    /// Which requests are traced.
    pub traces: Traces,
}

/// The pages for operators: `/metrics`, `/livez`, `/readyz`, `/version`. They need no login: keep them on loopback, or
/// behind something that asks for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Whether there are any.
    pub enabled: bool,
    /// Where they are served, as `address:port`. Port 0 is a free one; `hydra run` prints which.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
}

impl Http {
    /// [`Self::listen`] unless told otherwise.
    pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);
}

impl Default for Http {
    fn default() -> Self {
        Self { enabled: true, listen: Self::LISTEN }
    }
}

/// Where traces are sent, by the OpenTelemetry protocol. Each key goes over the standard variable that its line names,
/// and what neither says is the default. Without an endpoint, or with `OTEL_SDK_DISABLED=true`, nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// The collector, as `http://localhost:4317` for gRPC or `http://localhost:4318` for HTTP, to which `/v1/traces` is
    /// added unless it ends so. Without it: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, which is taken as it is, or
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[schemars(length(min = 1, max = 2_000))]
    pub endpoint: Option<String>,
    /// How it is spoken to. Without it: `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`, `OTEL_EXPORTER_OTLP_PROTOCOL`, or else
    /// `grpc` for an endpoint with the port 4317 and `http/protobuf` for all others.
    pub protocol: Option<OtlpProtocol>,
    /// Headers that go along, as for a login: each names the file or the variable that holds it. Those of
    /// `OTEL_EXPORTER_OTLP_TRACES_HEADERS` or `OTEL_EXPORTER_OTLP_HEADERS` go along too, unless they have the same name.
    pub headers: BTreeMap<String, SecretSource>,
    /// How long one sending may take, in milliseconds. Without it: `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT`,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`, or else 10000.
    #[schemars(range(min = Self::TIMEOUT_MS_MIN, max = Self::TIMEOUT_MS_MAX))]
    pub timeout_ms: Option<u32>,
    /// How many spans wait to be sent at most; more are dropped and counted. The room for them is taken at the start,
    /// about 0.4 kB each.
    #[schemars(range(min = 64, max = 1_048_576))]
    pub queue_len_max: u32,
}

/// How a collector is spoken to.
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
    /// [`Self::timeout_ms`] when neither the config nor a variable says one.
    pub const TIMEOUT_MS: u32 = 10_000;
    /// The least [`Self::timeout_ms`].
    pub const TIMEOUT_MS_MIN: u32 = 100;
    /// The most [`Self::timeout_ms`].
    pub const TIMEOUT_MS_MAX: u32 = 60_000;
    /// [`Self::queue_len_max`] unless told otherwise.
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

/// Which requests are traced, when there is somewhere to send the traces. One that is not costs next to nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// The part of all requests that is traced, from 0 for none to 1 for all.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ratio: f64,
    /// A GET_PROVIDERS that takes this long is traced whatever chance says, in milliseconds, as far as
    /// `kept_per_second_max` goes. 0 switches this off. Nothing else waits for anything.
    #[schemars(range(min = 0, max = 60_000))]
    pub slow_ms: u32,
    /// How many requests a second are traced at most because they were slow or served degraded; more are counted
    /// alone, so that an overloaded node is not made busier by its traces. 0 for none.
    #[schemars(range(min = 0, max = 100_000))]
    pub kept_per_second_max: u32,
}

impl Traces {
    /// [`Self::ratio`] unless told otherwise.
    pub const RATIO: f64 = 0.01;
    /// [`Self::slow_ms`] unless told otherwise.
    pub const SLOW_MS: u32 = 200;
    /// [`Self::kept_per_second_max`] unless told otherwise.
    pub const KEPT_PER_SECOND_MAX: u32 = 1_000;
}

impl Default for Traces {
    fn default() -> Self {
        Self { ratio: Self::RATIO, slow_ms: Self::SLOW_MS, kept_per_second_max: Self::KEPT_PER_SECOND_MAX }
    }
}
