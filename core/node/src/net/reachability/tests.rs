//! Many heads and some servers, on a paused clock.

use super::*;
use crate::net::address::AddressPolicy;
use crate::net::autonat::DIAL_REQUEST;
use crate::net::heads::{Reach, State, Status};
use crate::net::routing::table::Limits;
use libp2p::PeerId;
use std::collections::HashMap;

const ROOMY: Limits = Limits {
    len_max: 1_000_000,
    bucket_len_max: usize::MAX,
    bucket_group_len_max: usize::MAX,
    group_len_max: usize::MAX,
    group_own_max: usize::MAX,
};
const EVERY: Duration = Duration::from_secs(3600);

/// Servers, each of which says the same of every address.
#[derive(Debug, Default)]
struct Told {
    says: HashMap<PeerId, Result<Verdict, CheckError>>,
    asked: std::sync::Mutex<Vec<(u32, PeerId, Instant)>>,
}

impl Ask for Told {
    async fn ask(&self, head: &Head, server: Contact, _: Multiaddr) -> Result<Verdict, CheckError> {
        self.asked.lock().unwrap().push((head.slot, server.peer, Instant::now()));
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.says[&server.peer]
    }

    fn has_room(&self, _: &PeerId, _: &[Multiaddr]) -> bool {
        true
    }
}

/// A node with so many heads, and servers that say these; each is in an address group of its own.
struct Rig {
    parts: Parts<Told>,
    _phase: watch::Sender<Phase>,
    _statuses: Vec<watch::Sender<Status>>,
}

fn rig(heads: u32, says: &[Result<Verdict, CheckError>]) -> Rig {
    let (table, list, testers) =
        (Table::new(AddressPolicy::Any, ROOMY), HeadList::default(), Servers::default());
    let mut told = Told::default();
    table.set_own(PeerId::random(), &[], Instant::now().into_std());
    for (nth, says) in says.iter().enumerate() {
        let (peer, address) = (PeerId::random(), format!("/ip4/20.{nth}.0.1/tcp/1").parse().unwrap());
        table.insert(peer, &[address], None, Instant::now().into_std()).unwrap();
        testers.on_identified(&peer, &[DIAL_REQUEST]);
        told.says.insert(peer, *says);
    }
    let add = |slot: u32| {
        let address: Multiaddr = format!("/ip4/1.2.3.4/tcp/{}", 1 + slot).parse().unwrap();
        let status = Status {
            addresses: vec![address.clone()],
            advertised: vec![address],
            ready: true,
            ..Status::default()
        };
        let (hand, status) = watch::channel(status);
        list.add(Head::idle(slot, status));
        hand
    };
    let statuses = (0..heads).map(add).collect();
    let (hand, phase) = watch::channel(Phase::Serving);
    let parts = Parts {
        heads: Arc::new(list),
        table: Arc::new(table),
        testers: Arc::new(testers),
        asks: Arc::new(told),
        report: Arc::default(),
        every: EVERY,
        phase,
    };
    Rig { parts, _phase: hand, _statuses: statuses }
}

/// What is found of a head by servers that say these, and how many of them were asked.
async fn found(says: &[Result<Verdict, CheckError>]) -> (Reach, usize) {
    let rig = rig(1, says);
    rig.parts.round().await;
    let asked = rig.parts.asks.asked.lock().unwrap().len();
    let head = &rig.parts.heads.now()[0];
    assert_eq!(head.state(), State::Listening);
    (head.reach()[0].1, asked)
}

#[tokio::test(start_paused = true)]
async fn one_server_that_reaches_a_head_proves_it_and_three_that_do_not_are_believed() {
    let (yes, no, refused) = (Ok(Verdict::Reachable), Ok(Verdict::Unreachable), Err(CheckError::Refused));
    assert_eq!(found(&[yes; 5]).await, (Reach::Reachable, 1));
    assert_eq!(found(&[no; 5]).await, (Reach::Unreachable, 3));
    assert_eq!(found(&[no, no, yes]).await.0, Reach::Reachable, "two of three are wrong");
    assert_eq!(found(&[no, no]).await, (Reach::Unknown, 2));
    assert_eq!(found(&[refused, refused, refused, no, no, no]).await.0, Reach::Unreachable);
    assert_eq!(found(&[refused; 20]).await, (Reach::Unknown, ASKED_MAX));
    assert_eq!(found(&[]).await, (Reach::Unknown, 0));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_heads_take_turns_and_no_server_is_asked_by_all_at_once() {
    let rig = rig(1_000, &[Ok(Verdict::Reachable); 50]);
    let started = Instant::now();
    rig.parts.round().await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(9 * 60), "{took:?}");
    let asked = rig.parts.asks.asked.lock().unwrap();
    let mut at: Vec<_> = asked.iter().map(|(.., at)| *at).collect();
    at.sort_unstable();
    assert_eq!(at.len(), 1_000);
    let most = at.windows(4).map(|four| four[3] - four[0]).min().unwrap();
    assert!(most >= 3 * PACE - Duration::from_millis(5), "four requests in {most:?}");
    assert_eq!(rig.parts.heads.by_reach()[0], [1_000, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_round_that_could_ask_nobody_is_repeated_soon() {
    let mut rig = rig(1, &[]);
    let phase = rig.parts.phase.clone();
    let (table, testers) = (Arc::clone(&rig.parts.table), Arc::clone(&rig.parts.testers));
    let peer = PeerId::random();
    Arc::get_mut(&mut rig.parts.asks).unwrap().says.insert(peer, Ok(Verdict::Reachable));
    let heads = Arc::clone(&rig.parts.heads);
    let task = tokio::spawn(run(Parts { phase, ..rig.parts }));
    tokio::time::sleep(Duration::from_secs(60)).await;
    table.insert(peer, &["/ip4/20.0.0.1/tcp/1".parse().unwrap()], None, Instant::now().into_std()).unwrap();
    testers.on_identified(&peer, &[DIAL_REQUEST]);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(heads.by_reach()[0], [1, 0, 0]);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn what_no_server_says_any_more_is_forgotten_after_a_few_intervals() {
    let mut rig = rig(1, &[Ok(Verdict::Reachable)]);
    let mut states = Vec::new();
    for _ in 0..5 {
        rig.parts.round().await;
        states.push(rig.parts.heads.now()[0].reach()[0].1);
        let says = &mut Arc::get_mut(&mut rig.parts.asks).unwrap().says;
        says.values_mut().for_each(|says| *says = Err(CheckError::Refused));
        tokio::time::sleep(EVERY).await;
    }
    assert_eq!((states[0], states[1]), (Reach::Reachable, Reach::Reachable), "one refusal tells nothing");
    assert_eq!(states[4], Reach::Unknown);
}
