//! Policies that misbehave on purpose, as plugins that a node under test picks in its config.

use hydra_api::{
    Admission, AdmissionPolicy, Judgement, Load, OpenError, Outcome, Plugin, Request, Scope, Token, Verdict,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

/// A policy that panics when it is asked about a certain key, and admits everything else.
#[derive(Debug)]
pub struct Panicking {
    key: String,
}

/// Which key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PanickingConfig {
    /// The key, as text.
    pub key: String,
}

impl Plugin for Panicking {
    type Role = Admission;
    type Config = PanickingConfig;
    const KIND: &'static str = "panicking";
    const SUMMARY: &'static str = "panics when it is asked about a certain key";

    async fn open(config: PanickingConfig, _: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        Ok(Arc::new(Self { key: config.key }))
    }
}

impl AdmissionPolicy for Panicking {
    fn admit(&self, request: &Request<'_>, _: &Load, _: Instant) -> Judgement {
        assert!(request.key != self.key.as_bytes(), "the key on which this policy panics");
        Verdict::Admit.into()
    }

    fn settle(&self, _: &Request<'_>, _: Token, _: &Outcome, _: Instant) {}

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        Vec::new()
    }
}
