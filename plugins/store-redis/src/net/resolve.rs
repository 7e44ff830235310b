//! Finding the masters.

use super::address::{Address, of_answer, of_sentinel, of_server};
use super::connector::{Connector, Wanted};
use super::fault::{Class, Fault};
use super::map::Map;
use super::node::Node;
use crate::config::Mode;
use redis::Value;
use std::sync::Arc;
use tokio::time::timeout;

/// Finds the masters as the mode has it.
pub(crate) async fn resolve(connector: &Arc<Connector>, before: &Map) -> Result<Map, Fault> {
    match connector.config.mode {
        Mode::Standalone => standalone(connector, before).await,
        Mode::Sentinel => sentinel(connector, before).await,
        Mode::Cluster => cluster(connector, before).await,
    }
}

/// The first of the hosts that answers and is a master.
async fn standalone(connector: &Arc<Connector>, before: &Map) -> Result<Map, Fault> {
    let hosts = &connector.config.hosts;
    if let ([host], [node]) = (&hosts[..], &before.nodes[..]) {
        debug_assert_eq!(of_server(host), node.address);
        return Ok(before.clone());
    }
    let mut last = Fault::nobody("no host is named");
    for host in hosts {
        let address = of_server(host);
        match connector.connect(&address, Wanted::Master).await {
            Ok(_) => return Ok(one(address, before, connector)),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

fn one(address: Address, before: &Map, connector: &Arc<Connector>) -> Map {
    let known = before.find(&address);
    Map::of_one(known.unwrap_or_else(|| Node::new(address, Wanted::Master, connector)))
}

/// The master that the first sentinel names.
async fn sentinel(connector: &Arc<Connector>, before: &Map) -> Result<Map, Fault> {
    let mut ask = redis::cmd("SENTINEL");
    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(&connector.config.sentinel.master);
    let mut last = Fault::nobody("no sentinel is named");
    for host in &connector.config.hosts {
        let sentinel = of_sentinel(host);
        let said = question(connector, &sentinel, Wanted::Sentinel, &ask).await;
        match said.map(redis::from_redis_value::<Option<(String, u16)>>) {
            Ok(Ok(Some((host, port)))) => {
                let Some(master) = of_answer(&host, port, &sentinel) else { continue };
                return Ok(one(master, before, connector));
            }
            Ok(Ok(None)) => {
                let text = format!("the sentinel knows no master `{}`", connector.config.sentinel.master);
                last = Fault::new(Class::Other, &sentinel, text);
            }
            Ok(Err(cause)) => last = Fault::new(Class::Other, &sentinel, cause.to_string()),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

/// The masters that a node of the cluster names: one that is in use, or one of the hosts.
async fn cluster(connector: &Arc<Connector>, before: &Map) -> Result<Map, Fault> {
    let mut ask = redis::cmd("CLUSTER");
    ask.arg("SLOTS");
    let mut known: Vec<Address> =
        before.nodes.iter().filter(|node| node.is_up()).map(|node| node.address.clone()).collect();
    for host in &connector.config.hosts {
        let address = of_server(host);
        if !known.contains(&address) {
            known.push(address);
        }
    }
    let mut last = Fault::nobody("no node is known");
    for address in known {
        match question(connector, &address, Wanted::ClusterNode, &ask).await {
            Ok(said) => match ranges(&said, &address) {
                Some(ranges) => return Ok(Map::of_cluster(&ranges, before, connector)),
                None => last = Fault::new(Class::ClusterDown, &address, "the node knows no master"),
            },
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

/// The ranges of `CLUSTER SLOTS` with their masters; none if there is no range.
fn ranges(said: &Value, asked: &Address) -> Option<Vec<(u16, u16, Address)>> {
    let range = |range: &Value| {
        let [first, last, master, ..] = range.as_sequence()? else { return None };
        let [host, port, ..] = master.as_sequence()? else { return None };
        let number = |value: &Value| redis::from_redis_value_ref::<u16>(value).ok();
        let host = redis::from_redis_value_ref::<Option<String>>(host).ok()?.unwrap_or_default();
        Some((number(first)?, number(last)?, of_answer(&host, number(port)?, asked)?))
    };
    let ranges: Vec<_> = said.as_sequence()?.iter().filter_map(range).collect();
    (!ranges.is_empty()).then_some(ranges)
}

/// Asks a server one thing on a connection of its own.
async fn question(
    connector: &Arc<Connector>,
    address: &Address,
    wanted: Wanted,
    ask: &redis::Cmd,
) -> Result<Value, Fault> {
    let mut connection = connector.connect(address, wanted).await?;
    match timeout(connector.connect_limit(), connection.send_packed_command(ask)).await {
        Ok(Ok(Value::ServerError(error))) => Err(Fault::of_reply(&error, address)),
        Ok(Ok(said)) => Ok(said),
        Ok(Err(error)) => Err(Fault::of_connection(&error, address)),
        Err(_) => Err(Fault::timeout(address, "no answer in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_name_their_masters() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id")]);
        let said = Value::Array(vec![
            Value::Array(vec![
                Value::Int(0),
                Value::Int(99),
                node(text("10.0.0.2"), 7000),
                node(text("x"), 1),
            ]),
            Value::Array(vec![Value::Int(100), Value::Int(16_383), node(Value::Nil, 7001)]),
            Value::Array(vec![Value::Int(100)]),
        ]);
        let asked = of_server("10.0.0.1:7001");
        let expected = vec![(0, 99, of_server("10.0.0.2:7000")), (100, 16_383, asked.clone())];
        assert_eq!(ranges(&said, &asked), Some(expected));
        assert_eq!(ranges(&Value::Array(Vec::new()), &asked), None);
    }
}
