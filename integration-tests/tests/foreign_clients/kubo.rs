//! kubo at the heads of a private network: what one node provides, another finds before it is written and fetches, also
//! after the heads were away.

use crate::{NO_TRANSPORT, Transport, trial};
use hydra_integration_tests::foreign::Missing;
use hydra_integration_tests::foreign::kubo::{Kubo, PROTOCOL, Program};
use hydra_integration_tests::node::{Home, Node};
use libtest_mimic::{Failed, Trial};
use std::future::Future;
use std::time::Duration;

/// The longest flush interval. A case takes a few seconds, and checks that nothing was written.
const FLUSH: &str = "engine.flush_interval_ms=60000";
/// The longest time for which the heads remember that a key has no providers.
const FRESH_ABSENT: &str = "engine.cache.fresh_absent_s=3600";
/// How often a record is searched for: nothing answers an announcement, so a first search may overtake it.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(100);
/// How long the routing table of kubo is read until it lists every head, or none. kubo looks for its bootstrap peers every 30 s: it
/// comes back with the first round that does not fall into a restart.
const TABLE_WAIT: Duration = Duration::from_secs(120);

/// A node of hydra, and two of kubo that join through different heads.
struct Network {
    home: Home,
    hydra: Node,
    provider: Kubo,
    seeker: Kubo,
}

/// What belongs to no transport.
pub(crate) fn trial_of_bootstrap() -> Trial {
    let program = Program::find();
    let missing = program.as_ref().err().cloned();
    let name = "the_bootstrap_peers_of_amino_toml_are_those_of_kubo";
    trial(name, NO_TRANSPORT, missing, async move || same_bootstrap(&program?).await)
}

pub(crate) fn trials(transport: Transport) -> [Trial; 4] {
    let program = Program::find();
    [
        case("kubo_finds_what_another_provided_before_it_is_written", transport, &program, is_found),
        case(
            "kubo_finds_what_it_searched_for_before_another_provided_it",
            transport,
            &program,
            is_found_later,
        ),
        case("kubo_keeps_the_heads_in_its_table_over_a_restart", transport, &program, stays),
        case("kubo_resolves_the_name_that_another_published", transport, &program, is_resolved),
    ]
}

async fn same_bootstrap(program: &Program) -> Result<(), Failed> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/amino.toml");
    let config: toml::Table = std::fs::read_to_string(file)?.parse()?;
    let ours = config["network"]["bootstrap"].as_array().into_iter().flatten();
    let ours: Vec<_> = ours.filter_map(toml::Value::as_str).collect();
    assert_eq!(ours, program.public_bootstrap().await?);
    Ok(())
}

fn case<F>(
    name: &str,
    transport: Transport,
    program: &Result<Program, Missing>,
    run: fn(Network) -> F,
) -> Trial
where
    F: Future<Output = Result<(), Failed>> + 'static,
{
    let program = program.clone();
    let missing = program.as_ref().err().cloned();
    trial(name, transport, missing, async move || run(Network::start(&program?, transport).await?).await)
}

async fn is_found(network: Network) -> Result<(), Failed> {
    let cid = network.provider.put_block("found").await?;
    network.provider.provide(&cid).await?;
    network.expect_found_before_written(&cid).await?;
    assert_eq!(network.seeker.cat(&cid).await?, "found");
    Ok(())
}

async fn is_found_later(network: Network) -> Result<(), Failed> {
    let cid = network.provider.put_block("found later").await?;
    // The second search meets what the heads remember of the first.
    for _ in 0..2 {
        assert_eq!(network.seeker.find_providers(&cid).await?, []);
    }
    let hits = network.hydra.metrics().await?.sum("hydra_cache_hits_total", &[("kind", "absent")]);
    assert!(hits >= 1.0, "the heads do not remember that the key has no providers");
    network.provider.provide(&cid).await?;
    network.expect_found_before_written(&cid).await
}

/// With the default they are dropped at the stop and found again; in a network without other servers they stay.
async fn stays(network: Network) -> Result<(), Failed> {
    let network = network.restart().await?;
    let network = network.restart_with(&["shutdown.leaves_server_mode=false"]).await?;
    let network = network.restart_in_place().await?;
    let cid = network.provider.put_block("provided after the restart").await?;
    // Without a connection kubo does not even try to provide; a search connects it to the servers of its table.
    assert_eq!(network.provider.find_providers(&cid).await?, []);
    network.provider.provide(&cid).await?;
    network.expect_found_before_written(&cid).await
}

async fn is_resolved(network: Network) -> Result<(), Failed> {
    let Network { provider, seeker, .. } = &network;
    let mut paths = Vec::new();
    for content in ["first", "second", "third"] {
        paths.push(format!("/ipfs/{}", provider.put_block(content).await?));
    }
    let name = provider.publish(&paths[0]).await?;
    assert_eq!(seeker.resolve(&name).await?, paths[0], "before it is written");
    provider.publish(&paths[1]).await?;
    assert_eq!(seeker.resolve(&name).await?, paths[1], "the second one is the better one");
    let network = network.restart().await?;
    assert_eq!(network.seeker.resolve(&name).await?, paths[1], "after a restart of the heads");
    network.provider.publish(&paths[2]).await?;
    assert_eq!(network.seeker.resolve(&name).await?, paths[2]);
    let metrics = network.hydra.metrics().await?;
    let taken = metrics.sum("hydra_value_puts_total", &[("result", "taken")]);
    assert!(taken >= 1.0, "the heads have not taken the record");
    Ok(())
}

async fn start_heads(home: &Home, more: &[&str]) -> std::io::Result<Node> {
    let protocol = format!("network.protocol=\"{PROTOCOL}\"");
    let lan = [&protocol, "network.addresses=\"lan\"", "network.diversity=\"off\"", FLUSH, FRESH_ABSENT];
    Node::start_in(home, &[&lan, more].concat()).await
}

/// Waits until a node lists these servers.
async fn lists(kubo: &Kubo, wanted: impl Fn(&Vec<String>) -> bool) -> Result<(), Failed> {
    let until = tokio::time::Instant::now() + TABLE_WAIT;
    loop {
        let mut listed = kubo.routing_table().await?;
        listed.sort_unstable();
        if wanted(&listed) {
            return Ok(());
        }
        if tokio::time::Instant::now() >= until {
            return Err(format!("kubo lists {listed:?}").into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Network {
    async fn start(program: &Program, transport: Transport) -> Result<Self, Failed> {
        let home = Home::new()?;
        let hydra = start_heads(&home, &[]).await?;
        let [first, .., last] = hydra.heads() else { return Err("fewer than two heads".into()) };
        let provider = Kubo::start(program, &transport.of(first)).await?;
        let seeker = Kubo::start(program, &transport.of(last)).await?;
        let network = Self { home, hydra, provider, seeker };
        for kubo in [&network.provider, &network.seeker] {
            network.enter_table_of(kubo).await?;
        }
        Ok(network)
    }

    /// Stops the heads, of which no node lists any then: what is left would be dialed in vain. Starts them again.
    async fn restart(self) -> Result<Self, Failed> {
        self.restart_with(&[]).await
    }

    async fn restart_with(self, settings: &[&str]) -> Result<Self, Failed> {
        let Self { home, hydra, provider, seeker } = self;
        hydra.stop().await?;
        for kubo in [&provider, &seeker] {
            lists(kubo, Vec::is_empty).await?;
        }
        let hydra = start_heads(&home, settings).await?;
        let network = Self { home, hydra, provider, seeker };
        for kubo in [&network.provider, &network.seeker] {
            network.enter_table_of(kubo).await?;
        }
        Ok(network)
    }

    /// Stops heads that do not leave server mode, and starts them again: every node lists them all the time.
    async fn restart_in_place(self) -> Result<Self, Failed> {
        let Self { home, hydra, provider, seeker } = self;
        let mut heads: Vec<_> = hydra.heads().iter().map(|head| head.peer.to_string()).collect();
        heads.sort_unstable();
        hydra.stop().await?;
        let are_listed = async || -> Result<(), Failed> {
            for kubo in [&provider, &seeker] {
                let mut listed = kubo.routing_table().await?;
                listed.sort_unstable();
                assert_eq!(listed, heads, "kubo has dropped heads");
            }
            Ok(())
        };
        are_listed().await?;
        let hydra = start_heads(&home, &["shutdown.leaves_server_mode=false"]).await?;
        are_listed().await?;
        Ok(Self { home, hydra, provider, seeker })
    }

    /// Waits until a node lists the heads as servers, and nobody else.
    async fn enter_table_of(&self, kubo: &Kubo) -> Result<(), Failed> {
        let mut heads: Vec<_> = self.hydra.heads().iter().map(|head| head.peer.to_string()).collect();
        heads.sort_unstable();
        lists(kubo, |listed| *listed == heads).await
    }

    async fn expect_found_before_written(&self, cid: &str) -> Result<(), Failed> {
        let mut found = self.seeker.find_providers(cid).await?;
        for _ in 1..TRIES {
            if !found.is_empty() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            found = self.seeker.find_providers(cid).await?;
        }
        let metrics = self.hydra.metrics().await?;
        assert_eq!(found, [self.provider.peer().clone()], "the log:\n{}", self.hydra.home().log());
        assert_eq!(metrics.value("hydra_records_written_total", &[]), Some(0.0), "the store has the record");
        Ok(())
    }
}
