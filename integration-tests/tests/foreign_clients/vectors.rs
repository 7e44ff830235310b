//! Value records of all libraries, each judged by all: what boxo makes is what hydra takes, and the other way round.

use crate::{Library, NO_TRANSPORT, trial_of};
use hydra_integration_tests::foreign::{Client, Event, Judged};
use hydra_records::{Draft, Entry, Namespace, RecordKey, Timestamp};
use libp2p::identity::Keypair;
use libtest_mimic::{Failed, Trial};
use std::time::SystemTime;

/// What the `ipns` package of js judges otherwise than boxo and the specification.
///
/// - ECDSA keys and signatures have a form of its own, not DER as in the libp2p specification, and keys longer than 42 bytes are in
///   the peer id whole.
/// - It ignores a V1 signature that has no V1 value.
/// - It reads a field of the envelope by its number whatever its wire type, which is changed in the first byte.
const OTHERWISE_IN_JS: [&str; 3] = ["ecdsa", "without V1 fields but its signature", "with byte 0 changed"];

pub(crate) fn trials(go: &Library, js: &Library) -> Vec<Trial> {
    vec![
        trial_of("u5_u6_records_of_boxo_are_judged_alike", NO_TRANSPORT, &[go], of_boxo),
        trial_of("u5_records_of_js_are_judged_alike", NO_TRANSPORT, &[js], of_js),
        trial_of("u5_boxo_judges_records_of_hydra_alike", NO_TRANSPORT, &[go], for_boxo),
        trial_of("u5_js_judges_records_of_hydra_alike", NO_TRANSPORT, &[go, js], for_js),
        trial_of("u5_boxo_and_js_judge_each_others_records_alike", NO_TRANSPORT, &[go, js], each_others),
    ]
}

async fn of_boxo(libraries: Vec<Library>) -> Result<(), Failed> {
    let made = made_by(libraries[0].program()?).await?;
    has_every_kind(&made, &["ed25519", "secp256k1", "ecdsa", "rsa-2048", "rsa-4096"]);
    assert_eq!(disagreements(&made, &own_verdicts(&made)?, &[]), [""; 0]);
    let parsed: Vec<_> = made.iter().filter_map(|one| Some((one, entry(one)?))).collect();
    let mut pairs_len = 0;
    for (one, first) in &parsed {
        let others = parsed.iter().filter(|(_, other)| other.key() == first.key());
        for (other, second) in others.filter(|_| first.key().namespace() == Namespace::Ipns) {
            pairs_len += 1;
            let wins = first.preference(second).is_gt();
            assert_eq!(wins, one.worse.contains(&other.name), "{} and {}", one.name, other.name);
        }
    }
    assert!(pairs_len > 1_000, "{pairs_len} pairs");
    Ok(())
}

async fn of_js(libraries: Vec<Library>) -> Result<(), Failed> {
    let made = made_by(libraries[0].program()?).await?;
    has_every_kind(&made, &["ed25519", "secp256k1", "rsa-2048"]);
    assert_eq!(disagreements(&made, &own_verdicts(&made)?, &OTHERWISE_IN_JS), [""; 0]);
    Ok(())
}

async fn for_boxo(libraries: Vec<Library>) -> Result<(), Failed> {
    let go = libraries[0].program()?;
    let drafts = drafts(&rsa_of(go).await?)?;
    has_every_kind(&drafts, &["ed25519", "secp256k1", "ecdsa", "rsa-2048"]);
    assert_eq!(disagreements(&drafts, &judged_by(go, &drafts).await?, &[]), [""; 0]);
    Ok(())
}

async fn for_js(libraries: Vec<Library>) -> Result<(), Failed> {
    let drafts = drafts(&rsa_of(libraries[0].program()?).await?)?;
    let judged = judged_by(libraries[1].program()?, &drafts).await?;
    assert_eq!(disagreements(&drafts, &judged, &OTHERWISE_IN_JS), [""; 0]);
    Ok(())
}

async fn each_others(libraries: Vec<Library>) -> Result<(), Failed> {
    let [go, js] = [libraries[0].program()?, libraries[1].program()?];
    for (maker, judge) in [(go, js), (js, go)] {
        let made = made_by(maker).await?;
        let judged = judged_by(judge, &made).await?;
        assert_eq!(disagreements(&made, &judged, &OTHERWISE_IN_JS), [""; 0]);
    }
    Ok(())
}

/// Both verdicts are there of every kind.
fn has_every_kind(records: &[Judged], kinds: &[&str]) {
    for kind in kinds {
        for valid in [true, false] {
            let is = |one: &&Judged| one.name.starts_with(kind) && one.valid == valid;
            assert!(records.iter().any(|one| is(&one)), "{kind}, {valid}");
        }
    }
}

/// The records on which two verdicts differ, but for those that have one of these in their names.
fn disagreements(one: &[Judged], other: &[Judged], known: &[&str]) -> Vec<String> {
    assert_eq!(one.len(), other.len());
    let pairs = one.iter().zip(other).inspect(|(one, other)| assert_eq!(one.name, other.name));
    let differ = pairs.filter(|(one, other)| one.valid != other.valid).map(|(one, _)| one.name.clone());
    differ.filter(|name| !known.iter().any(|part| name.contains(part))).collect()
}

fn entry(record: &Judged) -> Option<Entry> {
    let key = RecordKey::parse(&unhex(&record.key_hex).ok()?).ok()?;
    Entry::parse(&key, unhex(&record.value_hex).ok()?).ok()
}

/// The verdicts of hydra.
fn own_verdicts(records: &[Judged]) -> Result<Vec<Judged>, Failed> {
    let now = Timestamp::from(SystemTime::now());
    let judged = records.iter().map(|record| {
        let value = unhex(&record.value_hex)?;
        let key = RecordKey::parse(&unhex(&record.key_hex)?);
        let valid =
            key.is_ok_and(|key| Entry::parse(&key, value).and_then(|entry| entry.verify(now)).is_ok());
        Ok(Judged { valid, ..record.clone() })
    });
    judged.collect()
}

/// Records of hydra with every kind of key: good ones, ones whose end has come, and damaged ones.
fn drafts(rsa: &Keypair) -> Result<Vec<Judged>, Failed> {
    let kinds = [
        ("ed25519", Keypair::generate_ed25519()),
        ("secp256k1", Keypair::generate_secp256k1()),
        ("ecdsa", Keypair::generate_ecdsa()),
        ("rsa-2048", rsa.clone()),
    ];
    let mut made = Vec::new();
    for (kind, keys) in &kinds {
        let key = RecordKey::new(Namespace::Ipns, keys.public().to_peer_id()).to_bytes();
        let mut add = |what: &str, value: &[u8]| {
            let (name, key_hex, value_hex) = (format!("{kind} {what}"), hex(&key), hex(value));
            made.push(Judged { name, key_hex, value_hex, valid: false, worse: Vec::new() });
        };
        for eol in ["2020-01-01T00:00:00Z", "2090-01-02T03:04:05Z", "2090-01-02T03:04:05.123456789Z"] {
            for sequence in [0, 23, 24, 256, 1 << 40] {
                let draft = Draft { value: "/ipfs/bafkqaaa", sequence, eol, ttl: 60_000_000_000 };
                add(&format!("sequence {sequence} until {eol}"), &draft.sign(keys)?);
            }
        }
        let draft = Draft {
            value: "/ipfs/bafkqaddwgevxmmraojswg33smq",
            sequence: 7,
            eol: "2090-01-02T03:04:05Z",
            ttl: 0,
        };
        let whole = draft.sign(keys)?;
        for part in [0, 1, 2, 3, 4] {
            let mut flipped = whole.to_vec();
            let at = part * (whole.len() - 1) / 4;
            flipped[at] ^= 1;
            add(&format!("with byte {at} changed"), &flipped);
        }
        add("of another", &draft.sign(&Keypair::generate_ed25519())?);
        add("cut", &whole[..whole.len() - 1]);
        add("of nothing", &[]);
    }
    own_verdicts(&made)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, std::num::ParseIntError> {
    let pairs = (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16));
    pairs.collect()
}

async fn made_by(program: &Client) -> Result<Vec<Judged>, Failed> {
    records(program.run_with(&["records"], String::new()).await?)
}

async fn judged_by(program: &Client, given: &[Judged]) -> Result<Vec<Judged>, Failed> {
    let lines: Result<Vec<_>, _> = given.iter().map(serde_json::to_string).collect();
    records(program.run_with(&["judge"], lines?.join("\n") + "\n").await?)
}

fn records(events: Vec<Event>) -> Result<Vec<Judged>, Failed> {
    let record = |event| match event {
        Event::ValueRecord(record) => Ok(record),
        other => Err(format!("{other:?}").into()),
    };
    events.into_iter().map(record).collect()
}

/// RSA keys are made by Go: libp2p for Rust makes none.
async fn rsa_of(go: &Client) -> Result<Keypair, Failed> {
    for event in go.run_with(&["keys"], String::new()).await? {
        if let Event::Key { kind, private_hex } = event
            && kind == "rsa-2048"
        {
            return Ok(Keypair::from_protobuf_encoding(&unhex(&private_hex)?)?);
        }
    }
    Err("no RSA key".into())
}
