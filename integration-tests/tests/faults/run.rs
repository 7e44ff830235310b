//! Runs one scenario: a node under load before, during and after a fault of its store.

use super::announcer::Announcer;
use super::figures::{Figures, Phases};
use super::finder::Finder;
use super::form::Form;
use super::log::Lines;
use super::names;
use super::scenario::{Ground, Loss, Scenario};
use super::watch::{Look, Watch, look};
use hydra_integration_tests::node::{Home, Node, command, program};
use hydra_load::{Pace, Plan, Progress, Report, Second, Step, run as load};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a node may take to be well again before nobody waits for it any more.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long an announcement waits at the node.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// How long after the fault an announcement of before it may still be under way to the server.
const FLUSHED_AFTER: Duration = Duration::from_millis(1500);
/// Longer than any scenario.
const LONG: Duration = Duration::from_secs(3600);

/// Runs it.
///
/// # Errors
/// If it cannot be run; how the node fares is in the figures.
pub(crate) async fn run(scenario: &Scenario, form: &Form) -> io::Result<Figures> {
    let ground = blocking(scenario.start).await?;
    let home = Home::new()?;
    let node = start(&home, form, &*ground).await?;
    let pages = node.http().ok_or_else(|| io::Error::other("the node has no operator pages"))?;
    let heads: Vec<_> = node.heads().iter().map(|head| head.tcp().clone()).collect();

    let mixed = Mixed::start(&node, form)?;
    let finder = Finder::start(heads[0].clone(), form.finds_per_second).await.map_err(io::Error::other)?;
    let announcer = Announcer::start(heads[1].clone());
    tokio::time::sleep(form.before).await;
    let watch = Watch::start(node.pid(), pages, form.look);
    let first = look(node.pid(), pages).await?;
    let start_of_log = home.log().len();

    let during = form.during;
    let (begun, mut ground) = (Instant::now(), ground);
    let (ground, gone) = blocking(move || {
        ground.inflict(during)?;
        Ok((ground, Instant::now()))
    })
    .await?;
    watch.calm(gone, form.calm, PATIENCE).await;

    let (ended, read) = (Instant::now(), announcer.stop());
    finder.stop();
    let (report, seconds) = mixed.stop().await?;
    let queued = drained(&node).await?;
    let log = home.log().split_off(start_of_log);
    let unseen = announcer.missing(&heads[0], read.len()).await;
    let last = look(node.pid(), pages).await?;
    // What is found after a crash of the node is in the store.
    node.kill().await?;
    let node = start(&home, form, &*ground).await?;
    until_ready(&node).await?;
    let missing = announcer.missing(node.heads()[0].tcp(), read.len()).await;
    node.stop().await?;

    let phases = Phases { start: begun - form.before, begun, gone, ended };
    let excused = |number: &usize| is_excused(scenario.loss, read[*number], &phases);
    let (excused, lost): (Vec<_>, Vec<_>) = missing.into_iter().partition(excused);
    let hidden = unseen.iter().filter(|number| !excused.contains(number)).count();
    Ok(Figures {
        find_p99: phases.each().map(|(from, to)| finder.p99(from, to)),
        found_meanwhile: finder.answered_within(begun, gone),
        failures: finder.failures().into_iter().chain(announcer.failures()).collect(),
        looks: watch.since(begun),
        lines: Lines::of(&log),
        has_panicked: home.log().contains("panicked"),
        announced: read.len(),
        lost: lost.len(),
        excused: excused.len(),
        hidden,
        queued,
        first,
        last,
        report,
        seconds,
        phases,
    })
}

/// Whether this announcement may be missing.
fn is_excused(loss: Loss, read: Instant, phases: &Phases) -> bool {
    match loss {
        Loss::Nothing => false,
        Loss::Last(window) => {
            (phases.begun - window - FLUSH_INTERVAL..phases.begun + FLUSHED_AFTER).contains(&read)
        }
        Loss::Counted => (phases.begun - FLUSHED_AFTER..phases.gone + FLUSHED_AFTER).contains(&read),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// A node with the shipped config, over these servers.
async fn start(home: &Home, form: &Form, ground: &dyn Ground) -> io::Result<Node> {
    let own = ["network.addresses=any", "heads.count=2", "start_without_store=true"];
    let own = own.iter().chain(form.settings).map(|setting| (*setting).to_owned());
    let settings: Vec<_> = own.chain(ground.settings()).collect();
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let mut node = command(&program()?, home, &settings);
    node.env("HYDRA_CONFIG", ground.config());
    if let Some(hosts) = ground.hosts_file() {
        node = names::with_hosts(&node, home, hosts.to_owned());
    }
    Node::launch(home, node).await
}

/// Waits until all that the node has taken is written; what is left.
async fn drained(node: &Node) -> io::Result<f64> {
    let (pages, since) = (node.http().ok_or(io::ErrorKind::NotFound)?, Instant::now());
    loop {
        let Look { queued, .. } = look(node.pid(), pages).await?;
        if queued == 0.0 || since.elapsed() > PATIENCE {
            return Ok(queued);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn until_ready(node: &Node) -> io::Result<()> {
    let since = Instant::now();
    while node.page("/readyz").await?.status != 200 {
        if since.elapsed() > PATIENCE {
            return Err(io::Error::other("the node that was started again is not ready"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// A load of reads, announcements and FIND_NODE.
struct Mixed {
    seconds: Arc<Mutex<Vec<(Instant, Second)>>>,
    stop: oneshot::Sender<()>,
    run: JoinHandle<Result<Report, hydra_load::RunError>>,
}

impl Mixed {
    fn start(node: &Node, form: &Form) -> io::Result<Self> {
        let heads = node.heads().iter().map(|head| head.tcp().to_string().parse().map_err(io::Error::other));
        let step = Step { pace: Pace::Open { per_second: form.per_second }, duration: LONG };
        let plan = Plan {
            clients: 16,
            ids: 16,
            late_after: form.bounds.late_after,
            timeout: PATIENCE,
            server_pid: Some(node.pid()),
            ..Plan::new(heads.collect::<io::Result<_>>()?, vec![step])
        };
        let (stop, stopped) = oneshot::channel();
        let seconds = Arc::<Mutex<Vec<_>>>::default();
        let to = Arc::clone(&seconds);
        let observe = move |progress: Progress<'_>| {
            if let Progress::Second(second) = progress {
                to.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), second.clone()));
            }
        };
        let run = tokio::spawn(async move { load(plan, observe, async move { drop(stopped.await) }).await });
        Ok(Self { seconds, stop, run })
    }

    async fn stop(self) -> io::Result<(Report, Vec<(Instant, Second)>)> {
        drop(self.stop);
        let report = self.run.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
        let seconds = std::mem::take(&mut *self.seconds.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((report, seconds))
    }
}
