//! A span as a collector sees it.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1 as proto;
use proto::span::SpanKind;
use proto::status::StatusCode;
use std::collections::BTreeMap;

/// Attributes by name; numbers and truth as text.
pub(crate) type Attributes = BTreeMap<String, String>;

/// A span as a collector sees it.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// What it is called.
    pub(crate) name: String,
    /// Server, client, internal.
    pub(crate) kind: SpanKind,
    /// Its attributes.
    pub(crate) attributes: Attributes,
    /// The names of its events, with their attributes.
    pub(crate) events: Vec<(String, Attributes)>,
    /// Whether it failed.
    pub(crate) status: StatusCode,
    /// When it began, in nanoseconds since the epoch.
    pub(crate) start: u64,
    /// When it ended, in nanoseconds since the epoch.
    pub(crate) end: u64,
    /// The attributes of the process that made it.
    pub(crate) resource: Attributes,
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
}

impl Span {
    /// All spans of a message.
    pub(crate) fn all_of(sent: ExportTraceServiceRequest) -> Vec<Self> {
        let mut all = Vec::new();
        for group in sent.resource_spans {
            let resource = attributes(group.resource.map(|resource| resource.attributes).unwrap_or_default());
            let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
            all.extend(spans.map(|span| Self::of(span, resource.clone())));
        }
        all
    }

    fn of(span: proto::Span, resource: Attributes) -> Self {
        Self {
            kind: span.kind(),
            status: span.status.as_ref().map_or(StatusCode::Unset, proto::Status::code),
            name: span.name,
            attributes: attributes(span.attributes),
            events: span.events.into_iter().map(|event| (event.name, attributes(event.attributes))).collect(),
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            resource,
            trace: span.trace_id,
            id: span.span_id,
            parent: span.parent_span_id,
        }
    }

    /// Whether nothing is above it.
    pub(crate) fn is_root(&self) -> bool {
        self.parent.is_empty()
    }

    /// What is right below it.
    pub(crate) fn children<'s>(&self, all: &'s [Self]) -> Vec<&'s Self> {
        all.iter().filter(|span| span.trace == self.trace && span.parent == self.id).collect()
    }

    /// The value of an attribute; empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// The trees of these spans, one line each: `root(child, child(grandchild))`, in the order of their beginnings.
pub(crate) fn trees(all: &[Span]) -> Vec<String> {
    let mut roots: Vec<_> = all.iter().filter(|span| span.is_root()).collect();
    roots.sort_by_key(|span| span.start);
    roots.into_iter().map(|root| tree(root, all)).collect()
}

fn tree(span: &Span, all: &[Span]) -> String {
    let mut children = span.children(all);
    children.sort_by_key(|child| child.start);
    let below: Vec<_> = children.into_iter().map(|child| tree(child, all)).collect();
    match below.is_empty() {
        true => span.name.clone(),
        false => format!("{}({})", span.name, below.join(", ")),
    }
}

fn attributes(list: Vec<KeyValue>) -> Attributes {
    list.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}
