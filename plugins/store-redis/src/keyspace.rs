//! The servers, and the layout of the keys there, which the first node of a prefix decides for all.

use crate::config::{Config, Scripts};
use crate::layout::{Form, Layout, Name};
use crate::net::{Class, Connector, Fault, Fleet, Request};
use crate::scripts;
use arc_swap::ArcSwap;
use hydra_api::{OpenError, Purpose};
use redis::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How often it is looked whether the keys are still there, while no connection is lost.
const LOOK_PACE: Duration = Duration::from_secs(1);

/// The keys of one prefix.
#[derive(Debug)]
pub(crate) struct Keyspace {
    pub(crate) fleet: Fleet,
    prefix: String,
    layout: ArcSwap<Layout>,
    purpose: Purpose,
    looked: Mutex<Looked>,
}

/// When it was looked whether the keys are still there.
#[derive(Debug)]
struct Looked {
    at: Instant,
    /// How many connections had been lost.
    losses: u64,
}

/// Whether the layout is still that of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    Same,
    /// The keys were removed, and the layout was written again.
    Restored,
    /// The keys were removed, and another node has begun anew.
    Replaced,
}

impl Keyspace {
    /// Connects, and reads the layout or decides it.
    pub(crate) async fn open(config: Config, purpose: Purpose) -> Result<Self, OpenError> {
        let (prefix, scripts, log2) = (config.prefix.clone(), config.scripts, config.buckets_log2);
        let hosts = config.hosts.join(", ");
        let connector =
            Connector::new(config).map_err(|cause| OpenError::config("tls", cause.to_string()))?;
        let unavailable = |fault| OpenError::unavailable(format!("cannot use Redis at {hosts}"), fault);
        let fleet = Fleet::open(connector).await.map_err(unavailable)?;
        let mut found = read(&fleet, &prefix).await.map_err(unavailable)?;
        if found.is_none() && purpose == Purpose::Use {
            let text = format!("there are no records of the prefix `{prefix}`");
            return Err(unavailable(Fault::nobody(&text)));
        }
        if found.is_none() && makes_layout(purpose) {
            let form = form(&fleet, &prefix, scripts, log2).await.map_err(unavailable)?;
            demand(&fleet, &prefix, form).await.map_err(unavailable)??;
            let layout = Layout::new(&prefix, form);
            write(&fleet, &prefix, &layout).await.map_err(unavailable)?;
            found = read(&fleet, &prefix).await.map_err(unavailable)?;
        }
        let wanted = Layout::form(scripts, log2);
        let layout = match found {
            None => Layout::new(&prefix, wanted),
            Some(text) => Layout::of_text(&prefix, &text).ok_or_else(|| {
                OpenError::config("prefix", format!("the keys of `{prefix}` are of another version: {text}"))
            })?,
        };
        agree(layout.form, wanted)?;
        demand(&fleet, &prefix, layout.form).await.map_err(unavailable)??;
        let looked = Mutex::new(Looked { at: Instant::now(), losses: fleet.connector.losses() });
        Ok(Self { fleet, prefix, layout: ArcSwap::from_pointee(layout), purpose, looked })
    }

    pub(crate) fn layout(&self) -> Arc<Layout> {
        self.layout.load_full()
    }

    /// How many connections were lost: with each its server may have come back without the keys.
    pub(crate) fn losses(&self) -> u64 {
        self.fleet.connector.losses()
    }

    /// Renews the layout after each lost connection, and once in [`LOOK_PACE`] otherwise. Calls wait for one that looks: what they write
    /// under a layout that others have given up nobody finds. While its server is away there is nothing to be seen, and the keys of
    /// others are served.
    pub(crate) async fn look(&self) -> Renewal {
        let mut looked = self.looked.lock().await;
        let losses = self.losses();
        if looked.losses == losses && looked.at.elapsed() < LOOK_PACE {
            return Renewal::Same;
        }
        if !self.fleet.node(Layout::meta(&self.prefix).slot).is_some_and(|node| node.is_up()) {
            return Renewal::Same;
        }
        // What is wrong with the server the call itself finds out; the next one looks again.
        let Ok(renewal) = self.renew().await else { return Renewal::Same };
        *looked = Looked { at: Instant::now(), losses };
        renewal
    }

    /// Whether it was looked since the last connection was lost. If not, a server may have come back without its keys meanwhile.
    pub(crate) async fn has_looked(&self) -> bool {
        self.looked.lock().await.losses == self.losses()
    }

    /// Writes the layout again if it is gone and this is a node, and takes up that of another node if that was first.
    pub(crate) async fn renew(&self) -> Result<Renewal, Fault> {
        let own = self.layout();
        if makes_layout(self.purpose) {
            match write(&self.fleet, &self.prefix, &own).await {
                Ok(true) => {
                    tracing::warn!(
                        prefix = self.prefix,
                        "the keys in Redis were removed, for example by the restart of a server without persistence; records that \
                         are announced from now on are stored"
                    );
                    return Ok(Renewal::Restored);
                }
                Ok(false) => {}
                // There is no room for it now, or it is there.
                Err(fault) if matches!(fault.class, Class::OutOfMemory | Class::Misconfigured) => {}
                Err(fault) => return Err(fault),
            }
        }
        let Some(text) = read(&self.fleet, &self.prefix).await? else { return Ok(Renewal::Same) };
        match Layout::of_text(&self.prefix, &text) {
            Some(other) if other != *own => {
                tracing::warn!(
                    "the keys in Redis were removed, and another node has set up the prefix again"
                );
                self.layout.store(Arc::new(other));
                Ok(Renewal::Replaced)
            }
            Some(_) => Ok(Renewal::Same),
            None => Err(Fault::nobody("the keys in Redis are of another version now")),
        }
    }

    /// Sends one command to the master of a key.
    pub(crate) async fn ask(&self, name: &Name, command: redis::Cmd) -> Result<Value, Fault> {
        self.fleet.ask(Request { slot: name.slot, command, script: None }).await
    }
}

/// True if what is opened for this may begin a prefix: a look at the records of another one must not.
fn makes_layout(purpose: Purpose) -> bool {
    matches!(purpose, Purpose::Serve | Purpose::Migrate)
}

async fn read(fleet: &Fleet, prefix: &str) -> Result<Option<String>, Fault> {
    let name = Layout::meta(prefix);
    let mut command = redis::cmd("GET");
    command.arg(&name.bytes);
    let said = fleet.ask(Request { slot: name.slot, command, script: None }).await?;
    Ok(redis::from_redis_value(said).unwrap_or_default())
}

/// Writes the layout; false if there is one already.
async fn write(fleet: &Fleet, prefix: &str, layout: &Layout) -> Result<bool, Fault> {
    let name = Layout::meta(prefix);
    let mut command = redis::cmd("SET");
    command.arg(&name.bytes).arg(layout.text()).arg("NX");
    let said = fleet.ask(Request { slot: name.slot, command, script: None }).await?;
    Ok(said != Value::Nil)
}

/// The form of a new prefix: without scripts if the server forbids them.
async fn form(fleet: &Fleet, prefix: &str, scripts: Scripts, log2: u8) -> Result<Form, Fault> {
    let wanted = Layout::form(scripts, log2);
    if scripts == Scripts::Off {
        return Ok(wanted);
    }
    let slot = Layout::meta(prefix).slot;
    let load = Request { slot, command: scripts::WRITE.load(), script: None };
    match fleet.ask(load).await {
        Ok(_) => Ok(wanted),
        Err(fault) if matches!(fault.class, Class::Forbidden | Class::UnknownCommand) => {
            tracing::warn!(%fault, "the server permits no scripts: records take three times the memory");
            Ok(Form::Plain)
        }
        Err(fault) => Err(fault),
    }
}

/// Refuses a server that lacks what this form needs: without scripts keys are kept by `EXPIRE` with `NX` and `GT`, which Redis 6.2
/// does not know.
async fn demand(fleet: &Fleet, prefix: &str, form: Form) -> Result<Result<(), OpenError>, Fault> {
    if form != Form::Plain {
        return Ok(Ok(()));
    }
    // A key that is never there: nothing is changed.
    let name = Layout::meta(prefix);
    let mut command = redis::cmd("EXPIRE");
    command.arg([&name.bytes[..], b".none"].concat()).arg(1).arg("GT");
    match fleet.ask(Request { slot: name.slot, command, script: None }).await {
        Ok(_) => Ok(Ok(())),
        Err(fault) if fault.class == Class::Other => {
            let text = format!("without scripts the store needs Redis 7.0 or later, or Valkey: {fault}");
            Ok(Err(OpenError::config("scripts", text)))
        }
        // There is no room now for what is not written here.
        Err(fault) if matches!(fault.class, Class::OutOfMemory | Class::Misconfigured) => Ok(Ok(())),
        Err(fault) => Err(fault),
    }
}

fn agree(found: Form, wanted: Form) -> Result<(), OpenError> {
    match (found, wanted) {
        (Form::Buckets { log2: found }, Form::Buckets { log2: wanted }) if found != wanted => {
            let text =
                format!("the keys of this prefix are in 2^{found} buckets: set {found}, or another `prefix`");
            Err(OpenError::config("buckets_log2", text))
        }
        (Form::Buckets { .. }, Form::Plain) => Err(OpenError::config(
            "scripts",
            "the keys of this prefix were written by scripts: set \"auto\", or another `prefix`",
        )),
        // Scripts may be used, and the first node of the prefix did without.
        (Form::Plain, Form::Buckets { .. } | Form::Plain) | (Form::Buckets { .. }, Form::Buckets { .. }) => {
            Ok(())
        }
    }
}
