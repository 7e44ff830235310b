//! A deadline for whatever a stream waits for, with one timer per stream.

use futures::future::poll_fn;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::time::{Instant, Sleep};

/// The moment came before the future was done.
#[derive(Debug)]
pub(crate) struct Late;

/// Awaits `work` until `deadline`.
///
/// The timer is moved only when it would ring too late. When it rings too early, because the deadline has moved on
/// since, it is set again: a stream that is asked often touches the runtime's timers about once a minute.
pub(crate) async fn before<F: Future>(
    mut timer: Pin<&mut Sleep>,
    deadline: Instant,
    work: F,
) -> Result<F::Output, Late> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(Err(Late));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::time::Duration;
    use tokio::time::sleep_until;

    #[tokio::test(start_paused = true)]
    async fn f4_the_deadline_holds_wherever_the_timer_stands() {
        for already in [0, 1, 5, 9] {
            let start = Instant::now();
            let mut timer = pin!(sleep_until(start + Duration::from_secs(already)));
            let deadline = start + Duration::from_secs(5);
            assert!(before(timer.as_mut(), deadline, pending::<()>()).await.is_err());
            assert!(start.elapsed() >= Duration::from_secs(5) && start.elapsed() < Duration::from_secs(6));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_in_time_is_returned() {
        let mut timer = pin!(sleep_until(Instant::now()));
        let deadline = Instant::now() + Duration::from_secs(5);
        let work = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            7
        };
        assert_eq!(before(timer.as_mut(), deadline, work).await.unwrap(), 7);
    }
}
