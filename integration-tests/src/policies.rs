//! Policies that misbehave on purpose, as plugins that a node under test picks in its config.

use hydra_api::{
    Admission, AdmissionPolicy, Judgement, Load, OpenError, Outcome, Plugin, Request, Scope, Token,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

/// A policy that panics whenever it is asked.
#[derive(Debug)]
pub struct Panicking;

/// No settings.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PanickingConfig {}

impl Plugin for Panicking {
    type Role = Admission;
    type Config = PanickingConfig;
    const KIND: &'static str = "panicking";
    const SUMMARY: &'static str = "panics whenever it is asked";

    async fn open(_: PanickingConfig, _: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        Ok(Arc::new(Self))
    }
}

impl AdmissionPolicy for Panicking {
    fn admit(&self, _: &Request<'_>, _: &Load, _: Instant) -> Judgement {
        panic!("as this policy always does")
    }

    fn settle(&self, _: &Request<'_>, _: Token, _: &Outcome, _: Instant) {}

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        Vec::new()
    }
}
