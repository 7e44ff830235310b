//! Names in addresses, resolved by the system's resolver config. Addresses by number need none, and a config that cannot be
//! used is read again until it can.

use crate::net::address::has_name;
use crate::net::dial_gate::DialGate;
use futures::future::{BoxFuture, FutureExt, TryFutureExt};
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
#[cfg(target_os = "linux")]
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf;
use hydra_kad::NotDialed;
use libp2p::core::Transport;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::{Multiaddr, dns};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

/// Where systems keep the config. On one that keeps it elsewhere it is read once.
const CONFIG: &str = "/etc/resolv.conf";
/// The pause between two looks at the file.
const CHECK: Duration = Duration::from_secs(1);

/// Dials addresses with names as well, `/dnsaddr` too.
pub(super) struct Resolving<T: Transport> {
    inner: Shared<T>,
    resolver: Option<dns::tokio::Transport<Shared<T>>>,
    /// When the file was last looked at, and what it was then.
    checked: Option<(Instant, Stamp)>,
    /// Why the config that is there now cannot be used.
    failure: Option<String>,
    without: Without,
    /// By what each resolution is admitted.
    gate: Arc<DialGate>,
}

/// What a dial is that needs a config which cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Without {
    /// Not made yet: it is worth another try.
    Later,
    /// Failed.
    Failed,
}

/// Names cannot be resolved.
#[derive(Debug, thiserror::Error)]
#[error("names cannot be resolved: {CONFIG}: {cause}")]
struct Unresolved {
    cause: String,
    #[source]
    not_dialed: Option<NotDialed>,
}

/// Differs when a file has changed.
type Stamp = Option<(SystemTime, u64)>;

impl<T> Resolving<T>
where
    T: Transport<Error = io::Error> + Send + Unpin + 'static,
    T::Dial: Send,
{
    pub(super) fn new(inner: T, without: Without, gate: Arc<DialGate>) -> Self {
        let inner = Shared(Arc::new(Mutex::new(inner)));
        Self { inner, resolver: None, checked: None, failure: None, without, gate }
    }

    /// A resolver by the config as it is now, or by the last one that could be used.
    fn resolver(&mut self) -> io::Result<&mut dns::tokio::Transport<Shared<T>>> {
        let now = Instant::now();
        if self.checked.is_none_or(|(at, _)| now.saturating_duration_since(at) >= CHECK) {
            let stamp = stamp();
            let is_same = self.checked.is_some_and(|(_, known)| known == stamp);
            self.checked = Some((now, stamp));
            // What failed without a change may have failed for another reason than the file.
            if !is_same || self.failure.is_some() || self.resolver.is_none() {
                self.read();
            }
        }
        let failed = || {
            let not_dialed = (self.without == Without::Later).then_some(NotDialed);
            io::Error::other(Unresolved { cause: self.failure.clone().unwrap_or_default(), not_dialed })
        };
        self.resolver.as_mut().ok_or_else(failed)
    }

    fn read(&mut self) {
        match config() {
            Ok((servers, options)) => {
                self.resolver = Some(dns::tokio::Transport::custom(self.inner.clone(), servers, options));
                if self.failure.take().is_some() {
                    tracing::info!(config = CONFIG, "names are resolved again");
                }
            }
            Err(cause) => {
                let cause = cause.to_string();
                if self.failure.as_ref() != Some(&cause) {
                    tracing::warn!(
                        config = CONFIG,
                        error = cause,
                        "cannot use the config of the resolver: addresses with names are not dialed until it is fixed"
                    );
                }
                self.failure = Some(cause);
            }
        }
    }
}

/// The system's config, without domains to search that are no names: the system's own resolver does without these, too.
#[cfg(target_os = "linux")]
fn config() -> io::Result<(ResolverConfig, ResolverOpts)> {
    let text = std::fs::read(CONFIG)?;
    let (text, dropped) = without_bad_domains(&String::from_utf8_lossy(&text));
    let config = system_conf::parse_resolv_conf(text).map_err(|cause| io::Error::other(cause.to_string()))?;
    if !dropped.is_empty() {
        let dropped = dropped.join(" ");
        tracing::warn!(config = CONFIG, dropped, "search domains that are not valid names are ignored");
    }
    Ok(config)
}

/// The system's config.
#[cfg(not(target_os = "linux"))]
fn config() -> io::Result<(ResolverConfig, ResolverOpts)> {
    system_conf::read_system_conf().map_err(|cause| io::Error::other(cause.to_string()))
}

/// The text without words of `search` and `domain` that are no names, and these words.
#[cfg(target_os = "linux")]
fn without_bad_domains(text: &str) -> (String, Vec<String>) {
    let (mut kept, mut dropped) = (String::with_capacity(text.len()), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(keyword @ ("search" | "domain")) = words.next() else {
            kept.extend([line, "\n"]);
            continue;
        };
        let (names, others): (Vec<_>, Vec<_>) = words
            .take_while(|word| !word.starts_with(['#', ';']))
            .partition(|word| Name::from_str_relaxed(word).is_ok());
        dropped.extend(others.into_iter().map(str::to_owned));
        if !names.is_empty() {
            kept.extend([keyword, " ", &names.join(" "), "\n"]);
        }
    }
    (kept, dropped)
}

fn stamp() -> Stamp {
    let file = std::fs::metadata(CONFIG).ok()?;
    Some((file.modified().ok()?, file.len()))
}

impl<T> Transport for Resolving<T>
where
    T: Transport<Error = io::Error> + Send + Unpin + 'static,
    T::Output: 'static,
    T::Dial: Send + 'static,
{
    type Output = T::Output;
    type Error = io::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<T::Output>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, opts: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        if !has_name(&address) {
            return Ok(self.inner.dial(address, opts)?.boxed());
        }
        let refused = |refusal| TransportError::Other(io::Error::other(refusal));
        self.gate.resolve(&address, Instant::now()).map_err(refused)?;
        let resolver = self.resolver().map_err(TransportError::Other)?;
        let dial = resolver.dial(address, opts).map_err(|failure| failure.map(io::Error::other))?;
        Ok(dial.map_err(io::Error::other).boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

/// A transport that several resolvers use, one after the other.
pub(super) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Transport + Unpin> Transport for Shared<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<T::Error>> {
        self.lock().listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.lock().remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, opts: DialOpts) -> Result<T::Dial, TransportError<T::Error>> {
        self.lock().dial(address, opts)
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<T::ListenerUpgrade, T::Error>> {
        Pin::new(&mut *self.lock()).poll(cx)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn domains_that_are_no_names_are_left_out_and_the_rest_stays() {
        let text = "# by hand\nnameserver 127.0.0.1\nsearch my..lan good.lan .. # of the office\ndomain ..\noptions ndots:2\n";
        let (kept, dropped) = without_bad_domains(text);
        assert_eq!(kept, "# by hand\nnameserver 127.0.0.1\nsearch good.lan\noptions ndots:2\n");
        assert_eq!(dropped, ["my..lan", "..", ".."]);
        system_conf::parse_resolv_conf(kept).unwrap();
    }
}
