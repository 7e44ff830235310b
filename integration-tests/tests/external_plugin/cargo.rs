//! Cargo, for crates outside of the workspace that share what the workspace has built.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

/// Cargo, and where it puts its results: below the target directory of the workspace, in a folder of this name.
///
/// Whatever is on the way to the results lies with what the workspace has built, so that the same dependency with the
/// same features is not built again. That also takes the same profile, which the caller says: the workspace's
/// `Cargo.toml` reads as a config file of cargo. The directory is not locked any more when tests run.
pub(crate) fn cargo(name: &str) -> (Command, PathBuf) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target directory");
    let built = target.join(name);
    let mut command = Command::new(env!("CARGO"));
    // What cargo tells a test about its own package: build scripts that look at it would run again each time.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_EXE_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&*name);
        }
    }
    bare(&mut command).env("CARGO_TARGET_DIR", &built).env("CARGO_BUILD_BUILD_DIR", target);
    (command, built)
}

/// Without what the environment says to hydra.
pub(crate) fn bare(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"HYDRA_")) {
        command.env_remove(name);
    }
    command
}
