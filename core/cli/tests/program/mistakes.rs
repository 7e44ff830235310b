//! Mistakes that keep a node from its start: `hydra config check` tells them all.

use crate::{Hydra, stderr};

/// What a command that ends with this exit code prints to standard error.
fn fails(hydra: &Hydra, code: i32, args: &[&str], variables: &[(&str, &str)]) -> String {
    let output = hydra.command(args).envs(variables.iter().copied()).output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
    message
}

/// What each of the three commands that read a config says of it: the same.
fn is_refused(hydra: &Hydra, set: &str, variables: &[(&str, &str)], words: &[&str]) {
    for command in [&["config", "check"][..], &["check"], &["run"]] {
        let message = fails(hydra, 2, &[command, &["--set", set]].concat(), variables);
        for word in words {
            assert!(message.contains(word), "{command:?} {set}: no {word} in {message}");
        }
    }
}

#[test]
fn a_lost_seed_is_told() {
    let hydra = Hydra::new();
    hydra.prints(&["ids"]);
    std::fs::remove_file(hydra.dir.path().join("hydra-data/seed")).unwrap();
    is_refused(
        &hydra,
        "ids.seed_file=seed",
        &[],
        &["--set ids.seed_file: ids.seed_file: the seed file ", "is missing"],
    );
}

#[test]
fn a_seed_that_is_none_is_told() {
    let hydra = Hydra::new();
    std::fs::create_dir_all(hydra.dir.path().join("hydra-data/dir")).unwrap();
    is_refused(&hydra, "ids.seed_file=dir", &[], &["--set ids.seed_file: ids.seed_file: ", "is a directory"]);
    let three = format!("3:{}", "ab".repeat(32));
    for seed in ["zz", "2:abcd", &three] {
        let words = ["--set ids.seed: ids.seed: environment variable SX holds no seed"];
        is_refused(&hydra, "ids.seed={env=\"SX\"}", &[("SX", seed)], &words);
    }
    let good = format!("2:{}", "ab".repeat(32));
    let checked =
        hydra.command(&["config", "check", "--set", "ids.seed={env=\"SX\"}"]).env("SX", good).output();
    assert!(checked.unwrap().status.success());
    hydra.file("hydra-data/text", "no seed\n");
    let message = fails(&hydra, 2, &["config", "check", "--set", "ids.seed_file=text"], &[]);
    assert!(message.contains("ids.seed_file: ") && message.contains("hydra-data/text"), "{message}");
}

#[test]
fn tiers_in_the_same_place_are_told() {
    let hydra = Hydra::new();
    let tiers = |tiers: &str| format!("store={{kind=\"tiered\",tiers=[{tiers}]}}");
    for kind in ["fjall", "sled"] {
        let table = format!("{{kind=\"{kind}\"}},{{kind=\"{kind}\"}}");
        is_refused(&hydra, &tiers(&table), &[], &["store.tiers[1].dir: tiers[0] has the same `dir`"]);
    }
    let table = "{kind=\"redis\"},{kind=\"redis\"}";
    is_refused(&hydra, &tiers(table), &[], &["store.tiers[1].hosts: tiers[0] has the same `hosts`"]);
    hydra.prints(&["config", "check", "--set", &tiers("{kind=\"redis\"},{kind=\"redis\",prefix=\"b\"}")]);
}

#[test]
fn a_data_directory_below_a_file_is_told() {
    let hydra = Hydra::new();
    hydra.file("file", "");
    for command in [&["config", "check"][..], &["check"], &["run"], &["ids"]] {
        let message = fails(&hydra, 2, &[command, &["--data-dir", "file/below/data"]].concat(), &[]);
        assert_eq!(message.trim_end(), "error: --data-dir: data_dir: file is not a directory", "{command:?}");
    }
}

/// Text that is no host may be a URL without its scheme, or a list of options.
#[test]
fn no_message_shows_a_secret_of_what_is_no_url() {
    let hydra = Hydra::new();
    for text in [
        "h:6379?password=geheim",
        "h:6379,password=geheim",
        "h:6379;password=geheim",
        "h password=geheim",
        "h#geheim",
        "me:geheim@h:6379",
        "geheim@h",
        "redis://me:geheim@h",
    ] {
        for kind in ["redis", "postgres"] {
            let set = format!("store={{kind=\"{kind}\",hosts=[\"{text}\"]}}");
            let message = fails(&hydra, 2, &["config", "show", "--set", &set], &[]);
            assert!(!message.contains("geheim") && message.contains("store.hosts[0]: "), "{text}: {message}");
        }
    }
    for text in ["me:geheim@h:6379", "h:6379?password=geheim", "h:6379/?password=geheim"] {
        for key in ["network.bootstrap", "heads.announce", "heads.listen"] {
            let message = fails(&hydra, 2, &["config", "show", "--set", &format!("{key}=[\"{text}\"]")], &[]);
            assert!(!message.contains("geheim") && message.contains(key), "{key} {text}: {message}");
        }
        for key in [
            "telemetry.http.listen",
            "telemetry.otlp.endpoint",
            "log.level",
            "store.kind",
            "network.protocol",
        ] {
            let message = fails(&hydra, 2, &["config", "show", "--set", &format!("{key}={text}")], &[]);
            assert!(!message.contains("geheim") && message.contains(key), "{key} {text}: {message}");
        }
    }
}

/// A message names the file of the socket: its port is a part of it.
#[test]
fn a_socket_of_postgresql_that_is_not_there_is_named() {
    let hydra = Hydra::new();
    let dir = hydra.dir.path().display();
    for (host, port) in [(format!("{dir}"), 5432), (format!("{dir}:55432"), 55_432)] {
        let set = format!("store={{kind=\"postgres\",hosts=[\"{host}\"]}}");
        let message = fails(&hydra, 3, &["check", "--set", &set], &[]);
        assert!(message.contains(&format!("at {dir}/.s.PGSQL.{port}: ")), "{message}");
    }
}

/// What `hydra config check` says of these settings, which are mistakes.
fn told(hydra: &Hydra, set: &[&str], variables: &[(&str, &str)]) -> String {
    let set = set.iter().flat_map(|set| ["--set", *set]);
    fails(hydra, 2, &["config", "check"].into_iter().chain(set).collect::<Vec<_>>(), variables)
}

#[test]
fn all_mistakes_of_one_table_are_told_at_once() {
    let hydra = Hydra::new();
    let fair = "kind=\"fair\",degrade_percent=50,decline_percent=30,share_per_s_min=9,share_per_s_max=8,host_shares=3,network_shares=2";
    let message = told(&hydra, &[&format!("admission=[{{{fair}}}]")], &[]);
    for key in ["degrade_percent", "share_per_s_min", "host_shares"] {
        assert!(message.contains(&format!("admission[0].{key}: ")), "{message}");
    }
    let queues = ["write_queue", "waiting"]
        .map(|queue| format!("{queue}={{degrade_percent=95,decline_percent=90}}"))
        .join(",");
    let buckets = ["peer", "prefix"].map(|bucket| format!("{bucket}={{burst=1}}")).join(",");
    for (table, keys) in [
        (
            format!("kind=\"queue-depth\",{queues}"),
            ["write_queue.degrade_percent", "waiting.degrade_percent"],
        ),
        (format!("kind=\"token-bucket\",read_cost=2,{buckets}"), ["peer.burst", "prefix.burst"]),
        (
            "kind=\"memory\",soft_percent=20,hard_percent=10,recover_percent=30".to_owned(),
            ["soft_percent", "recover_percent"],
        ),
    ] {
        let message = told(&hydra, &[&format!("admission=[{{{table}}}]")], &[]);
        for key in keys {
            assert!(message.contains(&format!("admission[0].{key}: ")), "{table} {key}: {message}");
        }
    }
    for kind in ["redis", "postgres"] {
        let set = format!(
            "store={{kind=\"{kind}\",hosts=[\"h:0\",\"h\",\"\",\"redis://u:geheim@h\"],tls={{KEY=\"/dev/null\"}}}}"
        );
        let set = set.replace("KEY", if kind == "redis" { "key_file" } else { "client_key_file" });
        let message = told(&hydra, &[&set], &[]);
        for key in ["hosts[0]", "hosts[2]", "hosts[3]", "tls."] {
            assert!(message.contains(&format!("store.{key}")), "{kind} {key}: {message}");
        }
        assert!(!message.contains("geheim") && !message.contains("hosts[1]"), "{message}");
    }
}

#[test]
fn all_addresses_that_nobody_can_dial_are_told_at_once() {
    let hydra = Hydra::new();
    let wrong = ["", "/", "/ip4/0.0.0.0/tcp/0", "/ip4/1.2.3.4", "/ip4/1.2.3.4/udp/0", "/tcp/0"];
    let list = wrong.map(|address| format!("\"{address}\"")).join(",");
    for key in ["announce", "announce_only"] {
        let message = told(&hydra, &[&format!("heads.{key}=[{list}]")], &[]);
        for (index, address) in wrong.iter().enumerate() {
            assert!(message.contains(&format!("heads.{key}[{index}]: ")), "{address}: {message}");
        }
        assert!(!message.contains("``"), "{message}");
        let right =
            "[\"/ip4/1.2.3.4/tcp/0\",\"/dns4/a.example/tcp/443/wss\",\"/ip6/2606:4700::1/udp/0/quic-v1\"]";
        hydra.prints(&["config", "check", "--set", &format!("heads.{key}={right}")]);
    }
}

#[test]
fn all_variables_of_traces_that_are_wrong_are_told_at_once() {
    let hydra = Hydra::new();
    let wrong = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "xml"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "none"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
    ];
    let variables = [&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")], &wrong[..]].concat();
    let message = told(&hydra, &[], &variables);
    for (name, _) in wrong {
        assert!(message.contains(&format!("environment variable {name}: ")), "{name}: {message}");
    }
}

#[test]
fn addresses_that_nobody_serves_are_told() {
    let hydra = Hydra::new();
    for (transports, address) in [
        ("\"tcp\"", "/ip4/1.2.3.4/udp/0/quic-v1"),
        ("\"quic\"", "/ip4/1.2.3.4/tcp/0"),
        ("\"tcp\",\"quic\"", "/ip4/1.2.3.4/tcp/0/ws"),
        ("\"tcp\",\"quic\"", "/ip4/1.2.3.4/tcp/0/p2p-circuit"),
    ] {
        let transports = format!("heads.transports=[{transports}]");
        let message = told(&hydra, &[&transports, &format!("heads.announce=[\"{address}\"]")], &[]);
        assert!(message.contains(&format!("heads.announce[0]: `{address}` ")), "{message}");
    }
    hydra.prints(&["config", "check", "--set", "heads.announce=[\"/dns4/a.example/tcp/443/wss\"]"]);
}

#[test]
fn bootstrap_peers_are_listed_once_and_are_such_that_may_be_dialed() {
    const PEER: &str = "/ip4/10.0.0.1/tcp/4001/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    let hydra = Hydra::new();
    let message = told(&hydra, &[&format!("network.bootstrap=[\"{PEER}\",\"{PEER}\"]")], &[]);
    assert!(message.contains(&format!("network.bootstrap[1]: `{PEER}` is listed twice")), "{message}");
    let bootstrap = format!("network.bootstrap=[\"{PEER}\"]");
    let check = |addresses| {
        let output = hydra.run(&["config", "check", "--set", &bootstrap, "--set", addresses]);
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output).contains("network.bootstrap[0]: ")
    };
    assert!(check("network.addresses=public"));
    assert!(!check("network.addresses=any") && !check("network.addresses=lan"));
}

#[test]
fn the_name_of_a_protocol_has_no_spaces() {
    let hydra = Hydra::new();
    for name in ["/my net/kad", "/my\\n/kad", "/kad ", "my/kad"] {
        let message = told(&hydra, &[&format!("network.protocol=\"{name}\"")], &[]);
        assert!(message.contains("network.protocol: "), "{name}: {message}");
    }
    hydra.prints(&["config", "check", "--set", "network.protocol=/my-net/kad/1.0.0"]);
}
