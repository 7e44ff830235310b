//! What is measured: nodes of one arm over a server that is held to its share.

use crate::arm::Arm;
use crate::form::Form;
use crate::load;
use crate::place::Place;
use crate::preload::preload;
use crate::quota::Quota;
use crate::sample::{Sampled, Sampler};
use crate::server::{Server, Slot};
use crate::warm_up::warm_up;
use hydra_integration_tests::node::{Home, Node, command};
use hydra_load::KeySpace;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How long nodes and server have to come to rest before a load.
pub(crate) const REST: Duration = Duration::from_secs(2);

/// A server that holds the keys, for one ground after the other.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    pub(crate) place: &'a Place,
    pub(crate) form: &'a Form,
    program: &'a Path,
    pub(crate) server: Slot,
}

/// Nodes over a server that is held to its share.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) nodes: Vec<Node>,
    pub(crate) quota: Arc<Quota>,
    pub(crate) sampler: Sampler,
}

impl<'a> Site<'a> {
    /// Starts the server and writes the keys.
    ///
    /// # Errors
    /// If it does not start, or does not take them.
    pub(crate) async fn prepare(place: &'a Place, form: &'a Form, program: &'a Path) -> io::Result<Self> {
        say(&place.name, &format!("starting the server, writing {} records", form.keys));
        let server = Server::start(place.backend)?;
        fill(&server, place, form).await?;
        server.keep()?;
        Ok(Self { place, form, program, server: Slot::of(server) })
    }

    /// Starts nodes of an arm, and holds the server to its share. `base` is the rate that saturates it.
    ///
    /// # Errors
    /// If a node does not start.
    pub(crate) async fn ground(&mut self, arm: &Arm, nodes: usize, base: f64) -> io::Result<Ground> {
        self.server.get_mut()?.renew()?;
        let mut started = Vec::new();
        // Each has a seed of its own, and with it other identities.
        for _ in 0..nodes {
            started.push(self.start(arm, base).await?);
        }
        let at = self.server.get()?.address();
        let probe = at.probe().await?;
        warm_up(&started, self.server.get()?, self.form).await?;
        sleep(REST).await;
        let quota = Arc::new(self.server.get()?.hold(probe.pid(), self.place.share)?);
        let sampled = started.iter().map(sampled).collect::<io::Result<_>>()?;
        let sampler = Sampler::start(at, probe, Arc::clone(&quota), sampled);
        Ok(Ground { nodes: started, quota, sampler })
    }

    async fn start(&self, arm: &Arm, base: f64) -> io::Result<Node> {
        let home = Home::new()?;
        let config = arm.config(self.place.backend, self.server.get()?.port(), base)?;
        let file = home.path().join("laboratory.toml");
        std::fs::write(&file, toml::to_string(&config).map_err(io::Error::other)?)?;
        let mut command = command(self.program, &home, &[]);
        command.env("HYDRA_CONFIG", file);
        Node::launch(&home, command).await
    }
}

impl Ground {
    /// Stops the nodes. The server is held no longer.
    ///
    /// # Errors
    /// If one does not stop.
    pub(crate) async fn stop(self) -> io::Result<()> {
        // A node writes what it has, which would take long within the share.
        drop((self.sampler, self.quota));
        for mut node in self.nodes {
            // One that was killed is gone.
            if node.is_running()? {
                node.stop().await?;
            }
        }
        Ok(())
    }
}

/// What goes on, for who watches.
pub(crate) fn say(of: &str, what: &str) {
    eprintln!("{of}: {what}");
}

fn sampled(node: &Node) -> io::Result<Sampled> {
    let http = node.http().ok_or_else(|| io::Error::other("the node has no metrics"))?;
    Ok(Sampled { http, pid: node.pid() })
}

async fn fill(server: &Server, place: &Place, form: &Form) -> io::Result<()> {
    let config = crate::arm::deployment(place.backend, server.port())?;
    let mut table = config.get("store").and_then(|store| store.as_table()).cloned().unwrap_or_default();
    table.remove("kind");
    // Batches of the preload may take longer than those of a node.
    table.insert("statement_timeout_ms".to_owned(), toml::Value::Integer(60_000));
    let space = KeySpace::new(&load::plan(Vec::new(), form.keys, Vec::new())).map_err(io::Error::other)?;
    let hot = KeySpace::new(&load::hot_key(Vec::new(), Vec::new())).map_err(io::Error::other)?;
    preload(place.backend.name(), table, &space, form.keys, &hot, form.hot_providers).await
}
