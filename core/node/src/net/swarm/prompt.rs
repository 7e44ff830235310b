//! Closes a connection whose peer withholds the streams that this side wants to open.
//!
//! A peer may permit no stream: QUIC's `MAX_STREAMS` is its choice. Requests for streams wait in libp2p-swarm then, each with a
//! timeout. A timeout that fires at the moment at which the peer permits two streams makes libp2p-swarm 0.48 panic (`cannot extract
//! twice`: it takes the stream for a request that is done, and that its queue has not dropped yet; rust-libp2p's pull request 6427),
//! and a panic in a connection restarts its head. Here the connection ends before any such timeout fires.

use futures::FutureExt;
use libp2p::core::StreamMuxer;
use libp2p::core::muxing::StreamMuxerEvent;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How long requests for streams may wait without a pause: half of the shortest timeout of a request, which is that of libp2p
/// (`SubstreamProtocol`).
const WITHHELD_MAX: Duration = Duration::from_secs(5);

/// A connection that ends when its peer withholds streams.
pub(super) struct Prompt<M: StreamMuxer> {
    inner: M,
    /// How its errors are told.
    error: fn(M::Error) -> io::Error,
    /// Set while requests wait.
    withheld: Option<Pin<Box<Sleep>>>,
    /// Whether a stream was asked for since the last [`StreamMuxer::poll`], after which the swarm asks if any request waits.
    is_asked: bool,
}

impl<M: StreamMuxer> Prompt<M> {
    pub(super) fn new(inner: M, error: fn(M::Error) -> io::Error) -> Self {
        Self { inner, error, withheld: None, is_asked: false }
    }
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Prompt<M> {
    type Substream = M::Substream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<M::Substream>> {
        Pin::new(&mut self.inner).poll_inbound(cx).map_err(self.error)
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<M::Substream>> {
        self.is_asked = true;
        // Also when a stream is there: a peer that permits one now and then keeps other requests waiting.
        if let Some(withheld) = &mut self.withheld
            && withheld.poll_unpin(cx).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer withholds streams")));
        }
        let opened = Pin::new(&mut self.inner).poll_outbound(cx);
        if opened.is_pending() && self.withheld.is_none() {
            let mut withheld = Box::pin(sleep(WITHHELD_MAX));
            // It has just begun; this registers the task.
            let _pending = withheld.poll_unpin(cx).is_pending();
            self.withheld = Some(withheld);
        }
        opened.map_err(self.error)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx).map_err(self.error)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        if !std::mem::take(&mut self.is_asked) {
            self.withheld = None;
        }
        Pin::new(&mut self.inner).poll(cx).map_err(self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::poll_fn;
    use std::collections::VecDeque;

    /// Permits a stream whenever it was told to.
    #[derive(Default)]
    struct Stub {
        permitted: VecDeque<()>,
    }

    impl StreamMuxer for Stub {
        type Substream = futures::io::Cursor<Vec<u8>>;
        type Error = io::Error;

        fn poll_inbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<Self::Substream>> {
            Poll::Pending
        }

        fn poll_outbound(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<Self::Substream>> {
            self.permitted.pop_front().map_or(Poll::Pending, |()| Poll::Ready(Ok(Default::default())))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
            Poll::Pending
        }
    }

    /// As the swarm asks: it drives the connection, then asks for a stream if a request waits.
    async fn asked(muxer: &mut Prompt<Stub>, is_waiting: bool) -> Poll<io::Result<()>> {
        poll_fn(|cx| {
            drop(Pin::new(&mut *muxer).poll(cx));
            let outbound = if is_waiting { Pin::new(&mut *muxer).poll_outbound(cx) } else { Poll::Pending };
            Poll::Ready(outbound.map_ok(drop))
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_withholds_streams_loses_the_connection() {
        let mut muxer = Prompt::new(Stub::default(), |error| error);
        assert!(asked(&mut muxer, true).await.is_pending());
        tokio::time::advance(WITHHELD_MAX - Duration::from_secs(1)).await;
        assert!(asked(&mut muxer, true).await.is_pending());
        // One stream does not serve the other requests.
        muxer.inner.permitted.push_back(());
        assert!(matches!(asked(&mut muxer, true).await, Poll::Ready(Ok(()))));
        assert!(asked(&mut muxer, true).await.is_pending());
        tokio::time::advance(Duration::from_secs(1)).await;
        muxer.inner.permitted.push_back(());
        let Poll::Ready(Err(error)) = asked(&mut muxer, true).await else { panic!("it goes on") };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_requests_does_not_count() {
        let mut muxer = Prompt::new(Stub::default(), |error| error);
        for _ in 0..3 {
            assert!(asked(&mut muxer, true).await.is_pending());
            tokio::time::advance(WITHHELD_MAX - Duration::from_secs(1)).await;
            muxer.inner.permitted.push_back(());
            assert!(matches!(asked(&mut muxer, true).await, Poll::Ready(Ok(()))));
            assert!(asked(&mut muxer, false).await.is_pending());
        }
        tokio::time::advance(2 * WITHHELD_MAX).await;
        assert!(asked(&mut muxer, true).await.is_pending());
    }
}
