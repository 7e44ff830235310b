//! Moves all records from a source to a store, page by page.

use super::progress::Progress;
use super::resume::{Resume, State};
use super::source::Source;
use super::target::{Pauses, Target};
use super::written::Written;
use crate::cli::stop::StopSignal;
use crate::cli::{Failure, Output};
use hydra_api::{Cursor, Durability, ProviderStore, Sharing, StoreErrorKind, UnixSeconds};
use serde_json::json;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is moved where.
pub(super) struct Job {
    pub(super) source: Source,
    pub(super) target: Arc<dyn ProviderStore>,
    /// `copy` or `import`.
    pub(super) verb: &'static str,
    /// The kind of the target.
    pub(super) kind: String,
    /// The file with the progress.
    pub(super) state: PathBuf,
    /// Records of a page.
    pub(super) page: NonZeroU32,
}

/// A transfer that is complete.
#[derive(Debug)]
pub(super) struct Transferred {
    verb: &'static str,
    /// Those of earlier runs included.
    counts: State,
    reason: Option<String>,
}

/// Moves all records. The target is closed in the end, however it ends.
pub(super) async fn run(job: Job, restart: bool) -> Result<Transferred, Failure> {
    let window = match job.target.profile().durability {
        Durability::SurvivesRestart { window } => window,
        Durability::InMemory => Duration::ZERO,
    };
    let target = Target::new(Arc::clone(&job.target), job.kind.clone());
    let begun = match Resume::open(job.state.clone(), window) {
        Ok(resume) => Moving::begin(&job, target, &resume, restart).await.map(|moving| (moving, resume)),
        Err(failure) => Err(failure),
    };
    let (mut moving, mut resume) = match begun {
        Ok(begun) => begun,
        Err(failure) => {
            // The failure tells more than that of closing a store that nothing was written to.
            drop(job.target.close().await);
            return Err(failure);
        }
    };
    let ended = moving.all(&job, &mut resume).await;
    moving.progress.end();
    let closed = moving.target.close().await;
    if closed.is_ok() {
        moving.settled(job.target.profile().sharing, window).await;
    }
    match (ended, closed) {
        (Ok(()), Ok(())) => {
            resume.remove()?;
            Ok(Transferred { verb: job.verb, counts: moving.state, reason: moving.written.reason })
        }
        (Ok(()), Err(failure)) => Err(failure),
        // What was written is durable now: the next run goes on from the last page.
        (Err(failure), Ok(())) => {
            if moving.has_begun() {
                resume.save(&moving.state.at(moving.cursor.as_ref()))?;
            }
            Err(failure)
        }
        (Err(failure), Err(_)) => Err(failure),
    }
}

/// A transfer under way.
struct Moving {
    target: Target,
    progress: Progress,
    /// The counts of all pages that are through.
    state: State,
    /// Where the next page begins.
    cursor: Option<Cursor>,
    written: Written,
    /// When the last page was through.
    written_at: Option<tokio::time::Instant>,
}

impl Moving {
    async fn begin(job: &Job, target: Target, resume: &Resume, restart: bool) -> Result<Self, Failure> {
        let state = if restart {
            resume.remove()?;
            State::default()
        } else {
            resume.load()?.unwrap_or_default()
        };
        let what = format!("{} from {} to {}", job.verb, job.source.kind, job.kind);
        let progress = Progress::begin(&what, state.through(), job.source.estimate().await);
        let cursor = state.cursor();
        Ok(Self { target, progress, state, cursor, written: Written::default(), written_at: None })
    }

    /// Waits until a crash of the server takes nothing of what this run has written. A store that this process alone uses has it on the
    /// disk since it was closed.
    async fn settled(&self, sharing: Sharing, window: Duration) {
        match (sharing, self.written_at) {
            (Sharing::BetweenProcesses, Some(at)) => tokio::time::sleep_until(at + window).await,
            (Sharing::BetweenProcesses, None) | (Sharing::OneProcess, _) => {}
        }
    }

    /// Moves page after page until the last one, a failure or a signal.
    async fn all(&mut self, job: &Job, resume: &mut Resume) -> Result<(), Failure> {
        let mut stop =
            StopSignal::new().map_err(|cause| Failure::failed("cannot wait for signals", cause))?;
        loop {
            let more = tokio::select! {
                biased;
                _ = stop.given() => {
                    let done = self.state.through();
                    let text = format!("stopped by a signal after {done} records; the same command continues from there");
                    return Err(Failure::Failed(text));
                }
                more = self.page(job) => more?,
            };
            let now = Instant::now();
            self.progress.show(self.state.through(), now);
            if !more {
                return Ok(());
            }
            resume.record(self.state.at(self.cursor.as_ref()), now)?;
        }
    }

    /// Whether there is a page to go on with.
    fn has_begun(&self) -> bool {
        self.cursor.is_some() || self.state.of_values
    }

    /// Moves one page; whether there are more. Dropped before its end, it has moved nothing as far as the counts go.
    async fn page(&mut self, job: &Job) -> Result<bool, Failure> {
        if self.state.of_values {
            return self.page_of_values(job).await;
        }
        let mut pauses = Pauses::default();
        let page = loop {
            match job.source.page(self.cursor.clone(), job.page).await {
                Ok(page) => break page,
                Err(error) => {
                    let is_foreign = error.kind() == StoreErrorKind::Refused && self.cursor.is_some();
                    let hint = if is_foreign { " (--restart starts from the beginning)" } else { "" };
                    let what = format!("cannot read from {}{hint}", job.source.kind);
                    pauses.after(&error, &what).await?;
                }
            }
        };
        let mut written = Written::default();
        self.target.write(page.records, &mut written).await?;
        self.written_at = Some(tokio::time::Instant::now());
        self.state.records += written.taken;
        self.state.refused += written.refused;
        self.state.malformed += page.malformed;
        self.state.expired += page.expired;
        if self.written.reason.is_none() {
            self.written.reason = written.reason;
        }
        self.cursor = page.next;
        // The value records come after all others.
        if self.cursor.is_none() && self.has_values(job) {
            self.state.of_values = true;
        }
        Ok(self.has_begun())
    }

    /// Whether there are value records to be moved. If the target keeps none they stay behind, with a warning.
    fn has_values(&self, job: &Job) -> bool {
        let has_some = job.source.values().is_some();
        if has_some && !self.target.keeps_values() {
            tracing::warn!("value records (/pk and /ipns) are not copied: the store {} keeps none", job.kind);
        }
        has_some && self.target.keeps_values()
    }

    /// Moves one page of value records, as [`Self::page`] does.
    async fn page_of_values(&mut self, job: &Job) -> Result<bool, Failure> {
        let Some(values) = job.source.values() else { return Ok(false) };
        let mut pauses = Pauses::default();
        let page = loop {
            match values.scan_values(self.cursor.clone(), UnixSeconds::now(), job.page).await {
                Ok(page) => break page,
                Err(error) if error.is_not_supported() => {
                    tracing::warn!(
                        "value records (/pk and /ipns) are not copied: the store {} cannot list them",
                        job.source.kind
                    );
                    return Ok(false);
                }
                Err(error) => {
                    let is_foreign = error.kind() == StoreErrorKind::Refused && self.cursor.is_some();
                    let hint = if is_foreign { " (--restart starts from the beginning)" } else { "" };
                    let what = format!("cannot read value records from {}{hint}", job.source.kind);
                    pauses.after(&error, &what).await?;
                }
            }
        };
        let mut written = Written::default();
        self.target.write_values(page.records, &mut written).await?;
        self.written_at = Some(tokio::time::Instant::now());
        self.state.values += written.taken;
        self.state.values_refused += written.refused;
        if self.written.reason.is_none() {
            self.written.reason = written.reason;
        }
        self.cursor = page.next;
        Ok(self.cursor.is_some())
    }
}

impl Transferred {
    /// Prints the counts.
    pub(super) fn print(&self, json: bool, out: &mut Output) -> Result<(), Failure> {
        let State { records, refused, malformed, expired, values, values_refused, .. } = &self.counts;
        if json {
            return Ok(out.line(json!({
                "command": self.verb,
                "records": records,
                "refused": refused,
                "refused_because": self.reason,
                "malformed": malformed,
                "expired": expired,
                "values": values,
                "values_refused": values_refused,
            }))?);
        }
        let done = if self.verb == "copy" { "copied" } else { "imported" };
        out.line(format_args!("{records} records {done}"))?;
        if *values > 0 {
            out.line(format_args!("{values} value records {done}"))?;
        }
        if *refused + *values_refused > 0 {
            let refused = refused + values_refused;
            let why =
                self.reason.as_deref().map(|why| format!(", the first because {why}")).unwrap_or_default();
            out.line(format_args!("{refused} records refused{why}"))?;
        }
        if *malformed > 0 {
            out.line(format_args!("{malformed} rows skipped because they are not provider records"))?;
        }
        if *expired > 0 {
            out.line(format_args!("{expired} records skipped because they have expired"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_api::{Inserted, StoreProfile};
    use hydra_conformance::doubles::{ClaimingStore, DropsSome};
    use hydra_conformance::given::record;
    use hydra_store_memory::Memory;

    const WINDOW: Duration = Duration::from_secs(60);

    fn memory() -> Arc<dyn ProviderStore> {
        Arc::new(Memory::new(&Default::default()))
    }

    /// A transfer of a hundred records to this store, which claims to be on a server.
    async fn transferred(target: Arc<dyn ProviderStore>, state: PathBuf) -> Result<Transferred, Failure> {
        let source = memory();
        let now = UnixSeconds::now();
        let life = Duration::from_secs(90_000);
        let records = (0..100).map(|number| hydra_api::ProviderRecord {
            expires: now.saturating_add(life),
            ..record(number, 1)
        });
        assert_eq!(source.insert(records.collect(), now).await.unwrap(), Inserted::All);
        let profile = StoreProfile::builder()
            .durability(Durability::SurvivesRestart { window: WINDOW })
            .sharing(Sharing::BetweenProcesses)
            .build();
        let job = Job {
            source: Source::of_store(source, "test"),
            target: Arc::new(ClaimingStore::new(target, profile)),
            verb: "copy",
            kind: "test".to_owned(),
            state,
            page: NonZeroU32::MIN,
        };
        run(job, false).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_ends_when_a_crash_of_the_server_takes_nothing_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let begun = tokio::time::Instant::now();
        let done = transferred(memory(), dir.path().join("state.json")).await.unwrap();
        assert_eq!(done.counts.records, 100);
        assert!(begun.elapsed() >= WINDOW);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_page_of_a_transfer_that_fails_is_noted_once_it_is_durable() {
        // In the order of the source, which is another one each time, the first record may be the one that is dropped.
        for _ in 0..50 {
            let dir = tempfile::tempdir().unwrap();
            let state = dir.path().join("state.json");
            let begun = tokio::time::Instant::now();
            let target = Arc::new(DropsSome::new(memory(), 50, 1));
            assert!(transferred(target, state.clone()).await.is_err());
            if state.exists() {
                assert!(begun.elapsed() >= WINDOW);
                return;
            }
        }
        panic!("no record was written in fifty transfers");
    }
}
