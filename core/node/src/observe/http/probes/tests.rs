use super::*;
use crate::net::autonat::Verdict;
use crate::net::heads::Way;
use crate::observe::node_view::sample;
use futures::FutureExt;

/// The checks that fail, as text.
fn failed(checks: Vec<Check>) -> Vec<String> {
    let told = |check: Check| check.result.err().map(|why| format!("{}: {why}", check.name));
    checks.into_iter().filter_map(told).collect()
}

#[tokio::test]
async fn a_node_is_ready_once_all_heads_listen_and_stays_so_while_one_does() {
    let node = sample::node(3);
    let ready = || failed(ready(&node.node_view));
    assert_eq!(ready(), ["node: starting: 0 of 3 heads listen", "heads: none of 3 heads listens"]);
    node.listen(2);
    assert_eq!(ready(), ["node: starting: 2 of 3 heads listen"]);
    node.listen(3);
    assert_eq!(ready(), ["node: starting: 3 of 3 heads listen"], "the start is not over yet");
    node.node_view.started(Vec::new());
    assert_eq!(ready(), [""; 0]);
    let fail = |head: usize| {
        node.heads[head].send_modify(|status| status.failure = Some("a panic".to_owned()));
    };
    fail(0);
    fail(1);
    assert_eq!(ready(), [""; 0], "two are down, and the third serves");
    fail(2);
    assert_eq!(ready(), ["heads: none of 3 heads listens"]);
    assert_eq!(failed(live(&node.node_view)), [""; 0], "they are started again by themselves");
}

#[tokio::test]
async fn heads_that_nobody_reaches_are_told_and_leave_the_node_ready() {
    let node = sample::node(2);
    node.listen(2);
    node.node_view.started(Vec::new());
    let address: libp2p::Multiaddr = "/ip4/1.2.3.4/tcp/1".parse().unwrap();
    let told = || {
        let found = ready(&node.node_view).into_iter().find(|check| check.name == "reachability");
        found.and_then(|check| check.note).unwrap_or_default()
    };
    assert_eq!(told(), "2 heads advertise no address");
    for head in &node.heads {
        head.send_modify(|status| status.advertised = vec![address.clone()]);
    }
    assert_eq!(told(), "", "nothing is known yet");
    let heads = node.node_view.heads.now();
    heads[0].found.record(Way::ALL[0], address.clone(), Verdict::Reachable);
    assert_eq!(told(), "");
    heads[1].found.record(Way::ALL[0], address, Verdict::Unreachable);
    assert_eq!(told(), "1 of 2 heads are unreachable over tcp/ip4");
    assert_eq!(failed(ready(&node.node_view)), [""; 0]);
}

#[tokio::test]
async fn a_table_without_servers_is_told_and_leaves_the_node_ready() {
    let node = sample::node(1);
    node.listen(1);
    node.node_view.started(Vec::new());
    let told = || ready(&node.node_view).into_iter().find(|check| check.name == "table").unwrap().note;
    assert_eq!(told().as_deref(), Some("no other server is in the peer table"));
    assert_eq!(failed(ready(&node.node_view)), [""; 0]);
    let address: libp2p::Multiaddr = "/ip4/1.2.3.4/tcp/1".parse().unwrap();
    let (table, addresses, now) = (&node.node_view.table, [address], std::time::Instant::now());
    table.set_own(libp2p::PeerId::random(), &addresses, now);
    assert!(told().is_some(), "a head of this node is no other server");
    table.insert(libp2p::PeerId::random(), &addresses, None, now).unwrap();
    assert_eq!(told(), None);
}

#[tokio::test]
async fn a_node_that_stops_is_not_ready_and_lives() {
    let mut node = sample::node(1);
    node.listen(1);
    node.node_view.started(Vec::new());
    node.phase.send_replace(Phase::Draining);
    assert_eq!(failed(ready(&node.node_view)), ["node: stopping"]);
    node.phase.send_replace(Phase::Stopping);
    node.heads.clear();
    assert_eq!(failed(ready(&node.node_view)), ["node: stopping", "heads: none of 1 heads listens"]);
    assert_eq!(failed(live(&node.node_view)), [""; 0]);
}

#[tokio::test]
async fn a_task_that_nobody_starts_again_is_the_end_of_the_process() {
    let node = sample::node(3);
    node.listen(3);
    let running = tokio::spawn(std::future::pending::<()>());
    node.node_view.started(vec![("table_maintenance", running.abort_handle())]);
    assert_eq!(failed(live(&node.node_view)), [""; 0]);
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(failed(live(&node.node_view)), ["tasks: the table_maintenance has ended"]);
    assert_eq!(failed(ready(&node.node_view)), [""; 0], "it serves as well as it can until then");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_does_not_get_to_its_tasks_is_stuck() {
    let node = sample::node(1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(failed(live(&node.node_view)), [""; 0], "tasks run");
    // The clock goes on, and no task runs meanwhile.
    assert_eq!(tokio::time::advance(Duration::from_secs(11)).now_or_never(), None);
    assert_eq!(failed(live(&node.node_view)), ["runtime: the runtime has not run a timer for 11 s"]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(failed(live(&node.node_view)), [""; 0]);
}

#[test]
fn a_node_whose_writes_alone_are_paused_is_ready_and_says_so() {
    let paused = |calls, reads| {
        let since = Duration::from_secs(3);
        pause(Some(Pause { calls, reads, since, because: "the disk is full".to_owned() }))
    };
    let told = |calls: &str| Some(format!("{calls} unavailable for 3 s: the disk is full"));
    assert_eq!(pause(None), (None, None));
    assert_eq!(paused("writes", false), (None, told("writes")));
    assert_eq!(paused("reads", true), (told("reads"), None));
    assert_eq!(paused("reads and writes", true), (told("reads and writes"), None));
}
