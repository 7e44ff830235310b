//! The peer table on disk. What is read is not believed: every peer is probed again.

use crate::net::peer_addresses::{ADDRESSES_PER_PEER_MAX, worth_keeping};
use crate::net::routing::lookup::Contact;
use crate::net::routing::table::Table;
use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes.
const BYTES_MAX: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
struct Saved {
    peer: String,
    addresses: Vec<Multiaddr>,
}

impl Saved {
    /// What it takes of the file at most, in bytes.
    fn len(&self) -> u64 {
        let addresses: usize = self.addresses.iter().map(|address| address.to_string().len() + 3).sum();
        (self.peer.len() + addresses + r#"{"peer":"","addresses":[]},"#.len()) as u64
    }
}

/// The peers that were saved, at most `max`; none when the file is missing or damaged. A damaged one is moved aside: the next
/// save would replace it.
pub(super) async fn load(path: &Path, max: usize) -> Vec<Contact> {
    match read(path.to_owned()).await {
        Ok(saved) => saved
            .into_iter()
            .filter_map(|saved| {
                let peer = saved.peer.parse::<PeerId>().ok()?;
                Some(Contact {
                    peer,
                    addresses: worth_keeping(&peer, saved.addresses, ADDRESSES_PER_PEER_MAX),
                })
            })
            .take(max)
            .collect(),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(cause) => {
            let file = path.display();
            match set_aside(path.to_owned()).await {
                Ok(aside) => tracing::warn!(
                    %file, error = %cause, moved_to = %aside.display(),
                    "the saved peer table cannot be read and is moved aside, starting without it"
                ),
                Err(error) => tracing::warn!(
                    %file, error = %cause, not_moved = %error,
                    "the saved peer table cannot be read, starting without it"
                ),
            }
            Vec::new()
        }
    }
}

/// Renames the file, in the place of one that was moved aside before.
async fn set_aside(path: PathBuf) -> io::Result<PathBuf> {
    blocking(move || {
        let aside = path.with_extension("json.damaged");
        std::fs::rename(&path, &aside).map(|()| aside)
    })
    .await
}

/// Saves the foreign peers of the table, and behind them the `unproven` ones as far as the table might have room for
/// them, and the file for their addresses. While there is nobody, what was saved before stays: it is the better place to
/// begin. A failure is told in the log: the table can be found again.
pub(super) async fn save(path: &Path, table: &Table, unproven: impl IntoIterator<Item = Contact>) {
    let proven: Vec<_> = table
        .snapshot()
        .servers()
        .filter(|server| !server.is_own())
        .map(|server| Saved { peer: server.peer.to_string(), addresses: server.addresses.clone() })
        .collect();
    let unproven = unproven
        .into_iter()
        .map(|contact| Saved { peer: contact.peer.to_string(), addresses: contact.addresses });
    let mut room = BYTES_MAX;
    let has_room = |saved: &Saved| {
        let left = room.checked_sub(saved.len());
        room = left.unwrap_or(room);
        left.is_some()
    };
    let all = proven.into_iter().chain(unproven).take(table.len_max());
    let saved: Vec<_> = all.take_while(has_room).collect();
    if saved.is_empty() {
        return;
    }
    if let Err(cause) = write(path.to_owned(), saved).await {
        tracing::warn!(file = %path.display(), error = %cause, "the peer table cannot be saved");
    }
}

async fn read(path: PathBuf) -> io::Result<Vec<Saved>> {
    blocking(move || {
        if std::fs::metadata(&path)?.len() > BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        serde_json::from_slice(&std::fs::read(&path)?).map_err(io::Error::from)
    })
    .await
}

async fn write(path: PathBuf, saved: Vec<Saved>) -> io::Result<()> {
    blocking(move || crate::files::replace(&path, &serde_json::to_vec(&saved)?)).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
