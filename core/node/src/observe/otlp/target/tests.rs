//! The precedence of the config and the variables.

use super::*;
use hydra_api::SecretSource;

type Variables = &'static [(&'static str, &'static str)];

fn resolve(config: &Otlp, variables: Variables) -> Result<Option<Target>, ExporterError> {
    let read = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
    Target::resolve(config, &read)
}

fn shown(config: &Otlp, variables: Variables) -> String {
    let target = resolve(config, variables).unwrap_or_else(|error| panic!("{error}"));
    target.map_or_else(|| "nothing".to_owned(), |target| target.to_string())
}

fn at(endpoint: &str) -> Otlp {
    Otlp { endpoint: Some(endpoint.to_owned()), ..Otlp::default() }
}

/// The source that the error names, and its whole line.
fn blamed(config: &Otlp, variables: Variables) -> (SettingOrigin, String) {
    match resolve(config, variables) {
        Err(ExporterError::Setting { origin, message, help }) => {
            (origin, format!("{message}; {}", help.unwrap_or_default()))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_sent_without_a_collector() {
    let config = Otlp { protocol: Some(OtlpProtocol::Grpc), ..Otlp::default() };
    assert_eq!(shown(&config, &[]), "nothing");
    assert_eq!(shown(&config, &[(ENDPOINT, ""), (TRACES_ENDPOINT, "  ")]), "nothing");
    assert_eq!(shown(&at("http://a:4317"), &[(DISABLED, "TRUE")]), "nothing");
    assert_ne!(shown(&at("http://a:4317"), &[(DISABLED, "false")]), "nothing");
}

#[test]
fn the_config_precedes_the_variables_and_the_one_for_traces_the_general_one() {
    let all: Variables = &[(ENDPOINT, "http://all:4318"), (TRACES_ENDPOINT, "http://traces:4318/here")];
    assert_eq!(shown(&at("http://config:4317"), all), "http://config:4317 by grpc");
    assert_eq!(shown(&Otlp::default(), all), "http://traces:4318/here by http/protobuf");
    assert_eq!(shown(&Otlp::default(), &all[..1]), "http://all:4318/v1/traces by http/protobuf");

    let protocols: Variables = &[(PROTOCOLS[1], "grpc"), (PROTOCOLS[0], "http/protobuf")];
    assert_eq!(shown(&at("http://a:1"), protocols), "http://a:1/v1/traces by http/protobuf");
    assert_eq!(shown(&at("http://a:1"), &protocols[..1]), "http://a:1 by grpc");
    let config = Otlp { protocol: Some(OtlpProtocol::Grpc), ..at("http://a:4318") };
    assert_eq!(shown(&config, protocols), "http://a:4318 by grpc");

    let timeouts: Variables = &[(TIMEOUTS[1], "2000"), (TIMEOUTS[0], "3000")];
    let timeout = |config: &Otlp, variables| resolve(config, variables).unwrap().unwrap().timeout;
    assert_eq!(timeout(&at("http://a:1"), timeouts), Duration::from_secs(3));
    assert_eq!(timeout(&at("http://a:1"), &timeouts[..1]), Duration::from_secs(2));
    assert_eq!(timeout(&at("http://a:1"), &[]), Duration::from_millis(Otlp::TIMEOUT_MS.into()));
    let config = Otlp { timeout_ms: Some(500), ..at("http://a:1") };
    assert_eq!(timeout(&config, timeouts), Duration::from_millis(500));
}

#[test]
fn the_port_selects_the_protocol_if_none_is_set() {
    assert_eq!(shown(&at("http://a:4317"), &[]), "http://a:4317 by grpc");
    assert_eq!(shown(&at("https://a:4317/"), &[]), "https://a:4317 by grpc");
    assert_eq!(shown(&at("http://a:4318"), &[]), "http://a:4318/v1/traces by http/protobuf");
    assert_eq!(shown(&at("https://a"), &[]), "https://a/v1/traces by http/protobuf");
}

#[test]
fn an_invalid_setting_names_its_source() {
    let (origin, line) = blamed(&at("localhost:4317"), &[]);
    assert_eq!(origin.to_string(), "telemetry.otlp.endpoint");
    assert!(line.contains("`http://`") && line.contains("as `http://localhost:4317` for gRPC"), "{line}");
    let (origin, _) = blamed(&Otlp::default(), &[(ENDPOINT, "collector")]);
    assert_eq!(origin, SettingOrigin::Variable(ENDPOINT));
    let (origin, line) = blamed(&at("http://a:1"), &[(PROTOCOLS[1], "http/json")]);
    assert_eq!(origin, SettingOrigin::Variable(PROTOCOLS[1]));
    assert_eq!(line, "`http/json` is not allowed; allowed: `grpc`, `http/protobuf`");
    let (origin, line) = blamed(&at("http://a:4317/v1/traces"), &[]);
    assert_eq!(origin.to_string(), "telemetry.otlp.endpoint");
    assert!(line.contains("which gRPC does not support"), "{line}");
    for value in ["soon", "0", "60001"] {
        let variables: Variables = Box::leak(Box::new([(TIMEOUTS[0], value)]));
        assert_eq!(blamed(&at("http://a:1"), variables).0, SettingOrigin::Variable(TIMEOUTS[0]));
    }
}

#[test]
fn headers_of_the_variables_are_decoded_once() {
    let headers = |config: &Otlp, variables| resolve(config, variables).unwrap().unwrap().headers;
    let both: Variables = &[(HEADERS[1], "x-a=1"), (HEADERS[0], "authorization=Bearer%20a%3D%3D, x-b=c=d==")];
    let read = headers(&at("http://a:4317"), both);
    assert_eq!(read["authorization"], "Bearer a==");
    assert_eq!(read["x-b"], "c=d==");
    assert!(!read.contains_key("x-a"), "the variable for traces takes precedence");
    assert_eq!(headers(&at("http://a:4317"), &[(HEADERS[1], "x-a=%2525"), (HEADERS[0], " ")])["x-a"], "%25");
    assert!(headers(&at("http://a:4317"), &[(HEADERS[1], ""), (HEADERS[0], "")]).is_empty());
}

#[test]
fn a_header_of_a_variable_that_cannot_be_read_is_told() {
    for value in ["hunter2", "x key=hunter2", "x-a=hunter2%0a", "x-a=hunter2%2"] {
        let variables: Variables = Box::leak(Box::new([(HEADERS[1], value)]));
        let (origin, line) = blamed(&at("http://a:4317"), variables);
        assert_eq!(origin, SettingOrigin::Variable(HEADERS[1]));
        assert!(!line.contains("hunter") && line.contains("name=value"), "{line}");
    }
}

#[test]
fn a_header_is_read_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let header = |name: &str, text: &str| {
        let path = dir.path().join("header");
        std::fs::write(&path, text).unwrap();
        let headers = [(name.to_owned(), SecretSource::File(path))].into();
        Otlp { headers, ..at("http://a:4317") }
    };
    let target = resolve(&header("authorization", "Bearer hunter2\n"), &[]).unwrap().unwrap();
    assert_eq!(target.headers["authorization"], "Bearer hunter2");
    assert!(!format!("{target:?} {target}").contains("hunter2"), "{target:?}");

    let (origin, line) = blamed(&header("x key", "hunter2"), &[]);
    assert_eq!(origin.to_string(), "telemetry.otlp.headers.x key");
    assert!(!line.contains("hunter2"), "{line}");
    let (_, line) = blamed(&header("x-key", "hunter2\nhunter3"), &[]);
    assert!(!line.contains("hunter"), "{line}");
    let missing = [("x-key".to_owned(), SecretSource::File("/nowhere/key".into()))].into();
    let (origin, line) = blamed(&Otlp { headers: missing, ..at("http://a:4317") }, &[]);
    assert_eq!(origin.to_string(), "telemetry.otlp.headers.x-key");
    assert!(line.contains("/nowhere/key"), "{line}");
}
