//! Cases on what a policy gives out and takes back: A1, A4 to A6.

use super::{Gate, some_time};
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::Chance;
use crate::place::Lab;
use hydra_api::{Admission, Outcome as Ended, Token};
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

pub(super) async fn a1_what_never_started_is_given_back(lab: Arc<Lab<Admission>>) -> Outcome {
    let now = some_time();
    let fresh = Gate::open(&lab).await?.exhaust(1, now)?;
    let mut gate = Gate::open(&lab).await?;
    if fresh == 0 {
        // It goes by the load, the operation or the key: what it would keep back shows with others.
        gate = gate.at_rest();
    }
    for round in 0..3 * fresh + 100 {
        let Some(token) = gate.admit(1, now) else {
            return Err(Broken::new(format!(
                "request {round} was declined though those before it never started"
            )));
        };
        gate.settle(1, token, Ended::NeverStarted, now);
    }
    if fresh > 0 {
        ensure_eq!(gate.exhaust(1, now)?, fresh, "what is admitted after all was given back");
    }
    Ok(Kept::Shown)
}

pub(super) async fn a1_tokens_come_back_in_any_order(lab: Arc<Lab<Admission>>) -> Outcome {
    const OTHERS: u64 = 20;
    let now = some_time();
    let mut gate = Gate::open(&lab).await?;
    let fresh = Gate::open(&lab).await?.exhaust(1, now)?;
    if fresh == 0 {
        gate = gate.at_rest();
    }
    let mut chance = Chance::of(1);
    for round in 0..10 {
        // As many requests as there may be of one peer, and some of others, all under way at once.
        let of_one = (0..fresh.max(OTHERS)).filter_map(|_| Some((1, gate.admit(1, now)?)));
        let mut under_way: Vec<_> = of_one.collect();
        let admitted = under_way.len();
        ensure!(
            fresh == 0 || admitted as u64 >= fresh,
            "in round {round} {admitted} are admitted, not {fresh}"
        );
        under_way.extend((2..2 + OTHERS).filter_map(|number| Some((number, gate.admit(number, now)?))));
        while !under_way.is_empty() {
            let (number, token) = under_way.swap_remove(chance.below(under_way.len() as u64) as usize);
            gate.settle(number, token, Ended::NeverStarted, now);
        }
    }
    if fresh > 0 {
        ensure_eq!(gate.exhaust(1, now)?, fresh, "what is admitted after all was given back");
    } else {
        ensure!(gate.admits(1, now), "after all was given back, an idle node declines");
    }
    Ok(Kept::Shown)
}

pub(super) async fn a4_no_clock_is_read(lab: Arc<Lab<Admission>>) -> Outcome {
    let now = some_time();
    let gate = Gate::open(&lab).await?;
    let fresh = gate.exhaust(1, now)?;
    std::thread::sleep(Duration::from_millis(300));
    ensure_eq!(gate.exhaust(1, now)?, 0, "what is admitted at the same `now`, some time later");
    // One that goes by the load, the operation or the key declines at any time, and admits others at any time.
    let later = if fresh > 0 { gate } else { gate.at_rest() };
    ensure!(later.admits(1, now + HOUR), "nothing is admitted at a `now` one hour on");
    Ok(Kept::Shown)
}

pub(super) async fn a4_a_now_that_goes_back_does_no_harm(lab: Arc<Lab<Admission>>) -> Outcome {
    let now = some_time();
    let gate = Gate::open(&lab).await?;
    let fresh = gate.exhaust(1, now)?;
    for seconds in [1, 3600, 50_000, 1, 100_000] {
        let back = now.checked_sub(Duration::from_secs(seconds)).unwrap_or(now);
        let gained = gate.exhaust(1, back)? + gate.exhaust(1, now)?;
        // What is too little for a request may add up to one.
        let most = u64::from(fresh > 0);
        ensure!(gained <= most, "going back by {seconds} s and on again admitted {gained} more requests");
        // Others are asked at that time as well, and settled.
        if let Some(token) = gate.admit(2, back) {
            gate.settle(2, token, Ended::Abandoned, back);
        }
    }
    if fresh > 0 {
        ensure!(gate.admits(1, now + HOUR), "after going back, nothing is admitted an hour on");
        let after = gate.exhaust(1, now + 24 * HOUR)?;
        ensure_eq!(after, fresh, "what is admitted a day on");
        return Ok(Kept::Shown);
    }
    // One that goes by the load, the operation or the key admits others at any time, in whatever order it is asked.
    let gate = gate.at_rest();
    for seconds in [0, 1, 3600, 50_000, 1, 0] {
        let back = now.checked_sub(Duration::from_secs(seconds)).unwrap_or(now);
        let Some(token) = gate.admit(1, back) else {
            return Err(Broken::new("after going back, an idle node declines another request"));
        };
        gate.settle(1, token, Ended::Abandoned, back);
    }
    Ok(Kept::Shown)
}

pub(super) async fn a5_a_decline_takes_nothing(lab: Arc<Lab<Admission>>) -> Outcome {
    let now = some_time();
    let gate = Gate::open(&lab).await?;
    let fresh = gate.exhaust(1, now)?;
    if fresh == 0 {
        // It goes by the load, the operation or the key: a thousand declines leave an idle node as open as before.
        for _ in 0..1000 {
            ensure!(!gate.admits(1, now), "what declines is not the same for all");
        }
        ensure!(gate.at_rest().admits(1, now), "after declines, an idle node declines another request");
        return Ok(Kept::Shown);
    }
    // When is the next one admitted, if nobody asks in between? Found on a policy of its own for each try.
    let (mut early, mut late) = (Duration::ZERO, HOUR);
    while late - early > Duration::from_millis(1) {
        let middle = early + (late - early) / 2;
        let other = Gate::open(&lab).await?;
        other.exhaust(1, now)?;
        if other.admits(1, now + middle) { late = middle } else { early = middle }
    }
    for tenth in 0..10 {
        for _ in 0..1000 {
            ensure!(!gate.admits(1, now + early * tenth / 10), "it admits before its time");
        }
    }
    ensure!(
        gate.admits(1, now + late),
        "after 10,000 declines it does not admit after {late:?}, as it would"
    );
    Ok(Kept::Shown)
}

pub(super) async fn a6_many_threads_admit_no_more_than_one(lab: Arc<Lab<Admission>>) -> Outcome {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 20;
    let now = some_time();
    let fresh = Gate::open(&lab).await?.exhaust(1, now)?;
    for round in 0..ROUNDS {
        let gate = Gate::open(&lab).await?;
        let tokens: Vec<Vec<Token>> = std::thread::scope(|threads| {
            let asking =
                || threads.spawn(|| (0..fresh + 1000).filter_map(|_| gate.admit(1, now)).collect::<Vec<_>>());
            let threads: Vec<_> = (0..THREADS).map(|_| asking()).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        ensure_eq!(tokens.len() as u64, THREADS, "the number of threads that did not panic");
        let admitted = tokens.iter().map(Vec::len).sum::<usize>() as u64;
        ensure!(
            admitted <= fresh,
            "in round {round} {THREADS} threads were admitted {admitted} times, one {fresh}"
        );
        ensure!(admitted == fresh || admitted > 0, "in round {round} nothing was admitted");
        // Given back from many threads, as many can be admitted again.
        std::thread::scope(|threads| {
            let gate = &gate;
            for tokens in tokens {
                let give_back = move |token| gate.settle(1, token, Ended::NeverStarted, now);
                threads.spawn(move || tokens.into_iter().for_each(give_back));
            }
        });
        ensure_eq!(gate.exhaust(1, now)?, fresh, "what is admitted after {admitted} were given back");
    }
    Ok(Kept::Shown)
}
