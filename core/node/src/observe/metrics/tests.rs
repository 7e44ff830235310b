use super::*;
use crate::observe::node_view::sample;
use hydra_api::{Estimate, EstimateMethod, Operation, Rung};
use hydra_engine::{Ending, EstimateNow, PolicyMode, RequestCount, Snapshot, Verdicts};
use std::time::Duration;

/// The most series that a node tells, whatever has happened to it.
const SERIES_MAX: usize = 2_500;
/// As many kinds of policies as come with hydra, each in both modes.
const POLICIES: [&str; 3] = ["denylist", "queue-depth", "token-bucket"];
/// Reasons that one policy is counted with, "other" included.
const REASONS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "other"];

/// A page made from this snapshot instead of the node's own.
#[derive(Debug)]
struct From(Arc<NodeView>, Snapshot);

impl Collector for From {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        write(&self.0, &self.1, &Published::default(), &mut Page::new(encoder))
    }
}

fn page(node_view: &Arc<NodeView>, snapshot: Snapshot) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(From(Arc::clone(node_view), snapshot)));
    let mut page = String::new();
    encode(&mut page, &registry).unwrap();
    text::of_open_metrics(&page)
}

fn series(page: &str) -> usize {
    page.lines().filter(|line| !line.starts_with('#')).count()
}

/// Everything that can be counted was.
fn full(mut snapshot: Snapshot) -> Snapshot {
    let latency = snapshot.latencies[0].1.clone();
    for operation in Operation::ALL {
        for ending in Ending::ALL {
            let counts =
                Rung::ALL.map(|rung| RequestCount { operation, ending, rung, latency: latency.clone() });
            snapshot.requests.extend(counts);
        }
    }
    for (policy, mode) in
        POLICIES.iter().flat_map(|policy| [(policy, PolicyMode::Enforce), (policy, PolicyMode::Shadow)])
    {
        let verdicts = |verdict, reason| Verdicts {
            policy: (*policy).to_owned(),
            mode,
            verdict,
            reason: str::to_owned(reason),
            count: 1,
        };
        snapshot.verdicts.push(verdicts("admit", ""));
        snapshot.verdicts.extend(Rung::ALL.map(|rung| verdicts("degrade", rung.as_str())));
        snapshot.verdicts.extend(REASONS.map(|reason| verdicts("decline", reason)));
    }
    let estimate = Estimate::new(1, Duration::ZERO, EstimateMethod::Counted);
    snapshot.estimate = Some(EstimateNow { estimate, age: Duration::ZERO });
    snapshot
}

#[tokio::test]
async fn whatever_happens_there_are_few_series() {
    let node = sample::node(3);
    let (fresh, all) = (
        series(&page(&node.node_view, node.node_view.engine.stats())),
        series(&page(&node.node_view, full(node.node_view.engine.stats()))),
    );
    assert!(fresh > 250 && fresh < all, "{fresh} of a node that has done nothing");
    assert!(all < SERIES_MAX, "{all} series");
}

#[tokio::test]
async fn policies_of_one_kind_are_added_up() {
    let node = sample::node(1);
    let mut snapshot = node.node_view.engine.stats();
    let verdicts = |mode, count| Verdicts {
        policy: "token-bucket".to_owned(),
        mode,
        verdict: "admit",
        reason: String::new(),
        count,
    };
    snapshot.verdicts = vec![
        verdicts(PolicyMode::Enforce, 2),
        verdicts(PolicyMode::Shadow, 40),
        verdicts(PolicyMode::Enforce, 3),
    ];
    let page = page(&node.node_view, snapshot);
    let told: Vec<_> = page.lines().filter(|line| line.contains("verdict=\"admit\"")).collect();
    let line = |mode: &str, count: u32| {
        format!(
            "hydra_admission_verdicts_total{{policy=\"token-bucket\",mode=\"{mode}\",verdict=\"admit\",reason=\"\"}} {count}"
        )
    };
    assert_eq!(told, [line("enforce", 5), line("shadow", 40)]);
}
