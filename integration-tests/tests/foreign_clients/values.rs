//! Value records of foreign clients (rows U1 to U13 of the protocol's requirements): what one puts at one head, it and others
//! get at another.

use crate::{Library, PAUSE, TRIES, Transport, trial_of};
use hydra_integration_tests::foreign::{Event, Told};
use hydra_integration_tests::node::{Home, Node};
use hydra_records::Timestamp;
use libp2p::identity::Keypair;
use libtest_mimic::{Failed, Trial};
use std::time::{Duration, SystemTime};

const THREE_HEADS: &[&str] = &["heads.count=3"];
/// How long a record is valid whose end a test waits for. If it takes longer to ask for it, the test says so.
const SHORT: Duration = Duration::from_secs(12);
/// Answers hold at most this many closer peers (U11).
const CLOSER_MAX: usize = 20;

pub(crate) fn trials(transport: Transport, go: &Library, js: &Library) -> Vec<Trial> {
    let mut trials = Vec::new();
    for library in [go, js] {
        let name = |what: &str| format!("{what}_of_{}", library.name());
        trials.extend([
            trial_of(&name("u6_u7_u8_u11_the_best_value"), transport, &[library], move |of| {
                the_best_stays(transport, of)
            }),
            trial_of(&name("u3_the_public_key"), transport, &[library], move |of| public_key(transport, of)),
            trial_of(&name("u5_an_expired_value"), transport, &[library], move |of| expired(transport, of)),
            trial_of(&name("u6_a_value_that_is_not_stored_now"), transport, &[library], move |of| {
                not_now(transport, of)
            }),
        ]);
    }
    trials.push(trial_of("u6_each_gets_the_value_that_the_other_put", transport, &[go, js], move |of| {
        each_others(transport, of)
    }));
    trials.push(trial_of("u6_a_search_of_go_with_a_quorum_corrects_a_node", transport, &[go], move |of| {
        with_quorum(transport, of)
    }));
    trials
}

/// Whose records are put.
struct Owner {
    private_hex: String,
    public: Option<&'static str>,
}

/// What a client put, and what was said to it.
struct Put {
    key: String,
    value: String,
    library: String,
    server: String,
}

/// What a client got.
#[derive(Debug)]
struct Got {
    told: Option<Told>,
    closer_len: usize,
    best: Option<String>,
    searched: Vec<String>,
}

impl Owner {
    fn of(keys: &Keypair) -> Result<Self, Failed> {
        let private_hex = keys.to_protobuf_encoding()?.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { private_hex, public: None })
    }

    fn new() -> Result<Self, Failed> {
        Self::of(&Keypair::generate_ed25519())
    }

    async fn put(&self, by: &Library, at: &str, sequence: u64, lifetime: &str) -> Result<Put, Failed> {
        let sequence = sequence.to_string();
        let lifetime = format!("--lifetime={lifetime}");
        let own =
            ["put-value", "--peer", at, "--owner", &self.private_hex, "--sequence", &sequence, &lifetime];
        let args: Vec<_> = own.into_iter().chain(self.public).collect();
        match by.program()?.run(&args).await? {
            Event::Put { key_hex, value_hex, library, server } => {
                Ok(Put { key: key_hex, value: value_hex, library, server })
            }
            other => Err(format!("{other:?}").into()),
        }
    }

    /// Puts a record that is taken, and returns its value.
    async fn taken(&self, by: &Library, at: &str, sequence: u64) -> Result<String, Failed> {
        let put = self.put(by, at, sequence, "1h").await?;
        assert_eq!((put.library.as_str(), put.server.as_str()), ("", ""), "{sequence} by {}", by.name());
        Ok(put.value)
    }

    async fn get(&self, by: &Library, at: &str, more: &[&str]) -> Result<Got, Failed> {
        let own = ["get-value", "--peer", at, "--owner", &self.private_hex];
        let args: Vec<_> = own.iter().chain(&self.public).chain(more).copied().collect();
        match by.program()?.run(&args).await? {
            Event::Got { told, closer, best, searched } => {
                Ok(Got { told, closer_len: closer.len(), best, searched })
            }
            other => Err(format!("{other:?}").into()),
        }
    }

    /// Gets what must be this value.
    async fn finds(&self, by: &Library, at: &str, value: &str) -> Result<Told, Failed> {
        let got = self.get(by, at, &[]).await?;
        assert_eq!(got.best.as_deref(), Some(value), "{}: {got:?}", by.name());
        assert!(got.searched.iter().all(|found| found == value), "{got:?}");
        assert!((1..=CLOSER_MAX).contains(&got.closer_len), "{got:?}");
        let told = got.told.ok_or("the head told no record")?;
        assert_eq!(told.value_hex, value);
        Ok(told)
    }

    /// Gets nothing.
    async fn finds_nothing(&self, by: &Library, at: &str) -> Result<(), Failed> {
        let got = self.get(by, at, &[]).await?;
        assert!(got.told.is_none() && got.best.is_none() && got.searched.is_empty(), "{got:?}");
        assert!(got.closer_len > 0, "closer peers all the same");
        Ok(())
    }
}

async fn the_best_stays(transport: Transport, libraries: Vec<Library>) -> Result<(), Failed> {
    let (node, library, owner) = (Node::start(THREE_HEADS).await?, &libraries[0], Owner::new()?);
    let [first, second, third] = node.heads() else { return Err("not three heads".into()) };
    let [first, second, third] = [first, second, third].map(|head| transport.of(head));
    owner.finds_nothing(library, &second).await?;
    let began = Timestamp::from(SystemTime::now()).unix_seconds();
    let put = owner.put(library, &first, 5, "1h").await?;
    assert_eq!((put.library.as_str(), put.server.as_str()), ("", ""));
    let told = owner.finds(library, &second, &put.value).await?;
    assert_eq!(told.key_hex, put.key);
    let received = Timestamp::parse_rfc3339(told.time_received.as_bytes()).ok_or("no time")?.unix_seconds();
    let now = Timestamp::from(SystemTime::now()).unix_seconds();
    assert!((began - 1..=now + 1).contains(&received), "U8: {told:?}");
    let better = owner.taken(library, &third, 6).await?;
    owner.finds(library, &first, &better).await?;
    let worse = owner.put(library, &second, 4, "1h").await?;
    assert!(worse.library.is_empty() && !worse.server.is_empty(), "a worse one is refused");
    owner.finds(library, &third, &better).await?;
    Ok(())
}

async fn public_key(transport: Transport, libraries: Vec<Library>) -> Result<(), Failed> {
    let (node, library) = (Node::start(THREE_HEADS).await?, &libraries[0]);
    for keys in [Keypair::generate_ed25519(), Keypair::generate_secp256k1()] {
        let owner = Owner { public: Some("--public-key"), ..Owner::of(&keys)? };
        let value = owner.taken(library, &transport.of(&node.heads()[0]), 0).await?;
        owner.finds(library, &transport.of(&node.heads()[2]), &value).await?;
        let hex: String = keys.public().encode_protobuf().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(value, hex);
    }
    Ok(())
}

async fn expired(transport: Transport, libraries: Vec<Library>) -> Result<(), Failed> {
    let (node, library, owner) = (Node::start(THREE_HEADS).await?, &libraries[0], Owner::new()?);
    let [first, second, third] = node.heads() else { return Err("not three heads".into()) };
    let [first, second, third] = [first, second, third].map(|head| transport.of(head));
    let over = owner.put(library, &first, 1, "-1h").await?;
    assert!(!over.server.is_empty(), "its end has come");
    owner.finds_nothing(library, &second).await?;
    let began = SystemTime::now();
    let short = owner.put(library, &first, 9, &format!("{}s", SHORT.as_secs())).await?;
    let got = owner.get(library, &second, &[]).await?;
    let told = got.told.map(|told| told.value_hex);
    // A machine that is too busy to ask in time finds nothing, rightly.
    let in_time = began.elapsed()? < SHORT;
    assert!(told.as_ref() == Some(&short.value) || (!in_time && told.is_none()), "{told:?}");
    // The client has made it after `began`, and has ended since.
    tokio::time::sleep(SHORT).await;
    for at in [&first, &second, &third] {
        owner.finds_nothing(library, at).await?;
    }
    // Whatever its sequence, it is better than one whose end has come.
    let next = owner.taken(library, &third, 2).await?;
    owner.finds(library, &first, &next).await?;
    Ok(())
}

/// A client goes on when a head does not store its record now; go also when that is the correction of what the head has.
async fn not_now(transport: Transport, libraries: Vec<Library>) -> Result<(), Failed> {
    let (home, library) = (Home::new()?, &libraries[0]);
    let (known, new) = (Owner::new()?, Owner::new()?);
    let node = Node::start_in(&home, &["heads.count=2"]).await?;
    let old = known.taken(library, &transport.of(&node.heads()[0]), 1).await?;
    node.stop().await?;
    // The one name that waits has no other beside it.
    let full = ["heads.count=2", "engine.values.queue_len_max=1", "engine.flush_interval_ms=60000"];
    let node = Node::start_in(&home, &full).await?;
    let at = transport.of(&node.heads()[0]);
    new.taken(library, &at, 1).await?;
    let put = known.put(library, &at, 2, "1h").await?;
    assert!(put.server.to_lowercase().contains("value not put correctly"), "{}", put.server);
    known.finds(library, &at, &old).await?;
    if library.name() == "go" {
        let ahead = Node::start(THREE_HEADS).await?;
        let ahead_at = transport.of(&ahead.heads()[0]);
        let best = known.taken(library, &ahead_at, 3).await?;
        let got = known.get(library, &at, &["--also", &ahead_at, "--quorum", "0"]).await?;
        assert_eq!(got.best, Some(best), "the search ended well");
    }
    known.finds(library, &at, &old).await?;
    Ok(())
}

async fn each_others(transport: Transport, libraries: Vec<Library>) -> Result<(), Failed> {
    let (node, owner) = (Node::start(THREE_HEADS).await?, Owner::new()?);
    let heads = [0, 1, 2].map(|at| transport.of(&node.heads()[at]));
    let [go, js] = &libraries[..] else { return Err("not two libraries".into()) };
    for (sequence, by, other) in [(1, go, js), (2, js, go), (3, go, js)] {
        let value = owner.taken(by, &heads[sequence as usize % 3], sequence).await?;
        owner.finds(other, &heads[(sequence as usize + 1) % 3], &value).await?;
        let old = owner.put(other, &heads[(sequence as usize + 2) % 3], sequence - 1, "1h").await?;
        assert!(!old.server.is_empty(), "a worse one is refused");
    }
    Ok(())
}

/// Two nodes, each with a store of its own and its own value: a client that knows both finds the better one if it asks both.
async fn with_quorum(transport: Transport, libraries: Vec<Library>) -> Result<(), Failed> {
    let (ahead, behind) = (Node::start(THREE_HEADS).await?, Node::start(&["heads.count=1"]).await?);
    let (go, owner) = (&libraries[0], Owner::new()?);
    let [one, two] = [&ahead, &behind].map(|node| transport.of(&node.heads()[0]));
    let best = owner.taken(go, &one, 8).await?;
    let old = owner.taken(go, &two, 7).await?;
    // The library takes one answer more than the quorum: these two nodes, or more heads of the first.
    for (quorum, followed) in [("1", false), ("3", true)] {
        let follow: &[_] = if followed { &["--follow"] } else { &[] };
        let more: Vec<_> = ["--also", &one, "--quorum", quorum].iter().chain(follow).copied().collect();
        let got = owner.get(go, &two, &more).await?;
        assert_eq!((got.best.as_ref(), got.searched.last()), (Some(&best), Some(&best)), "{got:?}");
        let in_order = [vec![old.clone(), best.clone()], vec![best.clone()]];
        assert!(in_order.contains(&got.searched), "each is better than those before: {got:?}");
    }
    // A search of everybody ends with the better record at whoever had a worse one.
    for _ in 0..TRIES {
        owner.get(go, &two, &["--also", &one, "--quorum", "0"]).await?;
        let got = owner.get(go, &two, &[]).await?;
        if got.best.as_ref() == Some(&best) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err("the client did not correct the node that was behind".into())
}
