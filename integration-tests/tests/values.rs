//! PUT_VALUE and GET_VALUE on a whole node (rows U1 to U12 of the protocol's requirements).

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

use bytes::Bytes;
use hydra_integration_tests::names::{Name, put};
use hydra_integration_tests::network::PROTOCOL;
use hydra_integration_tests::node::{Head, Home, Node};
use hydra_integration_tests::peer::{Peer, Setup};
use hydra_integration_tests::raw::RawPeer;
use hydra_kad::{Answer, Record, Request};
use hydra_records::Timestamp;
use libp2p::identity::Keypair;
use std::time::{Duration, Instant, SystemTime};

/// Puts a record over a new connection: whether it is answered, or the stream reset.
async fn is_answered(head: &Head, request: Request) -> bool {
    let mut stream = RawPeer::new(PROTOCOL).stream(head.tcp()).await.unwrap();
    stream.send(&request).await.unwrap();
    match stream.frame().await {
        Ok(_) => true,
        Err(_) => {
            assert!(stream.is_reset().await.unwrap());
            false
        }
    }
}

async fn answer_to(client: &Peer, head: &Head, request: Request) -> Answer {
    client.ask(head.tcp(), request).await.unwrap()
}

async fn get(client: &Peer, head: &Head, key: &Bytes) -> Option<Record> {
    answer_to(client, head, Request::GetValue { key: key.clone() }).await.record
}

#[tokio::test]
async fn u6_u7_u11_what_one_head_has_taken_all_heads_serve_at_once() {
    let node = Node::start(&["heads.count=3", "engine.flush_interval_ms=60000"]).await.unwrap();
    let [first, second, third] = node.heads() else { panic!("three heads") };
    let (client, name) = (Peer::client(PROTOCOL), Name::default());
    let (key, record) = (name.key(), name.record(5).unwrap());
    assert_eq!(get(&client, first, &key).await, None);
    let echo = answer_to(&client, first, put(&key, &record)).await;
    let repeated = echo.record.unwrap();
    assert_eq!((&repeated.key, &repeated.value), (&key, &record));
    assert!(echo.closer.is_empty() && echo.providers.is_empty(), "without peers");
    for head in [first, second, third] {
        let found = get(&client, head, &key).await.unwrap();
        assert_eq!((&found.key, &found.value), (&key, &record));
    }
    // U6: the better one stays, at whichever head it is put.
    assert!(!is_answered(second, put(&key, &name.record(4).unwrap())).await, "a worse one is reset");
    assert!(!is_answered(second, put(&key, &name.until(5, "2089-01-01T00:00:00Z").unwrap())).await);
    assert!(is_answered(third, put(&key, &record)).await, "an equal one is accepted");
    assert_eq!(get(&client, third, &key).await.unwrap().value, record);
    answer_to(&client, third, put(&key, &name.record(6).unwrap())).await;
    assert_eq!(get(&client, first, &key).await.unwrap().value, name.record(6).unwrap());
}

#[tokio::test]
async fn u1_u2_u4_u5_what_is_no_record_of_the_key_is_reset_and_what_has_no_record_gets_closer_peers() {
    let node = Node::start(&["heads.count=3"]).await.unwrap();
    let head = &node.heads()[0];
    let (name, other) = (Name::default(), Name::default());
    let (key, record) = (name.key(), name.record(1).unwrap());
    let bare = Request::PutValue { key: key.clone(), record: None };
    let of_other = Request::PutValue {
        key: key.clone(),
        record: Some(Record { key: other.key(), value: record.clone(), time_received: Bytes::new() }),
    };
    let mut forged = record.to_vec();
    forged[10] ^= 1;
    let resets = [
        ("no record", bare),
        ("another key", of_other),
        ("an empty key", put(&Bytes::new(), &record)),
        ("another's record", put(&other.key(), &record)),
        ("another namespace", put(&b"/other/name".as_slice().into(), &record)),
        ("no namespace", put(&b"name".as_slice().into(), &record)),
        ("a wrong signature", put(&key, &forged.into())),
        ("an end that has come", put(&key, &name.until(1, "2020-01-01T00:00:00Z").unwrap())),
        ("10,241 bytes", put(&key, &name.sized(10_241).unwrap())),
        ("nothing", put(&key, &Bytes::new())),
    ];
    for (what, request) in resets {
        assert!(!is_answered(head, request).await, "{what} is not reset");
    }
    let (client, long) = (Peer::client(PROTOCOL), Name::default());
    let longest = long.sized(10_240).unwrap();
    assert_eq!(longest.len(), 10_240);
    assert!(is_answered(head, put(&long.key(), &longest)).await, "10,240 bytes");
    assert_eq!(get(&client, head, &long.key()).await.unwrap().value, longest);
    for key in [key, b"/other/name".as_slice().into(), b"name".as_slice().into()] {
        let answer = answer_to(&client, head, Request::GetValue { key }).await;
        assert_eq!(answer.record, None);
        assert_eq!(answer.closer.len(), 2, "the other heads");
    }
}

/// Without a record go's client panics, and rust's takes any for the one that it sent.
#[tokio::test]
async fn u7_a_record_that_is_not_stored_now_is_answered_with_one_without_a_value_and_reset_for_rust() {
    let full = ["heads.count=1", "engine.values.queue_len_max=1", "engine.flush_interval_ms=60000"];
    let node = Node::start(&full).await.unwrap();
    let (head, stored, new) = (&node.heads()[0], Name::default(), Name::default());
    let other = Setup { agent: Some("kubo/0.43.0/"), ..Setup::new(PROTOCOL) }.start().await;
    answer_to(&other, head, put(&stored.key(), &stored.record(1).unwrap())).await;
    let answer = answer_to(&other, head, put(&new.key(), &new.record(1).unwrap())).await;
    let record = answer.record.unwrap();
    assert_eq!((record.key, record.value.len()), (new.key(), 0));
    assert!(Timestamp::parse_rfc3339(&record.time_received).is_some(), "js reads it");
    let rust = Peer::client(PROTOCOL);
    // Once identify has told who it is.
    answer_to(&rust, head, Request::Ping { key: Bytes::new() }).await;
    let is_reset = async || rust.ask(head.tcp(), put(&new.key(), &new.record(1).unwrap())).await.is_err();
    for _ in 0..100 {
        if is_reset().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is answered to rust-libp2p too");
}

#[tokio::test]
async fn u3_a_public_key_is_kept_under_its_own_id_alone() {
    let node = Node::start(&["heads.count=1"]).await.unwrap();
    let (head, client) = (&node.heads()[0], Peer::client(PROTOCOL));
    let [one, other] = [(); 2].map(|()| Keypair::generate_secp256k1().public());
    let key = |public: &libp2p::identity::PublicKey| -> Bytes {
        [b"/pk/", public.to_peer_id().to_bytes().as_slice()].concat().into()
    };
    let value: Bytes = one.encode_protobuf().into();
    answer_to(&client, head, put(&key(&one), &value)).await;
    assert_eq!(get(&client, head, &key(&one)).await.unwrap().value, value);
    assert!(!is_answered(head, put(&key(&other), &value)).await, "somebody else's key");
}

#[tokio::test]
async fn u8_the_time_of_receipt_is_the_head_s_own() {
    let node = Node::start(&["heads.count=1"]).await.unwrap();
    let (head, client, name) = (&node.heads()[0], Peer::client(PROTOCOL), Name::default());
    let before = Timestamp::from(SystemTime::now()).unix_seconds();
    answer_to(&client, head, put(&name.key(), &name.record(1).unwrap())).await;
    let found = get(&client, head, &name.key()).await.unwrap();
    let told = Timestamp::parse_rfc3339(&found.time_received).unwrap().unix_seconds();
    let after = Timestamp::from(SystemTime::now()).unix_seconds();
    assert!((before - 1..=after + 1).contains(&told), "{found:?}");
}

#[tokio::test]
async fn u9_u12_a_record_survives_a_restart_and_is_not_served_beyond_its_end() {
    let home = Home::new().unwrap();
    let node = Node::start_in(&home, &["heads.count=2"]).await.unwrap();
    let (client, name, short) = (Peer::client(PROTOCOL), Name::default(), Name::default());
    let end = SystemTime::now() + Duration::from_secs(8);
    let end = Timestamp::from(end).unix_seconds();
    let eol = time::OffsetDateTime::from_unix_timestamp(end).unwrap();
    let eol = eol.format(&time::format_description::well_known::Rfc3339).unwrap();
    answer_to(&client, &node.heads()[0], put(&name.key(), &name.record(3).unwrap())).await;
    answer_to(&client, &node.heads()[0], put(&short.key(), &short.until(1, &eol).unwrap())).await;
    assert!(get(&client, &node.heads()[1], &short.key()).await.is_some());
    assert!(node.stop().await.unwrap().success());
    let node = Node::start_in(&home, &["heads.count=2"]).await.unwrap();
    let (head, client) = (&node.heads()[1], Peer::client(PROTOCOL));
    assert_eq!(get(&client, head, &name.key()).await.unwrap().value, name.record(3).unwrap());
    assert!(!is_answered(head, put(&name.key(), &name.record(2).unwrap())).await, "it knows the better one");
    while Timestamp::from(SystemTime::now()).unix_seconds() <= end {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(get(&client, head, &short.key()).await, None);
}

#[tokio::test]
async fn u10_a_hundred_puts_of_one_name_at_all_heads_end_with_the_highest_sequence() {
    let node = Node::start(&["heads.count=4"]).await.unwrap();
    let name = Name::default();
    let puts = (0..100u64).map(|number| {
        let head = &node.heads()[number as usize % 4];
        let request = put(&name.key(), &name.record(number * 37 % 100).unwrap());
        async move { drop(Peer::client(PROTOCOL).ask(head.tcp(), request).await) }
    });
    futures::future::join_all(puts).await;
    let client = Peer::client(PROTOCOL);
    for head in node.heads() {
        assert_eq!(get(&client, head, &name.key()).await.unwrap().value, name.record(99).unwrap());
    }
}

#[tokio::test]
async fn a_node_that_keeps_no_value_records_resets_puts() {
    let node = Node::start(&["heads.count=2", "engine.values.enabled=false"]).await.unwrap();
    let (head, name) = (&node.heads()[0], Name::default());
    assert!(!is_answered(head, put(&name.key(), &name.record(1).unwrap())).await);
    let answer = answer_to(&Peer::client(PROTOCOL), head, Request::GetValue { key: name.key() }).await;
    assert_eq!((answer.record, answer.closer.len()), (None, 1));
}

/// The statements for value records that the node has made.
async fn statements(node: &Node) -> f64 {
    node.metrics().await.unwrap().sum("hydra_value_statements_total", &[])
}

async fn puts(node: &Node, result: &str) -> f64 {
    node.metrics().await.unwrap().sum("hydra_value_puts_total", &[("result", result)])
}

async fn checks(node: &Node, result: &str) -> f64 {
    node.metrics().await.unwrap().sum("hydra_value_signature_checks_total", &[("result", result)])
}

/// The address of a head over TCP, of one family.
fn tcp<'h>(head: &'h Head, family: &str) -> &'h libp2p::Multiaddr {
    let mut addresses = head.addresses.iter().map(|address| (address, address.to_string()));
    let found = addresses.find(|(_, text)| text.starts_with(family) && text.contains("/tcp/"));
    found.map(|(address, _)| address).unwrap_or_else(|| panic!("no {family} among {:?}", head.addresses))
}

/// Puts records with wrong signatures until it is ended.
async fn flood(head: Head, names: usize) {
    let client = Peer::client(PROTOCOL);
    let forged: Vec<_> = (0..names)
        .map(|_| {
            let name = Name::default();
            let mut record = name.record(1).unwrap().to_vec();
            record[10] ^= 1;
            put(&name.key(), &record.into())
        })
        .collect();
    for request in forged.iter().cycle() {
        // One that is checked is reset, the others are answered with a record without a value, or reset as well.
        if let Ok(answer) = client.ask(tcp(&head, "/ip4/"), request.clone()).await {
            assert!(answer.record.unwrap().value.is_empty(), "what is forged is never taken");
        }
    }
}

/// A prefix that sends nothing but wrong signatures uses up its own checks, and neither statements nor what others have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_signatures_of_one_prefix_cost_few_checks_and_no_statement_and_nothing_of_others() {
    const PER_SECOND: u32 = 10;
    let per_prefix = format!("engine.values.checks_per_prefix_per_second={PER_SECOND}");
    // A machine that is busy with other tests may take its time.
    let settings = [
        "heads.count=2",
        "heads.listen=[\"127.0.0.1\", \"::1\"]",
        &per_prefix,
        "store.kind=memory",
        "engine.flush_interval_ms=50",
        "engine.soft_deadline_ms=5000",
        "engine.waiting_ms_max=100",
        "engine.peak.requests_per_second=0",
    ];
    let node = Node::start(&settings).await.unwrap();
    // Over IPv6, and so of another prefix than the others.
    let honest = Peer::client(PROTOCOL);
    let begun = Instant::now();
    let flooding: Vec<_> = (0..8).map(|at| tokio::spawn(flood(node.heads()[at % 2].clone(), 50))).collect();
    let before = statements(&node).await;
    while puts(&node, "checks_used_up").await < 500.0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(statements(&node).await, before, "a record with a wrong signature costs no statement");

    let refused = puts(&node, "checks_used_up").await;
    for number in 0..60u32 {
        let (name, head) = (Name::default(), &node.heads()[number as usize % 2]);
        let record = name.record(number.into()).unwrap();
        // Its own budget is as small: it does not ask for more of it.
        while f64::from(number) > begun.elapsed().as_secs_f64() * f64::from(PER_SECOND) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for request in [put(&name.key(), &record), name.get()] {
            let answer = honest.ask(tcp(head, "/ip6/"), request).await.unwrap();
            assert_eq!(answer.record.map(|record| record.value).as_ref(), Some(&record), "{number}");
        }
    }
    assert!(puts(&node, "checks_used_up").await > refused, "the flood went on meanwhile");
    flooding.iter().for_each(tokio::task::JoinHandle::abort);
    for flood in flooding {
        assert!(flood.await.is_err_and(|ended| ended.is_cancelled()), "nothing forged was taken");
    }
    // Two seconds of a budget are saved up; a wrong one takes as much as ten, and some may be checked at a time.
    let most = (begun.elapsed().as_secs_f64() + 2.0) * f64::from(PER_SECOND) / 10.0 + 8.0;
    let (wrong, valid) = (checks(&node, "wrong").await, checks(&node, "valid").await);
    assert!((1.0..=most).contains(&wrong), "{wrong} wrong signatures were checked, and {most} may be");
    assert_eq!(valid, 60.0);
    // A read and a write for each of the others' names, at most.
    assert!(statements(&node).await - before <= 120.0);
    assert_eq!(node.metrics().await.unwrap().sum("hydra_store_calls_failed_total", &[]), 0.0);
}
