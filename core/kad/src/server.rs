//! One inbound stream, from its opening to its end.

use crate::clock::before;
use crate::framing::FrameReader;
use crate::message::{Echo, Message, encode_answer, fitting};
use crate::mode::SharedMode;
use crate::stats::{add, sub};
use crate::{Budget, Charge, Config, Remote, Reply, Request, Reset, Response, Service};
use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::time::{Instant, Sleep, sleep_until};

/// After so many requests without a pause, the other streams of the connection get their turn.
const SERVED_AT_A_TIME_MAX: u32 = 32;

/// Serves a stream until its remote closes it, or asks for an answer when the mode is that of a server no more, and closes it
/// then.
///
/// After an error the stream is dropped unclosed, which resets it.
pub(crate) async fn serve<S, IO>(
    mut io: IO,
    config: Arc<Config>,
    frames: Budget,
    service: Arc<S>,
    remote: Arc<Remote>,
    mode: Arc<SharedMode>,
) where
    S: Service,
    IO: AsyncRead + AsyncWrite + Unpin,
{
    add(&config.stats.mine().streams_accepted, 1);
    let open = Open::of(&config.stats.mine().streams_open);
    if let Err(cause) = serve_until_end(&mut io, &config, &frames, &*service, &remote, &mode).await {
        config.stats.count_reset(cause);
    }
    drop(open);
}

async fn serve_until_end<S, IO>(
    io: &mut IO,
    config: &Config,
    frames: &Budget,
    service: &S,
    remote: &Remote,
    mode: &SharedMode,
) -> Result<(), Reset>
where
    S: Service,
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let limits = &config.limits;
    let mut deadline = Instant::now() + limits.frame_wait;
    let mut timer = pin!(sleep_until(deadline));
    let mut reader = FrameReader::new(limits, frames);
    let mut served = 0;
    loop {
        let read = before(timer.as_mut(), deadline, reader.next(io)).await;
        let Some(frame) = read.map_err(|_| Reset::Idle)?? else {
            return close(io, timer, limits.write_wait).await;
        };
        deadline = Instant::now() + limits.frame_wait;
        let _open = Open::of(&config.stats.mine().requests_open);
        let (echo, request) = decode(frame, config)?;
        if !mode.is_server() && !matches!(request, Request::AddProvider { .. }) {
            return close(io, timer, limits.write_wait).await;
        }
        let reply = before(timer.as_mut(), deadline, service.handle(remote, request)).await;
        match reply.map_err(|_| Reset::Idle)? {
            Reply::Answer(response) => {
                let (answer, charge) = encode(&echo, response, config)?;
                drop(echo);
                write(io, &answer, timer.as_mut(), limits.write_wait).await?;
                let counters = config.stats.mine();
                add(&counters.frames_out, 1);
                add(&counters.bytes_out, answer.len() as u64);
                drop(charge);
                deadline = Instant::now() + limits.frame_wait;
            }
            Reply::Silence => {}
            Reply::Reset => return Err(Reset::Refused),
        }
        served += 1;
        if served % SERVED_AT_A_TIME_MAX == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn decode(frame: Bytes, config: &Config) -> Result<(Echo, crate::Request), Reset> {
    let counters = config.stats.mine();
    add(&counters.frames_in, 1);
    add(&counters.bytes_in, frame.len() as u64);
    let limits = &config.limits;
    let message = Message::decode(frame, 0, limits.provider_peers_max, limits.peer_addresses_max)
        .map_err(|_| Reset::Malformed)?;
    Ok((Echo::of(&message), message.into()))
}

/// The answer in one buffer, and what it was charged. When the budget is used up the answer is made to fit without it:
/// closer peers come before providers, so it is still of use.
fn encode(echo: &Echo, response: Response, config: &Config) -> Result<(Bytes, Charge), Reset> {
    let limits = &config.limits;
    let len_max = response.limit(limits.frame_bytes_max);
    let mut fits = fitting(echo, &response, len_max).ok_or(Reset::Refused)?;
    if response.frame_bytes_max.is_some() && fits.is_cut(&response) {
        add(&config.stats.mine().answers_trimmed, 1);
    }
    let mut charge = config.answers.charge();
    if !charge.grow_to(fits.len.saturating_sub(limits.free_bytes)) {
        fits = fitting(echo, &response, limits.free_bytes).ok_or(Reset::NoBudget)?;
        add(&config.stats.mine().answers_cut, 1);
    }
    Ok((encode_answer(echo, &response, fits).bytes, charge))
}

async fn write<IO: AsyncWrite + Unpin>(
    io: &mut IO,
    answer: &[u8],
    timer: Pin<&mut Sleep>,
    wait: std::time::Duration,
) -> Result<(), Reset> {
    let written = before(timer, Instant::now() + wait, async {
        io.write_all(answer).await?;
        io.flush().await
    });
    written.await.map_err(|_| Reset::SlowReader)?.map_err(|_| Reset::Broken)
}

async fn close<IO: AsyncWrite + Unpin>(
    io: &mut IO,
    timer: Pin<&mut Sleep>,
    wait: std::time::Duration,
) -> Result<(), Reset> {
    let closed = before(timer, Instant::now() + wait, io.close()).await;
    closed.map_err(|_| Reset::SlowReader)?.map_err(|_| Reset::Broken)
}

/// Counts a stream, or a request, as open for as long as it is served, also when the future is dropped.
struct Open<'a>(&'a AtomicU64);

impl<'a> Open<'a> {
    fn of(counter: &'a AtomicU64) -> Self {
        add(counter, 1);
        Self(counter)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        sub(self.0, 1);
    }
}

#[cfg(test)]
mod tests;
