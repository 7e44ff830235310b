//! The address of a collector.

use reqwest::Url;
use std::fmt;

/// The path below a collector's URL that receives traces over HTTP.
const TRACES_PATH: &str = "/v1/traces";

/// The URL of a collector: `http` or `https`, a host, no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(Url);

/// Why a URL is refused, and a suggestion. Both omit the URL: it may contain credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) message: String,
    pub(crate) help: &'static str,
}

const EXAMPLES: &str =
    "expected a URL such as `http://localhost:4317` for gRPC or `http://localhost:4318` for HTTP";

impl Endpoint {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`Malformed`]
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        let malformed = |message: &str| Malformed { message: message.to_owned(), help: EXAMPLES };
        // Without a scheme the parser takes the host for one.
        if !text.contains("://") {
            return Err(malformed("does not begin with `http://` or `https://`"));
        }
        let url = Url::parse(text).map_err(|cause| malformed(&format!("is not a URL: {cause}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(malformed("does not begin with `http://` or `https://`"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let help = "send credentials as a header: `telemetry.otlp.headers` names a file or a variable";
            return Err(Malformed { message: "contains a user name or a password".to_owned(), help });
        }
        if url.fragment().is_some() {
            return Err(malformed("contains a fragment (`#`)"));
        }
        Ok(Self(url))
    }

    /// The port, or the default port of the scheme.
    pub(crate) fn port(&self) -> Option<u16> {
        self.0.port_or_known_default()
    }

    /// True for `https`.
    pub(crate) fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// True if the URL has a path or a query.
    pub(crate) fn has_path(&self) -> bool {
        self.0.path() != "/" || self.0.query().is_some()
    }

    /// The whole URL, for the client; it may contain a secret.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The URL with the path for traces, which is appended unless it is there.
    #[must_use]
    pub(crate) fn with_traces_path(mut self) -> Self {
        let base = self.0.path().trim_end_matches('/');
        if !base.ends_with(TRACES_PATH) {
            let path = format!("{base}{TRACES_PATH}");
            self.0.set_path(&path);
        }
        self
    }
}

/// Without the query, which may contain a key.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        shown.set_query(None);
        f.write_str(shown.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(text: &str) -> String {
        Endpoint::parse(text).unwrap().with_traces_path().as_str().to_owned()
    }

    #[test]
    fn the_path_for_traces_is_added_once() {
        assert_eq!(traces("http://localhost:4318"), "http://localhost:4318/v1/traces");
        assert_eq!(traces("http://localhost:4318/"), "http://localhost:4318/v1/traces");
        assert_eq!(traces("https://a.example/otlp/"), "https://a.example/otlp/v1/traces");
        assert_eq!(traces("https://a.example/otlp/v1/traces"), "https://a.example/otlp/v1/traces");
        assert_eq!(traces("https://a.example/v1/traces/"), "https://a.example/v1/traces/");
        assert_eq!(traces("https://a.example/?to=me"), "https://a.example/v1/traces?to=me");
    }

    #[test]
    fn a_malformed_url_is_refused_and_not_shown() {
        for text in
            ["", "localhost:4317", "ftp://secret", "http://", "http://secret:port", "http://a/#secret"]
        {
            let malformed = Endpoint::parse(text).unwrap_err();
            assert!(!malformed.message.contains("secret"), "{malformed:?}");
            assert!(malformed.help.contains("http://localhost:4317"), "{malformed:?}");
        }
        let malformed = Endpoint::parse("http://me:secret@localhost:4317").unwrap_err();
        assert_eq!(malformed.message, "contains a user name or a password");
        assert!(malformed.help.contains("telemetry.otlp.headers"));
    }

    #[test]
    fn a_key_in_the_query_is_not_logged() {
        let endpoint = Endpoint::parse("https://a.example/v1/traces?key=secret").unwrap();
        assert_eq!(endpoint.to_string(), "https://a.example/v1/traces");
        assert_eq!(Endpoint::parse("http://localhost:4317").unwrap().to_string(), "http://localhost:4317");
    }
}
