use super::*;
use futures::io::Cursor;
use proptest::prelude::*;
use std::io;

fn limits(frame_bytes_max: usize) -> Limits {
    Limits { frame_bytes_max, ..Limits::default() }
}

fn reader(limits: &Limits) -> FrameReader {
    FrameReader::new(limits, &Budget::new(1 << 30))
}

fn framed(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        prost::encoding::encode_varint(frame.len() as u64, &mut out);
        out.extend_from_slice(frame);
    }
    out
}

/// Gives the pieces one by one, with a pause before each, and then pauses for ever or ends.
struct Pieces {
    pieces: Vec<Vec<u8>>,
    paused: bool,
    ends: bool,
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.paused = !self.paused;
        if self.paused {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(piece) = self.pieces.first_mut() else {
            return if self.ends { Poll::Ready(Ok(0)) } else { Poll::Pending };
        };
        let len = piece.len().min(buf.len());
        buf[..len].copy_from_slice(&piece[..len]);
        piece.drain(..len);
        if piece.is_empty() {
            self.pieces.remove(0);
        }
        Poll::Ready(Ok(len))
    }
}

async fn all<R: AsyncRead + Unpin>(reader: &mut FrameReader, io: &mut R) -> Result<Vec<Vec<u8>>, Reset> {
    let mut frames = Vec::new();
    while let Some(frame) = reader.next(io).await? {
        frames.push(frame.to_vec());
    }
    Ok(frames)
}

fn now<F: Future>(work: F) -> F::Output {
    futures::executor::block_on(work)
}

proptest! {
    #[test]
    fn f1_frames_come_out_as_they_went_in_however_they_are_cut(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6000), 0..8),
        cuts in prop::collection::vec(1usize..5000, 1..40),
    ) {
        let bytes = framed(&frames);
        let (mut pieces, mut rest, mut cuts) = (Vec::new(), &bytes[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = after;
        }
        let mut reader = reader(&limits(1 << 20));
        let mut io = Pieces { pieces, paused: false, ends: true };
        prop_assert_eq!(now(all(&mut reader, &mut io)).unwrap(), frames);
        prop_assert_eq!(reader.buffered(), 0);
    }

    #[test]
    fn f2_no_bytes_make_the_reader_panic_or_grow(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let budget = Budget::new(1 << 20);
        let mut reader = FrameReader::new(&limits(1 << 10), &budget);
        let ended = now(all(&mut reader, &mut Cursor::new(bytes)));
        prop_assert!(reader.buffered() <= 2 << 10);
        drop((reader, ended));
        prop_assert_eq!(budget.taken(), 0);
    }
}

#[test]
fn f2_a_frame_of_the_limit_is_read_and_one_byte_more_is_refused() {
    let limits = limits(1 << 22);
    let most = framed(&[vec![1; 1 << 22]]);
    let read = now(all(&mut reader(&limits), &mut Cursor::new(most))).unwrap();
    assert_eq!(read[0].len(), 1 << 22);
    let more = framed(&[vec![1; (1 << 22) + 1]]);
    let mut refusing = reader(&limits);
    assert_eq!(now(all(&mut refusing, &mut Cursor::new(&more[..4]))), Err(Reset::FrameTooLong));
    assert_eq!(refusing.buffered(), 0, "nothing is allocated for it");
}

#[test]
fn f2_a_length_that_is_no_number_is_refused() {
    for length in [&[0xff; 10][..], &[0x80, 0x00]] {
        let ended = now(all(&mut reader(&limits(1 << 22)), &mut Cursor::new(length)));
        assert_eq!(ended, Err(Reset::FrameTooLong));
    }
}

#[test]
fn f2_the_buffer_grows_with_what_came_and_not_with_what_was_declared() {
    let declared = framed(&[vec![1; 1 << 22]]);
    for came in [5, 100, 10_000, 1_000_000] {
        let mut reader = reader(&limits(1 << 22));
        let mut io = Pieces { pieces: vec![declared[..came].to_vec()], paused: true, ends: false };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while !io.pieces.is_empty() {
            assert!(reader.poll_next(&mut io, &mut cx).is_pending());
        }
        assert!(reader.buffered() >= came);
        assert!(reader.buffered() <= 2 * came + SCRATCH_LEN, "{} for {came}", reader.buffered());
    }
}

#[test]
fn f2_large_frames_draw_on_the_shared_budget() {
    let limits = limits(1 << 22);
    let budget = Budget::new(1 << 20);
    let mut first = FrameReader::new(&limits, &budget);
    let mut io = Cursor::new(framed(&[vec![1; 900_000]]));
    let frame = now(first.next(&mut io)).unwrap().unwrap();
    assert!(budget.taken() >= 900_000 - limits.free_bytes, "charged while the request is served");

    let mut second = FrameReader::new(&limits, &budget);
    let ended = now(second.next(&mut Cursor::new(framed(&[vec![1; 900_000]]))));
    assert_eq!(ended, Err(Reset::NoBudget));
    drop(second);
    let small = framed(&[vec![2; 1000]]);
    let mut third = FrameReader::new(&limits, &budget);
    assert!(now(third.next(&mut Cursor::new(small))).unwrap().is_some(), "small frames need no budget");

    drop(frame);
    assert_eq!(now(first.next(&mut io)), Ok(None));
    assert_eq!(budget.taken(), 0, "given back with the next frame");
}

#[test]
fn f5_an_end_within_a_frame_is_no_clean_end() {
    for cut in [&[10][..], &[10, 1, 2], &[0x80]] {
        assert_eq!(now(all(&mut reader(&limits(100)), &mut Cursor::new(cut))), Err(Reset::Broken));
    }
}
