//! Who asks.

use super::common::Link;
use futures::stream::FuturesUnordered;
use futures::{AsyncWriteExt, TryStreamExt};
use hydra_kad::framing::FrameReader;
use hydra_kad::{Answer, Budget, Kind, Limits, Peer, Request};
use libp2p::{Multiaddr, Stream};
use std::fmt;
use std::io;

/// How many keys there are.
const KEYS: u64 = 100_000;
/// One answer in so many is looked into.
const SAMPLED: usize = 64;

/// What becomes of a stream after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// The next request follows on it.
    Reused,
    /// It is closed.
    New,
}

/// Connections that ask.
pub(crate) struct Load {
    askers: Vec<Asker>,
}

/// What was in the answers, on average.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sample {
    answers: usize,
    closer: usize,
    searches: usize,
    found: usize,
}

struct Asker {
    link: Link,
    random: u64,
    announced: Vec<Peer>,
    limits: Limits,
    budget: Budget,
    sample: Sample,
}

impl Load {
    /// Each connection asks on its own, one request after the other.
    fn new(links: Vec<Link>) -> Self {
        let at: Multiaddr = "/ip4/127.0.0.1/tcp/4001".parse().unwrap_or_else(|_| Multiaddr::empty());
        let asker = |(nth, link): (usize, Link)| Asker {
            random: nth as u64,
            announced: vec![Peer::new(&link.peer, [&at])],
            link,
            limits: Limits::default(),
            budget: Budget::new(64 << 20),
            sample: Sample::default(),
        };
        Self { askers: links.into_iter().enumerate().map(asker).collect() }
    }

    /// Connections to this address.
    pub(crate) async fn connect(address: &Multiaddr, connections: usize) -> io::Result<Self> {
        let mut links = Vec::with_capacity(connections);
        for _ in 0..connections {
            links.push(Link::connect(address).await?);
        }
        Ok(Self::new(links))
    }

    /// Announces every key once.
    pub(crate) async fn announce_all(&mut self) -> io::Result<()> {
        let askers = self.askers.len() as u64;
        let parts: FuturesUnordered<_> =
            (0..).zip(&mut self.askers).map(|(nth, asker)| asker.announce(nth, askers)).collect();
        parts.try_collect().await
    }

    /// Asks so many requests in all.
    pub(crate) async fn run(&mut self, streams: Streams, requests: usize) -> io::Result<()> {
        let each = requests / self.askers.len();
        let parts: FuturesUnordered<_> =
            self.askers.iter_mut().map(|asker| asker.run(streams, each)).collect();
        parts.try_collect().await
    }

    /// What was in the answers so far.
    pub(crate) fn sample(&self) -> Sample {
        self.askers.iter().fold(Sample::default(), |all, asker| Sample {
            answers: all.answers + asker.sample.answers,
            closer: all.closer + asker.sample.closer,
            searches: all.searches + asker.sample.searches,
            found: all.found + asker.sample.found,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        let (closer, found) = (of(self.closer, self.answers), 100.0 * of(self.found, self.searches));
        write!(f, "{closer:.1} closer peers, providers in {found:.0} % of the searches")
    }
}

impl Asker {
    async fn announce(&mut self, nth: u64, askers: u64) -> io::Result<()> {
        let mut stream = self.link.open().await?;
        for key in (nth..KEYS).step_by(askers as usize) {
            let providers = self.announced.clone();
            write(&mut stream, &Request::AddProvider { key: content_key(key).into(), providers }).await?;
            // An answer now and then paces the writes.
            if key % 1024 < askers {
                self.settle(&mut stream).await?;
            }
        }
        self.settle(&mut stream).await?;
        stream.close().await
    }

    /// What was sent before has been read when this is answered; libp2p-kad answers no PING.
    async fn settle(&mut self, stream: &mut Stream) -> io::Result<()> {
        let request = Request::FindNode { key: self.peer_id().into() };
        self.ask(stream, &request).await.map(drop)
    }

    async fn run(&mut self, streams: Streams, requests: usize) -> io::Result<()> {
        let mut stream = self.link.open().await?;
        for nth in 0..requests {
            if streams == Streams::New && nth > 0 {
                stream = self.link.open().await?;
            }
            let request = self.request(nth);
            if matches!(request, Request::AddProvider { .. }) {
                write(&mut stream, &request).await?;
            } else {
                let answer = self.ask(&mut stream, &request).await?;
                if nth % SAMPLED < 5 {
                    self.look_into(answer, request.kind())?;
                }
            }
            if streams == Streams::New {
                stream.close().await?;
                // The end of the other side says that an announcement was read.
                FrameReader::new(&self.limits, &self.budget)
                    .next(&mut stream)
                    .await
                    .map_err(io::Error::other)?;
            }
        }
        stream.close().await
    }

    fn request(&mut self, nth: usize) -> Request {
        let key = content_key(self.random() % KEYS).into();
        match nth % 5 {
            0..3 => Request::GetProviders { key },
            3 => Request::AddProvider { key, providers: self.announced.clone() },
            _ => Request::FindNode { key: self.peer_id().into() },
        }
    }

    async fn ask(&mut self, stream: &mut Stream, request: &Request) -> io::Result<bytes::Bytes> {
        write(stream, request).await?;
        let mut reader = FrameReader::new(&self.limits, &self.budget);
        let answer = reader.next(stream).await.map_err(|cause| io::Error::other(format!("{cause:?}")))?;
        answer.ok_or_else(|| io::Error::other("the server closed the stream"))
    }

    fn look_into(&mut self, answer: bytes::Bytes, kind: Kind) -> io::Result<()> {
        let answer = Answer::decode(answer, kind, &self.limits).map_err(io::Error::other)?;
        self.sample.answers += 1;
        self.sample.closer += answer.closer.len();
        if kind == Kind::GetProviders {
            self.sample.searches += 1;
            self.sample.found += usize::from(!answer.providers.is_empty());
        }
        Ok(())
    }

    /// A peer id that is nobody's.
    fn peer_id(&mut self) -> Vec<u8> {
        let mut id = vec![0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
        (0..4).for_each(|_| id.extend(self.random().to_be_bytes()));
        id
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.random)
    }
}

/// The multihash that stands for a number.
fn content_key(number: u64) -> Vec<u8> {
    let mut key = vec![0x12, 0x20];
    (0..4).for_each(|part| key.extend(mixed(4 * number + part).to_be_bytes()));
    key
}

/// The finishing step of SplitMix64.
fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Writes a frame.
async fn write(stream: &mut Stream, request: &Request) -> io::Result<()> {
    let body = request.encode();
    let (mut frame, mut len) = (Vec::with_capacity(body.len() + 3), body.len());
    while len >= 0x80 {
        frame.push(len as u8 | 0x80);
        len >>= 7;
    }
    frame.push(len as u8);
    frame.extend_from_slice(&body);
    stream.write_all(&frame).await?;
    stream.flush().await
}
