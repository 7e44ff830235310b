//! A request from its arrival to its count, with its spans if it is traced.

use super::stats::Stats;
use super::trace::{self, Account, Tracer, Watch};
use crate::admission::{Judged, Ticket};
use crate::request::{Ending, ReadCall, Source};
use hydra_api::{Load, Operation, Rung};
use std::time::{Duration, Instant};
use tracing::Span;

/// A request that is being served. It is counted when it ends, and whoever observes is told.
pub(crate) struct RequestTrace<'a> {
    tracer: &'a Tracer,
    stats: &'a Stats,
    operation: Operation,
    head: u32,
    judged: Option<Judged<'a>>,
    /// Disabled unless the request is traced.
    pub(crate) span: Span,
    ended: bool,
}

/// How a request has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Departure {
    pub(crate) ending: Ending,
    pub(crate) rung: Rung,
    pub(crate) source: Option<Source>,
    pub(crate) time: Option<(Instant, Duration)>,
    pub(crate) call: Option<ReadCall>,
}

impl Departure {
    /// Answered at once, with nothing that the store or the cache would know.
    pub(crate) const fn at_once(ending: Ending, rung: Rung) -> Self {
        Self { ending, rung, source: None, time: None, call: None }
    }
}

impl<'a> RequestTrace<'a> {
    #[inline]
    pub(crate) fn new(tracer: &'a Tracer, stats: &'a Stats, operation: Operation, head: u32) -> Self {
        let span = if tracer.traces() { trace::request(operation, head) } else { Span::none() };
        Self { tracer, stats, operation, head, judged: None, span, ended: false }
    }

    pub(crate) const fn operation(&self) -> Operation {
        self.operation
    }

    /// Asks the policies.
    ///
    /// # Errors
    /// What the policy that declines says.
    #[inline]
    pub(crate) fn admit(&mut self, ticket: &mut Ticket<'a, '_>, load: &Load) -> Result<(), Judged<'a>> {
        if self.tracer.watch().is_none() {
            return ticket.admit(load);
        }
        let span = trace::admission(&self.span);
        let admitted = span.in_scope(|| ticket.admit(load));
        let judged = admitted.err().unwrap_or_else(|| ticket.judged());
        trace::judge(&span, &judged);
        self.judged = Some(judged);
        admitted
    }

    #[inline]
    pub(crate) fn end(mut self, end: &Departure) {
        self.ended = true;
        let took = end.time.map_or(Duration::ZERO, |(_, took)| took);
        self.stats.count(self.operation, end.ending, end.rung, took);
        if let Some(watch) = self.tracer.watch() {
            self.report(watch, end);
        }
    }

    fn report(&self, watch: &dyn Watch, end: &Departure) {
        let account = Account {
            judged: self.judged,
            rung: end.rung,
            ending: end.ending,
            source: end.source,
            time: end.time,
            call: end.call,
            system: self.tracer.system(),
            ..Account::new(self.operation, self.head, self.tracer.store())
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
            trace::judge(&self.span, &judged);
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

impl Drop for RequestTrace<'_> {
    fn drop(&mut self) {
        if !self.ended && !self.span.is_disabled() {
            self.span.record("hydra.outcome", Ending::Abandoned.as_str());
            self.leave();
        }
    }
}
