//! The files: read line by line within bounds, into one set of rules.

use crate::config::Config;
use crate::parse::{self, Line};
use crate::rules::Rules;
use hydra_api::{OpenError, Scope};
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The longest line that is read, its end included (specification, "File syntax").
const LINE_BYTES_MAX: u64 = 2 << 20;
/// The longest header (specification, "Header").
const HEADER_BYTES_MAX: u64 = 1 << 20;
/// The line that ends a header.
const HEADER_END: &str = "---";
/// The version of the format that this code reads.
const VERSION: &str = "1";
/// Bad lines of a file that are told one by one; of the others the number.
const TOLD_MAX: u64 = 20;

/// Which files are read, and how much of them.
#[derive(Debug, Clone)]
pub(crate) struct Lists {
    paths: Vec<PathBuf>,
    rules_max: u32,
    file_bytes_max: u64,
}

/// The rules, and of what they were made.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) rules: Rules,
    pub(crate) stamps: Vec<Stamp>,
    pub(crate) counts: Counts,
}

/// By what a change of a file is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    /// Which file it is and when its inode changed: a file that takes the place of another may have its time and size.
    #[cfg(unix)]
    inode: [i64; 4],
}

/// What was found in the lines of all files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Rules on keys of the DHT.
    pub(crate) rules: u64,
    /// Rules on paths, which the DHT does not know.
    pub(crate) paths: u64,
    /// Rules on domains, which the DHT does not know.
    pub(crate) domains: u64,
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
    #[error("is of version {0} of the format; this program reads version {VERSION}")]
    Version(String),
    #[error("has rules before the line `{HEADER_END}`, which ends a header")]
    Header,
}

impl Lists {
    pub(crate) fn of(config: &Config, scope: &Scope) -> Result<Self, OpenError> {
        config.check()?;
        Ok(Self {
            paths: config.files.iter().map(|path| scope.resolve(path)).collect(),
            rules_max: config.rules_max,
            file_bytes_max: u64::from(config.file_mib_max) << 20,
        })
    }

    /// The stamps of the files as they are now.
    pub(crate) fn stamps(&self) -> Result<Vec<Stamp>, (PathBuf, Unusable)> {
        let stamp = |path: &PathBuf| match std::fs::metadata(path) {
            Ok(data) => Ok(Stamp::of(&data)),
            Err(cause) => Err((path.clone(), cause.into())),
        };
        self.paths.iter().map(stamp).collect()
    }

    /// Reads all files.
    pub(crate) fn load(&self) -> Result<Loaded, (PathBuf, Unusable)> {
        let mut loaded = Loaded { rules: Rules::default(), stamps: Vec::new(), counts: Counts::default() };
        for path in &self.paths {
            self.read(path, &mut loaded).map_err(|why| (path.clone(), why))?;
        }
        Ok(loaded)
    }

    fn read(&self, path: &Path, loaded: &mut Loaded) -> Result<(), Unusable> {
        // To open a pipe would wait for its writer, and a device may have no end.
        if !std::fs::metadata(path)?.is_file() {
            return Err(Unusable::NotAFile);
        }
        let file = File::open(path)?;
        // Taken before the first byte is read: what is written meanwhile shows as a change.
        let stamp = Stamp::of(&file.metadata()?);
        if stamp.len > self.file_bytes_max {
            return Err(Unusable::TooLong(self.file_bytes_max));
        }
        let mut lines = Lines::of(file)?;
        let mut counts = Counts::default();
        while let Some(Raw { number, end, text }) = lines.next()? {
            if end > self.file_bytes_max {
                return Err(Unusable::TooLong(self.file_bytes_max));
            }
            let why = match text.map(parse::line) {
                Some(Ok(Line::Blank)) => continue,
                Some(Ok(Line::Path)) => {
                    counts.paths += 1;
                    continue;
                }
                Some(Ok(Line::Domain)) => {
                    counts.domains += 1;
                    continue;
                }
                Some(Ok(Line::Rule(effect, target))) => {
                    if loaded.rules.len() == self.rules_max {
                        return Err(Unusable::TooMany(self.rules_max));
                    }
                    loaded.rules.put(effect, &target);
                    counts.rules += 1;
                    continue;
                }
                Some(Err(why)) => why.to_string(),
                None => format!("it is longer than {LINE_BYTES_MAX} bytes, or no UTF-8"),
            };
            counts.bad += 1;
            if counts.bad <= TOLD_MAX {
                tracing::warn!(file = %path.display(), line = number, why, "a line of a denylist is no rule");
            }
        }
        let Counts { rules, paths, domains, bad } = counts;
        tracing::info!(file = %path.display(), rules, paths, domains, bad, "a denylist was read");
        loaded.counts.rules += rules;
        loaded.counts.paths += paths;
        loaded.counts.domains += domains;
        loaded.counts.bad += bad;
        loaded.stamps.push(stamp);
        Ok(())
    }
}

impl Stamp {
    fn of(data: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            modified: data.modified().ok(),
            len: data.len(),
            #[cfg(unix)]
            inode: [data.dev() as i64, data.ino() as i64, data.ctime(), data.ctime_nsec()],
        }
    }
}

/// The lines after the header, one at a time.
struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
}

/// A line as it stands in its file.
struct Raw<'a> {
    /// From 1 up.
    number: u64,
    /// How many bytes of the file there are up to its end.
    end: u64,
    /// `None` when it is too long, or no UTF-8.
    text: Option<&'a str>,
}

impl Lines {
    fn of(file: File) -> Result<Self, Unusable> {
        let mut lines = Self { reader: BufReader::new(file), line: Vec::new(), number: 0, bytes: 0 };
        if !lines.skip_header()? {
            lines.reader.rewind()?;
            (lines.number, lines.bytes) = (0, 0);
        }
        Ok(lines)
    }

    /// Whether there is a header.
    fn skip_header(&mut self) -> Result<bool, Unusable> {
        let (mut has_rules, mut version) = (false, None);
        while let Some(Raw { end, text, .. }) = self.next()? {
            if end > HEADER_BYTES_MAX {
                return Ok(false);
            }
            // A line that is too long is too long for a header as well.
            let Some(line) = text.map(str::trim_end) else { return Ok(false) };
            if line == HEADER_END {
                if has_rules {
                    return Err(Unusable::Header);
                }
                return match version {
                    Some(version) if version != VERSION => Err(Unusable::Version(version)),
                    _ => Ok(true),
                };
            }
            has_rules |= line.starts_with(['/', '!', '+']);
            if let Some(told) = line.strip_prefix("version:") {
                let told = told.split('#').next().unwrap_or_default().trim();
                version = Some(told.trim_matches(['"', '\'']).chars().take(20).collect());
            }
        }
        Ok(false)
    }

    fn next(&mut self) -> io::Result<Option<Raw<'_>>> {
        self.line.clear();
        let read = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line)? as u64;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += read;
        let is_long = read == LINE_BYTES_MAX && self.line.last() != Some(&b'\n');
        if is_long {
            self.bytes += self.reader.skip_until(b'\n')? as u64;
        }
        let text = if is_long { None } else { str::from_utf8(&self.line).ok() };
        Ok(Some(Raw { number: self.number, end: self.bytes, text }))
    }
}

#[cfg(test)]
mod tests;
