//! Two builds of the node beside each other, asked in short turns: what else runs on the machine falls on both.

use crate::common::figure;
use crate::load::{Load, Streams};
use crate::{CONNECTIONS, HEADS, WRITTEN};
use hydra_integration_tests::measure;
use hydra_integration_tests::node::{Home, Node, command, program};
use libp2p::Multiaddr;
use std::io;
use std::path::Path;

/// The variable that names the program of the other build.
pub(crate) const AGAINST: &str = "HYDRA_BENCH_AGAINST";
/// Two processes of one program differ by some percent, so both are started so many times, in turns too.
const STARTS: usize = 6;
/// Turns of each start.
const TURNS: usize = 6;
const REUSED: usize = 9_600;
const NEW: usize = 3_200;

/// Measures this build against that of the program.
pub(crate) async fn compare(other: &Path) -> io::Result<()> {
    let title = format!("µs of server CPU per request, medians of {STARTS} starts with {TURNS} turns each");
    figure(&title, "that, this, this by that");
    for store in ["memory", "fjall"] {
        let kind = format!("store.kind={store}");
        // A key that another version names differently is left out.
        let settings = HEADS.iter().copied().filter(|setting| !setting.contains("queue")).chain([&*kind]);
        let settings: Vec<_> = settings.collect();
        for transport in ["TCP", "QUIC"] {
            let mut costs = [const { [const { Vec::new() }; 2] }; 2];
            for start in 0..STARTS {
                one_start(other, &settings, (transport, start), &mut costs).await?;
            }
            for (streams, costs) in [Streams::Reused, Streams::New].into_iter().zip(costs) {
                let name = format!("store {store}, {transport}, {streams:?}");
                let [that, this] = costs.map(median);
                figure(&name, format!("{that:5.1} {this:5.1} {:5.3}", this / that));
            }
        }
    }
    Ok(())
}

/// Starts both, which of them first changing, and lets each have its turns.
async fn one_start(
    other: &Path,
    settings: &[&str],
    (transport, start): (&str, usize),
    costs: &mut [[Vec<f64>; 2]; 2],
) -> io::Result<()> {
    let (this, that) = if start % 2 == 0 {
        let that = launch(other, settings).await?;
        (launch(&program()?, settings).await?, that)
    } else {
        (launch(&program()?, settings).await?, launch(other, settings).await?)
    };
    let mut pair = [Side::of(&that, transport).await?, Side::of(&this, transport).await?];
    for (of_streams, (streams, requests)) in
        costs.iter_mut().zip([(Streams::Reused, REUSED), (Streams::New, NEW)])
    {
        let of_start = turns(&mut pair, streams, requests).await?;
        of_streams.iter_mut().zip(of_start).for_each(|(all, of_start)| all.push(of_start));
    }
    drop(pair);
    this.stop().await?;
    that.stop().await?;
    Ok(())
}

fn median(mut costs: Vec<f64>) -> f64 {
    costs.sort_by(f64::total_cmp);
    let middle = costs.len() / 2;
    match costs.len() % 2 {
        0 => f64::midpoint(costs[middle - 1], costs[middle]),
        _ => costs[middle],
    }
}

async fn launch(program: &Path, settings: &[&str]) -> io::Result<Node> {
    let home = Home::new()?;
    Node::launch(&home, command(program, &home, settings)).await
}

struct Side {
    pid: u32,
    load: Load,
}

impl Side {
    async fn of(node: &Node, transport: &str) -> io::Result<Self> {
        let head = node.heads().first().ok_or_else(|| io::Error::other("no head"))?;
        let address: &Multiaddr = if transport == "TCP" { head.tcp() } else { head.quic() };
        let mut load = Load::connect(address, CONNECTIONS).await?;
        load.announce_all().await?;
        tokio::time::sleep(WRITTEN).await;
        Ok(Self { pid: node.pid(), load })
    }

    async fn turn(&mut self, streams: Streams, requests: usize) -> io::Result<f64> {
        let before = measure::cpu_time(self.pid)?;
        self.load.run(streams, requests).await?;
        let cpu = measure::cpu_time(self.pid)?.saturating_sub(before);
        Ok(cpu.as_secs_f64() * 1e6 / requests as f64)
    }
}

/// The medians of both sides.
async fn turns(pair: &mut [Side; 2], streams: Streams, requests: usize) -> io::Result<[f64; 2]> {
    let mut costs = [Vec::new(), Vec::new()];
    for turn in 0..TURNS {
        // Who goes first changes.
        for side in if turn % 2 == 0 { [0, 1] } else { [1, 0] } {
            costs[side].push(pair[side].turn(streams, requests).await?);
        }
    }
    Ok(costs.map(median))
}
