//! A request at the desk, from its arrival to its count: what happens to it on the way is told to who watches.

use crate::chain::{Decision, Judged};
use crate::core::Core;
use crate::desk::{Caller, Source};
use crate::flights::Departure;
use crate::stats::Ending;
use crate::trace::{Account, Watch, admission, judge, request};
use hydra_api::{Load, Operation, Rung};
use std::time::{Duration, Instant};
use tracing::Span;

/// A request at the desk. It is counted when it ends, and told to who watches.
pub(crate) struct Visit<'a> {
    core: &'a Core,
    operation: Operation,
    head: u32,
    pub(crate) judged: Option<Judged<'a>>,
    /// Disabled unless the request is traced.
    pub(crate) span: Span,
    ended: bool,
}

/// How a visit has ended.
pub(crate) struct Departing {
    pub(crate) ending: Ending,
    pub(crate) rung: Rung,
    pub(crate) source: Option<Source>,
    pub(crate) time: Option<(Instant, Duration)>,
    pub(crate) call: Option<Departure>,
}

impl Departing {
    /// Answered at once, with nothing that the store or the cache would know.
    pub(crate) const fn at_once(ending: Ending, rung: Rung) -> Self {
        Self { ending, rung, source: None, time: None, call: None }
    }
}

impl<'a> Visit<'a> {
    #[inline]
    pub(crate) fn new(core: &'a Core, operation: Operation, head: u32) -> Self {
        let traced = core.watch.as_ref().is_some_and(|watch| watch.traces());
        let span = if traced { request(operation, head) } else { Span::none() };
        Self { core, operation, head, judged: None, span, ended: false }
    }

    /// Asks the policies.
    #[inline]
    pub(crate) fn admit(&mut self, caller: Caller, key: &'a [u8], load: &Load, now: Instant) -> Decision<'a> {
        let (chain, request) = (&self.core.chain, caller.request(self.operation, key));
        if self.core.watch.is_none() {
            return chain.admit(request, load, now);
        }
        let span = admission(&self.span);
        let decision = span.in_scope(|| chain.admit(request, load, now));
        let judged = match &decision {
            Decision::Admitted(ticket) => ticket.judged(),
            Decision::Declined(judged) => *judged,
        };
        judge(&span, &judged);
        self.judged = Some(judged);
        decision
    }

    #[inline]
    pub(crate) fn end(mut self, end: Departing) {
        self.ended = true;
        let took = end.time.map_or(Duration::ZERO, |(_, took)| took);
        self.core.stats.count(self.operation, end.ending, end.rung, took);
        if let Some(watch) = &self.core.watch {
            self.tell(&**watch, &end);
        }
    }

    fn tell(&self, watch: &dyn Watch, end: &Departing) {
        let account = Account {
            judged: self.judged,
            rung: end.rung,
            ending: end.ending,
            source: end.source,
            time: end.time,
            call: end.call,
            ..Account::new(self.operation, self.head, &self.core.store_name)
        };
        if self.span.is_disabled() {
            return watch.ended(&account);
        }
        self.record(&account);
        self.leave();
    }

    /// A span ends when it was left last, even where a store call that goes on keeps it from being closed.
    fn leave(&self) {
        self.span.in_scope(|| ());
    }

    fn record(&self, account: &Account<'_>) {
        self.span.record("hydra.rung", account.rung.as_str());
        self.span.record("hydra.outcome", account.ending.as_str());
        if let Some(judged) = account.judged {
            judge(&self.span, &judged);
        }
        if let Some(source) = account.source {
            self.span.record("hydra.source", source.as_str());
        }
        if let Some(cache) = account.cache() {
            self.span.record("hydra.cache", cache);
        }
        if account.ending == Ending::StoreFailed {
            self.span.record("error.type", account.ending.as_str());
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if !self.ended && !self.span.is_disabled() {
            self.span.record("hydra.outcome", Ending::Abandoned.as_str());
            self.leave();
        }
    }
}
