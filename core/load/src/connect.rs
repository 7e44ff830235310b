//! Makes the clients and their first connections.

use crate::client::Client;
use crate::exchange::probe;
use crate::keys::KeySpace;
use crate::plan::Plan;
use futures::{StreamExt, stream};
use std::io;
use std::sync::Arc;

/// The handshakes under way at a time: more would only wait for each other's computations.
const CONNECTING_MAX: usize = 64;

/// The clients, and what became of their first connections.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) clients: Vec<Arc<Client>>,
    /// The clients whose head answered a FIND_NODE.
    pub(crate) connected: usize,
    /// The last failure, if there was one.
    pub(crate) failure: Option<String>,
}

/// Makes every client and connects it to its head.
///
/// # Errors
/// If a session cannot be made.
pub(crate) async fn connect(plan: &Arc<Plan>, keys: &KeySpace) -> io::Result<Connected> {
    let clients: Vec<_> = (0..plan.clients)
        .map(|index| Ok(Arc::new(Client::new(Arc::clone(plan), index)?)))
        .collect::<io::Result<_>>()?;
    let answers = stream::iter(clients.iter().cloned()).map(|client| first_answer(plan, keys, client));
    let mut answers = answers.buffer_unordered(CONNECTING_MAX);
    let (mut connected, mut failure) = (0, None);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(()) => connected += 1,
            Err(cause) => failure = Some(cause),
        }
    }
    drop(answers);
    Ok(Connected { clients, connected, failure })
}

async fn first_answer(plan: &Plan, keys: &KeySpace, client: Arc<Client>) -> Result<(), String> {
    let session = client.current_session().map_err(|cause| cause.to_string())?;
    let at = vec![session.head().address().clone()];
    let answer = session.client().ask(session.head().peer(), at, probe(keys), plan.timeout).await;
    match answer {
        Ok(_) => Ok(()),
        Err(cause) => Err(format!("{}: {}", session.head(), cause)),
    }
}
