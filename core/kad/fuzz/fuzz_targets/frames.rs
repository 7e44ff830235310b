//! Whatever bytes come, in whatever pieces, the frame reader does not panic, holds little, and gives everything back.

#![no_main]

use futures::AsyncRead;
use hydra_kad::framing::FrameReader;
use hydra_kad::{Budget, Limits};
use libfuzzer_sys::fuzz_target;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Gives the bytes in pieces of one length.
struct Pieces<'a> {
    rest: &'a [u8],
    piece_len: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let len = self.piece_len.min(self.rest.len()).min(buf.len());
        let (piece, rest) = self.rest.split_at(len);
        buf[..len].copy_from_slice(piece);
        self.rest = rest;
        Poll::Ready(Ok(len))
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let limits = Limits { frame_bytes_max: 2000, free_bytes: 100, ..Limits::default() };
    let budget = Budget::new(3000);
    let mut reader = FrameReader::new(&limits, &budget);
    let mut pieces = Pieces { rest, piece_len: usize::from(*first).max(1) };
    let mut read_len = 0;
    while let Ok(Some(frame)) = futures::executor::block_on(reader.next(&mut pieces)) {
        assert!(frame.len() <= 2000);
        read_len += frame.len() + 1;
        assert!(read_len <= rest.len());
        assert!(reader.buffered() <= 2 * 2000 + 4096);
    }
    drop(reader);
    assert_eq!(budget.taken(), 0);
});
