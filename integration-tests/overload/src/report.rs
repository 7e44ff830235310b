//! Writes down what an arm showed: a row of CSV for each second, one for each step, a chart, and the tables of the README.

use crate::arm::{Arm, Scale};
use crate::booster;
use crate::chart::chart;
use crate::figures::Figures;
use crate::judge::{Verdict, judge};
use crate::load::Row;
use crate::run::Measured;
use hydra_load::Second;
use std::fmt::Write;
use std::io;
use std::path::Path;

/// The file with the text; the tables of an arm stand between two marks of its name.
const README: &str = "README.md";
/// How the first of the tables begins.
const FIRST_TABLE: &str = "| figure | to reach | measured | |";

/// Writes the files of an arm into a directory, and prints its tables; whether all figures are reached.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(measured: &Measured, scale: &Scale, out: &Path) -> io::Result<bool> {
    let name = &measured.arm.name;
    let verdicts = judge(measured.arm.backend, &measured.steps);
    std::fs::write(out.join(format!("{name}-seconds.csv")), seconds(measured))?;
    std::fs::write(out.join(format!("{name}.csv")), steps(measured))?;
    draw(&measured.arm, measured.base, &measured.steps, out)?;
    let tables = format!("{}{}", head(measured, scale), tables(&measured.steps, &verdicts));
    eprintln!("{tables}");
    let readme = out.join(README);
    let text = std::fs::read_to_string(&readme).unwrap_or_default();
    std::fs::write(readme, with_tables(&text, name, &tables))?;
    Ok(!verdicts.is_empty() && verdicts.iter().all(|verdict| verdict.passed))
}

/// Draws the chart of an arm anew from its file of steps, if there is one, and judges the steps anew.
///
/// # Errors
/// If the file cannot be read, or a file not be written.
pub(crate) fn redraw(arm: &Arm, out: &Path) -> io::Result<()> {
    let Ok(csv) = std::fs::read_to_string(out.join(format!("{}.csv", arm.name))) else { return Ok(()) };
    let steps = csv.lines().skip(1).map(str::parse).collect::<Result<Vec<Figures>, _>>();
    let steps = steps.map_err(io::Error::other)?;
    let base = steps.first().map_or(0.0, |step| step.rate / step.multiple);
    draw(arm, base, &steps, out)?;
    let readme = out.join(README);
    let text = std::fs::read_to_string(&readme)?;
    let (_, tables_of_before, _) = around_tables(&text, &arm.name);
    // What was said of the run stands before the first table.
    let head = tables_of_before.split(FIRST_TABLE).next().unwrap_or_default();
    let tables = format!("{head}{}", tables(&steps, &judge(arm.backend, &steps)));
    std::fs::write(readme, with_tables(&text, &arm.name, &tables))
}

fn draw(arm: &Arm, base: f64, steps: &[Figures], out: &Path) -> io::Result<()> {
    std::fs::write(out.join(format!("{}.svg", arm.name)), chart(arm, base, steps))
}

/// The text with these tables between the marks of this name, or after the text if it has no such marks.
fn with_tables(text: &str, name: &str, tables: &str) -> String {
    let (before, _, after) = around_tables(text, name);
    let (begin, end) = marks(name);
    format!("{before}{begin}{tables}{end}{after}")
}

/// What is before the marks of this name, between them, and after them.
fn around_tables<'t>(text: &'t str, name: &str) -> (&'t str, &'t str, &'t str) {
    let (begin, end) = marks(name);
    let parts = text.split_once(&begin).and_then(|(before, rest)| {
        let (between, after) = rest.split_once(&end)?;
        Some((before, between, after))
    });
    parts.unwrap_or((text, "", ""))
}

fn marks(name: &str) -> (String, String) {
    (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->\n"))
}

/// A row for each second.
fn seconds(measured: &Measured) -> String {
    let mut csv = format!(
        "multiple,is_measured,{},sampled_at_s,statements,commands,active,connections,store_cpu_s,reads_wanted,reads_denied,\
         permits_used,permits_max,cache_hits,cache_misses,store_reads,store_writes,store_failures,records_written,\
         records_dropped,write_queue,read_rung,write_rung,load_average,samples_failed\n",
        Second::csv_header()
    );
    for row in &measured.rows {
        let multiple = measured.steps.get(row.second.step / 2).map_or(0.0, |step| step.multiple);
        line(&mut csv, format_args!("{multiple},{},{}", row.second.step % 2, second(row)));
    }
    csv
}

fn second(row: &Row) -> String {
    let (sample, node) = (&row.sample, &row.sample.node);
    let numbers = [
        sample.at_s,
        sample.store.statements,
        sample.store.commands,
        sample.store.active,
        sample.store.connections,
        sample.store_cpu_s,
        node.reads_wanted,
        node.reads_denied,
        node.permits_used,
        node.permits_max,
        node.cache_hits,
        node.cache_misses,
        node.store_reads,
        node.store_writes,
        node.store_failures,
        node.records_written,
        node.records_dropped,
        node.write_queue,
    ];
    let numbers: Vec<_> = numbers.iter().map(|number| format!("{number:.3}")).collect();
    let rungs = format!("{},{}", node.read_rung, node.write_rung);
    format!("{},{},{rungs},{},{}", row.second.csv(), numbers.join(","), sample.load_average, sample.failed)
}

/// A row for each step.
fn steps(measured: &Measured) -> String {
    let mut csv = format!("{}\n", Figures::csv_header());
    measured.steps.iter().for_each(|step| line(&mut csv, format_args!("{}", step.csv())));
    csv
}

/// What is said of a run before its tables, as Markdown.
fn head(measured: &Measured, scale: &Scale) -> String {
    let Measured { arm, means, base, saturation, .. } = measured;
    let name = &arm.name;
    let mut text = format!(
        "{} with {}, by {means}; {} keys with providers, steps of {} s.\n",
        arm.backend,
        arm.share,
        scale.keys,
        scale.step[1].as_secs()
    );
    match saturation {
        Some(found) if found.is_reached => line(&mut text, format_args!("Saturated at {base} requests/s.")),
        Some(_) => {
            line(&mut text, format_args!("Not saturated at {base} requests/s, where the generator is."))
        }
        None => line(&mut text, format_args!("1x is {base} requests/s, which saturates {}.", booster::NAME)),
    }
    line(&mut text, format_args!("\n![The chart of {name}]({name}.svg)\n"));
    text
}

/// The tables of the figures and of the steps, as Markdown.
fn tables(steps: &[Figures], verdicts: &[Verdict]) -> String {
    let mut text = format!("{FIRST_TABLE}\n|---|---|---|---|\n");
    for verdict in verdicts {
        let Verdict { figure, wanted, measured, passed } = verdict;
        let passed = if *passed { "reached" } else { "**missed**" };
        line(&mut text, format_args!("| {figure} | {wanted} | {measured} | {passed} |"));
    }
    text.push('\n');
    line(
        &mut text,
        format_args!(
            "| load | requests/s | full | found, share | GET p50, p99 ms | lag p99 ms | statements/s | store calls/s | \
             active | store CPU | node, generator CPU | node MiB | cache hits | rungs | load average |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
        ),
    );
    steps.iter().for_each(|step| line(&mut text, format_args!("{}", table_row(step))));
    let beyond = steps.iter().filter(|step| step.is_beyond_generator());
    let beyond: Vec<_> = beyond.map(|step| format!("{}x", step.multiple)).collect();
    if !beyond.is_empty() {
        let beyond = beyond.join(", ");
        line(
            &mut text,
            format_args!(
                "\nNot judged: {beyond}, which the generator could not offer in time on this machine."
            ),
        );
    }
    text
}

fn table_row(step: &Figures) -> String {
    format!(
        "| {}x | {:.0} | {:.0}/s | {:.0}/s, {:.0} % | {:.1}, {:.0} | {:.1} | {:.0} | {:.0} | {} | {:.3} | {:.2}, {:.2} | \
         {:.0} | {:.0} % | {}, {} | {:.1} |",
        step.multiple,
        step.offered,
        step.full,
        step.found,
        100.0 * step.found_share,
        step.get_p50_ms,
        step.get_p99_ms,
        step.lag_p99_ms,
        step.statements,
        step.store_calls,
        step.active_max,
        step.store_cpu,
        step.node_cpu,
        step.generator_cpu,
        step.node_rss_mib,
        100.0 * step.cache_hit_share,
        step.read_rung,
        step.write_rung,
        step.load_average,
    )
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _never = writeln!(text, "{words}").is_err();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Backend;

    fn measured() -> Measured {
        let [arm, _] = Arm::of(Backend::Postgres);
        let step = |multiple| Figures {
            multiple,
            rate: 100.0 * multiple,
            full: 7.0 * multiple,
            ..Figures::default()
        };
        let steps = crate::arm::MULTIPLES.map(step);
        let rows = vec![Row::default(); 3];
        Measured { arm, means: "turns", saturation: None, base: 100.0, steps: steps.into(), rows }
    }

    #[test]
    fn tables_take_the_place_of_those_of_before() {
        let before = "text\n<!-- a -->\nold\n<!-- end of a -->\nmore\n";
        let after = with_tables(before, "a", "new\n");
        assert_eq!(after, "text\n<!-- a -->\nnew\n<!-- end of a -->\nmore\n");
        assert_eq!(with_tables("text\n", "b", "new\n"), "text\n<!-- b -->\nnew\n<!-- end of b -->\n");
    }

    #[test]
    fn each_line_of_a_file_has_a_cell_for_each_column() {
        for csv in [seconds(&measured()), steps(&measured())] {
            let cells: Vec<_> = csv.lines().map(|line| line.split(',').count()).collect();
            assert!(cells.len() > 3 && cells.iter().all(|of_line| *of_line == cells[0]), "{csv}");
        }
        let text = tables(&measured().steps, &judge(Backend::Postgres, &measured().steps));
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).collect();
        assert_eq!(rows.len(), 1 + 9 + 1 + 6);
    }

    #[test]
    fn files_are_written_and_a_figure_that_is_missed_is_told() {
        let out = tempfile::tempdir().unwrap();
        assert!(!write(&measured(), &Scale::SHORT, out.path()).unwrap());
        for file in ["README.md", "postgres.csv", "postgres-seconds.csv", "postgres.svg"] {
            assert!(std::fs::metadata(out.path().join(file)).unwrap().len() > 100, "{file}");
        }
        let read = |file: &str| std::fs::read_to_string(out.path().join(file)).unwrap();
        let (svg, readme) = (read("postgres.svg"), read("README.md"));
        std::fs::remove_file(out.path().join("postgres.svg")).unwrap();
        redraw(&measured().arm, out.path()).unwrap();
        assert_eq!((read("postgres.svg"), read("README.md")), (svg, readme.clone()), "it is as before");
        assert!(readme.contains("**missed**"), "{readme}");
    }
}
