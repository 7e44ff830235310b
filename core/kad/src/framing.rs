//! Frames: a length as an unsigned varint, then so many bytes.

use crate::{Budget, Charge, Limits, Reset};
use bytes::{Buf, Bytes};
use futures::AsyncRead;
use futures::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What is read at a time, on the stack of whoever polls. It is cleared for each read, and nearly every request is far
/// shorter.
const SCRATCH_LEN: usize = 1024;

/// Reads the frames of one stream.
///
/// Between frames it holds no memory. A frame's buffer grows with the bytes that came, never with the bytes that were
/// declared; what it takes beyond [`Limits::free_bytes`] is charged to the budget until the next frame is read.
#[derive(Debug)]
pub struct FrameReader {
    /// The beginning of a frame.
    held: Vec<u8>,
    /// Bytes that came and are not returned yet, usually whole frames.
    ready: Bytes,
    charge: Charge,
    frame_bytes_max: usize,
    free_bytes: usize,
}

impl FrameReader {
    /// A reader at the start of a stream.
    pub fn new(limits: &Limits, budget: &Budget) -> Self {
        Self {
            held: Vec::new(),
            ready: Bytes::new(),
            charge: budget.charge(),
            frame_bytes_max: limits.frame_bytes_max,
            free_bytes: limits.free_bytes,
        }
    }

    /// The next frame without its length; `None` at a clean end.
    ///
    /// # Errors
    /// [`Reset::FrameTooLong`] as soon as the length is known (F2), [`Reset::NoBudget`] when the budget is used up,
    /// [`Reset::Broken`] when the stream fails or ends within a frame. The reader is of no use after an error.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped: a later call goes on where it stopped.
    pub async fn next<R: AsyncRead + Unpin>(&mut self, io: &mut R) -> Result<Option<Bytes>, Reset> {
        poll_fn(|cx| self.poll_next(io, cx)).await
    }

    /// How many bytes are buffered now.
    pub fn buffered(&self) -> usize {
        self.held.capacity() + self.ready.len()
    }

    fn poll_next<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Reset>> {
        if let Some(frame) = self.take_ready()? {
            return Poll::Ready(Ok(Some(frame)));
        }
        let mut scratch = [0; SCRATCH_LEN];
        loop {
            let read = ready!(Pin::new(&mut *io).poll_read(cx, &mut scratch)).map_err(|_| Reset::Broken)?;
            if read == 0 {
                let ended = if self.held.is_empty() { Ok(None) } else { Err(Reset::Broken) };
                return Poll::Ready(ended);
            }
            let came = scratch.get(..read).unwrap_or_default();
            if self.append(came)? {
                self.ready = Bytes::from(std::mem::take(&mut self.held));
                return Poll::Ready(self.take_ready());
            }
        }
    }

    /// A whole frame of those bytes that came already. The beginning of a frame is put aside.
    fn take_ready(&mut self) -> Result<Option<Bytes>, Reset> {
        if self.ready.is_empty() {
            if self.held.is_empty() {
                self.charge.clear();
            }
            return Ok(None);
        }
        if let Some(header) = Header::parse(&self.ready, self.frame_bytes_max)?
            && header.total() <= self.ready.len()
        {
            let mut frame = self.ready.split_to(header.total());
            frame.advance(header.len);
            return Ok(Some(frame));
        }
        let begun = std::mem::take(&mut self.ready);
        self.charge.clear();
        self.append(&begun)?;
        Ok(None)
    }

    /// Takes bytes in, and says whether the first frame is whole now.
    fn append(&mut self, came: &[u8]) -> Result<bool, Reset> {
        let len = self.held.len() + came.len();
        let header = if self.held.is_empty() {
            Header::parse(came, self.frame_bytes_max)?
        } else {
            Header::parse(&self.held, self.frame_bytes_max)?
        };
        if len > self.held.capacity() {
            let wanted = header.map_or(len, |header| header.total().min(2 * self.held.capacity()).max(len));
            if !self.charge.grow_to(wanted.saturating_sub(self.free_bytes)) {
                return Err(Reset::NoBudget);
            }
            self.held.reserve_exact(wanted - self.held.len());
        }
        self.held.extend_from_slice(came);
        let header = match header {
            Some(header) => Some(header),
            None => Header::parse(&self.held, self.frame_bytes_max)?,
        };
        Ok(header.is_some_and(|header| header.total() <= self.held.len()))
    }
}

/// The length before a frame.
#[derive(Debug, Clone, Copy)]
struct Header {
    /// Its own length in bytes.
    len: usize,
    declared: usize,
}

impl Header {
    /// `None` when more bytes are needed.
    fn parse(bytes: &[u8], frame_bytes_max: usize) -> Result<Option<Self>, Reset> {
        match unsigned_varint::decode::u32(bytes) {
            Ok((declared, rest)) => {
                let declared = declared as usize;
                if declared > frame_bytes_max {
                    return Err(Reset::FrameTooLong);
                }
                Ok(Some(Self { len: bytes.len() - rest.len(), declared }))
            }
            Err(unsigned_varint::decode::Error::Insufficient) => Ok(None),
            Err(_) => Err(Reset::FrameTooLong),
        }
    }

    fn total(self) -> usize {
        self.len + self.declared
    }
}

#[cfg(test)]
mod tests;
