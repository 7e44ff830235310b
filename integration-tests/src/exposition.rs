//! Reads what a scraper reads, and accepts nothing but what the formats allow: Prometheus' text format 0.0.4 and
//! OpenMetrics 1.0.0, without timestamps and exemplars.

mod histogram;
mod line;

use line::{Sample, sample};
use std::collections::{BTreeMap, BTreeSet};

/// The labels of a series.
pub type Labels = BTreeMap<String, String>;

/// Which format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

/// What a scrape told.
#[derive(Debug, Default)]
pub struct Exposition {
    /// The families, in their order.
    pub families: Vec<Family>,
}

/// A family of metrics.
#[derive(Debug, Default)]
pub struct Family {
    /// Its name, as HELP and TYPE have it.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// What is said of it.
    pub help: String,
    /// Its unit, in OpenMetrics.
    pub unit: Option<String>,
    /// Its samples: the name of the series, its labels and its value.
    pub samples: Vec<(String, Labels, f64)>,
}

impl Exposition {
    /// Reads a page.
    ///
    /// # Errors
    /// The line that breaks a rule, and which one.
    pub fn parse(page: &str, format: Format) -> Result<Self, String> {
        let body = match format {
            Format::Text => page,
            Format::OpenMetrics => page.strip_suffix("# EOF\n").ok_or("the last line is not # EOF")?,
        };
        let body = body.strip_suffix('\n').ok_or("the last line has no end")?;
        let mut families: Vec<Family> = Vec::new();
        for line in body.split('\n') {
            read(line, format, &mut families).map_err(|rule| format!("{rule}: {line}"))?;
        }
        let told = Self { families };
        told.check(format)?;
        Ok(told)
    }

    /// The value of a series, by its name and all of its labels.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Labels =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.samples().find(|(known, of, _)| known == name && *of == labels).map(|(_, _, value)| *value)
    }

    /// The values of all series of this name that have these labels, added up.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits =
            |of: &Labels| labels.iter().all(|(key, value)| of.get(*key).is_some_and(|told| told == value));
        self.samples().filter(|(known, of, _)| known == name && fits(of)).map(|(_, _, value)| value).sum()
    }

    /// All samples.
    pub fn samples(&self) -> impl Iterator<Item = &(String, Labels, f64)> {
        self.families.iter().flat_map(|family| &family.samples)
    }

    fn check(&self, format: Format) -> Result<(), String> {
        let (mut names, mut series) = (BTreeSet::new(), BTreeSet::new());
        for family in &self.families {
            let name = &family.name;
            if !names.insert(name) {
                return Err(format!("{name} is told twice"));
            }
            if family.help.is_empty() || family.kind.is_empty() {
                return Err(format!("{name} has no HELP or no TYPE"));
            }
            if family.samples.is_empty() {
                return Err(format!("{name} has no samples"));
            }
            if family.unit.as_ref().is_some_and(|unit| !name.ends_with(&format!("_{unit}"))) {
                return Err(format!("{name} does not end in its unit"));
            }
            for (sample, labels, value) in &family.samples {
                family
                    .fits(sample, labels, *value, format)
                    .map_err(|rule| format!("{rule}: {sample} {labels:?}"))?;
                if !series.insert((sample, labels)) {
                    return Err(format!("twice the same series: {sample} {labels:?}"));
                }
            }
            if family.kind == "histogram" {
                histogram::check(family)?;
            }
        }
        Ok(())
    }
}

impl Family {
    /// Whether a sample may stand in this family.
    fn fits(&self, sample: &str, labels: &Labels, value: f64, format: Format) -> Result<(), &'static str> {
        let suffix = sample.strip_prefix(self.name.as_str()).ok_or("not of its family")?;
        let reserved = ["_total", "_info", "_sum", "_count", "_bucket", "_created"];
        let is_reserved = reserved.iter().any(|suffix| self.name.ends_with(suffix));
        let allowed: &[&str] = match (format, self.kind.as_str()) {
            (Format::Text, "counter") if !self.name.ends_with("_total") => {
                return Err("a counter without _total");
            }
            (Format::Text, "counter" | "gauge" | "untyped") => &[""],
            (Format::OpenMetrics, _) if is_reserved => return Err("a family with a reserved suffix"),
            (Format::OpenMetrics, "counter") => &["_total"],
            (Format::OpenMetrics, "info") => &["_info"],
            (Format::OpenMetrics, "gauge" | "unknown") => &[""],
            (_, "histogram") => &["_sum", "_count", "_bucket"],
            _ => return Err("no such type"),
        };
        if !allowed.contains(&suffix) {
            return Err("no name for a sample of this type");
        }
        if labels.contains_key("le") != (suffix == "_bucket") {
            return Err("le is for buckets");
        }
        if self.kind == "info" && value != 1.0 {
            return Err("an info is 1");
        }
        if self.kind != "gauge" && value < 0.0 {
            return Err("a counter is not below 0");
        }
        Ok(())
    }
}

fn read(line: &str, format: Format, families: &mut Vec<Family>) -> Result<(), &'static str> {
    let Some(told) = line.strip_prefix('#') else {
        let Sample { name, labels, value } = sample(line)?;
        families.last_mut().ok_or("a sample before any family")?.samples.push((name, labels, value));
        return Ok(());
    };
    let (word, told) = told.strip_prefix(' ').and_then(|told| told.split_once(' ')).ok_or("no such line")?;
    let (name, text) = told.split_once(' ').ok_or("nothing is said")?;
    if !line::is_name(name) || text.trim() != text || text.is_empty() || text.contains('\\') {
        return Err("no name, or nothing after it");
    }
    if word == "HELP" {
        families.push(Family { name: name.to_owned(), help: text.to_owned(), ..Family::default() });
        return Ok(());
    }
    let family = families.last_mut().filter(|family| family.name == name).ok_or("HELP comes first")?;
    let field = match (word, format) {
        ("TYPE", _) if family.kind.is_empty() => &mut family.kind,
        ("UNIT", Format::OpenMetrics) if family.unit.is_none() => family.unit.insert(String::new()),
        _ => return Err("no such line, or a second one"),
    };
    if !family.samples.is_empty() {
        return Err("samples come last");
    }
    text.clone_into(field);
    Ok(())
}
