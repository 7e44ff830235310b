//! Environment variables that begin as those of the config do, and are none.

use crate::{Hydra, stderr};

/// What Kubernetes sets in every container beside services called `hydra`, `hydra-metrics` and `hydra-a--b`.
const OF_SERVICES: [(&str, &str); 12] = [
    ("HYDRA_SERVICE_HOST", "10.0.0.1"),
    ("HYDRA_SERVICE_PORT", "4001"),
    ("HYDRA_PORT", "tcp://10.0.0.1:4001"),
    ("HYDRA_PORT_4001_TCP_ADDR", "10.0.0.1"),
    ("HYDRA_METRICS_SERVICE_HOST", "10.0.0.2"),
    ("HYDRA_METRICS_SERVICE_PORT", "9464"),
    ("HYDRA_METRICS_SERVICE_PORT_HTTP", "9464"),
    ("HYDRA_METRICS_PORT", "tcp://10.0.0.2:9464"),
    ("HYDRA_METRICS_PORT_9464_TCP", "tcp://10.0.0.2:9464"),
    ("HYDRA_METRICS_PORT_9464_TCP_PROTO", "tcp"),
    ("HYDRA_METRICS_PORT_9464_TCP_PORT", "9464"),
    ("HYDRA_DATA_PORT_53_UDP_ADDR", "10.0.0.2"),
];

/// Variables that are no key, with what their warning points to.
const UNKNOWN: [(&str, &str, &str); 6] = [
    ("HYDRA_HOME", "/opt/hydra", "such as `HYDRA_HEADS__COUNT`"),
    ("HYDRA_HEADS_COUNT", "5", "did you mean `HYDRA_HEADS__COUNT`?"),
    ("HYDRA_TELEMETRY_HTTP_LISTEN", "[::]:1", "did you mean `HYDRA_TELEMETRY__HTTP__LISTEN`?"),
    ("HYDRA_STORE_CACHE_MIB", "8", "did you mean `HYDRA_STORE__CACHE_MIB`?"),
    ("HYDRA_HEADS__CUONT", "5", "did you mean `count`?"),
    ("HYDRA_STORE__CACHE_MEBI", "5", "unknown key"),
];

#[test]
fn variables_of_services_are_ignored() {
    let hydra = Hydra::new();
    for command in ["show", "check"] {
        let output = hydra.command(&["config", command]).envs(OF_SERVICES).output().unwrap();
        assert!(output.status.success(), "{command}: {}", stderr(&output));
        assert!(!stderr(&output).contains("HYDRA_"), "{}", stderr(&output));
    }
}

#[test]
fn an_unknown_variable_is_a_warning_and_an_error_of_config_check() {
    let hydra = Hydra::new();
    for (name, value, help) in UNKNOWN {
        for command in [&["config", "show"][..], &["check"]] {
            let free = ["--set", "telemetry.http.listen=127.0.0.1:0"];
            let output = hydra.command(&[command, &free].concat()).env(name, value).output().unwrap();
            assert!(output.status.success(), "{name} {command:?}: {}", stderr(&output));
            let message = stderr(&output);
            assert!(message.contains(name) && message.contains(help), "{name} {command:?}: {message}");
        }
        let output = hydra.command(&["config", "check"]).env(name, value).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {}", stderr(&output));
        assert!(stderr(&output).starts_with(&format!("error: environment variable {name}: ")));
        assert!(stderr(&output).contains(help), "{name}: {}", stderr(&output));
    }
}

#[test]
fn all_unknown_variables_are_told_and_the_others_count() {
    let hydra = Hydra::new();
    let set =
        [("HYDRA_FOO", "1"), ("HYDRA_FOO__BAR", "2"), ("HYDRA_HEADS__COUNT", "7"), ("HYDRA_KAD__X__Y", "1")];
    let output = hydra.command(&["config", "show"]).envs(set).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    for name in ["HYDRA_FOO:", "HYDRA_FOO__BAR:", "HYDRA_KAD__X__Y:"] {
        assert!(stderr(&output).contains(name), "{name}: {}", stderr(&output));
    }
    assert!(String::from_utf8_lossy(&output.stdout).contains("heads.count = 7 "));
}
