//! Yamux with a bill: surplus inbound streams are reset one by one, and unread bytes of a connection are bounded.

use futures::future::{Ready, ready};
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::StreamMuxer;
use libp2p::core::muxing::StreamMuxerEvent;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use std::collections::VecDeque;
use std::io;
use std::iter::{Once, once};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use yamux::{Connection, ConnectionError, Mode};

/// The bytes that a stream may have unread from its beginning, as the protocol says.
const STREAM_BYTES: usize = 256 << 10;
/// Yamux ends the whole connection at its limit. A peer that keeps to the protocol has at most so many streams that are
/// not acknowledged yet (the backlog of rust-yamux and go-yamux), so that beyond these it never comes to that: surplus
/// streams are reset one by one, here, by the limits of the swarm and of the protocol.
const BACKLOG: usize = 256;
/// Surplus streams that are reset before other tasks have their turn.
const RESETS_MAX: usize = 64;

/// Multiplexes a connection into at most so many inbound streams.
///
/// Up to [`STREAM_BYTES`] unread bytes are kept of each. Yamux lets the window of a stream that is read fast grow, out of
/// what its limit for the connection leaves once every stream has its first window: here that is nothing.
#[derive(Debug, Clone)]
pub(super) struct Multiplex {
    pub(super) streams_max: usize,
}

impl Multiplex {
    fn over<C: AsyncRead + AsyncWrite + Unpin>(self, connection: C, mode: Mode) -> Multiplexed<C> {
        let most = self.streams_max + BACKLOG;
        let mut config = yamux::Config::default();
        // In this order: each limit must suit the other at any time.
        config.set_max_connection_receive_window(None).set_max_num_streams(most);
        config.set_max_connection_receive_window(Some(most * STREAM_BYTES));
        Multiplexed {
            inner: Connection::new(connection, config, mode),
            streams_max: self.streams_max,
            streams: Arc::default(),
            waiting: VecDeque::new(),
        }
    }
}

impl UpgradeInfo for Multiplex {
    type Info = &'static str;
    type InfoIter = Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Multiplex {
    type Output = Multiplexed<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;

    fn upgrade_inbound(self, connection: C, _: Self::Info) -> Self::Future {
        ready(Ok(self.over(connection, Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Multiplex {
    type Output = Multiplexed<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;

    fn upgrade_outbound(self, connection: C, _: Self::Info) -> Self::Future {
        ready(Ok(self.over(connection, Mode::Client)))
    }
}

/// A connection of many streams.
pub(super) struct Multiplexed<C> {
    inner: Connection<C>,
    streams_max: usize,
    /// As many copies as there are inbound streams, and one.
    streams: Arc<()>,
    /// Streams that nobody has asked for yet.
    waiting: VecDeque<Substream>,
}

/// A stream; an inbound one counts as long as it lives.
#[derive(Debug)]
pub(super) struct Substream {
    inner: yamux::Stream,
    _count: Option<Arc<()>>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Multiplexed<C> {
    /// Takes in what the remote has opened.
    fn take_in(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut resets = 0;
        while let Poll::Ready(opened) = self.inner.poll_next_inbound(cx) {
            let inner = opened.unwrap_or(Err(ConnectionError::Closed)).map_err(error)?;
            if Arc::strong_count(&self.streams) <= self.streams_max {
                self.waiting.push_back(Substream { inner, _count: Some(Arc::clone(&self.streams)) });
                continue;
            }
            resets += 1;
            if resets == RESETS_MAX {
                cx.waker().wake_by_ref();
                break;
            }
        }
        Ok(())
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Multiplexed<C> {
    type Substream = Substream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Substream>> {
        if self.waiting.is_empty() {
            self.take_in(cx)?;
        }
        self.waiting.pop_front().map_or(Poll::Pending, |stream| Poll::Ready(Ok(stream)))
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Substream>> {
        let opened = self.inner.poll_new_outbound(cx).map_err(error);
        opened.map_ok(|inner| Substream { inner, _count: None })
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_close(cx).map_err(error)
    }

    /// Drives the connection. The swarm asks for no inbound stream while too many are being negotiated: they are taken in
    /// here.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        let had = self.waiting.len();
        self.take_in(cx)?;
        if self.waiting.len() > had {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

fn error(cause: ConnectionError) -> io::Error {
    match cause {
        ConnectionError::Io(cause) => cause,
        cause => io::Error::other(cause),
    }
}

impl AsyncRead for Substream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Substream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests;
