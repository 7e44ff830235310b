//! The config's own promises: bounds, descriptions, no unknown keys.

use hydra_engine::Config;
use serde_json::{Value, json};

/// The tables in the table, and what the schema calls them.
const TABLES: [(&str, &str); 7] = [
    ("permits", "Permits"),
    ("cache", "ReadCache"),
    ("short", "Short"),
    ("stale", "Stale"),
    ("near_only", "NearOnly"),
    ("shedding", "Shedding"),
    ("peak", "Peak"),
];

#[test]
fn the_defaults_are_what_an_empty_table_gives() {
    assert_eq!(serde_json::from_value::<Config>(json!({})).unwrap(), Config::default());
    let shown = serde_json::to_value(Config::default()).unwrap();
    assert_eq!(serde_json::from_value::<Config>(shown).unwrap(), Config::default());
}

#[test]
fn a_bogus_key_is_refused_in_every_table() {
    let tables = TABLES.map(|(table, _)| json!({ table: { "bogus": 1 } }));
    for table in tables.into_iter().chain([json!({ "bogus": 1 })]) {
        let error = serde_json::from_value::<Config>(table).unwrap_err().to_string();
        assert!(error.contains("unknown field `bogus`"), "{error}");
    }
}

/// Every key says what it is, and every number has bounds that its default keeps.
#[test]
fn every_key_is_described_and_every_number_bounded() {
    let schema = schema();
    let defaults = serde_json::to_value(Config::default()).unwrap();
    let mut numbers = check(&schema["properties"], &defaults);
    for (table, definition) in TABLES {
        numbers += check(&schema["$defs"][definition]["properties"], &defaults[table]);
    }
    assert_eq!(numbers, 52);
}

fn schema() -> Value {
    schemars::schema_for!(Config).to_value()
}

fn check(properties: &Value, defaults: &Value) -> usize {
    let mut numbers = 0;
    for (name, property) in properties.as_object().unwrap() {
        assert!(property["description"].is_string(), "{name} is not described");
        let is_number = property["type"] == "integer" || property["type"] == json!(["integer", "null"]);
        if is_number {
            let (min, max) = (property["minimum"].as_u64().unwrap(), property["maximum"].as_u64().unwrap());
            if let Some(default) = defaults[name].as_u64() {
                assert!((min..=max).contains(&default), "{name} = {default}");
            }
            numbers += 1;
        }
    }
    numbers
}
