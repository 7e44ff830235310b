//! A fixed number of connections, opened by one task at a bounded pace.
//!
//! Not sqlx's pool: that one connects within the calls that wait for a connection, as often as they ask, and loses an attempt
//! with the caller that gives up. Here a call takes a connection that is there, or fails.

use super::host::{options, shown};
use super::mode::Mode;
use crate::config::{Config, Target};
use crate::fault;
use hydra_api::{Causes, StoreError, StoreErrorKind};
use hydra_remote::{Cause, InUse, Meter};
use rand::RngExt;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use std::{fmt, io};
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// The pause between two attempts to connect, once the first connections are open.
const CONNECT_PAUSE: Duration = Duration::from_millis(500);
/// How long a statement waits for a lock.
const LOCK_TIMEOUT_MS: u32 = 1000;
/// Causes that are logged between two connections: each host has a few. A text that changes with each attempt ends here.
const CAUSES_LEN_MAX: usize = 64;
/// How long a connection that may be dead has to answer before it is used again.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// The connections to one server.
pub(super) struct Pool {
    config: Config,
    mode: Mode,
    pub(super) meter: Arc<Meter>,
    state: Mutex<State>,
    /// A permit for each idle connection.
    idle: Semaphore,
    /// A connection has ended, or the pool.
    ended: Arc<Notify>,
    keeper: Mutex<Option<AbortHandle>>,
}

#[derive(Debug)]
struct State {
    idle: Vec<Open>,
    /// Idle and in use.
    open: u32,
    /// When the server last answered a call.
    answered_at: Instant,
    /// Raised when a connection fails: those that are older are tested before their next use.
    generation: u64,
    closed: bool,
    /// Which of the hosts is in use.
    host: usize,
    failures: Failures,
}

/// Why attempts to connect have failed since the last one that did not.
#[derive(Debug, Default)]
struct Failures {
    last: Option<String>,
    /// What was logged, by the place of the host: hosts that fail in turn have causes of their own.
    logged: BTreeSet<(usize, String)>,
}

impl Failures {
    /// Remembers a failure; true if it is to be logged.
    fn is_news(&mut self, host: usize, cause: &str) -> bool {
        self.last = Some(cause.to_owned());
        self.logged.len() < CAUSES_LEN_MAX && self.logged.insert((host, cause.to_owned()))
    }
}

#[derive(Debug)]
struct Open {
    connection: PgConnection,
    generation: u64,
}

/// No connection is open.
#[derive(Debug, thiserror::Error)]
#[error("not connected: {0}")]
struct NotConnected(String);

impl Pool {
    /// A pool without connections, and the task that opens them.
    pub(super) fn start(config: Config, mode: Mode, host: usize, meter: Arc<Meter>) -> Arc<Self> {
        let state = State {
            idle: Vec::new(),
            open: 0,
            answered_at: Instant::now(),
            generation: 0,
            closed: false,
            host,
            failures: Failures::default(),
        };
        let pool = Arc::new(Self {
            config,
            mode,
            meter,
            state: Mutex::new(state),
            idle: Semaphore::new(0),
            ended: Arc::default(),
            keeper: Mutex::default(),
        });
        let keeper = tokio::spawn(keep(Arc::downgrade(&pool), Arc::clone(&pool.ended))).abort_handle();
        *pool.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        pool
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many connections are missing; none once the pool is closed.
    pub(super) fn missing(&self) -> Option<u32> {
        let state = self.state();
        (!state.closed).then(|| self.config.connections_max.saturating_sub(state.open))
    }

    pub(super) fn open_len(&self) -> u32 {
        self.state().open
    }

    pub(super) fn in_use(&self) -> InUse {
        let state = self.state();
        let idle = u64::try_from(state.idle.len()).unwrap_or(u64::MAX);
        let max = u64::from(self.config.connections_max);
        InUse { idle, used: u64::from(state.open).saturating_sub(idle), max }
    }

    fn connect_limit(&self) -> Duration {
        Duration::from_millis(self.config.connect_timeout_ms.into())
    }

    /// Takes a connection into the pool.
    pub(super) async fn add(&self, mut connection: PgConnection) -> Result<(), sqlx::Error> {
        if self.mode.has_session() {
            let settings = AssertSqlSafe(self.settings("SET"));
            within(self.connect_limit(), sqlx::raw_sql(settings).execute(&mut connection)).await?;
        }
        let mut state = self.state();
        if state.closed || state.open >= self.config.connections_max {
            return Ok(());
        }
        state.open += 1;
        let generation = state.generation;
        state.idle.push(Open { connection, generation });
        drop(state);
        self.meter.connected();
        self.idle.add_permits(1);
        Ok(())
    }

    fn settings(&self, set: &str) -> String {
        let statement = self.config.statement_timeout_ms;
        let lock = LOCK_TIMEOUT_MS.min(statement);
        let commit = if self.config.synchronous_commit { "" } else { "; {set} synchronous_commit = off" };
        format!("{{set}} statement_timeout = {statement}; {{set}} lock_timeout = {lock}{commit}")
            .replace("{set}", set)
    }

    /// What begins a transaction for one statement; none where statements need none.
    pub(super) fn begin(&self) -> Option<String> {
        (!self.mode.has_session()).then(|| format!("BEGIN; {}", self.settings("SET LOCAL")))
    }

    /// An idle connection. Fails at once if none is open; waits for one in use at most as long as connecting may take.
    pub(super) async fn acquire(self: &Arc<Self>, operation: &'static str) -> Result<Busy, StoreError> {
        let max = self.connect_limit();
        loop {
            self.is_connected(operation)?;
            match timeout(max, self.idle.acquire()).await {
                Ok(Ok(permit)) => permit.forget(),
                Ok(Err(_)) => return Err(StoreError::closed(operation)),
                Err(_) => {
                    return Err(self.all_in_use(operation));
                }
            }
            let (open, generation) = {
                let mut state = self.state();
                (state.idle.pop(), state.generation)
            };
            let Some(open) = open else { continue };
            let mut busy = Busy { pool: Arc::clone(self), open: Some(open) };
            if busy.is_alive(generation).await {
                return Ok(busy);
            }
        }
    }

    /// The error of a call that got no connection in time: the server is slow, or answers none of those that have one.
    fn all_in_use(&self, operation: &'static str) -> StoreError {
        let (open, silent) = {
            let state = self.state();
            (state.open, state.answered_at.elapsed())
        };
        let cause = match silent >= self.connect_limit() {
            true => {
                format!("the server has answered on none of {open} connections for {} s", silent.as_secs())
            }
            false => "all connections are in use".to_owned(),
        };
        StoreError::because(StoreErrorKind::Overloaded, operation, NotConnected(cause))
    }

    fn is_connected(&self, operation: &'static str) -> Result<(), StoreError> {
        let state = self.state();
        if state.closed {
            return Err(StoreError::closed(operation));
        }
        if state.open > 0 {
            return Ok(());
        }
        let cause = NotConnected(
            state.failures.last.clone().unwrap_or_else(|| "the connections were lost".to_owned()),
        );
        Err(StoreError::because(StoreErrorKind::Unavailable, operation, cause))
    }

    /// Ends all connections that are idle; the others end when they come back.
    pub(super) async fn close(&self) {
        let idle = {
            let mut state = self.state();
            state.closed = true;
            let idle = std::mem::take(&mut state.idle);
            state.open -= u32::try_from(idle.len()).unwrap_or(state.open).min(state.open);
            idle
        };
        self.idle.close();
        self.ended.notify_one();
        for Open { connection, .. } in idle {
            // The server ends a connection that is just dropped, too.
            drop(timeout(PING_TIMEOUT, connection.close()).await);
        }
    }

    fn take_back(&self, open: Open) {
        let mut state = self.state();
        state.answered_at = Instant::now();
        if state.closed {
            state.open -= 1;
        } else {
            state.idle.push(open);
            drop(state);
            self.idle.add_permits(1);
        }
    }

    fn on_ended(&self, cause: Cause) {
        self.state().open -= 1;
        self.meter.disconnected(cause, 1);
        self.ended.notify_one();
    }

    fn on_connect_failed(&self, host: usize, error: sqlx::Error) {
        self.meter.connect_failed(fault::class(&error));
        let (cause, host) = (Causes(&fault::Reported(error)).to_string(), host % self.config.hosts.len());
        let mut state = self.state();
        state.host = state.host.wrapping_add(1);
        let open = state.open;
        if state.failures.is_news(host, &cause) {
            let host = shown(&self.config.hosts[host]);
            tracing::warn!(host, error = cause, open, "cannot connect to PostgreSQL, trying again");
        }
    }

    fn on_connected(&self, host: usize) {
        let failures = std::mem::take(&mut self.state().failures);
        if failures.last.is_some() {
            let host = shown(&self.config.hosts[host % self.config.hosts.len()]);
            tracing::info!(host, "connected to PostgreSQL again");
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// Opens the connections that are missing: at first one after another, later at most two in a second.
async fn keep(pool: Weak<Pool>, ended: Arc<Notify>) {
    let mut unpaced = true;
    while let Some(missing) = pool.upgrade().and_then(|pool| pool.missing()) {
        if missing == 0 {
            unpaced = false;
            ended.notified().await;
            continue;
        }
        let Some(connected) = connect_once(&pool).await else { return };
        if !(unpaced && connected) {
            sleep(pause()).await;
        }
    }
}

/// One attempt: whether it succeeded; none when the pool is gone.
async fn connect_once(pool: &Weak<Pool>) -> Option<bool> {
    let pool = pool.upgrade()?;
    let host = pool.state().host;
    let result = match connect(&pool.config, host).await {
        Ok(connection) => pool.add(connection).await,
        Err(error) => Err(error),
    };
    let is_connected = result.is_ok();
    match result {
        Ok(()) => pool.on_connected(host),
        Err(error) => pool.on_connect_failed(host, error),
    }
    Some(is_connected)
}

fn pause() -> Duration {
    CONNECT_PAUSE.mul_f64(rand::rng().random_range(1.0..2.0))
}

/// A connection that a call uses. Dropped without [`Busy::give_back`], in the middle of a statement, it is drained before it is
/// used again.
pub(super) struct Busy {
    pool: Arc<Pool>,
    open: Option<Open>,
}

impl Busy {
    /// The connection.
    #[expect(clippy::expect_used, reason = "it is there until it is given back")]
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.open.as_mut().expect("a connection in use").connection
    }

    /// Tests a connection that was opened before another one failed, and drops it if it is dead.
    async fn is_alive(&mut self, generation: u64) -> bool {
        match &mut self.open {
            Some(open) if open.generation != generation => {
                open.generation = generation;
                let cause = match timeout(PING_TIMEOUT, open.connection.ping()).await {
                    Ok(Ok(())) => return true,
                    Ok(Err(error)) => fault::cause(&error),
                    Err(_) => Cause::Timeout,
                };
                self.end(cause);
                false
            }
            Some(_) => true,
            None => false,
        }
    }

    /// Gives the connection back for the next call.
    pub(super) fn give_back(mut self) {
        if let Some(open) = self.open.take() {
            self.pool.take_back(open);
        }
    }

    /// Gives the connection back after a statement that failed, unless the failure is that of the connection.
    pub(super) fn failed(mut self, error: &sqlx::Error) {
        let is_lost = fault::ends_connection(error);
        // A server that has become a standby is left for one that takes writes.
        let is_left = fault::is_read_only(error) && self.pool.config.hosts.len() > 1;
        if !is_lost && !is_left {
            return self.give_back();
        }
        if is_left {
            let mut state = self.pool.state();
            state.host = state.host.wrapping_add(1);
        }
        self.lost(error);
    }

    /// Ends the connection, which is of no more use after this error. Others that are as old are tested before their next use.
    pub(super) fn lost(&mut self, error: &sqlx::Error) {
        self.pool.state().generation += 1;
        self.end(fault::cause(error));
    }

    fn end(&mut self, cause: Cause) {
        if self.open.take().is_some() {
            self.pool.on_ended(cause);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        let pool = Arc::clone(&self.pool);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(drain(pool, open))),
            Err(_) => pool.on_ended(Cause::Dropped),
        }
    }
}

/// Reads what is left of a statement that was dropped. The server ends it at its own time limit.
async fn drain(pool: Arc<Pool>, mut open: Open) {
    let max = Duration::from_millis(pool.config.statement_timeout_ms.into()) + PING_TIMEOUT;
    let ready = async {
        match pool.mode {
            Mode::Prepared => open.connection.ping().await,
            Mode::PreparedInTransactions | Mode::Unnamed => {
                sqlx::raw_sql("ROLLBACK").execute(&mut open.connection).await.map(drop)
            }
        }
    };
    match timeout(max, ready).await {
        Ok(Ok(())) => pool.take_back(open),
        Ok(Err(_)) | Err(_) => pool.on_ended(Cause::Dropped),
    }
}

/// Connects to the first host that fits; its number.
pub(super) async fn first(config: &Config) -> Result<(PgConnection, usize), sqlx::Error> {
    let mut host = 0;
    loop {
        match connect(config, host).await {
            Ok(connection) => return Ok((connection, host)),
            Err(error) if host + 1 == config.hosts.len() => return Err(error),
            Err(_) => host += 1,
        }
    }
}

/// One attempt to connect, with the password as it is now and names as they resolve now.
pub(super) async fn connect(config: &Config, host: usize) -> Result<PgConnection, sqlx::Error> {
    let max = Duration::from_millis(config.connect_timeout_ms.into());
    let attempt = async {
        let mut connection = PgConnection::connect_with(&options(config, host)?).await?;
        if config.target == Target::ReadWrite && config.hosts.len() > 1 {
            demand_writes(&mut connection).await?;
        }
        Ok(connection)
    };
    within(max, attempt).await
}

/// Gives up a server that does not answer in time.
pub(super) async fn within<T, E: From<sqlx::Error>>(
    max: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(max, answer).await.unwrap_or_else(|_| {
        let text = format!("timed out: the server has not answered within {} ms", max.as_millis());
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text)).into())
    })
}

async fn demand_writes(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let read_only =
        sqlx::raw_sql("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool");
    if read_only.fetch_one(connection).await?.try_get(0)? {
        return Err(sqlx::Error::Protocol("the server is read-only".to_owned()));
    }
    Ok(())
}
