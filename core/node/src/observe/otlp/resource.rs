//! The resource that describes this process to the collector.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};

const SERVICE_NAME_VARIABLE: &str = "OTEL_SERVICE_NAME";
const SERVICE_NAME: &str = "service.name";

/// The attributes of `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, with defaults for those that they do not set.
pub(super) fn of_this_process() -> Resource {
    let named = std::env::var(SERVICE_NAME_VARIABLE).ok().filter(|name| !name.is_empty());
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new(SERVICE_NAME, "hydra"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", random_uuid()),
        ])
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())])
        .with_attributes(named.map(|name| KeyValue::new(SERVICE_NAME, name)))
        .build()
}

/// A random UUID (RFC 9562, version 4): each start is an instance of its own.
fn random_uuid() -> String {
    let version = 4_u128 << 76;
    let variant = 0b10_u128 << 62;
    let id = rand::random::<u128>() & !(0xf << 76) & !(0b11 << 62) | version | variant;
    let digits = format!("{id:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    parts.map(|part| digits.get(part).unwrap_or_default()).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instance_has_a_uuid_of_its_own() {
        let uuid = random_uuid();
        assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(&uuid[14..15], "4");
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
        assert_ne!(uuid, random_uuid());
    }
}
