//! One server: its connections, and when it is asked.
//!
//! A connection belongs to one batch of commands at a time. It goes back to the others only after the whole answer has
//! come, so that a late answer never is that of another request.

use super::address::Address;
use super::connector::{Connector, Wanted};
use super::fault::{Class, Fault};
use super::operation;
use super::report::Report;
use hydra_remote::{Cause, InUse};
use rand::RngExt;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError, RedisResult, Value};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::error::Elapsed;
use tokio::time::{timeout, timeout_at};
use tracing::Instrument;

/// How long a server that failed is not asked, in milliseconds: at most two attempts a second.
const PAUSE_MS: Range<u64> = 500..750;

/// A server.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: Address,
    connector: Arc<Connector>,
    wanted: Wanted,
    permits: Semaphore,
    state: Mutex<State>,
    report: Report,
}

struct State {
    idle: Vec<MultiplexedConnection>,
    /// Counts failures: a connection from before the last one is not used again.
    era: u64,
    /// Why the last one began.
    cause: Cause,
    down: Option<Down>,
}

/// A server that failed.
#[derive(Debug)]
struct Down {
    until: Instant,
    /// One caller tries it again.
    is_tried: bool,
    cause: Fault,
}

/// One connection for one batch. It is closed if it is not given back.
struct Lent<'n> {
    node: &'n Node,
    connection: Option<MultiplexedConnection>,
    era: u64,
    is_new: bool,
}

impl Node {
    pub(crate) fn new(address: Address, wanted: Wanted, connector: &Arc<Connector>) -> Arc<Self> {
        let connections = usize::try_from(connector.config.connections_max).unwrap_or(1);
        Arc::new(Self {
            address,
            connector: Arc::clone(connector),
            wanted,
            permits: Semaphore::new(connections),
            state: Mutex::new(State { idle: Vec::new(), era: 0, cause: Cause::Start, down: None }),
            report: Report::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if it may be asked now.
    pub(crate) fn is_up(&self) -> bool {
        self.state().down.is_none()
    }

    /// Sends the commands in one piece and waits for all `len` replies.
    ///
    /// A connection that the server has closed while it was idle is replaced; all commands can be repeated.
    ///
    /// # Cancel safety
    /// The connection of a dropped future is closed.
    pub(crate) async fn exchange(&self, pipeline: &Pipeline, len: usize) -> Result<Vec<Value>, Fault> {
        let limit = self.connector.statement_limit();
        let Ok(Ok(_permit)) = timeout(limit, self.permits.acquire()).await else {
            return Err(Fault::new(Class::Busy, &self.address, "all connections are in use"));
        };
        let trial = self.admit()?;
        loop {
            let mut lent = self.lend().await.inspect_err(|fault| self.lose(fault, Cause::Lost))?;
            let sent = self.measured(len, timeout(limit, lent.send(pipeline, len))).await;
            let (fault, cause) = match sent {
                Ok(replies) if is_whole(&replies, len) => {
                    lent.give_back();
                    // It answers, but to no purpose.
                    if let Some(fault) = self.fault_of_all(&replies) {
                        self.pause(&fault);
                        return Err(fault);
                    }
                    trial.succeed();
                    return replies.map_err(|error| Fault::of_connection(&error, &self.address));
                }
                Ok(replies) => {
                    self.connector.on_loss();
                    let is_new = lent.is_new;
                    lent.end(Cause::Lost);
                    if !is_new {
                        self.forget(Cause::Lost);
                        continue;
                    }
                    let fault = match replies {
                        Err(error) => Fault::of_connection(&error, &self.address),
                        Ok(_) => Fault::new(Class::Other, &self.address, "replies are missing"),
                    };
                    (fault, Cause::Lost)
                }
                Err(_) => {
                    self.connector.on_loss();
                    lent.end(Cause::Timeout);
                    let text = format!("no answer within {} ms", limit.as_millis());
                    (Fault::timeout(&self.address, text), Cause::Timeout)
                }
            };
            self.lose(&fault, cause);
            return Err(fault);
        }
    }

    /// Sends `first`, and then on the same connection what `then` makes of its replies. Returns the replies to that.
    ///
    /// # Cancel safety
    /// The connection of a dropped future is closed, and a transaction that is not complete has done nothing.
    pub(crate) async fn transact(
        &self,
        first: &Pipeline,
        then: impl FnOnce(&[Value]) -> Option<Pipeline>,
    ) -> Result<Vec<Value>, Fault> {
        let trial = self.admit()?;
        let mut lent = self.lend().await.inspect_err(|fault| self.lose(fault, Cause::Lost))?;
        let end = tokio::time::Instant::now() + self.connector.statement_limit();
        let both = async {
            let found = self.answered(&mut lent, first, end).await?;
            match then(&found) {
                Some(second) => self.answered(&mut lent, &second, end).await,
                // The connection still watches, and is to serve others.
                None => self.answered(&mut lent, &unwatch(), end).await.map(|_| Vec::new()),
            }
        };
        match both.await {
            Ok(replies) => {
                lent.give_back();
                trial.succeed();
                Ok(replies)
            }
            Err((fault, cause)) => {
                lent.end(cause);
                if cause == Cause::Timeout {
                    self.lose(&fault, cause);
                }
                Err(fault)
            }
        }
    }

    /// The first error among the replies to a transaction and within them.
    pub(crate) fn first_fault(&self, replies: &[Value]) -> Option<Fault> {
        replies.iter().find_map(|reply| match reply {
            Value::ServerError(error) => Some(Fault::of_reply(error, &self.address)),
            Value::Array(replies) => self.first_fault(replies),
            _ => None,
        })
    }

    /// Sends commands in one piece, and waits for the replies until `end`.
    async fn answered(
        &self,
        lent: &mut Lent<'_>,
        commands: &Pipeline,
        end: tokio::time::Instant,
    ) -> Result<Vec<Value>, (Fault, Cause)> {
        let len = commands.len();
        match self.measured(len, timeout_at(end, lent.send(commands, len))).await {
            Ok(Ok(replies)) => Ok(replies),
            Ok(Err(error)) => Err((Fault::of_connection(&error, &self.address), Cause::Lost)),
            Err(_) => Err((Fault::timeout(&self.address, "no answer in time"), Cause::Timeout)),
        }
    }

    /// Measures one batch of commands, and counts its errors.
    async fn measured(
        &self,
        len: usize,
        sent: impl Future<Output = Result<RedisResult<Vec<Value>>, Elapsed>>,
    ) -> Result<RedisResult<Vec<Value>>, Elapsed> {
        let (meter, operation) = (&self.connector.meter, operation::current());
        let statement = meter.begin(operation);
        meter.length(operation, len);
        let sent = sent.instrument(statement.span().clone()).await;
        let error = match &sent {
            Ok(replies) => self.count(replies),
            Err(_) => Some(self.count_timeout()),
        };
        if let Some(class) = error {
            statement.span().record("error.type", class);
            statement.span().record("otel.status_code", "ERROR");
        }
        statement.end();
        sent
    }

    /// Counts the errors among replies, or that of the connection; the class of the first.
    fn count(&self, replies: &RedisResult<Vec<Value>>) -> Option<&'static str> {
        let mut first = None;
        let mut count = |fault: Fault| {
            let class = fault.class.name();
            self.connector.meter.failed(class);
            first = first.or(Some(class));
        };
        match replies {
            Ok(replies) => replies.iter().for_each(|reply| {
                if let Value::ServerError(error) = reply {
                    count(Fault::of_reply(error, &self.address));
                }
            }),
            Err(error) => count(Fault::of_connection(error, &self.address)),
        }
        first
    }

    fn count_timeout(&self) -> &'static str {
        let class = Class::Timeout.name();
        self.connector.meter.failed(class);
        class
    }

    /// The connections that it has.
    pub(crate) fn in_use(&self) -> InUse {
        let max = u64::from(self.connector.config.connections_max);
        let of_len = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        let used = max.saturating_sub(of_len(self.permits.available_permits()));
        InUse { idle: of_len(self.state().idle.len()), used, max }
    }

    /// Lets one caller at a time try a server that failed, and nobody before the pause has passed.
    fn admit(&self) -> Result<Trial<'_>, Fault> {
        let now = Instant::now();
        let mut state = self.state();
        let Some(down) = &mut state.down else { return Ok(Trial { node: self, is_trial: false }) };
        if down.is_tried || now < down.until {
            let pause = down.until.saturating_duration_since(now).max(Duration::from_millis(50));
            return Err(down.cause.clone().retry_after(pause));
        }
        down.is_tried = true;
        Ok(Trial { node: self, is_trial: true })
    }

    async fn lend(&self) -> Result<Lent<'_>, Fault> {
        let era = {
            let mut state = self.state();
            let era = state.era;
            if let Some(connection) = state.idle.pop() {
                return Ok(Lent { node: self, connection: Some(connection), era, is_new: false });
            }
            era
        };
        let connection = self.connector.connect(&self.address, self.wanted).await?;
        self.connector.meter.connected();
        Ok(Lent { node: self, connection: Some(connection), era, is_new: true })
    }

    /// Closes its connections, which have failed, and pauses it.
    fn lose(&self, fault: &Fault, cause: Cause) {
        self.forget(cause);
        self.pause(fault);
    }

    /// Asks it nothing for a while.
    fn pause(&self, fault: &Fault) {
        let pause = Duration::from_millis(rand::rng().random_range(PAUSE_MS));
        let now = Instant::now();
        self.state().down = Some(Down { until: now + pause, is_tried: false, cause: fault.clone() });
        if self.report.failed(fault.class.name(), now) {
            tracing::warn!(cause = %fault, "a Redis server does not answer");
        }
    }

    /// The reply of a server that serves no keys, if one is such.
    fn fault_of_all(&self, replies: &RedisResult<Vec<Value>>) -> Option<Fault> {
        let errors = replies.iter().flatten().filter_map(|reply| match reply {
            Value::ServerError(error) => Some(Fault::of_reply(error, &self.address)),
            _ => None,
        });
        errors.into_iter().find(Fault::is_of_whole_server)
    }

    /// Closes the idle connections. Those in use are closed when they would come back.
    pub(crate) fn close(&self, cause: Cause) {
        self.forget(cause);
    }

    fn forget(&self, cause: Cause) {
        let idle = {
            let mut state = self.state();
            state.era += 1;
            state.cause = cause;
            std::mem::take(&mut state.idle)
        };
        self.connector.meter.disconnected(cause, idle.len());
    }
}

impl Lent<'_> {
    /// Sends commands in one piece, and waits for all `len` replies.
    async fn send(&mut self, pipeline: &Pipeline, len: usize) -> RedisResult<Vec<Value>> {
        match &mut self.connection {
            Some(connection) => connection.send_packed_commands(pipeline, 0, len).await,
            None => Err(RedisError::from((redis::ErrorKind::Io, "the connection is closed"))),
        }
    }

    /// Gives the connection back for the next batch, unless others of its time have failed since.
    fn give_back(mut self) {
        let Some(connection) = self.connection.take() else { return };
        let mut state = self.node.state();
        if state.era == self.era {
            state.idle.push(connection);
            return;
        }
        let cause = state.cause;
        drop(state);
        self.node.connector.meter.disconnected(cause, 1);
    }

    /// Closes the connection.
    fn end(mut self, cause: Cause) {
        self.close(cause);
    }

    fn close(&mut self, cause: Cause) {
        if self.connection.take().is_some() {
            self.node.connector.meter.disconnected(cause, 1);
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.close(Cause::Dropped);
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("idle", &self.idle.len()).field("down", &self.down).finish()
    }
}

/// The right to ask the server; of a server that failed, the right to try it.
struct Trial<'n> {
    node: &'n Node,
    is_trial: bool,
}

impl Trial<'_> {
    fn succeed(mut self) {
        if std::mem::take(&mut self.is_trial) {
            self.node.state().down = None;
            if self.node.report.succeeded(Instant::now()) {
                tracing::info!(node = %self.node.address, "the Redis server answers again");
            }
        }
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        // A dropped future has found out nothing: the next caller tries.
        if self.is_trial
            && let Some(down) = &mut self.node.state().down
        {
            down.is_tried = false;
        }
    }
}

/// Ends a transaction that has nothing to change.
fn unwatch() -> Pipeline {
    let mut unwatch = Pipeline::new();
    unwatch.cmd("UNWATCH");
    unwatch
}

/// True if every command has its reply, so that the connection can be used again.
fn is_whole(replies: &RedisResult<Vec<Value>>, len: usize) -> bool {
    replies.as_ref().is_ok_and(|replies| replies.len() == len)
}
