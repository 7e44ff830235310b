//! The address of a collector.

use reqwest::Url;
use std::fmt;

/// Where a collector takes traces over HTTP, below its address.
const TRACES_PATH: &str = "/v1/traces";

/// The address of a collector: `http` or `https`, a host, no login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(Url);

/// An address that is none, and what would do. Neither shows the address: it may hold a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) message: String,
    pub(crate) help: &'static str,
}

const EXAMPLES: &str = "as `http://localhost:4317` for gRPC or `http://localhost:4318` for HTTP";

impl Endpoint {
    /// Reads an address.
    ///
    /// # Errors
    /// [`Malformed`]
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        let malformed = |message: &str| Malformed { message: message.to_owned(), help: EXAMPLES };
        // Without a scheme the host would be taken for one.
        if !text.contains("://") {
            return Err(malformed("is no address: it begins with neither `http://` nor `https://`"));
        }
        let url = Url::parse(text).map_err(|cause| malformed(&format!("is no address: {cause}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(malformed("is neither an `http://` nor an `https://` address"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let help = "send the login as a header, from a file or a variable, in `telemetry.otlp.headers`";
            return Err(Malformed { message: "has a login in it".to_owned(), help });
        }
        if url.fragment().is_some() {
            return Err(malformed("has a `#` in it"));
        }
        Ok(Self(url))
    }

    /// The port, that of the scheme if none is named.
    pub(crate) fn port(&self) -> Option<u16> {
        self.0.port_or_known_default()
    }

    /// Whether it is reached over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether there is anything behind host and port.
    pub(crate) fn has_path(&self) -> bool {
        self.0.path() != "/" || self.0.query().is_some()
    }

    /// The whole address, for the one who calls it.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The place for traces below this address, or itself if it is that place already.
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

/// As it may be logged: what stands behind a `?` may be a key.
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
    fn what_is_no_address_is_refused_without_being_shown() {
        for text in
            ["", "localhost:4317", "ftp://secret", "http://", "http://secret:port", "http://a/#secret"]
        {
            let malformed = Endpoint::parse(text).unwrap_err();
            assert!(!malformed.message.contains("secret"), "{malformed:?}");
            assert!(malformed.help.contains("http://localhost:4317"), "{malformed:?}");
        }
        let malformed = Endpoint::parse("http://me:secret@localhost:4317").unwrap_err();
        assert_eq!(malformed.message, "has a login in it");
        assert!(malformed.help.contains("telemetry.otlp.headers"));
    }

    #[test]
    fn a_key_in_the_query_is_not_logged() {
        let endpoint = Endpoint::parse("https://a.example/v1/traces?key=secret").unwrap();
        assert_eq!(endpoint.to_string(), "https://a.example/v1/traces");
        assert_eq!(Endpoint::parse("http://localhost:4317").unwrap().to_string(), "http://localhost:4317");
    }
}
