//! The foreign clients agree with one another on a go-libp2p server: what one announces, each finds, with
//! its addresses. A client that this machine lacks shows as ignored, and fails where [`required`] says so.

use hydra_integration_tests::foreign::{Client, Event, Missing, Peer, required, rust};
use libp2p::Multiaddr;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

/// The clients of this machine, each ready or with the reason why not.
#[derive(Clone)]
struct Clients {
    go: Result<Client, Missing>,
    js: Result<Client, Missing>,
}

impl Clients {
    fn go(&self) -> Result<&Client, Failed> {
        Ok(self.go.as_ref()?)
    }

    fn js(&self) -> Result<&Client, Failed> {
        Ok(self.js.as_ref()?)
    }
}

fn main() {
    let clients = Clients { go: Client::go(), js: Client::js() };
    let absent = clients.go.is_err() || clients.js.is_err();
    for reason in [clients.go.as_ref().err(), clients.js.as_ref().err()].into_iter().flatten() {
        eprintln!("{reason}");
    }
    let mut trials = Vec::new();
    for transport in ["tcp", "quic"] {
        let (one, two) = (clients.clone(), clients.clone());
        trials
            .push(Trial::test(format!("each_finds_what_the_others_provided_over_{transport}"), move || {
                Runtime::new()?.block_on(each_finds_what_the_others_provided(&one, transport))
            }));
        trials.push(Trial::test(format!("v5_f3_stream_with_go_server_over_{transport}"), move || {
            Runtime::new()?.block_on(stream_tells_answers_and_end(&two, transport))
        }));
    }
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(absent && !required())).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

async fn each_finds_what_the_others_provided(clients: &Clients, transport: &str) -> Result<(), Failed> {
    let (go, js) = (clients.go()?, clients.js()?);
    let (server, _running) = start_server(go, transport).await?;
    let address: Multiaddr = server.parse()?;
    let key = CID.parse::<cid::Cid>()?.hash().to_bytes();

    let mut provided = vec![rust::provide(&address, PROTOCOL, &key).await?];
    for client in [go, js] {
        let event = client.run(&["provide", "--peer", &server, "--cid", CID]).await?;
        let Event::Provided { provider, .. } = event else { return Err(format!("{event:?}").into()) };
        provided.push(provider);
    }
    assert!(provided.iter().all(|provider| !provider.addrs.is_empty()), "{provided:?}");
    let provided = sorted(provided);
    for client in [go, js] {
        let event = client.run(&["find", "--peer", &server, "--cid", CID]).await?;
        let Event::Found { providers, .. } = event else { return Err(format!("{event:?}").into()) };
        assert_eq!(sorted(providers), provided, "{client:?}");
    }
    assert_eq!(sorted(rust::find(&address, PROTOCOL, &key).await?.providers), provided);
    Ok(())
}

/// What the `stream` command tells of a server that is known to be right.
async fn stream_tells_answers_and_end(clients: &Clients, transport: &str) -> Result<(), Failed> {
    let go = clients.go()?;
    let (server, _running) = start_server(go, transport).await?;
    let event = go.run(&["stream", "--peer", &server, "--cid", CID]).await?;
    let Event::Stream { sent, answers, end, provider } = event else {
        return Err(format!("{event:?}").into());
    };
    assert_eq!(sent, ["FIND_NODE", "ADD_PROVIDER", "FIND_NODE", "GET_PROVIDERS"]);
    let kinds: Vec<_> = answers.iter().map(|answer| answer.kind.as_str()).collect();
    assert_eq!(kinds, ["FIND_NODE", "FIND_NODE", "GET_PROVIDERS"]);
    assert_eq!(answers[2].providers, [provider]);
    assert_eq!(end, "eof");
    Ok(())
}

/// A go-libp2p DHT server. It ends with what is returned beside its address.
async fn start_server(
    go: &Client,
    transport: &str,
) -> Result<(String, hydra_integration_tests::foreign::Running), Failed> {
    let (event, running) = go.start(&["serve", "--transport", transport, "--deadline", "120s"]).await?;
    let Event::Listening { peer } = event else { return Err(format!("{event:?}").into()) };
    let address = peer.addrs.first().ok_or("the server listens nowhere")?;
    Ok((format!("{address}/p2p/{}", peer.id), running))
}

fn sorted(mut peers: Vec<Peer>) -> Vec<Peer> {
    peers.sort_by(|a, b| a.id.cmp(&b.id));
    peers
}
