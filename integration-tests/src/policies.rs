//! Policies that misbehave on purpose, as plugins that a node under test picks in its config.

use hydra_api::{
    Admission, AdmissionPolicy, Judgement, Load, OpenError, Outcome, Plugin, Request, Scope, Token, Verdict,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// A policy that brings down the head whose request it judges, once: its panic goes off again when it is caught.
#[derive(Debug, Default)]
pub struct Fatal {
    is_spent: AtomicBool,
}

/// No settings.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FatalConfig {}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("as what this policy throws always does");
        }
    }
}

impl Plugin for Fatal {
    type Role = Admission;
    type Config = FatalConfig;
    const KIND: &'static str = "fatal";
    const SUMMARY: &'static str = "ends the head that asks it first";

    async fn open(_: FatalConfig, _: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        Ok(Arc::new(Self::default()))
    }
}

impl AdmissionPolicy for Fatal {
    fn admit(&self, _: &Request<'_>, _: &Load, _: Instant) -> Judgement {
        if !self.is_spent.swap(true, Ordering::Relaxed) {
            panic_any(Bomb);
        }
        Judgement::new(Verdict::Admit)
    }

    fn settle(&self, _: &Request<'_>, _: Token, _: &Outcome, _: Instant) {}

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        Vec::new()
    }
}
