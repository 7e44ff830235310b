//! The policy: a request whose key is listed is declined.

use crate::list::{Lists, Loaded};
use crate::reload::Reload;
use crate::rules::{Rules, Space};
use arc_swap::ArcSwap;
use hydra_api::{AdmissionPolicy, Load, OpenError, Operation, Outcome, Reason, Request, Verdict};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// A denylist names the key.
pub const DENIED: Reason = Reason("denied");

/// What the DHT key of an IPNS record begins with; the multihash of the name follows.
const NAME_PREFIX: &[u8] = b"/ipns/";

/// Declines requests for keys that denylists name.
///
/// The rules are read when it is opened and when a file has changed; a decision looks into maps in memory.
pub struct Denylist {
    rules: Arc<ArcSwap<Rules>>,
}

impl Denylist {
    /// Reads the lists; the policy, and what it takes to notice changes. Blocks.
    pub(crate) fn load(lists: Lists) -> Result<(Self, Reload), OpenError> {
        let Loaded { rules, stamps, .. } = lists.load().map_err(|(path, why)| {
            OpenError::config("files", format!("the denylist {} {why}", path.display()))
        })?;
        let policy = Self { rules: Arc::new(ArcSwap::from_pointee(rules)) };
        Ok((policy, Reload::new(lists, stamps)))
    }

    pub(crate) fn rules(&self) -> &Arc<ArcSwap<Rules>> {
        &self.rules
    }
}

impl AdmissionPolicy for Denylist {
    fn admit(&self, request: &Request, _load: &Load, _now: Instant) -> Verdict {
        let (space, key) = match request.operation {
            Operation::GetProviders | Operation::AddProvider => (Space::Content, request.key),
            Operation::GetValue | Operation::PutValue => match request.key.strip_prefix(NAME_PREFIX) {
                Some(name) => (Space::Name, name),
                None => return Verdict::Admit,
            },
            // Where a key lies in the DHT says nothing of what it stands for.
            Operation::FindNode | Operation::Ping => return Verdict::Admit,
        };
        if self.rules.load().deny(space, key) { Verdict::Decline(DENIED) } else { Verdict::Admit }
    }

    /// Nothing was taken, so nothing is given back.
    fn settle(&self, _request: &Request, _outcome: &Outcome, _now: Instant) {}
}

/// Without the rules: there may be millions.
impl fmt::Debug for Denylist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denylist").field("rules", &self.rules.load().len()).finish()
    }
}

#[cfg(test)]
mod tests;
