//! `hydra ask`: a small client of the network.

mod client;
mod target;
mod value;

use super::args::{AskArgs, AskCommand};
use super::key::{any_key, content_key};
use super::{Failure, Output};
use crate::config::{Config, PeerAddress};
use bytes::Bytes;
use client::Asker;
use hydra_api::Causes;
use hydra_kad::{Answer, AnswerPeer, AskError, Peer, Request};
use multiaddr::Multiaddr;
use serde_json::{Value, json};
use std::io;
use std::time::Duration;

/// The number of reads that look for a stored record, and the time between two: a node writes in windows of half a
/// second by default.
const LOOKS: u32 = 20;
const LOOK_WAIT: Duration = Duration::from_millis(250);

/// Sends the request and prints the answer.
pub(crate) async fn ask(config: &Config, question: &AskCommand, out: &mut Output) -> Result<(), Failure> {
    match question {
        AskCommand::Providers { key, ask: args } => {
            let key = content_key(key)?;
            let asked = Asked::first(config, args, &Request::GetProviders { key }).await?;
            let found = &asked.answer.providers;
            asked.print("providers", found, json_wanted(args, out), out)?;
            found_any(found, "no provider found")
        }
        AskCommand::Closest { key, ask: args } => {
            let key = any_key(key)?;
            let asked = Asked::first(config, args, &Request::FindNode { key }).await?;
            let found = &asked.answer.closer;
            asked.print("closest", found, json_wanted(args, out), out)?;
            found_any(found, "no peer found")
        }
        AskCommand::Value { name, to, ask: args } => {
            value::value(config, name, to.as_deref(), args, out).await
        }
        AskCommand::Put { name, file, ask: args } => value::put(config, name, file, args, out).await,
        AskCommand::Provide { key, address, ask: args } => {
            provide(config, content_key(key)?, address, args, out).await
        }
    }
}

/// Stores a record and reads it back: ADD_PROVIDER itself has no answer.
async fn provide(
    config: &Config,
    key: Bytes,
    addresses: &[Multiaddr],
    args: &AskArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let asker = start(config)?;
    let me = asker.peer();
    let record = Peer::new(&me, addresses);
    let request = Request::AddProvider { key: key.clone(), providers: vec![record] };
    let (at, _) = first(config, &asker, args, &request).await?;
    for _ in 0..LOOKS {
        let request = Request::GetProviders { key: key.clone() };
        let answer =
            asker.ask(&at, request, patience(args)).await.map_err(|cause| failed(&at, &cause, config))?;
        if answer.providers.iter().any(|provider| provider.peer == me) {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            return Ok(match json_wanted(args, out) {
                true => out.line(json!({ "stored_at": at, "peer": me.to_base58(), "addresses": addresses })),
                false => out.line(format_args!("stored at {at}\nprovider {me} {}", addresses.join(" "))),
            }?);
        }
        tokio::time::sleep(LOOK_WAIT).await;
    }
    Err(Failure::Failed(format!("{at} does not return the record; it may have declined the announcement")))
}

/// An answer and the peer that sent it.
struct Asked {
    at: PeerAddress,
    answer: Answer,
}

impl Asked {
    async fn first(config: &Config, args: &AskArgs, request: &Request) -> Result<Self, Failure> {
        let asker = start(config)?;
        let (at, answer) = first(config, &asker, args, request).await?;
        Ok(Self { at, answer })
    }

    fn print(&self, what: &str, peers: &[AnswerPeer], json: bool, out: &mut Output) -> io::Result<()> {
        if json {
            let list: Vec<Value> = peers.iter().map(described).collect();
            let closer = self.answer.closer.len();
            return out.line(json!({ "asked": self.at, what: list, "closer_peers": closer }));
        }
        for peer in peers {
            out.line(peer.peer)?;
            peer.addresses.iter().try_for_each(|address| out.line(format_args!("  {address}")))?;
        }
        Ok(())
    }
}

fn start(config: &Config) -> Result<Asker, Failure> {
    Asker::start(&config.network.protocol).map_err(|cause| Failure::failed("cannot start the client", cause))
}

/// Asks the peers in turn until one answers.
async fn first(
    config: &Config,
    asker: &Asker,
    args: &AskArgs,
    request: &Request,
) -> Result<(PeerAddress, Answer), Failure> {
    let mut failure = Failure::Failed("the node has no heads that listen".to_owned());
    for peer in target::peers(config, args)? {
        match asker.ask(&peer, request.clone(), patience(args)).await {
            Ok(answer) => return Ok((peer, answer)),
            Err(cause) => failure = failed(&peer, &cause, config),
        }
    }
    Err(failure)
}

fn failed(at: &PeerAddress, cause: &AskError, config: &Config) -> Failure {
    if matches!(cause, AskError::Unsupported) {
        let protocol = &config.network.protocol;
        return Failure::Failed(format!(
            "{at}: the peer does not serve {protocol}: set `network.protocol` to the protocol of its network (--set \
             network.protocol=/ipfs/kad/1.0.0 for the public one), or ask a peer that is a DHT server"
        ));
    }
    Failure::Failed(format!("{at}: {}", told_once(&at.to_string(), &Causes(cause).to_string())))
}

/// The error of a dial as the transports tell it, each cause once and without the words that only join them: a transport that
/// tries several ways repeats the causes of each.
fn told_once(at: &str, text: &str) -> String {
    const JOINTS: [&str; 2] = ["Failed to negotiate transport protocol(s)", "Multiple dial errors occurred"];
    let mut parts: Vec<&str> = Vec::new();
    for line in text.lines() {
        for part in line.split(": ") {
            let part = part.trim_start_matches(" - ").trim_matches([' ', ':']);
            let part = part.trim_start_matches("[(").trim_end_matches(")]").trim_matches([' ', ':']);
            let part = match part.strip_suffix(')') {
                // The end of a list of addresses, not of `(os error 111)`.
                Some(inner) if inner.matches('(').count() < part.matches(')').count() => inner,
                _ => part,
            };
            if !part.is_empty() && part != at && !JOINTS.contains(&part) && !parts.contains(&part) {
                parts.push(part);
            }
        }
    }
    parts.join(": ")
}

fn found_any(peers: &[AnswerPeer], none: &str) -> Result<(), Failure> {
    if peers.is_empty() { Err(Failure::Failed(none.to_owned())) } else { Ok(()) }
}

fn described(peer: &AnswerPeer) -> Value {
    let addresses: Vec<_> = peer.addresses.iter().map(ToString::to_string).collect();
    json!({ "peer": peer.peer.to_base58(), "addresses": addresses })
}

fn json_wanted(args: &AskArgs, out: &Output) -> bool {
    args.json || !out.is_terminal()
}

fn patience(args: &AskArgs) -> Duration {
    Duration::from_millis(args.timeout_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_error_is_told_once() {
        let at = "/ip4/127.0.0.1/tcp/1/p2p/12D3Koo";
        let text = format!(
            "the peer could not be reached: Failed to negotiate transport protocol(s): [({at}: : Multiple dial errors occurred:\n \
             - Connection refused (os error 111): Multiple dial errors occurred:\n - Connection refused (os error 111): \
             Connection refused (os error 111))]"
        );
        let told = "the peer could not be reached: Connection refused (os error 111)";
        assert_eq!(told_once(at, &text), told);
        assert_eq!(told_once(at, "no answer in time"), "no answer in time");
    }
}
