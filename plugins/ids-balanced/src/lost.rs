//! A seed that is missing although identities follow from it.

use crate::cache;
use crate::config::Config;
use hydra_api::{OpenError, Scope};
use std::path::Path;

/// A seed file that is missing while the data directory has identities was lost, or is not mounted: a new seed would replace all
/// of them.
///
/// # Errors
/// [`OpenError`] at `seed_file`, with what to do.
pub(crate) fn refuse_lost_seed(config: &Config, scope: &Scope) -> Result<(), OpenError> {
    let (seed, heads) = (scope.resolve(&config.seed_file), scope.resolve(cache::PATH.as_ref()));
    // The seed is looked for last: another process that starts at the same time makes it before the identities.
    if config.seed.is_some() || !cache::has_heads(&heads) || !is_missing(&seed) {
        return Ok(());
    }
    let (seed, heads) = (seed.display(), heads.display());
    let message = format!(
        "the seed file {seed} is missing, but {heads} lists identities that exist already: put back a copy of the seed \
         file; to give these identities up and start with new ones, delete {heads}"
    );
    Err(OpenError::config("seed_file", message))
}

/// A seed that cannot be looked at is not missing: reading it tells why.
fn is_missing(seed: &Path) -> bool {
    matches!(seed.try_exists(), Ok(false))
}
