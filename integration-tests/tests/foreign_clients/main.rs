//! Foreign clients at the heads of a node: what one announces at one head, each finds at another, with its addresses.
//! A case needs only what it uses. What this machine lacks shows as ignored, and fails where [`required`] says so.

mod kubo;
mod values;
mod vectors;

use hydra_integration_tests::foreign::{Client, Event, Missing, Peer, required, rust};
use hydra_integration_tests::node::{Head, Node};
use libp2p::multiaddr::Protocol;
use libtest_mimic::{Arguments, Failed, Trial};
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Runtime;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
/// How often a record is asked for: it is written an interval after it came.
const TRIES: usize = 40;
/// Of a case without connections.
const NO_TRANSPORT: Option<Transport> = None;
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tcp,
    Quic,
}

/// A client of this machine, or the reason why there is none.
#[derive(Debug, Clone)]
enum Library {
    Go(Result<Client, Missing>),
    Js(Result<Client, Missing>),
    /// In this process, so it is always there.
    Rust,
}

fn main() {
    let (go, js) = (Library::Go(Client::go()), Library::Js(Client::js()));
    let mut trials = Vec::new();
    for transport in [Transport::Tcp, Transport::Quic] {
        for library in [&go, &js, &Library::Rust] {
            let name = format!("{}_finds_at_one_head_what_it_provided_at_another", library.name());
            trials.push(trial_of(&name, transport, &[library], move |of| {
                each_finds_what_all_provided(transport, of)
            }));
        }
        let all = [&go, &js, &Library::Rust];
        trials.push(trial_of("each_finds_what_the_others_provided", transport, &all, move |of| {
            each_finds_what_all_provided(transport, of)
        }));
        trials.push(trial_of("v5_f3_many_requests_on_one_stream_of_go", transport, &[&go], move |of| {
            many_requests_on_one_stream(transport, of)
        }));
        for library in [&go, &js] {
            let name = format!("q5_find_node_of_{}_for_another_head_returns_that_head", library.name());
            trials
                .push(trial_of(&name, transport, &[library], move |of| another_head_is_found(transport, of)));
            let ways: &[_] = if transport == Transport::Tcp { &["tls", "noise"] } else { &[""] };
            for security in ways {
                let name = format!("n1_n2_n3_{}_identifies_and_pings_{security}", library.name());
                trials.push(trial_of(name.trim_end_matches('_'), transport, &[library], move |of| {
                    identifies(transport, security, of)
                }));
            }
        }
        trials.extend(values::trials(transport, &go, &js));
        trials.extend(kubo::trials(transport));
    }
    trials.extend(vectors::trials(&go, &js));
    trials.push(kubo::trial_of_bootstrap());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A case of the libraries that it needs.
fn trial_of<F>(
    name: &str,
    transport: impl Into<Option<Transport>>,
    needed: &[&Library],
    case: impl FnOnce(Vec<Library>) -> F + Send + 'static,
) -> Trial
where
    F: Future<Output = Result<(), Failed>>,
{
    let missing = needed.iter().find_map(|library| library.missing()).cloned();
    let libraries: Vec<Library> = needed.iter().map(|library| (*library).clone()).collect();
    trial(name, transport, missing, move || case(libraries))
}

/// A case, unless something that it needs is missing.
fn trial<F>(
    name: &str,
    transport: impl Into<Option<Transport>>,
    missing: Option<Missing>,
    case: impl FnOnce() -> F + Send + 'static,
) -> Trial
where
    F: Future<Output = Result<(), Failed>>,
{
    let ignored = missing.is_some() && !required();
    let over = transport.into().map(|transport| format!("_over_{}", transport.name()));
    let name = [name, over.as_deref().unwrap_or_default()].concat();
    if let Some(why) = &missing {
        eprintln!("{name}: {why}");
    }
    let run = move || match missing {
        Some(why) => Err(Failed::from(why)),
        None => Runtime::new()?.block_on(case()),
    };
    Trial::test(name, run).with_ignored_flag(ignored)
}

async fn each_finds_what_all_provided(transport: Transport, libraries: Vec<Library>) -> Result<(), Failed> {
    let node = Node::start(&[]).await?;
    let [first, second, third] = node.heads() else { return Err("not three heads".into()) };
    let mut provided = Vec::new();
    for (library, head) in libraries.iter().zip([first, second, third]) {
        provided.push(library.provide(&transport.of(head)).await?);
    }
    assert!(provided.iter().all(|provider| !provider.addrs.is_empty()), "{provided:?}");
    provided.sort_by(|a, b| a.id.cmp(&b.id));
    for (library, head) in libraries.iter().zip([second, third, first]) {
        let found = library.find_until(&transport.of(head), provided.len()).await?;
        assert_eq!(found, provided, "{library:?}");
    }
    Ok(())
}

async fn many_requests_on_one_stream(transport: Transport, libraries: Vec<Library>) -> Result<(), Failed> {
    let node = Node::start(&[]).await?;
    let [first, second, third] = node.heads() else { return Err("not three heads".into()) };
    let (at, target) = (transport.of(first), second.peer.to_string());
    let go = libraries[0].program()?;
    let event = go.run(&["stream", "--peer", &at, "--cid", CID, "--target", &target]).await?;
    let Event::Stream { sent, answers, end, provider } = event else {
        return Err(format!("{event:?}").into());
    };
    assert_eq!(sent, ["FIND_NODE", "ADD_PROVIDER", "FIND_NODE", "GET_PROVIDERS"]);
    let kinds: Vec<_> = answers.iter().map(|answer| answer.kind.as_str()).collect();
    assert_eq!(kinds, ["FIND_NODE", "FIND_NODE", "GET_PROVIDERS"], "nothing answers ADD_PROVIDER");
    assert_eq!(end, "eof", "a clean close follows the half-close");
    for answer in &answers {
        let mut closer: Vec<_> = answer.closer.iter().map(|peer| peer.id.as_str()).collect();
        closer.sort_unstable();
        let mut others = [target.clone(), third.peer.to_string()];
        others.sort_unstable();
        assert_eq!(closer, others, "{}", answer.kind);
    }
    // The record of the stream is written, as every other is.
    let found = Library::Rust.find_until(&transport.of(third), 1).await?;
    assert_eq!(found, [provider]);
    Ok(())
}

async fn another_head_is_found(transport: Transport, libraries: Vec<Library>) -> Result<(), Failed> {
    let node = Node::start(&[]).await?;
    let [first, _, third] = node.heads() else { return Err("not three heads".into()) };
    let target = third.peer.to_string();
    let program = libraries[0].program()?;
    let event =
        program.run(&["find-node", "--follow", "--peer", &transport.of(first), "--target", &target]).await?;
    let Event::FoundNode { found, peers, .. } = event else { return Err(format!("{event:?}").into()) };
    let mut expected: Vec<_> = third.addresses.iter().map(bare).collect();
    expected.sort_unstable();
    let told = peers.iter().find(|peer| peer.id == target).ok_or_else(|| format!("{peers:?}"))?;
    assert_eq!(sorted(&told.addrs), expected);
    let found = found.ok_or("the library found nobody")?;
    assert_eq!(found.id, target);
    assert_eq!(sorted(&found.addrs), expected);
    Ok(())
}

async fn identifies(transport: Transport, security: &str, libraries: Vec<Library>) -> Result<(), Failed> {
    let node = Node::start(&[]).await?;
    for head in node.heads() {
        let at = transport.of(head);
        let mut args = vec!["identify", "--peer", &at];
        if !security.is_empty() {
            args.extend(["--security", security]);
        }
        let event = libraries[0].program()?.run(&args).await?;
        let Event::Identified { peer, agent, protocols, security: used, transport: by, .. } = event else {
            return Err(format!("{event:?}").into());
        };
        assert_eq!(peer.id, head.peer.to_string());
        let listens: Vec<_> = head.addresses.iter().map(bare).collect();
        assert!(listens.iter().all(|address| peer.addrs.contains(address)), "{:?}: {listens:?}", peer.addrs);
        assert!(agent.starts_with("hydra/"), "{agent}");
        let kad: Vec<_> = protocols.iter().filter(|protocol| protocol.contains("kad")).collect();
        assert_eq!(kad, [PROTOCOL], "{protocols:?}");
        assert!(protocols.iter().any(|protocol| protocol == "/ipfs/ping/1.0.0"), "{protocols:?}");
        assert!(used.contains(security), "{used}");
        assert_eq!(by, if transport == Transport::Tcp { "tcp" } else { "quic-v1" });
    }
    Ok(())
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        }
    }

    /// Where the head is, over this transport alone.
    fn of(self, head: &Head) -> String {
        match self {
            Self::Tcp => head.tcp().to_string(),
            Self::Quic => head.quic().to_string(),
        }
    }
}

impl Library {
    fn name(&self) -> &'static str {
        match self {
            Self::Go(_) => "go",
            Self::Js(_) => "js",
            Self::Rust => "rust",
        }
    }

    fn missing(&self) -> Option<&Missing> {
        match self {
            Self::Go(client) | Self::Js(client) => client.as_ref().err(),
            Self::Rust => None,
        }
    }

    fn program(&self) -> Result<&Client, Failed> {
        match self {
            Self::Go(client) | Self::Js(client) => Ok(client.as_ref()?),
            Self::Rust => Err("libp2p-kad is no program".into()),
        }
    }

    async fn provide(&self, at: &str) -> Result<Peer, Failed> {
        if let Self::Rust = self {
            return Ok(rust::provide(&at.parse()?, PROTOCOL, &key()?).await?);
        }
        let event = self.program()?.run(&["provide", "--peer", at, "--cid", CID]).await?;
        let Event::Provided { provider, .. } = event else { return Err(format!("{event:?}").into()) };
        Ok(provider)
    }

    async fn find(&self, at: &str) -> Result<Vec<Peer>, Failed> {
        if let Self::Rust = self {
            return Ok(rust::find(&at.parse()?, PROTOCOL, &key()?).await?.providers);
        }
        let event = self.program()?.run(&["find", "--peer", at, "--cid", CID]).await?;
        let Event::Found { providers, .. } = event else { return Err(format!("{event:?}").into()) };
        Ok(providers)
    }

    /// Asks until there are so many providers, and returns the last answer, sorted.
    async fn find_until(&self, at: &str, wanted: usize) -> Result<Vec<Peer>, Failed> {
        let mut found = self.find(at).await?;
        for _ in 0..TRIES {
            if found.len() >= wanted {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            found = self.find(at).await?;
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }
}

fn key() -> Result<Vec<u8>, Failed> {
    Ok(CID.parse::<cid::Cid>()?.hash().to_bytes())
}

/// An address without the id at its end, as the clients print it.
fn bare(address: &libp2p::Multiaddr) -> String {
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect::<libp2p::Multiaddr>().to_string()
}

fn sorted(addresses: &[String]) -> Vec<String> {
    let mut sorted = addresses.to_vec();
    sorted.sort_unstable();
    sorted
}
