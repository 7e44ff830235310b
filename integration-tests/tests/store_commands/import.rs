//! The import of hydra-booster's table.

use crate::cli::{Running, config, run, stderr};
use crate::stores::{all, open};
use hydra_conformance::given::{key, peer};
use hydra_conformance::servers::Postgres;
use hydra_integration_tests::node::Home;
use serde_json::{Value, json};

const ROWS: u64 = 20_000;
const LIFE_S: u64 = 48 * 3600;

/// Go's `base32.RawStdEncoding`.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut bits, mut len) = (0_u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        len += 8;
        while len >= 5 {
            len -= 5;
            text.push(char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(bits >> len & 31) as usize]));
        }
    }
    if len > 0 {
        text.push(char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(bits << (5 - len) & 31) as usize]));
    }
    text
}

/// Go's `binary.PutVarint` of a time in nanoseconds, in hexadecimal.
fn varint(seconds: u64) -> String {
    let mut rest = seconds * 1_000_000_000 * 2;
    let mut text = String::new();
    while rest >= 0x80 {
        text.push_str(&format!("{:02x}", rest as u8 | 0x80));
        rest >>= 7;
    }
    text + &format!("{rest:02x}")
}

fn row(key: &[u8], peer: &[u8], data: &str) -> String {
    format!("('/providers/{}/{}', '\\x{data}')", base32(key), base32(peer))
}

/// Fills the table; how many of its rows are bad, and how many have expired.
fn fill(server: &Postgres, now: u64) -> (u64, u64) {
    server.execute("hydra", "CREATE TABLE records (key text NOT NULL UNIQUE, data bytea)").unwrap();
    let received = |number: u64| now - number % 3600;
    let mut rows: Vec<_> = (0..ROWS)
        .map(|number| row(key(number).as_bytes(), peer(number % 50).as_bytes(), &varint(received(number))))
        .collect();
    let expired = (0..100)
        .map(|number| row(key(ROWS + number).as_bytes(), peer(1).as_bytes(), &varint(now - LIFE_S - 60)));
    rows.extend(expired);
    let bad = [
        row(key(1).as_bytes(), peer(77).as_bytes(), "80"),
        row(key(1).as_bytes(), peer(78).as_bytes(), ""),
        row(&[7; 81], peer(1).as_bytes(), &varint(now)),
        row(key(1).as_bytes(), &[7; 45], &varint(now)),
        "('/providers/M/MY', '\\x02')".to_owned(),
        "('/providers/lower/case', '\\x02')".to_owned(),
        "('/pk/MZXW6', '\\x02')".to_owned(),
        "('/providers/MZXW6/MZXW6', NULL)".to_owned(),
    ];
    let bad_len = bad.len() as u64;
    rows.extend(bad);
    for rows in rows.chunks(400) {
        server.execute("hydra", &format!("INSERT INTO records VALUES {}", rows.join(", "))).unwrap();
    }
    server.execute("hydra", "ANALYZE records").unwrap();
    (bad_len, 100)
}

pub(crate) async fn killed() {
    let server = Postgres::start(&[]).unwrap();
    let now = u64::from(hydra_api::UnixSeconds::now().0);
    let (bad, expired) = fill(&server, now);
    let home = Home::new().unwrap();
    let store = json!({ "kind": "fjall" });
    let file = config(&home, "to", &store);
    let url = format!("postgres://hydra@127.0.0.1:{}/hydra", server.port());
    let args =
        ["store", "import", "--config", &file, "--from", "hydra-booster-postgres", &url, "--page", "50"];
    let mut import = Running::start(&home, &args);
    import.until_progress(&home.path().join("to-data"), None);
    assert_eq!(import.end("KILL").code(), None);
    let output = run(&home, &args);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("continuing"), "{}", stderr(&output));
    let imported: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(imported["records"], json!(ROWS), "{imported}");
    assert_eq!((&imported["malformed"], &imported["expired"]), (&json!(bad), &json!(expired)), "{imported}");

    let opened = open(&home, "to", &store).await;
    let records = all(&*opened).await;
    opened.close().await.unwrap();
    assert_eq!(records.len() as u64, ROWS);
    for number in 0..ROWS {
        let found = &records[&(key(number), peer(number % 50))].provider;
        assert!(found.addresses.is_empty());
        assert_eq!(u64::from(found.expires.0), now - number % 3600 + LIFE_S, "record {number}");
    }
    // The table is as it was.
    let count = server.query("hydra", "SELECT count(*) FROM records").unwrap();
    assert_eq!(count, [(ROWS + bad + expired).to_string()]);
    ended_by_the_server(&server, &home, &args);
}

/// A page that takes too long is ended by the server: its repetition does not run beside it.
fn ended_by_the_server(server: &Postgres, home: &Home, args: &[&str]) {
    let bounded =
        "CREATE VIEW records AS SELECT * FROM rows WHERE current_setting('statement_timeout') = '5min'";
    server.execute("hydra", "ALTER TABLE records RENAME TO rows").unwrap();
    server.execute("hydra", bounded).unwrap();
    let output = run(home, args);
    let imported: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(imported["records"], json!(ROWS), "{imported}: only a bounded statement sees rows");
}
