//! In which format a scraper wants the metrics.

use crate::observe::metrics::Format;

/// The format that these `Accept` headers ask for: OpenMetrics when it is named and liked at least as much as plain
/// text, else Prometheus' own. Scrapers that name neither get the latter.
pub(crate) fn format<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    for range in accept.flat_map(|header| header.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut version, mut quality) = (None, 1.0_f32);
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match key.trim().to_ascii_lowercase().as_str() {
                "version" => version = Some(value.trim().trim_matches('"')),
                // Who says nothing that can be read wants nothing.
                "q" => quality = value.trim().parse().unwrap_or(0.0),
                _ => {}
            }
        }
        match name.as_str() {
            "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => {
                open = quality.max(open)
            }
            "text/plain" if matches!(version, None | Some("0.0.4")) => plain = quality.max(plain),
            _ => {}
        }
    }
    if open > 0.0 && open >= plain { Format::OpenMetrics } else { Format::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_are_for_who_asks_for_them() {
        for (accept, wanted) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", Format::Text),
            ("text/plain", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8", Format::OpenMetrics),
            ("application/openmetrics-text;version=\"1.0.0\"", Format::OpenMetrics),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=much", Format::Text),
            ("text/plain;q=0.9,application/openmetrics-text;q=0.5", Format::Text),
            // What Prometheus 2 and 3 send.
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
        ] {
            assert_eq!(format([accept].into_iter()), wanted, "{accept}");
        }
        let two = ["text/plain;q=0.1", "application/openmetrics-text"];
        assert_eq!(format(two.into_iter()), Format::OpenMetrics, "headers add up");
    }
}
