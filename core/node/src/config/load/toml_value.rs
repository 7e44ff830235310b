//! TOML values as JSON.

use crate::config::unfit::unfit;
use serde_json::{Map, Number, Value};
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

/// A table of TOML as one of JSON.
pub(super) fn table(table: &DeTable<'_>) -> Map<String, Value> {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), of(value.get_ref()))).collect()
}

/// A value of TOML as one of JSON.
pub(super) fn of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => integer(number),
        DeValue::Float(number) => float(number),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(time) => unfit(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| of(item.get_ref())).collect(),
        DeValue::Table(below) => Value::Object(table(below)),
    }
}

fn integer(number: &DeInteger<'_>) -> Value {
    let (digits, radix) = (number.as_str(), number.radix());
    let signed = i64::from_str_radix(digits, radix).map(Value::from);
    signed
        .or_else(|_| u64::from_str_radix(digits, radix).map(Value::from))
        .unwrap_or_else(|_| unfit(number.to_string()))
}

fn float(number: &DeFloat<'_>) -> Value {
    let finite = number.as_str().parse().ok().and_then(Number::from_f64);
    finite.map_or_else(|| unfit(number.to_string()), Value::Number)
}
