//! One server: its connections, and when it is asked.
//!
//! A connection belongs to one batch of commands at a time. It goes back to the others only after the whole answer has
//! come, so that a late answer never is that of another request.

use super::address::Address;
use super::connector::{Connector, Wanted};
use super::fault::{Class, Fault};
use rand::RngExt;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, Value};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

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
}

#[derive(Default)]
struct State {
    idle: Vec<MultiplexedConnection>,
    /// Counts failures: a connection from before the last one is not used again.
    era: u64,
    down: Option<Down>,
}

/// A server that failed.
#[derive(Debug)]
struct Down {
    until: Instant,
    /// One caller tries it again.
    is_tried: bool,
    cause: Fault,
    /// What was logged of it since it failed.
    logged: Vec<Class>,
}

/// One connection for one batch.
struct Lent {
    connection: MultiplexedConnection,
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
            state: Mutex::default(),
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
            let mut lent = self.lend().await.inspect_err(|fault| self.fail(fault))?;
            let sent = timeout(limit, lent.connection.send_packed_commands(pipeline, 0, len)).await;
            let fault = match sent {
                Ok(replies) if is_whole(&replies, len) => {
                    // It answers, but to no purpose.
                    if let Some(fault) = self.fault_of_all(&replies) {
                        self.fail(&fault);
                        return Err(fault);
                    }
                    self.give_back(lent);
                    trial.succeed();
                    return replies.map_err(|error| Fault::of_connection(&error, &self.address));
                }
                Ok(replies) => {
                    self.connector.on_loss();
                    if !lent.is_new {
                        self.state().forget();
                        continue;
                    }
                    match replies {
                        Err(error) => Fault::of_connection(&error, &self.address),
                        Ok(_) => Fault::new(Class::Other, &self.address, "replies are missing"),
                    }
                }
                Err(_) => {
                    self.connector.on_loss();
                    let text = format!("no answer within {} ms", limit.as_millis());
                    Fault::new(Class::Connection, &self.address, text)
                }
            };
            self.fail(&fault);
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
        let mut lent = self.lend().await.inspect_err(|fault| self.fail(fault))?;
        let both = async {
            let found = lent.connection.send_packed_commands(first, 0, first.len()).await?;
            match then(&found) {
                Some(second) => {
                    lent.connection.send_packed_commands(&second, 0, second.len()).await.map(Some)
                }
                None => Ok(None),
            }
        };
        match timeout(self.connector.statement_limit(), both).await {
            Ok(Ok(Some(replies))) => {
                self.give_back(lent);
                trial.succeed();
                Ok(replies)
            }
            // The connection still watches: it is closed.
            Ok(Ok(None)) => Ok(Vec::new()),
            Ok(Err(error)) => Err(Fault::of_connection(&error, &self.address)),
            Err(_) => Err(Fault::new(Class::Connection, &self.address, "no answer in time")),
        }
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

    async fn lend(&self) -> Result<Lent, Fault> {
        let era = {
            let mut state = self.state();
            let era = state.era;
            if let Some(connection) = state.idle.pop() {
                return Ok(Lent { connection, era, is_new: false });
            }
            era
        };
        let connection = self.connector.connect(&self.address, self.wanted).await?;
        Ok(Lent { connection, era, is_new: true })
    }

    fn give_back(&self, lent: Lent) {
        let mut state = self.state();
        if state.era == lent.era {
            state.idle.push(lent.connection);
        }
    }

    /// Closes its connections, and asks nobody there for a while.
    pub(crate) fn fail(&self, cause: &Fault) {
        let pause = Duration::from_millis(rand::rng().random_range(PAUSE_MS));
        let mut state = self.state();
        state.forget();
        let mut logged = state.down.take().map(|down| down.logged).unwrap_or_default();
        if !logged.contains(&cause.class) {
            logged.push(cause.class.clone());
            tracing::warn!(%cause, "a Redis server does not answer");
        }
        let until = Instant::now() + pause;
        state.down = Some(Down { until, is_tried: false, cause: cause.clone(), logged });
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
    pub(crate) fn close(&self) {
        self.state().forget();
    }
}

impl State {
    fn forget(&mut self) {
        self.era += 1;
        self.idle.clear();
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
            tracing::info!(node = %self.node.address, "the Redis server answers again");
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

/// True if every command has its reply, so that the connection can be used again.
fn is_whole(replies: &RedisResult<Vec<Value>>, len: usize) -> bool {
    replies.as_ref().is_ok_and(|replies| replies.len() == len)
}
