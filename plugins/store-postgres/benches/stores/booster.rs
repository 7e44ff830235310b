//! The layout of hydra-booster, and the statements that it sent: one for each record, one for each key that is asked for.
//!
//! Its tables are those of its `datastore/postgres.go`, its statements those of `ipfs-ds-postgres` 0.2. What is simplified favours it, but
//! for the last point:
//!
//! - The database sorts text by bytes (`C`). A managed database sorts by a language, and compares text more dearly; the second index is
//!   there because of that.
//! - A read is one simple query. Its driver (pgx 4) prepares each text first, and no text of a read comes twice.
//! - A record is one transaction, as it was there: batches of several records per transaction had ended in deadlocks (go-ds-sql, pull
//!   request 17), so that its batch is `BEGIN`, `INSERT` and `COMMIT` for each record. These were sent ahead without waiting for answers.
//!   That costs a backend about 0.9 times as much as a statement with its answer on one connection, and 0.8 times on eight.

use crate::nth;
use hydra_api::ProviderRecord;
use hydra_conformance::given::{NOW, key};
use hydra_conformance::servers::Postgres as Server;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Row};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Connections of a node under load: what its driver opens on a machine with as many cores.
const CONNECTIONS: usize = 8;

pub(crate) struct Booster(Vec<Arc<Mutex<PgConnection>>>);

const INSERT: &str =
    "INSERT INTO booster.records (key, data) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET data = $2";

/// How many statements are under way at a time. A commit that waits for the disk takes those along that wait beside it, so that a
/// statement among others costs less.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Beside {
    Alone,
    Others,
}

impl Booster {
    pub(crate) async fn open(server: &Server) -> Self {
        for statement in [
            "CREATE SCHEMA booster",
            "CREATE TABLE booster.records (key text NOT NULL UNIQUE, data bytea)",
            "CREATE INDEX ON booster.records (key text_pattern_ops)",
        ] {
            server.execute("hydra", statement).unwrap();
        }
        let options = PgConnectOptions::new().host("127.0.0.1").port(server.port());
        let options = options.username("hydra").database("hydra");
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Arc::new(Mutex::new(PgConnection::connect_with(&options).await.unwrap())));
        }
        Self(connections)
    }

    /// Fills the table without a measurement.
    pub(crate) async fn fill(&self, numbers: Range<u64>) {
        let numbers: Vec<u64> = numbers.collect();
        for batch in numbers.chunks(1_000) {
            let keys: Vec<String> = batch.iter().map(|number| row_key(&nth(*number))).collect();
            let data = vec![data(); keys.len()];
            let insert = "INSERT INTO booster.records SELECT * FROM unnest($1::text[], $2::bytea[]) ON CONFLICT DO NOTHING";
            sqlx::query(insert).bind(keys).bind(data).execute(&mut *self.0[0].lock().await).await.unwrap();
        }
    }

    pub(crate) async fn write_singly(&self, numbers: Range<u64>, beside: Beside) {
        let connections = match beside {
            Beside::Alone => &self.0[..1],
            Beside::Others => &self.0[..],
        };
        let mut writers = JoinSet::new();
        for (at, connection) in connections.iter().enumerate() {
            let (connection, mine) =
                (Arc::clone(connection), numbers.clone().skip(at).step_by(connections.len()));
            writers.spawn(async move {
                let mut connection = connection.lock().await;
                for number in mine {
                    let query = sqlx::query(INSERT).bind(row_key(&nth(number))).bind(data());
                    query.execute(&mut *connection).await.unwrap();
                }
            });
        }
        writers.join_all().await;
    }

    /// It asks for a prefix of the key, with the text in the statement.
    pub(crate) async fn read(&self, numbers: &[u64], found: bool) {
        for number in numbers {
            let prefix = format!("/providers/{}/", base32(key(*number).as_bytes()));
            let query =
                format!("SELECT key, data FROM booster.records WHERE key LIKE '{prefix}%' ORDER BY key");
            let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(query))
                .fetch_all(&mut *self.0[0].lock().await)
                .await
                .unwrap();
            assert!(rows.is_empty() != found);
            let _keys: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        }
    }
}

fn row_key(record: &ProviderRecord) -> String {
    format!("/providers/{}/{}", base32(record.key.as_bytes()), base32(record.provider.as_bytes()))
}

/// When the record was received: nanoseconds as a varint of ten bytes.
fn data() -> Vec<u8> {
    let mut nanos = u64::from(NOW.0) * 1_000_000_000;
    let mut bytes = Vec::new();
    while nanos >= 0x80 {
        bytes.push(nanos as u8 | 0x80);
        nanos >>= 7;
    }
    bytes.push(nanos as u8);
    bytes
}

/// RFC 4648, without padding.
fn base32(bytes: &[u8]) -> String {
    let bits = |at: usize| {
        (0..5).fold(0usize, |value, bit| {
            let at = at * 5 + bit;
            value << 1 | bytes.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1))
        })
    };
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    (0..(bytes.len() * 8).div_ceil(5)).map(|at| char::from(letters[bits(at)])).collect()
}
