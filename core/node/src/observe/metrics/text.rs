//! From OpenMetrics to the older text format of Prometheus.

use std::fmt::Write;

/// The same page in Prometheus' text format 0.0.4. Samples look the same there. What differs: HELP and TYPE name a
/// counter with its `_total`, and an info with its `_info`, which is a gauge; the type of what has none is "untyped";
/// units and the end are not told.
///
/// The page holds no exemplars and no timestamps, and its HELP lines nothing that is escaped.
pub(super) fn of_open_metrics(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        if let Some(told) = line.strip_prefix("# HELP ") {
            help = told.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|told| told.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            if let Some(help) = help.take() {
                _ = writeln!(text, "# HELP {name}{suffix} {help}");
            }
            _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_infos_are_named_as_their_samples_are() {
        let open = "# HELP a_seconds Help, with words.
# TYPE a_seconds counter
# UNIT a_seconds seconds
a_seconds_total{b=\"c\"} 1.5
# HELP d About d.
# TYPE d info
d_info{e=\"# EOF\"} 1
# HELP f About f.
# TYPE f histogram
f_sum 0.5
f_count 1
f_bucket{le=\"+Inf\"} 1
# TYPE g unknown
g 1
# EOF
";
        let text = "# HELP a_seconds_total Help, with words.
# TYPE a_seconds_total counter
a_seconds_total{b=\"c\"} 1.5
# HELP d_info About d.
# TYPE d_info gauge
d_info{e=\"# EOF\"} 1
# HELP f About f.
# TYPE f histogram
f_sum 0.5
f_count 1
f_bucket{le=\"+Inf\"} 1
# TYPE g untyped
g 1
";
        assert_eq!(of_open_metrics(open), text);
    }
}
