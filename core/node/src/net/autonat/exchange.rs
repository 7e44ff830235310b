//! The two streams of a test: the request, and the number that comes back.

use super::message::{self, Response};
use super::nonces::{Nonce, Nonces};
use super::path::Path;
use super::{CheckError, Verdict};
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use hydra_kad::framing::FrameReader;
use hydra_kad::{Budget, Limits};
use libp2p::Multiaddr;
use std::time::Duration;

/// The longest message that is read, in bytes.
const MESSAGE_BYTES_MAX: usize = 128;
/// How long a stream may take.
const REQUEST_WAIT: Duration = Duration::from_secs(30);
const DIAL_BACK_WAIT: Duration = Duration::from_secs(10);

/// Asks for a test and waits for its end. The server's word that it has reached the head is believed if it handed over the
/// number.
pub(super) async fn request<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    tested: Multiaddr,
    nonce: Nonce,
) -> Result<Verdict, CheckError> {
    let asked = ask(stream, &tested, nonce.number());
    match tokio::time::timeout(REQUEST_WAIT, asked).await.map_err(|_| CheckError::Deadline)? {
        Ok(Verdict::Reachable) if !nonce.has_arrived() => Err(CheckError::Unfinished),
        told => told,
    }
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    tested: &Multiaddr,
    nonce: u64,
) -> Result<Verdict, CheckError> {
    let mut reader = reader();
    let failed = |_| CheckError::Failed;
    stream.write_all(&message::dial_request(tested, nonce)).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    let mut response = next(&mut reader, &mut stream).await?;
    if let Response::WantsData(bytes) = response {
        for data in message::data(bytes) {
            stream.write_all(&data).await.map_err(failed)?;
        }
        stream.flush().await.map_err(failed)?;
        response = next(&mut reader, &mut stream).await?;
    }
    match response {
        Response::Ended(told) => told,
        Response::WantsData(_) => Err(CheckError::Failed),
    }
}

async fn next<S: AsyncRead + Unpin>(
    reader: &mut FrameReader,
    stream: &mut S,
) -> Result<Response, CheckError> {
    let frame = reader.next(stream).await.ok().flatten().ok_or(CheckError::Failed)?;
    Response::decode(&frame).ok_or(CheckError::Failed)
}

/// Takes the number that a server hands over on this path, and acknowledges one of a test under way there.
pub(super) async fn dial_back<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    nonces: &Nonces,
    over: Option<Path>,
) {
    let exchange = async {
        let frame = reader().next(&mut stream).await.ok()??;
        let nonce = message::dial_back(&frame).filter(|nonce| nonces.arrived(*nonce, over))?;
        stream.write_all(&message::dial_back_response()).await.ok()?;
        stream.close().await.ok()?;
        Some(nonce)
    };
    if let Ok(Some(_)) = tokio::time::timeout(DIAL_BACK_WAIT, exchange).await {
        tracing::debug!("a server has reached the head");
    }
}

fn reader() -> FrameReader {
    // Messages this short draw on no budget.
    let limits = Limits { frame_bytes_max: MESSAGE_BYTES_MAX, ..Limits::default() };
    FrameReader::new(&limits, &Budget::new(0))
}
