//! One measurement, from the start of the server to its figures.

use crate::arm::{Arm, Base, MULTIPLES, Scale};
use crate::figures::Figures;
use crate::load::{self, Row};
use crate::preload::preload;
use crate::sample::Sampler;
use crate::server::{Backend, Server};
use crate::stairs::{Saturation, climb};
use crate::warm_up::warm_up;
use hydra_integration_tests::node::{Home, Node, command};
use hydra_load::{KeySpace, StepReport};
use serde_json::{Map, Value};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The deployment's config files.
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config");
/// What the node is told beyond its config file.
pub(crate) const SETTINGS: [&str; 2] = ["heads.count=10", "engine.cache.mib_max=4"];
/// How long node and server have to come to rest before the load.
const REST: Duration = Duration::from_secs(2);
/// The generator cannot keep up if it starts requests later than this for so many seconds.
const LAG_MS_MAX: f64 = 1_000.0;
const LATE_SECONDS: usize = 3;

/// What an arm showed.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) arm: Arm,
    /// How the server was held to its share.
    pub(crate) means: &'static str,
    pub(crate) saturation: Option<Saturation>,
    /// The rate that the multiples are of.
    pub(crate) base: f64,
    pub(crate) steps: Vec<Figures>,
    /// One for each second of the steps.
    pub(crate) rows: Vec<Row>,
}

/// Measures an arm with a node of this program.
///
/// # Errors
/// If a server, the node or the load does not start.
pub(crate) async fn measure(arm: &Arm, scale: &Scale, program: &Path) -> io::Result<Measured> {
    say(arm, "starting the server");
    let server = Server::start(arm.backend)?;
    say(arm, &format!("writing {} records", scale.keys));
    fill(&server, arm.backend, scale.keys).await?;
    server.settle()?;
    let node = start(&server, arm.backend, program).await?;
    let probe = server.probe().await?;
    warm_up(&node, &server, scale).await?;
    sleep(REST).await;
    let quota = Arc::new(server.hold(&probe, arm.share)?);
    say(arm, &format!("the server has {}, by {}", arm.share, quota.means()));
    let address = node.http().ok_or_else(|| io::Error::other("the node has no metrics"))?;
    let sampler = Sampler::start(probe, Arc::clone(&quota), address);
    let (base, saturation) = match arm.base {
        Base::Fixed(rate) => (rate, None),
        Base::Measured { from } => {
            let found = climb(&node, &sampler, scale, from).await?;
            say(arm, &format!("saturated at {} requests/s: {:?}", found.rate, found.stairs));
            (found.rate, Some(found))
        }
    };
    sleep(REST).await;
    let rates = MULTIPLES.map(|multiple| multiple * base);
    let ran = load::send(&node, &sampler, scale.keys, load::steps(rates, scale.step), |rows| {
        if let Some(row) = rows.last() {
            say(arm, &format!("{:.0} requests/s were offered", row.second.rate.unwrap_or_default()));
        }
        !is_beyond_generator(rows)
    });
    let ran = ran.await?;
    // A step that was cut off is left out.
    let is_whole = |report: &StepReport| report.duration_s >= 0.9 * scale.step[1].as_secs_f64();
    let measured = ran.report.steps.iter().enumerate().skip(1).step_by(2).zip(MULTIPLES);
    let measured = measured.filter(|((_, report), _)| is_whole(report));
    let steps = measured.map(|((nth, report), multiple)| {
        let rows: Vec<Row> = ran.rows.iter().filter(|row| row.second.step == nth).cloned().collect();
        Figures::of(multiple, report, &rows)
    });
    let steps = steps.collect();
    let (means, rows) = (quota.means(), ran.rows);
    drop(sampler);
    node.stop().await?;
    Ok(Measured { arm: arm.clone(), means, saturation, base, steps, rows })
}

/// Whether the generator cannot keep up: what it would measure at a higher rate is itself.
fn is_beyond_generator(rows: &[Row]) -> bool {
    let last = rows.iter().rev().take(LATE_SECONDS);
    let late = last.filter(|row| row.second.lag_p99_ms.is_some_and(|lag| lag > LAG_MS_MAX));
    late.count() == LATE_SECONDS
}

/// What goes on, for who watches.
fn say(arm: &Arm, what: &str) {
    eprintln!("{}: {what}", arm.name);
}

async fn fill(server: &Server, backend: Backend, keys: u64) -> io::Result<()> {
    let plan = load::plan(Vec::new(), keys, Vec::new());
    let space = KeySpace::new(&plan).map_err(io::Error::other)?;
    preload(backend.name(), store_table(server, backend)?, &space, keys).await
}

/// The table `[store]` of the config file, for this server.
fn store_table(server: &Server, backend: Backend) -> io::Result<Value> {
    let text = std::fs::read_to_string(config_file(backend))?;
    let config: Map<String, Value> = toml::from_str(&text).map_err(io::Error::other)?;
    let mut store = config.get("store").cloned().unwrap_or_default();
    let table = store.as_object_mut().ok_or_else(|| io::Error::other("no table [store]"))?;
    table.remove("kind");
    table.insert("hosts".to_owned(), Value::from(vec![format!("127.0.0.1:{}", server.port())]));
    // Batches of the preload may take longer than those of a node.
    table.insert("statement_timeout_ms".to_owned(), Value::from(60_000));
    Ok(store)
}

fn config_file(backend: Backend) -> PathBuf {
    Path::new(CONFIG).join(format!("{}.toml", backend.name()))
}

async fn start(server: &Server, backend: Backend, program: &Path) -> io::Result<Node> {
    let hosts = format!("store.hosts=[\"127.0.0.1:{}\"]", server.port());
    let settings: Vec<&str> = SETTINGS.iter().copied().chain([&*hosts]).collect();
    let home = Home::new()?;
    let mut command = command(program, &home, &settings);
    command.env("HYDRA_CONFIG", config_file(backend));
    Node::launch(&home, command).await
}
