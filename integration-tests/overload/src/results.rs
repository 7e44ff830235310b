//! The files of results: a row of CSV for each second, each step, each trigger and each place. Everything that is drawn and written is
//! made from them, so that a run of a few arms or triggers replaces theirs alone.

use crate::csv::{self, row};
use crate::curve::Curve;
use crate::figures::Figures;
use crate::load::Row;
use crate::place::Place;
use crate::trigger::Trial;
use hydra_load::Second;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

row!(
    /// How a place was measured.
    Setup {
        place: String = "place",
        means: String = "means",
        /// The rate that saturates the server, and 1 if the staircase found it.
        base: f64 = "base",
        is_saturated: u64 = "is_saturated",
        keys: u64 = "keys",
        step_s: f64 = "step_s",
    }
);

/// The directory of the results.
#[derive(Debug, Clone)]
pub(crate) struct Results(PathBuf);

impl Results {
    /// Those of a directory, which is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn of(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        Ok(Self(directory.to_owned()))
    }

    /// A file of it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Replaces what is known of a place.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub(crate) fn keep_setup(&self, setup: Setup) -> io::Result<()> {
        let mut all = self.setups()?;
        all.retain(|other| other.place != setup.place);
        all.push(setup);
        self.write("places.csv", &csv::write(&all))
    }

    /// Replaces the curve of an arm.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn keep_curve(&self, place: &Place, arm: &str, curve: &Curve) -> io::Result<()> {
        let file = place.file_of(arm);
        self.write(&format!("{file}.csv"), &csv::write(&curve.steps))?;
        let rows =
            curve.rows.iter().map(|(multiple, row)| (format!("{multiple},{}", row.second.step % 2), row));
        self.write(&format!("{file}-seconds.csv"), &seconds("multiple,is_measured", rows))
    }

    /// Replaces a trigger of an arm.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub(crate) fn keep_trial(&self, place: &Place, trial: Trial, rows: &[Row]) -> io::Result<()> {
        let file = format!("{}-{}-seconds.csv", place.file_of(&trial.arm), trial.trigger);
        let named =
            rows.iter().map(|row| (PHASES.get(row.second.step).copied().unwrap_or_default().to_owned(), row));
        self.write(&file, &seconds("phase", named))?;
        let mut all = self.trials()?;
        let key = |of: &Trial| (of.place.clone(), of.arm.clone(), of.trigger.clone());
        all.retain(|other| key(other) != key(&trial));
        all.push(trial);
        self.write("triggers.csv", &csv::write(&all))
    }

    /// What is known of all places.
    ///
    /// # Errors
    /// If the file is malformed.
    pub(crate) fn setups(&self) -> io::Result<Vec<Setup>> {
        self.read("places.csv")
    }

    /// The steps of an arm; none if it has not been measured.
    ///
    /// # Errors
    /// If the file is malformed.
    pub(crate) fn steps(&self, place: &Place, arm: &str) -> io::Result<Vec<Figures>> {
        self.read(&format!("{}.csv", place.file_of(arm)))
    }

    /// All triggers of all arms.
    ///
    /// # Errors
    /// If the file is malformed.
    pub(crate) fn trials(&self) -> io::Result<Vec<Trial>> {
        self.read("triggers.csv")
    }

    /// Writes a file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        std::fs::write(self.path(name), text)
    }

    fn read<R: csv::Row>(&self, name: &str) -> io::Result<Vec<R>> {
        match std::fs::read_to_string(self.path(name)) {
            Ok(text) => csv::read(&text).map_err(|cause| io::Error::other(format!("{name}: {cause}"))),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(cause) => Err(cause),
        }
    }
}

/// The steps of the load of a trigger.
const PHASES: [&str; 5] = ["settle", "before", "during", "after", "last"];

/// A row for each second, each with cells of its own before it.
fn seconds<'r>(header: &str, rows: impl Iterator<Item = (String, &'r Row)>) -> String {
    let mut csv = format!(
        "{header},{},sampled_at_s,statements,commands,active,connections,store_cpu_s,unread,node_sampled_at_s,reads_wanted,\
         reads_denied,permits_used,permits_max,cache_hits,cache_misses,store_reads,store_writes,store_call_s,store_failures,\
         records_written,records_dropped,write_queue,waiting,judged,node_cpu_s,node_rss_mib,read_rung,write_rung,load_average,\
         samples_failed\n",
        Second::csv_header()
    );
    for (cells, row) in rows {
        // Writing to a string does not fail.
        let _never = writeln!(csv, "{cells},{}", second(row)).is_err();
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
        sample.unread,
        sample.node_at_s,
        node.reads_wanted,
        node.reads_denied,
        node.permits_used,
        node.permits_max,
        node.cache_hits,
        node.cache_misses,
        node.store_reads,
        node.store_writes,
        node.store_call_s,
        node.store_failures,
        node.records_written,
        node.records_dropped,
        node.write_queue,
        node.waiting,
        node.judged,
        sample.node_cpu_s,
        sample.node_rss_mib,
    ];
    let numbers: Vec<_> = numbers.iter().map(|number| format!("{number:.3}")).collect();
    let rungs = format!("{},{}", node.read_rung, node.write_rung);
    format!("{},{},{rungs},{},{}", row.second.csv(), numbers.join(","), sample.load_average, sample.failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::ShareName;
    use crate::server::Backend;

    #[test]
    fn what_is_measured_again_replaces_what_was_measured() {
        let directory = tempfile::tempdir().unwrap();
        let results = Results::of(directory.path()).unwrap();
        let place = Place::new(Backend::Postgres, ShareName::Sliver);
        assert!(results.trials().unwrap().is_empty() && results.steps(&place, "shipped").unwrap().is_empty());
        let trial = |arm: &str, trigger: &str, rate| Trial {
            place: place.name.clone(),
            arm: arm.to_owned(),
            trigger: trigger.to_owned(),
            rate,
            ..Trial::default()
        };
        for (arm, trigger, rate) in
            [("shipped", "burst", 1.0), ("no-gate", "burst", 2.0), ("shipped", "burst", 3.0)]
        {
            results.keep_trial(&place, trial(arm, trigger, rate), &[Row::default()]).unwrap();
        }
        let rates: Vec<_> = results.trials().unwrap().iter().map(|trial| trial.rate).collect();
        assert_eq!(rates, [2.0, 3.0]);
        let steps = vec![Figures { multiple: 2.0, ..Figures::default() }];
        let curve = Curve { steps: steps.clone(), rows: vec![(2.0, Row::default())] };
        results.keep_curve(&place, "no-gate", &curve).unwrap();
        assert_eq!(results.steps(&place, "no-gate").unwrap(), steps);
        for base in [100.0, 140.0] {
            results.keep_setup(Setup { place: place.name.clone(), base, ..Setup::default() }).unwrap();
        }
        assert_eq!(results.setups().unwrap().iter().map(|setup| setup.base).collect::<Vec<_>>(), [140.0]);
    }

    #[test]
    fn each_line_of_seconds_has_a_cell_for_each_column() {
        let row = Row::default();
        let csv = seconds("phase", [("before".to_owned(), &row)].into_iter());
        let cells: Vec<_> = csv.lines().map(|line| line.split(',').count()).collect();
        assert!(cells.len() == 2 && cells[0] == cells[1], "{csv}");
    }
}
