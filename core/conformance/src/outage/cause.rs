//! Why files cannot be written, made and undone.

use rlimit::Resource;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of a disk that gets full.
const DISK_MIB: u32 = 96;
/// Bytes of it that are left at first.
const LEFT_BYTES: u64 = 512 << 10;
/// What a file may grow to, at least.
const FILE_BYTES_MAX: u64 = 2 << 20;

/// Why files cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Files may not grow beyond a size.
    FileSizeLimit,
    /// No file can be opened.
    OpenFiles,
    /// There is no room. Needs the right to mount.
    FullDisk,
    /// The files may only be read. Needs the right to say so.
    ReadOnly,
}

/// Undoes it.
#[must_use]
pub(super) enum Outage {
    Limit(Resource, u64, u64, Vec<File>),
    Ballast(PathBuf),
    Attribute(PathBuf),
}

/// A mounted file system, until dropped.
pub(super) struct Mount(PathBuf);

impl Cause {
    pub(super) const ALL: [Self; 4] = [Self::FileSizeLimit, Self::OpenFiles, Self::FullDisk, Self::ReadOnly];

    /// The name of its case.
    pub(super) const fn rule(self) -> &'static str {
        match self {
            Self::FileSizeLimit => "a_file_size_limit_is_named_and_writes_return_when_it_is_lifted",
            Self::OpenFiles => "a_lack_of_open_files_is_named_and_writes_return_when_it_ends",
            Self::FullDisk => "a_full_disk_is_named_and_writes_return_when_there_is_room",
            Self::ReadOnly => "read_only_files_are_named_and_writes_return_when_they_are_writable",
        }
    }

    /// The errors of the system that name it: EFBIG, EMFILE, ENOSPC, EPERM and EROFS.
    pub(super) const fn codes(self) -> &'static [i32] {
        match self {
            Self::FileSizeLimit => &[27],
            Self::OpenFiles => &[24],
            Self::FullDisk => &[28],
            Self::ReadOnly => &[1, 30],
        }
    }

    /// Whether what is stored can be read: without open files it may not be.
    pub(super) const fn leaves_reads(self) -> bool {
        match self {
            Self::FileSizeLimit | Self::FullDisk | Self::ReadOnly => true,
            Self::OpenFiles => false,
        }
    }

    /// Whether no store can take writes: one that opens no files needs none.
    pub(super) const fn stops_every_store(self) -> bool {
        self.leaves_reads()
    }

    /// Whether this machine cannot make it, and need not: with `TEST_REQUIRE=all` the case fails instead.
    pub(super) fn is_absent(self) -> bool {
        let is = |name: &str, wanted: &str| std::env::var(name).is_ok_and(|value| value == wanted);
        let is_root = fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0);
        let needs_root = matches!(self, Self::FullDisk | Self::ReadOnly);
        needs_root && !is_root && !is("CI", "true") && !is("TEST_REQUIRE", "all")
    }

    /// Prepares an empty directory.
    pub(super) fn mount(self, dir: &Path) -> Result<Option<Mount>, String> {
        if self != Self::FullDisk {
            return Ok(None);
        }
        let size = format!("size={DISK_MIB}m");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir))
            .map_err(|how| how.to_string())?;
        Ok(Some(Mount(dir.to_owned())))
    }

    /// Undoes what a child has left.
    pub(super) fn clear(self, dir: &Path) {
        if self == Self::ReadOnly {
            // It may have undone it itself.
            drop(chattr("-i", dir));
        }
    }

    pub(super) fn begin(self, dir: &Path) -> io::Result<Outage> {
        match self {
            Self::FileSizeLimit => limit(Resource::FSIZE, FILE_BYTES_MAX, Vec::new()),
            Self::OpenFiles => {
                let open = fs::read_dir("/proc/self/fd")?.count() as u64;
                let outage = limit(Resource::NOFILE, open, Vec::new())?;
                let Outage::Limit(resource, soft, hard, mut files) = outage else { return Ok(outage) };
                // Numbers below the limit may be free.
                while let Ok(file) = File::open("/dev/null") {
                    files.push(file);
                }
                Ok(Outage::Limit(resource, soft, hard, files))
            }
            Self::FullDisk => {
                let ballast = dir.join("ballast");
                fill(&mut File::create(&ballast)?)?;
                let len = fs::metadata(&ballast)?.len();
                File::options().write(true).open(&ballast)?.set_len(len.saturating_sub(LEFT_BYTES))?;
                Ok(Outage::Ballast(ballast))
            }
            Self::ReadOnly => chattr("+i", dir).map(|()| Outage::Attribute(dir.to_owned())),
        }
    }
}

impl Outage {
    pub(super) fn end(self) -> io::Result<()> {
        match self {
            Self::Limit(resource, soft, hard, files) => {
                drop(files);
                rlimit::setrlimit(resource, soft, hard)
            }
            Self::Ballast(file) => fs::remove_file(file),
            Self::Attribute(dir) => chattr("-i", &dir),
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A mount that is left behind must be seen.
        if let Err(how) = run(Command::new("umount").arg(&self.0)) {
            eprintln!("{how}");
        }
    }
}

fn limit(resource: Resource, to: u64, files: Vec<File>) -> io::Result<Outage> {
    let (soft, hard) = rlimit::getrlimit(resource)?;
    rlimit::setrlimit(resource, to.min(hard), hard)?;
    Ok(Outage::Limit(resource, soft, hard, files))
}

/// Writes until there is no room.
fn fill(file: &mut File) -> io::Result<()> {
    let bytes = vec![0xa5; 64 << 10];
    loop {
        match file.write_all(&bytes) {
            Ok(()) => {}
            Err(cause) if cause.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(cause) => return Err(cause),
        }
    }
}

/// Overwrites the first bytes of every file below a directory.
pub(super) fn overwrite(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            overwrite(&path)?;
        } else {
            File::options().write(true).open(&path)?.write_all(&[0xa5; 512])?;
        }
    }
    Ok(())
}

fn chattr(change: &str, dir: &Path) -> io::Result<()> {
    run(Command::new("chattr").args(["-R", change]).arg(dir))
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
