//! The collector and the transport: from the config, else from the standard variables.

use super::percent;
use crate::config::{Endpoint, KeyPath, Malformed, Otlp, OtlpProtocol};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

const DISABLED: &str = "OTEL_SDK_DISABLED";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// The variable for traces takes precedence over the general one.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];

/// The registered gRPC port of collectors.
const GRPC_PORT: u16 = 4317;

/// A collector, and how spans are sent to it.
#[derive(Debug, Clone)]
pub struct Target {
    pub(super) endpoint: Endpoint,
    pub(super) protocol: OtlpProtocol,
    /// The headers of the config and of the variables.
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) queue_len_max: usize,
}

/// The source of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingOrigin {
    /// A key of the config.
    Key(KeyPath),
    /// An environment variable.
    Variable(&'static str),
}

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExporterError {
    /// A setting is invalid.
    #[error("{origin}: {message}")]
    Setting {
        /// Its source.
        origin: SettingOrigin,
        /// What is wrong, without any secret.
        message: String,
        /// A suggestion.
        help: Option<String>,
    },
    /// Several settings are invalid.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Settings(Vec<ExporterError>),
    /// An operation of the system failed.
    #[error("{what}")]
    System {
        /// The operation.
        what: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Reads a variable of the environment.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Option<OsString>;

impl Target {
    /// The target that the config and the variables of this process set; `None` if neither names a collector, or if
    /// `OTEL_SDK_DISABLED` is `true`.
    ///
    /// # Errors
    /// [`ExporterError::Setting`] for an invalid URL, [`ExporterError::Settings`] for an invalid protocol or time limit and headers that
    /// cannot be read.
    pub fn of(config: &Otlp) -> Result<Option<Self>, ExporterError> {
        Self::resolve(config, &|name| std::env::var_os(name))
    }

    pub(super) fn resolve(
        config: &Otlp,
        environment: Environment<'_>,
    ) -> Result<Option<Self>, ExporterError> {
        if variable(environment, DISABLED)?.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let Some((origin, endpoint)) = endpoint(config, environment)? else { return Ok(None) };
        let (protocol, headers, timeout) =
            (protocol(config, environment), headers(config, environment), timeout(config, environment));
        let (protocol, headers, timeout) = match (protocol, headers, timeout) {
            (Ok(protocol), Ok(headers), Ok(timeout)) => (protocol, headers, timeout),
            (protocol, headers, timeout) => {
                let errors = [protocol.err(), headers.err(), timeout.err()];
                let mut errors: Vec<_> = errors.into_iter().flatten().collect();
                return Err(match errors.len() {
                    1 => errors.remove(0),
                    _ => ExporterError::Settings(errors),
                });
            }
        };
        let protocol = match protocol {
            Some(protocol) => protocol,
            None if endpoint.port() == Some(GRPC_PORT) => OtlpProtocol::Grpc,
            None => OtlpProtocol::Http,
        };
        let endpoint = match protocol {
            OtlpProtocol::Grpc if endpoint.has_path() => {
                let help =
                    "set only the host and the port, or set the protocol to `http/protobuf`".to_owned();
                return Err(setting(origin, "has a path, which gRPC does not support", Some(help)));
            }
            // The variable for traces contains the whole URL.
            OtlpProtocol::Http if origin != SettingOrigin::Variable(TRACES_ENDPOINT) => {
                endpoint.with_traces_path()
            }
            OtlpProtocol::Grpc | OtlpProtocol::Http => endpoint,
        };
        let queue_len_max = config.queue_len_max as usize;
        Ok(Some(Self { endpoint, protocol, headers, timeout, queue_len_max }))
    }
}

/// Without secrets, for the log.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.endpoint, self.protocol.as_str())
    }
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(path) => path.fmt(f),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// The collector's URL and its source.
fn endpoint(
    config: &Otlp,
    environment: Environment<'_>,
) -> Result<Option<(SettingOrigin, Endpoint)>, ExporterError> {
    let mut found = config.endpoint.clone().map(|text| (key("endpoint"), text));
    for name in [TRACES_ENDPOINT, ENDPOINT] {
        if found.is_none() {
            found = variable(environment, name)?.map(|text| (SettingOrigin::Variable(name), text));
        }
    }
    let Some((origin, text)) = found else { return Ok(None) };
    match Endpoint::parse(&text) {
        Ok(endpoint) => Ok(Some((origin, endpoint))),
        Err(Malformed { message, help }) => Err(setting(origin, &message, Some(help.to_owned()))),
    }
}

fn protocol(config: &Otlp, environment: Environment<'_>) -> Result<Option<OtlpProtocol>, ExporterError> {
    if config.protocol.is_some() {
        return Ok(config.protocol);
    }
    let Some((name, text)) = first(environment, PROTOCOLS)? else { return Ok(None) };
    match OtlpProtocol::ALL.into_iter().find(|protocol| protocol.as_str() == text) {
        Some(protocol) => Ok(Some(protocol)),
        None => {
            let words = OtlpProtocol::ALL.map(OtlpProtocol::as_str);
            let help = format!("allowed: {}", words.map(|word| format!("`{word}`")).join(", "));
            Err(setting(SettingOrigin::Variable(name), &format!("`{text}` is not allowed"), Some(help)))
        }
    }
}

fn timeout(config: &Otlp, environment: Environment<'_>) -> Result<Duration, ExporterError> {
    let millis = match (config.timeout_ms, first(environment, TIMEOUTS)?) {
        (Some(millis), _) => millis,
        (None, Some((name, text))) => {
            let (min, max) = (Otlp::TIMEOUT_MS_MIN, Otlp::TIMEOUT_MS_MAX);
            let millis = text.parse().ok().filter(|millis| (min..=max).contains(millis));
            millis.ok_or_else(|| {
                let help = format!("allowed is a whole number of milliseconds from {min} to {max}");
                setting(SettingOrigin::Variable(name), &format!("`{text}` is not allowed"), Some(help))
            })?
        }
        (None, None) => Otlp::TIMEOUT_MS,
    };
    Ok(Duration::from_millis(millis.into()))
}

/// Those of the config replace those of the variables with the same name.
fn headers(config: &Otlp, environment: Environment<'_>) -> Result<HeaderMap, ExporterError> {
    let mut headers = of_variables(environment)?;
    for (name, source) in &config.headers {
        let origin = || SettingOrigin::Key(otlp().key("headers").key(name));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            let help = "expected letters, digits and hyphens, such as `authorization`".to_owned();
            setting(origin(), "is not a header name", Some(help))
        })?;
        let secret = source.read().map_err(|cause| setting(origin(), &cause.to_string(), None))?;
        headers.insert(
            header,
            value(secret.expose()).ok_or_else(|| {
                let help = "expected one line of ASCII characters".to_owned();
                setting(origin(), "contains a character that is not allowed in a header", Some(help))
            })?,
        );
    }
    Ok(headers)
}

/// The headers of the variable for traces, or of the general one.
fn of_variables(environment: Environment<'_>) -> Result<HeaderMap, ExporterError> {
    let mut headers = HeaderMap::new();
    let Some((name, text)) = first(environment, HEADERS)? else { return Ok(headers) };
    let refused = |message: &str| {
        let help = "expected `name=value`, separated by commas, with values that are percent-encoded, such as \
                    `authorization=Bearer%20x`";
        setting(SettingOrigin::Variable(name), message, Some(help.to_owned()))
    };
    for (key, text) in percent::pairs(&text).map_err(|message| refused(&message))? {
        let header = HeaderName::from_bytes(key.as_bytes())
            .map_err(|_| refused(&format!("`{key}` is not a header name")))?;
        let value = value(&text).ok_or_else(|| {
            refused(&format!("`{key}` contains a character that is not allowed in a header"))
        })?;
        headers.insert(header, value);
    }
    Ok(headers)
}

fn value(secret: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(secret).ok()?;
    // It is not shown by Debug and not kept in compression tables.
    value.set_sensitive(true);
    Some(value)
}

fn otlp() -> KeyPath {
    KeyPath::root().key("telemetry").key("otlp")
}

fn key(name: &str) -> SettingOrigin {
    SettingOrigin::Key(otlp().key(name))
}

fn setting(origin: SettingOrigin, message: &str, help: Option<String>) -> ExporterError {
    ExporterError::Setting { origin, message: message.to_owned(), help }
}

/// The name and value of the first of these variables that is set.
fn first(
    environment: Environment<'_>,
    names: [&'static str; 2],
) -> Result<Option<(&'static str, String)>, ExporterError> {
    for name in names {
        if let Some(value) = variable(environment, name)? {
            return Ok(Some((name, value)));
        }
    }
    Ok(None)
}

/// The value of a variable; an empty one counts as unset.
fn variable(environment: Environment<'_>, name: &'static str) -> Result<Option<String>, ExporterError> {
    let Some(value) = environment(name) else { return Ok(None) };
    let Ok(value) = value.into_string() else {
        return Err(setting(SettingOrigin::Variable(name), "is not UTF-8", None));
    };
    let value = value.trim();
    Ok((!value.is_empty()).then(|| value.to_owned()))
}

#[cfg(test)]
mod tests;
