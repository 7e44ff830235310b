//! Logins, rights and encryption.

use crate::shop::{Shop, config, open, server};
use hydra_api::{Causes, OpenErrorKind, SecretSource};
use hydra_conformance::servers::Redis as Server;
use hydra_store_redis::{Config, Scripts, Tls, TlsMode};
use std::path::Path;
use std::process::Command;

fn secret(dir: &Path, text: &str) -> Option<SecretSource> {
    let file = dir.join("password");
    std::fs::write(&file, format!("{text}\n")).unwrap();
    Some(SecretSource::File(file))
}

fn user(server: &Server, rules: &[&str]) {
    let command = [&["ACL", "SETUSER", "node", "reset", "on", ">open-sesame"][..], rules].concat();
    server.command(&command).unwrap();
}

fn as_user(server: &Server, dir: &Path, password: &str) -> Config {
    let password = secret(dir, password);
    Config { username: Some("node".to_owned()), password, ..config(&[server.port()]) }
}

/// What the README names.
const RIGHTS: [&str; 5] = ["~hydra:*", "+@read", "+@write", "+@connection", "+@scripting"];

pub(crate) async fn acl() {
    let (server, dir) = (server(&[]), tempfile::tempdir().unwrap());
    user(&server, &RIGHTS);
    let shop = Shop::of(as_user(&server, dir.path(), "open-sesame")).await;
    shop.insert(0..50).await;
    shop.has(0..50).await;
    shop.0.estimate().await.unwrap();
    shop.0.purge_expired(hydra_conformance::given::NOW, std::num::NonZeroU32::MIN).await.unwrap();
    // A right that is taken away is named.
    user(&server, &["~other:*", "+@all"]);
    let error = shop.try_insert(0..10).await.unwrap_err();
    assert!(Causes(&error).to_string().contains("NOPERM"), "{}", Causes(&error));
    user(&server, &RIGHTS);
    shop.recovers(0..10).await;
}

pub(crate) async fn wrong_password() {
    let (server, dir) = (server(&[]), tempfile::tempdir().unwrap());
    user(&server, &RIGHTS);
    let error = open(as_user(&server, dir.path(), "xyzzy-secret")).await.unwrap_err();
    let text = format!("{} {error:?}", Causes(&error));
    assert!(text.contains("WRONGPASS") || text.contains("invalid username-password"), "{text}");
    assert!(!text.contains("xyzzy-secret"), "{text}");
}

pub(crate) async fn rotated_password() {
    let (server, dir) = (server(&[]), tempfile::tempdir().unwrap());
    user(&server, &RIGHTS);
    let shop = Shop::of(as_user(&server, dir.path(), "open-sesame")).await;
    shop.insert(0..10).await;
    server.command(&["ACL", "SETUSER", "node", "resetpass", ">sim-sala"]).unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
    let error = shop.try_insert(0..10).await.unwrap_err();
    assert!(!Causes(&error).to_string().contains("sesame"), "{}", Causes(&error));
    secret(dir.path(), "sim-sala");
    shop.recovers(0..20).await;
}

pub(crate) async fn no_scripts() {
    let (server, dir) = (server(&[]), tempfile::tempdir().unwrap());
    user(&server, &["~hydra:*", "+@read", "+@write", "+@connection", "+@transaction"]);
    let shop = Shop::of(as_user(&server, dir.path(), "open-sesame")).await;
    shop.insert(0..50).await;
    shop.has(0..50).await;
    let later = hydra_api::UnixSeconds(u32::MAX);
    let limit = std::num::NonZeroU32::new(1000).unwrap();
    assert_eq!(shop.0.purge_expired(later, limit).await.unwrap().removed, 50);
}

/// By the config, and by the rights of the user: the first start says so and leaves nothing behind.
pub(crate) async fn too_old() {
    let (server, dir) = (server(&[]), tempfile::tempdir().unwrap());
    user(&server, &["~hydra:*", "+@read", "+@write", "+@connection"]);
    let off = Config { scripts: Scripts::Off, ..config(&[server.port()]) };
    for config in [off, as_user(&server, dir.path(), "open-sesame")] {
        let error = open(config).await.unwrap_err();
        assert_eq!(error.kind(), &OpenErrorKind::Config { key: "scripts".to_owned() });
        let text = Causes(&error).to_string();
        assert!(text.contains("Redis 7.0 or later") && text.contains("expire"), "{text}");
    }
    assert_eq!(server.command(&["DBSIZE"]).unwrap(), "0");
    Shop::of(config(&[server.port()])).await.insert(0..10).await;
}

/// A certificate for 127.0.0.1 that has signed itself, and its key.
fn certificate(dir: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hydra-test"]);
    openssl.args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]);
    let made = openssl.args(["-keyout", "key.pem", "-out", "cert.pem"]).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

pub(crate) async fn tls() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path());
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    // The port for all is kept for the test's own commands.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (cert_text, key_text) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let _server = server(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        cert_text,
        "--tls-key-file",
        key_text,
        "--tls-ca-cert-file",
        cert_text,
        "--tls-auth-clients",
        "yes",
    ]);
    let tls = Tls {
        mode: TlsMode::VerifyFull,
        ca_file: Some(cert.clone()),
        cert_file: Some(cert.clone()),
        key_file: Some(key.clone()),
    };
    // The client library reads the certificates of the machine for each connection, which a debug build is slow at.
    let patient = |ports: &[u16]| Config { connect_timeout_ms: 20_000, ..config(ports) };
    let shop = Shop::of(Config { tls: tls.clone(), ..patient(&[port]) }).await;
    shop.insert(0..50).await;
    shop.has(0..50).await;
    // A certificate that nobody vouches for, and one for another name.
    let untrusted = Tls { ca_file: None, ..tls.clone() };
    open(Config { tls: untrusted, ..patient(&[port]) }).await.unwrap_err();
    let other = Config { tls, hosts: vec![format!("localhost:{port}")], ..patient(&[]) };
    open(other).await.unwrap_err();
}
