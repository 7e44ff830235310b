//! The file that tells other processes of this machine where the heads are.

use super::{HEADS_FILE, HeadLine};
use crate::net::heads::HeadList;
use crate::observe::failure_log::FailureLog;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The pause between a change and its writing: heads that start or stop together are written once.
const PAUSE: Duration = Duration::from_millis(100);
/// The pause after the file could not be written.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// Writes where the heads are.
pub(super) fn write(data_dir: &Path, heads: &[HeadLine]) -> io::Result<()> {
    crate::files::replace(&data_dir.join(HEADS_FILE), &serde_json::to_vec_pretty(heads)?)
}

/// Writes where the heads are after every change from `written` on, for ever.
pub(super) async fn keep(data_dir: PathBuf, heads: Arc<HeadList>, mut written: Vec<HeadLine>) {
    let (mut failures, mut has_failed) = (FailureLog::default(), false);
    loop {
        if !has_failed {
            heads.changed().await;
            tokio::time::sleep(PAUSE).await;
        } else {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        let lines = heads.lines();
        if lines == written {
            has_failed = false;
            continue;
        }
        match write(&data_dir, &lines) {
            Ok(()) => {
                (written, has_failed) = (lines, false);
                let _was_logged = failures.end();
            }
            Err(error) => {
                has_failed = true;
                if failures.is_news(&error.to_string(), Instant::now()) {
                    tracing::warn!(%error, file = HEADS_FILE, "cannot write the addresses of the heads, trying again");
                }
            }
        }
    }
}

/// Removes the file.
pub(super) fn remove(data_dir: &Path) {
    if let Err(cause) = std::fs::remove_file(data_dir.join(HEADS_FILE)) {
        tracing::debug!(error = %cause, "the list of heads is gone already");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_that_failed_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        let heads = Arc::new(HeadList::default());
        let gone = HeadLine { slot: 0, peer: "gone".to_owned(), addresses: Vec::new() };
        let keeping = tokio::spawn(keep(data_dir.clone(), Arc::clone(&heads), vec![gone]));
        heads.on_change();
        tokio::time::sleep(Duration::from_secs(1)).await;
        std::fs::create_dir(&data_dir).unwrap();
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if data_dir.join(HEADS_FILE).exists() {
                return;
            }
        }
        keeping.abort();
        panic!("the file still names a head that is gone");
    }
}
