//! Where spans are sent and how: the config first, then the standard variables.

use crate::config::{Endpoint, KeyPath, Malformed, Otlp, OtlpProtocol};
use hydra_api::Secret;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

const DISABLED: &str = "OTEL_SDK_DISABLED";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// The variable for traces goes over the one for everything.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];

/// The registered ports of collectors.
const GRPC_PORT: u16 = 4317;

/// Where spans are sent, and how.
#[derive(Debug, Clone)]
pub struct Target {
    pub(super) endpoint: Endpoint,
    pub(super) protocol: OtlpProtocol,
    /// Those of the config; the exporter reads the variables' own.
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) queue_len_max: usize,
}

/// Who said something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A key of the config.
    Key(KeyPath),
    /// An environment variable.
    Variable(&'static str),
}

/// Spans that cannot be sent as the config or the environment says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExporterError {
    /// Something that was said makes no sense.
    #[error("{told}: {message}")]
    Setting {
        /// Who said it.
        told: Told,
        /// What is wrong, without any secret.
        message: String,
        /// What would do.
        help: Option<String>,
    },
    /// The system refused something.
    #[error("{what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Reads a variable of the environment.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Option<OsString>;

impl Target {
    /// What the config and the variables of this process say; `None` when nobody names a collector, or
    /// `OTEL_SDK_DISABLED` is `true`.
    ///
    /// # Errors
    /// [`ExporterError::Setting`] when what counts cannot be: an address, a protocol or a time that is none, or a
    /// header that cannot be read.
    pub fn of(config: &Otlp) -> Result<Option<Self>, ExporterError> {
        Self::resolve(config, &|name| std::env::var_os(name))
    }

    pub(super) fn resolve(
        config: &Otlp,
        environment: Environment<'_>,
    ) -> Result<Option<Self>, ExporterError> {
        if variable(environment, DISABLED)?.is_some_and(|said| said.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let Some((told, endpoint)) = endpoint(config, environment)? else { return Ok(None) };
        let protocol = match protocol(config, environment)? {
            Some(protocol) => protocol,
            None if endpoint.port() == Some(GRPC_PORT) => OtlpProtocol::Grpc,
            None => OtlpProtocol::Http,
        };
        let endpoint = match protocol {
            OtlpProtocol::Grpc if endpoint.has_path() => {
                let help = "name host and port alone, or set the protocol to `http/protobuf`".to_owned();
                return Err(setting(told, "has a path, and gRPC knows none", Some(help)));
            }
            // The variable for traces says the whole address.
            OtlpProtocol::Http if told != Told::Variable(TRACES_ENDPOINT) => endpoint.with_traces_path(),
            OtlpProtocol::Grpc | OtlpProtocol::Http => endpoint,
        };
        Ok(Some(Self {
            endpoint,
            protocol,
            headers: headers(config)?,
            timeout: timeout(config, environment)?,
            queue_len_max: config.queue_len_max as usize,
        }))
    }
}

/// As it may be logged.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.endpoint, self.protocol.as_str())
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(path) => path.fmt(f),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// The address as it was told.
fn endpoint(config: &Otlp, environment: Environment<'_>) -> Result<Option<(Told, Endpoint)>, ExporterError> {
    let mut found = config.endpoint.clone().map(|text| (key("endpoint"), text));
    for name in [TRACES_ENDPOINT, ENDPOINT] {
        if found.is_none() {
            found = variable(environment, name)?.map(|text| (Told::Variable(name), text));
        }
    }
    let Some((told, text)) = found else { return Ok(None) };
    match Endpoint::parse(&text) {
        Ok(endpoint) => Ok(Some((told, endpoint))),
        Err(Malformed { message, help }) => Err(setting(told, &message, Some(help.to_owned()))),
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
            Err(setting(Told::Variable(name), &format!("`{text}` is not allowed"), Some(help)))
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
                setting(Told::Variable(name), &format!("`{text}` is not allowed"), Some(help))
            })?
        }
        (None, None) => Otlp::TIMEOUT_MS,
    };
    Ok(Duration::from_millis(millis.into()))
}

fn headers(config: &Otlp) -> Result<HeaderMap, ExporterError> {
    let mut headers = HeaderMap::new();
    for (name, source) in &config.headers {
        let told = || Told::Key(otlp().key("headers").key(name));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            let help = "letters, digits and hyphens, as in `authorization`".to_owned();
            setting(told(), "is no name of a header", Some(help))
        })?;
        let secret = source.read().map_err(|cause| setting(told(), &cause.to_string(), None))?;
        headers.insert(
            header,
            value(&secret).ok_or_else(|| {
                let help = "one line of ASCII characters".to_owned();
                setting(
                    told(),
                    "cannot be sent as a header: there is a forbidden character in it",
                    Some(help),
                )
            })?,
        );
    }
    Ok(headers)
}

fn value(secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(secret.expose()).ok()?;
    // Neither shown when somebody prints the headers nor kept in compression tables.
    value.set_sensitive(true);
    Some(value)
}

fn otlp() -> KeyPath {
    KeyPath::root().key("telemetry").key("otlp")
}

fn key(name: &str) -> Told {
    Told::Key(otlp().key(name))
}

fn setting(told: Told, message: &str, help: Option<String>) -> ExporterError {
    ExporterError::Setting { told, message: message.to_owned(), help }
}

/// What the first of these variables that is set says.
fn first(
    environment: Environment<'_>,
    names: [&'static str; 2],
) -> Result<Option<(&'static str, String)>, ExporterError> {
    for name in names {
        if let Some(said) = variable(environment, name)? {
            return Ok(Some((name, said)));
        }
    }
    Ok(None)
}

/// What a variable says; an empty one says nothing.
fn variable(environment: Environment<'_>, name: &'static str) -> Result<Option<String>, ExporterError> {
    let Some(said) = environment(name) else { return Ok(None) };
    let Ok(said) = said.into_string() else {
        return Err(setting(Told::Variable(name), "is no text in UTF-8", None));
    };
    let said = said.trim();
    Ok((!said.is_empty()).then(|| said.to_owned()))
}

#[cfg(test)]
mod tests;
