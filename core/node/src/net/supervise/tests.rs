use super::*;
use std::sync::Mutex;

/// What became of a piece of work: when it was started, in seconds, and why it ended.
#[derive(Default)]
struct Story {
    started_s: Mutex<Vec<u64>>,
    causes: Mutex<Vec<String>>,
    restarts: AtomicU64,
}

impl Story {
    /// Supervises work whose every run ends as `end` says of its number, until that is [`End::Stopped`].
    async fn of(&self, phase: &watch::Sender<Phase>, end: impl Fn(usize) -> io::Result<End>) {
        let began = tokio::time::Instant::now();
        let work = || {
            let run = {
                let mut started = self.started_s.lock().unwrap();
                started.push(began.elapsed().as_secs());
                started.len()
            };
            let end = &end;
            async move { end(run) }
        };
        let failed = |cause| self.causes.lock().unwrap().push(cause);
        supervise("it", phase.subscribe(), &self.restarts, work, failed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_panics_or_fails_is_started_again_after_pauses_that_double() {
    let (phase, _) = watch::channel(Phase::Serving);
    let story = Story::default();
    let ends = |run| match run {
        1 => panic!("in the work itself"),
        2 => Ok(End::Panicked),
        3 => Err(io::Error::other("no address is free")),
        _ => Ok(End::Stopped),
    };
    story.of(&phase, ends).await;
    assert_eq!(*story.started_s.lock().unwrap(), [0, 1, 3, 7]);
    assert_eq!(*story.causes.lock().unwrap(), ["a panic", "a panic", "no address is free"]);
    assert_eq!(story.restarts.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_no_longer_than_its_limit() {
    let (phase, _) = watch::channel(Phase::Serving);
    let story = Story::default();
    story.of(&phase, |run| Ok(if run < 12 { End::Panicked } else { End::Stopped })).await;
    let started = story.started_s.lock().unwrap();
    let longest = started.windows(2).map(|two| two[1] - two[0]).max();
    assert_eq!(longest, Some(PAUSE_MAX.as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_pause() {
    let (phase, _) = watch::channel(Phase::Serving);
    let story = Story::default();
    let began = tokio::time::Instant::now();
    let stop = async {
        // In the pause of eight seconds that begins after seven.
        tokio::time::sleep(Duration::from_secs(8)).await;
        phase.send_replace(Phase::Stopping);
    };
    tokio::join!(story.of(&phase, |_| Ok(End::Panicked)), stop);
    assert_eq!(began.elapsed(), Duration::from_secs(8));
    assert_eq!(*story.started_s.lock().unwrap(), [0, 1, 3, 7]);
}
