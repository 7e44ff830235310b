//! The resource that describes this process to the collector.

use super::percent;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;

const SERVICE_NAME_VARIABLE: &str = "OTEL_SERVICE_NAME";
const ATTRIBUTES_VARIABLE: &str = "OTEL_RESOURCE_ATTRIBUTES";
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
        .with_detectors(&[Box::new(TelemetryResourceDetector)])
        .with_attributes(attributes(std::env::var(ATTRIBUTES_VARIABLE).unwrap_or_default().as_str()))
        .with_attributes(named.map(|name| KeyValue::new(SERVICE_NAME, name)))
        .build()
}

/// The attributes of the variable. As OpenTelemetry has it, one that cannot be read discards all of them.
fn attributes(text: &str) -> Vec<KeyValue> {
    match percent::pairs(text) {
        Ok(pairs) => pairs.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect(),
        Err(error) => {
            tracing::warn!(error, "cannot read {ATTRIBUTES_VARIABLE}, its attributes are left out");
            Vec::new()
        }
    }
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
    fn attributes_of_the_variable_are_decoded() {
        let read = attributes("service.namespace=a%20b,x=y=z");
        assert_eq!(read, [KeyValue::new("service.namespace", "a b"), KeyValue::new("x", "y=z")]);
        assert!(attributes("a=b,c").is_empty() && attributes("").is_empty());
    }

    #[test]
    fn every_instance_has_a_uuid_of_its_own() {
        let uuid = random_uuid();
        assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(&uuid[14..15], "4");
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
        assert_ne!(uuid, random_uuid());
    }
}
