use super::*;
use std::time::Duration;

fn parse(text: &str) -> Option<(i64, u32)> {
    Timestamp::parse_rfc3339(text.as_bytes()).map(|time| (time.unix_seconds(), time.subsec_nanoseconds()))
}

#[test]
fn known_moments() {
    for (text, seconds, nanoseconds) in [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("1970-01-01T00:00:00.000000001Z", 0, 1),
        ("1969-12-31T23:59:59.5Z", -1, 500_000_000),
        ("2000-02-29T12:00:00Z", 951_825_600, 0),
        ("2123-08-14T12:22:36.049999999Z", 4_847_689_356, 49_999_999),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799, 999_999_999),
        ("0000-01-01T00:00:00Z", -62_167_219_200, 0),
        ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
        ("1970-01-01T01:00:00+01:00", 0, 0),
        ("1970-01-01T00:00:00-24:60", 90_000, 0),
        ("1970-01-01T00:00:00.1234567899999Z", 0, 123_456_789),
    ] {
        assert_eq!(parse(text), Some((seconds, nanoseconds)), "{text}");
    }
}

#[test]
fn garbage_is_refused() {
    for text in [
        "",
        "Z",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-01-01T00:00:00z",
        "1970-01-01t00:00:00Z",
        "1970-01-01 00:00:00Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00,5Z",
        "1970-01-01T00:00:60Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-00-01T00:00:00Z",
        "1970-13-01T00:00:00Z",
        "1970-01-00T00:00:00Z",
        "1970-04-31T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "+970-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "1970-1-01T00:00:00Z",
        "1970-01-01T0:00:00Z",
        "1970-01-01T00:00:00+0100",
        "1970-01-01T00:00:00+25:00",
        "1970-01-01T00:00:00+00:61",
        "1970-01-01T00:00:00ZZ",
        " 1970-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z ",
        "1970-01-01T00:00:00.5",
        "١٩٧٠-01-01T00:00:00Z",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
}

#[test]
fn the_clock_of_the_system_is_taken_over() {
    let time = UNIX_EPOCH + Duration::new(1_700_000_000, 7);
    assert_eq!(Timestamp::from(time), Timestamp { seconds: 1_700_000_000, nanoseconds: 7 });
    let before = UNIX_EPOCH - Duration::from_millis(1500);
    assert_eq!(Timestamp::from(before), Timestamp::from_unix_seconds(-2));
    assert!(Timestamp::from(before) < Timestamp::from(UNIX_EPOCH));
}
