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
const TURNS: usize = 30;
const REUSED: usize = 9_600;
const NEW: usize = 3_200;

/// Measures this build against that of the program.
pub(crate) async fn compare(other: &Path) -> io::Result<()> {
    figure("µs of server CPU per request, medians of 30 turns", "streams reused / a new stream each");
    for store in ["memory", "fjall"] {
        let kind = format!("store.kind={store}");
        // A key that another version names differently is left out.
        let settings = HEADS.iter().copied().filter(|setting| !setting.contains("queue")).chain([&*kind]);
        let settings: Vec<_> = settings.collect();
        let this = start(&program()?, &settings).await?;
        let that = start(other, &settings).await?;
        for transport in ["TCP", "QUIC"] {
            let mut pair = [Side::of(&that, transport).await?, Side::of(&this, transport).await?];
            for (streams, requests) in [(Streams::Reused, REUSED), (Streams::New, NEW)] {
                let costs = turns(&mut pair, streams, requests).await?;
                let name = format!("store {store}, {transport}, {streams:?}: that, this, this by that");
                figure(&name, format!("{:5.1} {:5.1} {:5.3}", costs[0], costs[1], costs[2]));
            }
        }
        this.stop().await?;
        that.stop().await?;
    }
    Ok(())
}

async fn start(program: &Path, settings: &[&str]) -> io::Result<Node> {
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

/// The medians of both sides, and of their ratio.
async fn turns(pair: &mut [Side; 2], streams: Streams, requests: usize) -> io::Result<[f64; 3]> {
    let mut costs = [Vec::new(), Vec::new(), Vec::new()];
    for turn in 0..TURNS {
        let mut of = [0.0; 2];
        // Who goes first changes.
        for side in if turn % 2 == 0 { [0, 1] } else { [1, 0] } {
            of[side] = pair[side].turn(streams, requests).await?;
        }
        for (costs, cost) in costs.iter_mut().zip([of[0], of[1], of[1] / of[0]]) {
            costs.push(cost);
        }
    }
    Ok(costs.map(|mut costs| {
        costs.sort_by(f64::total_cmp);
        costs.get(TURNS / 2).copied().unwrap_or_default()
    }))
}
