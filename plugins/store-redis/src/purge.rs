//! Removing what has expired: by one process of all that share the keys, a few buckets at a time, round robin.

mod plain;
mod values;

use crate::keyspace::Keyspace;
use crate::layout::{Fingerprint, Form, Layout, Name, PARTITIONS};
use crate::lease::Lease;
use crate::net::{Class, Fault, Request};
use crate::peers;
use crate::scripts;
use hydra_api::{PurgeProgress, Purged, StoreError, UnixSeconds};
use hydra_remote::ClockBehind;
use redis::Value;
use std::collections::{HashSet, VecDeque};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Buckets of one round trip.
const BUCKETS: u64 = 64;
/// For how long the date of the server is known.
const DATED_FOR: Duration = Duration::from_secs(60);
/// Round trips of one call, so that a call ends in time where little has expired.
const ROUNDS_MAX: usize = 16;

/// How far the purge is.
#[derive(Debug)]
pub(crate) struct Purge {
    lease: Lease,
    walk: Mutex<Walk>,
    of_values: Mutex<values::Walk>,
    /// Expiries after this are lowered to it, by the server's clock if that is ahead.
    latest: AtomicU32,
    behind: ClockBehind,
    /// When the server was asked for its date.
    dated: std::sync::Mutex<Option<Instant>>,
}

/// A pass over all buckets.
#[derive(Debug, Default)]
struct Walk {
    partition: u16,
    bucket: u64,
    /// Buckets with more to remove.
    again: VecDeque<BucketStep>,
    plain: plain::Scan,
}

/// A part of a bucket.
#[derive(Debug, Clone)]
struct BucketStep {
    bucket: Name,
    cursor: Vec<u8>,
}

/// What a script says of one part.
struct Swept {
    cursor: Vec<u8>,
    removed: u64,
    has_more: bool,
    /// The providers of records whose expiry was lowered.
    lowered: Vec<Fingerprint>,
}

/// By which dates records are judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dates {
    pub(crate) now: UnixSeconds,
    /// Later expiries are lowered to this.
    pub(crate) latest: UnixSeconds,
}

impl Purge {
    pub(crate) fn new() -> Self {
        let latest = AtomicU32::new(u32::MAX);
        let (behind, dated) = Default::default();
        Self {
            lease: Lease::new("purge"),
            walk: Mutex::default(),
            of_values: Mutex::default(),
            latest,
            behind,
            dated,
        }
    }

    /// Has the next steps lower later expiries.
    pub(crate) fn expire_by(&self, latest: UnixSeconds) {
        self.latest.store(latest.0, Ordering::Relaxed);
    }

    /// One step: some buckets, and `limit` records at most.
    pub(crate) async fn step(
        &self,
        keys: &Keyspace,
        now: UnixSeconds,
        limit: u32,
    ) -> Result<Purged, StoreError> {
        let mut walk = self.walk.lock().await;
        let failed = |fault: Fault| fault.into_error("purge_expired");
        if !self.lease.take(keys).await.map_err(failed)? {
            return Ok(Purged::new(0, PurgeProgress::Elsewhere));
        }
        self.compare_clocks(keys).await.map_err(failed)?;
        let latest = self.behind.corrected(UnixSeconds(self.latest.load(Ordering::Relaxed)));
        let (layout, dates) = (keys.layout(), Dates { now, latest });
        match layout.form {
            Form::Buckets { .. } => walk.sweep(keys, &layout, dates, u64::from(limit)).await.map_err(failed),
            Form::Plain => walk.plain.step(keys, &layout, dates, u64::from(limit)).await.map_err(failed),
        }
    }

    /// Asks the server for its date, now and then.
    async fn compare_clocks(&self, keys: &Keyspace) -> Result<(), Fault> {
        let now = Instant::now();
        let dated = || self.dated.lock().unwrap_or_else(PoisonError::into_inner);
        if dated().is_some_and(|at| now.saturating_duration_since(at) < DATED_FOR) {
            return Ok(());
        }
        let name = keys.layout().lease("purge");
        match keys.ask(&name, redis::cmd("TIME")).await {
            Ok(date) => {
                let (seconds, _): (u32, u32) = redis::from_redis_value(date).map_err(Fault::unreadable)?;
                self.behind.record(UnixSeconds(seconds));
            }
            // A user that may not ask: then the clock of this machine counts.
            Err(fault) if fault.class == Class::Forbidden => {}
            Err(fault) => return Err(fault),
        }
        *dated() = Some(now);
        Ok(())
    }

    /// One step among the value records: some partitions, and `limit` records at most.
    pub(crate) async fn step_of_values(
        &self,
        keys: &Keyspace,
        now: UnixSeconds,
        limit: u32,
    ) -> Result<Purged, StoreError> {
        let mut walk = self.of_values.lock().await;
        let failed = |fault: Fault| fault.into_error("purge_values");
        if !self.lease.take(keys).await.map_err(failed)? {
            return Ok(Purged::new(0, PurgeProgress::Elsewhere));
        }
        walk.step(keys, &keys.layout(), now, u64::from(limit)).await.map_err(failed)
    }

    /// Lets another process purge.
    pub(crate) async fn release(&self, keys: &Keyspace) -> Result<(), Fault> {
        self.lease.release(keys).await
    }
}

impl Walk {
    async fn sweep(
        &mut self,
        keys: &Keyspace,
        layout: &Layout,
        dates: Dates,
        limit: u64,
    ) -> Result<Purged, Fault> {
        let (mut left, mut removed) = (limit, 0);
        for _ in 0..ROUNDS_MAX {
            let visits = self.next(layout, left.min(BUCKETS));
            if visits.is_empty() && left > 0 {
                self.partition = 0;
                return Ok(Purged::new(removed, PurgeProgress::Done));
            }
            // Each may change its share, so that all together stay within the limit.
            let share = left / (visits.len() as u64).max(1);
            let requests: Vec<_> = visits.iter().map(|visit| visit.request(layout, dates, share)).collect();
            let (mut failed, mut lowered, count) = (None, HashSet::new(), visits.len());
            for (visit, answer) in visits.into_iter().zip(keys.fleet.send(&requests).await) {
                match answer.map(|said| Swept::of(&said)) {
                    Ok(Some(swept)) => {
                        removed += swept.removed;
                        left = left.saturating_sub(swept.removed + swept.lowered.len() as u64);
                        lowered.extend(swept.lowered);
                        if swept.has_more {
                            self.again.push_back(BucketStep { cursor: swept.cursor, ..visit });
                        }
                    }
                    Ok(None) => {}
                    // The next pass comes by again.
                    Err(fault) => failed = Some((failed.map_or(1, |(times, _)| times + 1), fault)),
                }
            }
            peers::shorten(keys, layout, lowered, (dates.now, dates.latest)).await;
            match failed {
                Some((times, fault)) if times == count => return Err(fault),
                _ => {}
            }
            if left == 0 {
                break;
            }
        }
        Ok(Purged::new(removed, PurgeProgress::More))
    }

    /// The next parts: at most `count`, those with more to remove first.
    fn next(&mut self, layout: &Layout, count: u64) -> Vec<BucketStep> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let again = count.min(self.again.len());
        let mut visits: Vec<BucketStep> = self.again.drain(..again).collect();
        while visits.len() < count && self.partition < PARTITIONS {
            let room = count - visits.len();
            let before = visits.len();
            let first = |bucket| BucketStep { bucket, cursor: b"0".to_vec() };
            visits.extend(layout.buckets(self.partition, self.bucket).take(room).map(first));
            let taken = visits.len() - before;
            self.bucket += taken as u64;
            if taken < room {
                self.partition += 1;
                self.bucket = 0;
            }
        }
        visits
    }
}

impl BucketStep {
    fn request(&self, layout: &Layout, dates: Dates, limit: u64) -> Request {
        let count = layout.count(self.bucket.partition);
        let mut command = scripts::SWEEP.call(&[&self.bucket.bytes, &count.bytes]);
        command.arg(dates.now.0).arg(limit).arg(&self.cursor).arg(dates.latest.0);
        Request { slot: self.bucket.slot, command, script: Some(&scripts::SWEEP) }
    }
}

impl Swept {
    fn of(said: &Value) -> Option<Self> {
        type Said = (Vec<u8>, u64, u64, u64, Vec<Vec<u8>>);
        let (cursor, removed, _, left, lowered): Said = redis::from_redis_value_ref(said).ok()?;
        let has_more = left == 0 || cursor != b"0";
        let lowered = lowered.into_iter().filter_map(|id| id.try_into().ok()).collect();
        Some(Self { cursor, removed, has_more, lowered })
    }
}
