//! Opening a store for what the node needs it for.

use crate::check::{Checked, check};
use crate::directory::{EngineFiles, Present, present};
use crate::file_size_limit::survive_file_size_limit;
use hydra_api::{OpenError, ProviderStore, Purpose, StoreProfile};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens a store at `dir` with `open`, on a thread that may block. A store that is only checked is not opened: no file
/// is created or changed, and every call of it fails. One that is only used must be there.
///
/// # Errors
/// [`OpenError`] of the check or of `open`.
///
/// # Panics
/// Outside of a tokio runtime with its I/O driver.
pub async fn open_for<S: ProviderStore>(
    purpose: Purpose,
    dir: PathBuf,
    engine: EngineFiles,
    profile: StoreProfile,
    open: impl FnOnce(&Path) -> Result<S, OpenError> + Send + 'static,
) -> Result<Arc<dyn ProviderStore>, OpenError> {
    if purpose == Purpose::Check {
        let checked = tokio::task::spawn_blocking(move || check(&dir, engine)).await;
        let remarks = checked
            .map_err(|cause| OpenError::unavailable("the check of the records was interrupted", cause))??;
        return Ok(Arc::new(Checked { profile, remarks }));
    }
    if purpose == Purpose::Use && present(&dir, engine)? == Present::Nothing {
        return Err(OpenError::config("dir", format!("there are no records in {}", dir.display())));
    }
    survive_file_size_limit()
        .map_err(|cause| OpenError::unavailable("cannot handle the signal of the file size limit", cause))?;
    let opened = tokio::task::spawn_blocking(move || open(&dir)).await;
    let store =
        opened.map_err(|cause| OpenError::unavailable("opening the records was interrupted", cause))??;
    Ok(Arc::new(store))
}

/// The remarks of a store that is open, which was made in `new_in` or was there before.
pub fn remarks(new_in: Option<&Path>) -> Vec<String> {
    let made = |dir: &Path| format!("made a new store in {}: there was none", dir.display());
    new_in.map(made).into_iter().collect()
}
