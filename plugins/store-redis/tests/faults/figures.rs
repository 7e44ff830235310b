//! What the store publishes of a server that fails, refuses or fills up.

use crate::shop::{Shop, config, server, that_loads};
use hydra_api::StoreErrorKind;

fn figure(shop: &Shop, name: &str, labels: &[(&str, &str)]) -> f64 {
    hydra_conformance::published::figure(&*shop.0, name, labels)
}

fn errors(shop: &Shop, class: &str) -> f64 {
    figure(shop, "db_client_errors_total", &[("error_type", class)])
}

fn connects(shop: &Shop, cause: &str) -> f64 {
    figure(shop, "db_client_connects_total", &[("cause", cause)])
}

fn servers(shop: &Shop, state: &str) -> f64 {
    figure(shop, "db_servers", &[("state", state)])
}

pub(crate) async fn measured() {
    let server = server(&[]);
    let shop = Shop::of(config(&[server.port()])).await;
    let batches = |operation| {
        figure(&shop, "db_client_operation_duration_seconds", &[("db_operation_name", operation)])
    };
    assert_eq!((batches("insert"), batches("providers")), (0.0, 0.0));
    shop.insert(0..20).await;
    let inserts = batches("insert");
    assert!(inserts >= 1.0);
    shop.has(0..20).await;
    assert!(batches("providers") >= 1.0);
    assert_eq!(batches("insert"), inserts);
    assert_eq!(figure(&shop, "db_client_operation_commands", &[("db_operation_name", "insert")]), inserts);
    assert!(connects(&shop, "start") >= 1.0);
    assert_eq!(connects(&shop, "start"), figure(&shop, "db_client_connects_total", &[]));
    assert!(figure(&shop, "db_client_connections", &[("db_client_connection_state", "idle")]) >= 1.0);
    assert_eq!(figure(&shop, "db_client_connections_max", &[]), 4.0);
    assert_eq!((servers(&shop, "up"), servers(&shop, "down")), (1.0, 0.0));
}

pub(crate) async fn errors_by_prefix() {
    let (server, other) = (server(&[]), crate::shop::server(&[]));
    let shop = Shop::of(config(&[server.port()])).await;
    // A script that no server knows yet is loaded when the server says so.
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    shop.insert(0..20).await;
    assert!(errors(&shop, "NOSCRIPT") >= 1.0);
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    assert_eq!(errors(&shop, "OOM"), 0.0);
    shop.try_insert(20..40).await.unwrap();
    assert!(errors(&shop, "OOM") >= 1.0);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert_eq!(errors(&shop, "READONLY"), 0.0);
    server.command(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]).unwrap();
    assert_eq!(shop.try_insert(40..60).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert!(errors(&shop, "READONLY") >= 1.0);
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    shop.recovers(0..20).await;
    assert!(connects(&shop, "read_only") >= 1.0);
    assert_eq!(errors(&shop, "other"), 0.0);
}

pub(crate) async fn killed() {
    let mut server = server(&["--appendonly", "yes", "--appendfsync", "always"]);
    let shop = Shop::of(config(&[server.port()])).await;
    shop.insert(0..20).await;
    server.kill().unwrap();
    shop.fails(StoreErrorKind::Unavailable).await;
    assert!(errors(&shop, "io") >= 1.0);
    assert_eq!((servers(&shop, "up"), servers(&shop, "down")), (0.0, 1.0));
    assert!(figure(&shop, "db_client_connect_failures_total", &[("error_type", "io")]) >= 1.0);
    server.launch().unwrap();
    shop.recovers(20..40).await;
    assert_eq!((servers(&shop, "up"), servers(&shop, "down")), (1.0, 0.0));
    assert!(connects(&shop, "lost") >= 1.0);
    assert_eq!(connects(&shop, "timeout"), 0.0);
}

pub(crate) async fn silent() {
    let server = server(&[]);
    let shop = Shop::of(config(&[server.port()])).await;
    shop.insert(0..20).await;
    server.signal("STOP").unwrap();
    shop.fails(StoreErrorKind::Unavailable).await;
    assert!(errors(&shop, "timeout") >= 1.0);
    server.signal("CONT").unwrap();
    shop.recovers(20..40).await;
    assert!(connects(&shop, "timeout") >= 1.0);
}

pub(crate) async fn memory() {
    let server = server(&["--maxmemory", "100mb"]);
    let shop = Shop::of(config(&[server.port()])).await;
    assert_eq!(figure(&shop, "db_memory_bytes", &[]), 0.0, "nothing is known before the first estimate");
    shop.insert(0..500).await;
    shop.0.estimate().await.unwrap();
    let info = server.command(&["INFO", "memory"]).unwrap();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    let used: f64 = used.trim().parse().unwrap();
    let told = figure(&shop, "db_memory_bytes", &[]);
    assert!((told - used).abs() < used / 2.0, "{told} told, {used} used");
    assert_eq!(figure(&shop, "db_memory_max_bytes", &[]), f64::from(100 << 20));
    assert_eq!(figure(&shop, "db_memory_used_ratio", &[]), told / f64::from(100 << 20));
    assert!(figure(&shop, "db_memory_age_seconds", &[]) < 60.0);
}

pub(crate) async fn forbidden_memory() {
    let server = server(&[]);
    let rights = ["ACL", "SETUSER", "default", "-info"];
    server.command(&rights).unwrap();
    let shop = Shop::of(config(&[server.port()])).await;
    shop.insert(0..20).await;
    let before = errors(&shop, "NOPERM");
    for _ in 0..3 {
        shop.0.estimate().await.unwrap();
    }
    assert_eq!(figure(&shop, "db_memory_bytes", &[]), 0.0);
    assert_eq!(errors(&shop, "NOPERM"), before, "it is not asked again and again");
    assert_eq!(servers(&shop, "up"), 1.0);
}

/// As a tier of `tiered` is called, with a time limit below that of a statement.
pub(crate) async fn given_up() {
    let server = server(&[]);
    let shop = Shop::of(config(&[server.port()])).await;
    shop.insert(0..20).await;
    shop.has(0..20).await;
    let batches =
        || figure(&shop, "db_client_operation_duration_seconds", &[("db_operation_name", "providers")]);
    let before = batches();
    server.command(&["CLIENT", "PAUSE", "2000", "ALL"]).unwrap();
    for _ in 0..5 {
        let call = shop.try_read(0..20);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(100), call).await.is_err());
    }
    // Each has given up a statement, or the connection for it.
    let (statements, dropped) = (batches() - before, errors(&shop, "dropped"));
    let connects = figure(&shop, "db_client_connect_failures_total", &[("error_type", "dropped")]);
    assert!(statements >= 1.0 && dropped >= 1.0, "{statements} more, {dropped} dropped");
    assert_eq!(dropped + connects, 5.0, "{dropped} statements and {connects} attempts to connect");
}

/// What an operator reads of a server that loads its data.
pub(crate) async fn loading() {
    let (_server, shop) = that_loads(0..50, 2500).await;
    shop.recovers(0..50).await;
    let told = ["start", "lost", "timeout", "ended", "dropped"].map(|cause| (cause, connects(&shop, cause)));
    assert!(errors(&shop, "LOADING") >= 2.0);
    assert_eq!(connects(&shop, "dropped"), 0.0, "no call was given up: {told:?}");
}
