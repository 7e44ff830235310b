//! Roles, passwords and certificates.

use crate::{Config, Server, config, has, insert, is_back, open, trial};
use hydra_api::{Causes, SecretSource};
use hydra_store_postgres::{Migrate, Tls, TlsMode};
use libtest_mimic::Trial;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_changed_password_is_taken_up", &[], rotated),
        trial("a_role_without_rights_on_tables_runs_on_tables_of_another", &[], without_ddl),
        trial("certificates_are_verified_in_both_directions", &[], encrypted),
    ]
}

/// Replaces the rules of who may log in.
fn allow(server: &Server, rules: &str) {
    std::fs::write(server.home().join("data/pg_hba.conf"), format!("local all all trust\n{rules}\n"))
        .unwrap();
    server.execute("hydra", "SELECT pg_reload_conf()").unwrap();
}

async fn rotated(server: Server) {
    server
        .execute("hydra", "CREATE ROLE app LOGIN PASSWORD 'first'; GRANT ALL ON DATABASE hydra TO app")
        .unwrap();
    allow(&server, "host all hydra 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 scram-sha-256");
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("password");
    std::fs::write(&file, "wrong\n").unwrap();
    let password = Some(SecretSource::File(file.clone()));
    let config = || Config { user: "app".to_owned(), password: password.clone(), ..config(server.port()) };
    let refused = open(config()).await.unwrap_err();
    let causes = Causes(&refused).to_string();
    assert!(causes.contains("password authentication failed") && !causes.contains("wrong"), "{causes}");

    std::fs::write(&file, "first\n").unwrap();
    let store = open(config()).await.unwrap();
    insert(&store, 1).await.unwrap();
    server.execute("hydra", "ALTER ROLE app PASSWORD 'second'").unwrap();
    server
        .execute("hydra", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        .unwrap();
    while insert(&store, 2).await.is_ok() {}
    std::fs::write(&file, "second\n").unwrap();
    is_back(&store, 2).await;
}

async fn without_ddl(server: Server) {
    let of = |user: &str, migrate| Config { user: user.to_owned(), migrate, ..config(server.port()) };
    server.execute("hydra", "CREATE ROLE app LOGIN").unwrap();
    let refused = Causes(&open(of("app", Migrate::Check)).await.unwrap_err()).to_string();
    assert!(refused.contains("has no tables of hydra"), "{refused}");
    let refused = Causes(&open(of("app", Migrate::Auto)).await.unwrap_err()).to_string();
    assert!(refused.contains("permission denied for database hydra"), "{refused}");

    drop(open(of("hydra", Migrate::Auto)).await.unwrap());
    server
        .execute(
            "hydra",
            "GRANT USAGE ON SCHEMA hydra TO app; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA hydra TO app",
        )
        .unwrap();
    for migrate in [Migrate::Check, Migrate::Auto, Migrate::Off] {
        let store = open(of("app", migrate)).await.unwrap();
        insert(&store, 1).await.unwrap();
        assert!(has(&store, 1).await.unwrap());
        store.purge_expired(crate::NOW, std::num::NonZeroU32::MIN).await.unwrap();
        store.estimate().await.unwrap();
        store.close().await.unwrap();
    }
    server.execute("hydra", "UPDATE hydra.hydra SET version = 99").unwrap();
    let refused = Causes(&open(of("app", Migrate::Auto)).await.unwrap_err()).to_string();
    assert!(refused.contains("have version 99"), "{refused}");
}

async fn encrypted(mut server: Server) {
    let keys = Keys::make(&server);
    for setting in
        ["ssl = on", "ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'", "ssl_ca_file = 'ca.crt'"]
    {
        server.execute("hydra", &format!("ALTER SYSTEM SET {setting}")).unwrap();
    }
    allow(&server, "host all hydra 127.0.0.1/32 trust\nhostssl all app 127.0.0.1/32 cert");
    server.execute("hydra", "CREATE ROLE app LOGIN; GRANT ALL ON DATABASE hydra TO app").unwrap();
    server.stop();
    server.launch().unwrap();
    let tls = Tls {
        mode: TlsMode::VerifyFull,
        root_cert_file: Some(keys.file("ca.crt")),
        client_cert_file: Some(keys.file("client.crt")),
        client_key_file: Some(keys.file("client.key")),
    };
    let host = format!("localhost:{}", server.port());
    let of =
        |tls: Tls| Config { hosts: vec![host.clone()], user: "app".to_owned(), tls, ..config(server.port()) };
    let store = open(of(tls.clone())).await.unwrap();
    insert(&store, 1).await.unwrap();
    let encrypted = server.query(
        "hydra",
        "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND usename = 'app'",
    );
    assert_ne!(encrypted.unwrap(), ["0"]);

    let strange = Tls { root_cert_file: Some(keys.file("stranger.crt")), ..tls.clone() };
    assert!(open(of(strange)).await.is_err(), "a server of another authority");
    let no_certificate = Tls { client_cert_file: None, client_key_file: None, ..tls.clone() };
    assert!(open(of(no_certificate)).await.is_err(), "a client without its certificate");
    let plain = Tls { mode: TlsMode::Disable, ..tls };
    assert!(open(of(plain)).await.is_err(), "a client without TLS");
}

/// Throw-away certificates: of an authority, a server, a client, and of an authority that nobody trusts.
struct Keys(tempfile::TempDir);

impl Keys {
    fn make(server: &Server) -> Self {
        let keys = Self(tempfile::tempdir().unwrap());
        keys.authority("ca");
        keys.authority("stranger");
        keys.signed("server", "localhost");
        keys.signed("client", "app");
        for name in ["server.crt", "server.key", "ca.crt"] {
            server.install(&keys.file(name), name).unwrap();
        }
        keys
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn authority(&self, name: &str) {
        let subject = format!("/CN={name}");
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        openssl(
            self.0.path(),
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                &subject,
                "-keyout",
                &key,
                "-out",
                &certificate,
            ],
        );
    }

    fn signed(&self, name: &str, subject: &str) {
        let [key, request, certificate, names] =
            ["key", "csr", "crt", "ext"].map(|end| format!("{name}.{end}"));
        let common = format!("/CN={subject}");
        openssl(
            self.0.path(),
            &["req", "-newkey", "rsa:2048", "-nodes", "-subj", &common, "-keyout", &key, "-out", &request],
        );
        std::fs::write(self.file(&names), format!("subjectAltName=DNS:{subject}\n")).unwrap();
        openssl(
            self.0.path(),
            &[
                "x509",
                "-req",
                "-days",
                "2",
                "-in",
                &request,
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-extfile",
                &names,
                "-out",
                &certificate,
            ],
        );
    }
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
