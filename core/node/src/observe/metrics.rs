//! What a scrape sees: the counters of all parts of the node, read and written down at the moment in which they are
//! asked for.
//!
//! Every name begins with `hydra_`, but for those of the process, which are Prometheus' own, and those that the store publishes of
//! itself, which begin with `db_` as OpenTelemetry's do. Units are base units. No
//! label names a peer, a key or an address: the values of each are a short list that is known beforehand, and all of a
//! list are told from the start, with 0 for what has not happened. That makes fewer than 2,500 series, however long the
//! node runs; a test counts them. Each kind of policy that does not come with hydra adds 32 at most, and a store 1,000 samples of its
//! own.

mod admission;
mod backend;
mod leases;
mod memory;
mod network;
mod page;
mod process;
mod reads;
mod requests;
mod routing;
mod store;
mod text;
mod traces;
mod values;
mod writes;

use crate::observe::node_view::NodeView;
use backend::Published;
use hydra_engine::Snapshot;
use page::Page;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::{Arc, Mutex};

/// How this program was compiled.
pub(crate) const PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// In which words the metrics are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' text format, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Its name in HTTP.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The metrics of a node.
#[derive(Debug)]
pub(crate) struct Metrics(Registry);

impl Metrics {
    /// Those of this node.
    pub(crate) fn new(node_view: Arc<NodeView>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Node { view: node_view, turn: Mutex::default() }));
        Self(registry)
    }

    /// All of them, as of now. It reads from `/proc`, so it is not for a task that has to be fast.
    ///
    /// # Errors
    /// When a part cannot be written down, which no input brings about.
    pub(crate) fn page(&self, format: Format) -> Result<String, fmt::Error> {
        let mut page = String::new();
        encode(&mut page, &self.0)?;
        Ok(match format {
            Format::OpenMetrics => page,
            Format::Text => text::of_open_metrics(&page),
        })
    }
}

/// Reads what a node has counted.
#[derive(Debug)]
struct Node {
    view: Arc<NodeView>,
    /// Held while the store is asked.
    turn: Mutex<()>,
}

impl Collector for Node {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let published = Published::of(&*self.view.store, &self.turn);
        write(&self.view, &self.view.engine.stats(), &published, &mut Page::new(encoder))
    }
}

fn write(node_view: &NodeView, engine: &Snapshot, published: &Published, page: &mut Page<'_>) -> fmt::Result {
    build(node_view, page)?;
    requests::write(engine, page)?;
    admission::write(engine, page)?;
    reads::write(engine, page)?;
    writes::write(engine, page)?;
    values::write(engine, page)?;
    store::write(engine, &node_view.config.store.kind, page)?;
    published.write(&node_view.config.store.kind, page)?;
    leases::write(node_view, page)?;
    network::write(node_view, page)?;
    routing::write(node_view, page)?;
    traces::write(node_view, page)?;
    memory::write(&node_view.memory, page)?;
    process::write(page)
}

fn build(node_view: &NodeView, page: &mut Page<'_>) -> fmt::Result {
    let config = &node_view.config;
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("profile", PROFILE),
        ("store", &config.store.kind),
        ("ids", &config.ids.kind),
    ];
    let help = "Version, build profile, kind of the store and of the allocator of identities; always 1.";
    page.info("hydra_build_info", help, labels)
}

#[cfg(test)]
mod tests;
