//! Tables of results as CSV: a struct whose fields are the columns. A column that a file does not have gets its default, so that files
//! of earlier versions can be read.

use std::collections::BTreeMap;

/// A value in a cell. No value has a comma.
pub(crate) trait Cell: Default {
    /// As it is written.
    fn write(&self) -> String;
    /// As it is read; none if it is malformed.
    fn read(text: &str) -> Option<Self>;
}

impl Cell for f64 {
    fn write(&self) -> String {
        format!("{self:.4}")
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Cell for u64 {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        // Earlier versions wrote them with decimals.
        text.parse().ok().or_else(|| text.parse::<f64>().ok().map(|number| number as Self))
    }
}

impl Cell for String {
    fn write(&self) -> String {
        self.clone()
    }

    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

/// Empty if there is none.
impl Cell for Option<f64> {
    fn write(&self) -> String {
        self.map_or_else(String::new, |number| number.write())
    }

    fn read(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
    }
}

/// A struct that is a row.
pub(crate) trait Row: Sized {
    /// The names of the columns, with commas between them.
    fn header() -> String;
    /// The cells of a row.
    fn line(&self) -> String;
    /// A row from its cells by the names of their columns.
    ///
    /// # Errors
    /// If a cell is malformed.
    fn of(cells: &BTreeMap<&str, &str>) -> Result<Self, String>;
}

/// All rows as a file.
pub(crate) fn write<R: Row>(rows: &[R]) -> String {
    let lines = rows.iter().map(|row| row.line() + "\n");
    std::iter::once(R::header() + "\n").chain(lines).collect()
}

/// The rows of a file.
///
/// # Errors
/// If a line has more or fewer cells than there are columns, or a malformed one.
pub(crate) fn read<R: Row>(text: &str) -> Result<Vec<R>, String> {
    let mut lines = text.lines();
    let columns: Vec<_> = lines.next().unwrap_or_default().split(',').collect();
    let row = |line: &str| {
        let cells: Vec<_> = line.split(',').collect();
        if cells.len() != columns.len() {
            return Err(format!("{} cells instead of {}: {line}", cells.len(), columns.len()));
        }
        R::of(&columns.iter().copied().zip(cells).collect())
    };
    lines.map(row).collect()
}

/// Declares a struct that is a [`Row`]: each field with its type and the name of its column.
macro_rules! row {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty = $column:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub(crate) struct $name { $($(#[$doc])* pub(crate) $field: $type,)* }

        impl $crate::csv::Row for $name {
            fn header() -> String {
                [$($column),*].join(",")
            }

            fn line(&self) -> String {
                [$($crate::csv::Cell::write(&self.$field)),*].join(",")
            }

            fn of(cells: &std::collections::BTreeMap<&str, &str>) -> Result<Self, String> {
                Ok(Self { $($field: match cells.get($column) {
                    None => <$type>::default(),
                    Some(text) => $crate::csv::Cell::read(text)
                        .ok_or_else(|| format!("{} cannot be {text}", $column))?,
                },)* })
            }
        }
    };
}
pub(crate) use row;

#[cfg(test)]
mod tests {
    use super::*;

    row!(
        /// A row.
        Of {
            name: String = "name",
            count: u64 = "count",
            rate: f64 = "rate_per_s",
            time: Option<f64> = "time_s",
        }
    );

    #[test]
    fn rows_are_read_as_they_were_written() {
        let row = |time| Of { name: "a".to_owned(), count: 3, rate: 0.25, time };
        let rows = vec![row(None), row(Some(2.5))];
        let text = write(&rows);
        assert_eq!(text, "name,count,rate_per_s,time_s\na,3,0.2500,\na,3,0.2500,2.5000\n");
        assert_eq!(read::<Of>(&text), Ok(rows));
    }

    #[test]
    fn a_column_that_is_missing_has_its_default_and_a_malformed_line_is_refused() {
        assert_eq!(read::<Of>("count\n4.0000\n"), Ok(vec![Of { count: 4, ..Of::default() }]));
        for wrong in ["count,name\n1\n", "count\nmany\n", "rate_per_s\n\n"] {
            assert!(read::<Of>(wrong).is_err(), "{wrong}");
        }
        assert_eq!(read::<Of>(""), Ok(Vec::new()));
    }
}
