//! kubo at the heads of a private network: what one node provides, another finds before it is written.

use crate::{Transport, trial};
use hydra_integration_tests::foreign::Missing;
use hydra_integration_tests::foreign::kubo::{Kubo, PROTOCOL, Program};
use hydra_integration_tests::node::Node;
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
/// How often the routing table of kubo is read until it lists every head.
const TABLE_TRIES: usize = 300;

/// A node of hydra, and two of kubo that join through different heads.
struct Network {
    hydra: Node,
    provider: Kubo,
    seeker: Kubo,
}

pub(crate) fn trials(transport: Transport) -> [Trial; 2] {
    let program = Program::find();
    [
        case("kubo_finds_what_another_provided_before_it_is_written", transport, &program, is_found),
        case(
            "kubo_finds_what_it_searched_for_before_another_provided_it",
            transport,
            &program,
            is_found_later,
        ),
    ]
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
    network.expect_found_before_written(&cid).await
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

impl Network {
    async fn start(program: &Program, transport: Transport) -> Result<Self, Failed> {
        let protocol = format!("network.protocol=\"{PROTOCOL}\"");
        let private = [&protocol, "network.addresses=\"lan\"", "network.diversity=\"off\""];
        let hydra = Node::start(&[&private[..], &[FLUSH, FRESH_ABSENT]].concat()).await?;
        let [first, .., last] = hydra.heads() else { return Err("fewer than two heads".into()) };
        let provider = Kubo::start(program, &transport.of(first)).await?;
        let seeker = Kubo::start(program, &transport.of(last)).await?;
        let network = Self { hydra, provider, seeker };
        for kubo in [&network.provider, &network.seeker] {
            network.enter_table_of(kubo).await?;
        }
        Ok(network)
    }

    /// Waits until a node lists the heads as servers, and nobody else.
    async fn enter_table_of(&self, kubo: &Kubo) -> Result<(), Failed> {
        let mut heads: Vec<_> = self.hydra.heads().iter().map(|head| head.peer.to_string()).collect();
        heads.sort_unstable();
        let mut listed = Vec::new();
        for _ in 0..TABLE_TRIES {
            listed = kubo.routing_table().await?;
            listed.sort_unstable();
            if listed == heads {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("kubo lists {listed:?} of {heads:?}").into())
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
