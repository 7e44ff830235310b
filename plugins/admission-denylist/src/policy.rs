//! The policy: a request whose key is listed is declined.

use crate::config::Config;
use crate::list::{Lists, Loaded, Told};
use crate::reload::Watched;
use crate::rules::{Rules, Space};
use arc_swap::ArcSwap;
use hydra_api::{
    AdmissionPolicy, Judgement, Load, OpenError, Operation, Outcome, ReasonId, ReconfigureError, Request,
    Scope, Token, Value, Verdict,
};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// A denylist names the key.
pub const DENIED: ReasonId = ReasonId(0);

const REASONS: [&str; 1] = ["denied"];

/// What the DHT key of an IPNS record begins with; the multihash of the name follows.
const NAME_PREFIX: &[u8] = b"/ipns/";

/// Declines requests for keys that denylists name.
///
/// The rules are read when it is opened and when a file has changed; a decision looks into maps in memory.
pub struct Denylist {
    rules: Arc<ArcSwap<Rules>>,
    watched: Arc<Watched>,
    scope: Scope,
}

impl Denylist {
    /// Reads the lists of this table. Blocks.
    pub(crate) fn load(config: &Config, scope: &Scope) -> Result<Self, OpenError> {
        let (lists, Loaded { rules, files }) = read(config, scope, Told::Each)?;
        Ok(Self {
            rules: Arc::new(ArcSwap::from_pointee(rules)),
            watched: Arc::new(Watched::new(lists, files, config.reload_interval())),
            scope: scope.clone(),
        })
    }

    pub(crate) fn rules(&self) -> &Arc<ArcSwap<Rules>> {
        &self.rules
    }

    pub(crate) fn watched(&self) -> &Arc<Watched> {
        &self.watched
    }
}

fn read(config: &Config, scope: &Scope, told: Told) -> Result<(Lists, Loaded), OpenError> {
    let lists = Lists::of(config, scope)?.telling(told);
    let loaded = lists.load().map_err(|(path, why)| {
        OpenError::config("files", format!("the denylist {} {why}", path.display()))
    })?;
    // What changes later, nobody has checked.
    Ok((lists.telling(Told::Each), loaded))
}

impl AdmissionPolicy for Denylist {
    fn admit(&self, request: &Request<'_>, _load: &Load, _now: Instant) -> Judgement {
        let (space, key) = match request.operation {
            Operation::GetProviders | Operation::AddProvider => (Space::Content, request.key),
            Operation::GetValue | Operation::PutValue => match request.key.strip_prefix(NAME_PREFIX) {
                Some(name) => (Space::Name, name),
                None => return Verdict::Admit.into(),
            },
            // Where a key lies in the DHT says nothing of what it stands for.
            Operation::FindNode | Operation::Ping => return Verdict::Admit.into(),
        };
        let denied = self.rules.load().deny(space, key);
        if denied { Verdict::Decline(DENIED).into() } else { Verdict::Admit.into() }
    }

    /// Nothing was taken, so nothing is given back, whatever the outcome.
    fn settle(&self, _: &Request<'_>, _: Token, _: &Outcome, _: Instant) {}

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        REASONS.map(Cow::Borrowed).into()
    }

    /// Every key is taken up: the files are read before the old rules are replaced. When one cannot be used, nothing changes.
    /// Lines that are ignored are told by the check that comes before.
    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        let config: Config = ReconfigureError::parse(table)?;
        let (lists, loaded) = read(&config, &self.scope, Told::Number).map_err(|error| {
            ReconfigureError::from_open(&error).unwrap_or(ReconfigureError::needs_restart())
        })?;
        self.watched.replace(&self.rules, lists, loaded, config.reload_interval());
        Ok(())
    }
}

impl Drop for Denylist {
    fn drop(&mut self) {
        self.watched.end();
    }
}

/// Without the rules: there may be millions.
impl fmt::Debug for Denylist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denylist").field("rules", &self.rules.load().len()).finish()
    }
}

#[cfg(test)]
mod tests;
