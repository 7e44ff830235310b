//! Whether a policy acts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the verdicts of a policy are acted on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PolicyMode {
    /// Its verdicts are acted on.
    #[default]
    Enforce,
    /// They are only counted: requests are served as if the policy were not there.
    Shadow,
}

impl PolicyMode {
    /// Its name in config, metrics and traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}
