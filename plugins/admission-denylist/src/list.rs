//! The files: read line by line within bounds, into one set of rules.

use crate::config::Config;
use crate::content::{Content, Hashed, Seen};
use crate::empty;
use crate::lines::{LINE_BYTES_MAX, Lines, Place, Unreadable};
use crate::parse::{self, Effect, Line};
use crate::rules::Rules;
use hydra_api::{OpenError, Purpose, Scope};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// Lines of a file that are told one by one, of each kind; of the others the number.
const TOLD_MAX: u64 = 20;

/// Which files are read, and how much of them.
#[derive(Debug, Clone)]
pub(crate) struct Lists {
    paths: Vec<PathBuf>,
    rules_max: u32,
    file_bytes_max: u64,
    purpose: Purpose,
    /// Whether each line that is ignored is logged, or their number alone.
    lines: Told,
}

/// Who learns of the lines that are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The log has each of them.
    Each,
    /// It had each of them a moment ago, as the same files were checked.
    Number,
}

/// The rules, and of what they were made.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) rules: Rules,
    /// Of each file.
    pub(crate) files: Vec<Read>,
}

/// What was read of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) content: Content,
    pub(crate) counts: Counts,
}

/// What was found in the lines of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Rules on keys of the DHT.
    pub(crate) rules: u64,
    /// Rules on paths, which the DHT does not know.
    pub(crate) paths: u64,
    /// Rules on domains, which the DHT does not know.
    pub(crate) domains: u64,
    /// Rules that would deny an object that holds nothing: they are left out.
    pub(crate) empty: u64,
    /// Lines that are no rule.
    pub(crate) bad: u64,
}

/// Why a file, as a whole, cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("is not a regular file")]
    NotAFile,
    #[error("has more than {0} bytes: raise `file_mib_max`")]
    TooLong(u64),
    #[error("makes more than {0} rules: raise `rules_max`")]
    TooMany(u32),
    #[error("is not used: {0}")]
    Text(Unreadable),
}

impl Lists {
    pub(crate) fn of(config: &Config, scope: &Scope) -> Result<Self, OpenError> {
        config.check()?;
        Ok(Self {
            paths: config.files.iter().map(|path| scope.resolve(path)).collect(),
            rules_max: config.rules_max,
            file_bytes_max: u64::from(config.file_mib_max) << 20,
            purpose: scope.purpose(),
            lines: Told::Each,
        })
    }

    /// The same, telling so much of the lines that are ignored.
    pub(crate) fn telling(self, lines: Told) -> Self {
        Self { lines, ..self }
    }

    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// What the files hold now, beside what they held before.
    pub(crate) fn look(&self, before: &[Content]) -> Result<Vec<Seen>, (PathBuf, Unusable)> {
        let look = |(path, before): (&PathBuf, &Content)| {
            // One byte more, so that a file that is too long is not taken for one that is as long as it may be.
            let seen = regular(path).and_then(|()| Ok(Seen::of(path, self.file_bytes_max + 1, before)?));
            seen.map_err(|why| (path.clone(), why))
        };
        self.paths.iter().zip(before).map(look).collect()
    }

    /// Reads all files.
    pub(crate) fn load(&self) -> Result<Loaded, (PathBuf, Unusable)> {
        let mut loaded = Loaded { rules: Rules::default(), files: Vec::new() };
        for path in &self.paths {
            let read = self.read(path, &mut loaded.rules).map_err(|why| (path.clone(), why))?;
            loaded.files.push(read);
        }
        Ok(loaded)
    }

    fn read(&self, path: &Path, rules: &mut Rules) -> Result<Read, Unusable> {
        regular(path)?;
        let mut lines = Lines::of(BufReader::new(Hashed::of(File::open(path)?)));
        let (mut place, mut counts) = (Place::Start, Counts::default());
        while let Some(line) = lines.next()? {
            if line.end > self.file_bytes_max {
                return Err(Unusable::TooLong(self.file_bytes_max));
            }
            if !place.take(&line)? {
                continue;
            }
            let why = match line.text.map(parse::line) {
                Some(Ok(line_says)) => {
                    self.put(path, line.number, line_says, rules, &mut counts)?;
                    continue;
                }
                Some(Err(why)) => why.to_string(),
                None => format!("it is longer than {LINE_BYTES_MAX} bytes, or not UTF-8"),
            };
            counts.bad += 1;
            if self.tells(counts.bad) {
                tracing::warn!(file = %path.display(), line = line.number, why, "a line of a denylist is not a rule and is ignored");
            }
        }
        place.end()?;
        let Counts { rules, paths, domains, empty, bad } = counts;
        // A check is followed by the reading that counts.
        if self.purpose == Purpose::Check {
            tracing::debug!(file = %path.display(), rules, "a denylist was checked");
        } else {
            tracing::info!(file = %path.display(), rules, paths, domains, empty, bad, "a denylist was read");
        }
        Ok(Read { content: lines.into_reader().get_ref().content()?, counts })
    }

    /// Whether a line is logged that is ignored as the `nth` of its kind.
    fn tells(&self, nth: u64) -> bool {
        self.lines == Told::Each && nth <= TOLD_MAX
    }

    fn put(
        &self,
        path: &Path,
        number: u64,
        says: Line,
        rules: &mut Rules,
        counts: &mut Counts,
    ) -> Result<(), Unusable> {
        match says {
            Line::Blank => {}
            Line::Path => counts.paths += 1,
            Line::Domain => counts.domains += 1,
            Line::Rule(Effect::Deny, target) if empty::is_named_by(&target) => {
                counts.empty += 1;
                if self.tells(counts.empty) {
                    tracing::warn!(
                        file = %path.display(), line = number,
                        "a rule of a denylist is ignored: it names the empty block, file or directory, which is \
                         never denied"
                    );
                }
            }
            Line::Rule(effect, target) => {
                if rules.len() == self.rules_max {
                    return Err(Unusable::TooMany(self.rules_max));
                }
                rules.put(effect, &target);
                counts.rules += 1;
            }
        }
        Ok(())
    }
}

impl From<Unreadable> for Unusable {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Io(cause) => Self::Io(cause),
            why => Self::Text(why),
        }
    }
}

/// To open a pipe would wait for its writer, and a device may have no end.
fn regular(path: &Path) -> Result<(), Unusable> {
    if std::fs::metadata(path)?.is_file() { Ok(()) } else { Err(Unusable::NotAFile) }
}

#[cfg(test)]
mod tests;
