//! Variables that Kubernetes sets in every container beside a service, and that are no config although they begin as such.

use std::ffi::OsStr;

/// True for a variable of a service, whatever its name: `HYDRA_METRICS_SERVICE_HOST` for one that is called `hydra-metrics`.
pub(super) fn is_of_service(name: &str, value: &OsStr) -> bool {
    // A key of a table has two underscores in its name; the variables of services have a value that tells them.
    let ends = |end: &str| name.ends_with(end) && !name.contains("__");
    let is_link = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.as_encoded_bytes().starts_with(scheme.as_bytes()));
    ends("_SERVICE_HOST")
        || ends("_SERVICE_PORT")
        || (name.contains("_SERVICE_PORT_") && !name.contains("__"))
        || (name.ends_with("_PORT") && is_link)
        || is_port_of_service(name)
}

/// `…_PORT_4001_TCP`, and the same with `_PROTO`, `_PORT` or `_ADDR`.
fn is_port_of_service(name: &str) -> bool {
    let numbered = |rest: &str| {
        let mut parts = rest.split('_');
        let number = parts.next().is_some_and(|number| number.parse::<u16>().is_ok());
        let protocol = parts.next().is_some_and(|word| matches!(word, "TCP" | "UDP" | "SCTP"));
        let last = parts.next().is_none_or(|word| matches!(word, "PROTO" | "PORT" | "ADDR"));
        number && protocol && last && parts.next().is_none()
    };
    name.match_indices("_PORT_").any(|(at, word)| numbered(&name[at + word.len()..]))
}
