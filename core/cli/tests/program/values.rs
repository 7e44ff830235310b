//! What is said about a value that cannot be used: what came, what is wanted, an example, and where it stands.

use crate::{Hydra, stderr};

/// The error of `hydra config show` with these arguments and variables.
fn refused(hydra: &Hydra, args: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = hydra.command(&[&["config", "show"], args].concat());
    let output = command.envs(variables.iter().copied()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?} {variables:?}: {}", stderr(&output));
    stderr(&output)
}

/// A line of `hydra config show` with these arguments and variables.
fn shown(hydra: &Hydra, args: &[&str], variables: &[(&str, &str)], key: &str) -> String {
    let mut command = hydra.command(&[&["config", "show"], args].concat());
    let output = command.envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{args:?} {variables:?}: {}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let start = format!("{key} = ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default();
    line.split("  # ").next().unwrap_or_default().trim().to_owned()
}

/// Settings that cannot be used, what came, and what the message says of what is wanted.
const REFUSED: [(&str, &str, &[&str]); 18] = [
    ("telemetry.http.listen=:9464", "\":9464\"", &["an IP address and a port", "`\"127.0.0.1:9464\"`"]),
    ("telemetry.http.listen=localhost:9464", "\"localhost:9464\"", &["`\"127.0.0.1:9464\"`"]),
    (
        "heads.listen=[\"0.0.0.0:4001\"]",
        "\"0.0.0.0:4001\"",
        &["an IP address without a port", "`\"0.0.0.0\"`"],
    ),
    ("heads.listen=127.0.0.1", "\"127.0.0.1\"", &["a list", "`[\"0.0.0.0\",\"::\"]`"]),
    ("heads.count=3.0", "3.0", &["a whole number from 1 to 10000", "`3`"]),
    ("heads.count=18446744073709551616", "18446744073709551616", &["from 1 to 10000", "`3`"]),
    ("heads.count=2024-01-01", "2024-01-01", &["from 1 to 10000", "`3`"]),
    ("telemetry.traces.ratio=nan", "nan", &["a number from 0.0 to 1.0", "`0.01`"]),
    ("telemetry.traces.ratio=-inf", "-inf", &["a number from 0.0 to 1.0", "`0.01`"]),
    ("telemetry.http.enabled=yes", "\"yes\"", &["`true` or `false`"]),
    ("heads.announce=[\"192.0.2.1\"]", "\"192.0.2.1\"", &["a multiaddr", "`\"/ip4/192.0.2.1/tcp/0\"`"]),
    ("heads.announce_only=[\"192.0.2.1\"]", "\"192.0.2.1\"", &["a multiaddr", "`\"/ip4/192.0.2.1/tcp/0\"`"]),
    ("heads.never_announce=[\"10.0.0.0\"]", "10.0.0.0", &["in CIDR notation", "`\"10.0.0.0/8\"`"]),
    ("heads.never_announce=[\"fd00::/129\"]", "fd00::/129", &["128 bits", "`\"10.0.0.0/8\"`"]),
    (
        "heads.never_announce=[\"192.168.1.7/16\"]",
        "192.168.1.7/16",
        &["`192.168.0.0/16`", "`\"10.0.0.0/8\"`"],
    ),
    ("network.bootstrap=[\"/ip4/192.0.2.1/tcp/1\"]", "/ip4/192.0.2.1/tcp/1", &["/p2p/", "such as"]),
    ("data_dir=", "\"\"", &["at least 1 character", "`\"./hydra-data\"`"]),
    ("ids.port_base=70000", "70000", &["65535", "such as"]),
];

#[test]
fn a_message_says_what_came_what_is_wanted_and_an_example() {
    let hydra = Hydra::new();
    for (setting, came, wanted) in REFUSED {
        let (key, value) = setting.split_once('=').unwrap();
        let message = refused(&hydra, &["--set", setting], &[]);
        assert!(message.starts_with(&format!("error: --set {key}: {key}")), "{setting}: {message}");
        let variable = format!("HYDRA_{}", key.to_uppercase().replace('.', "__"));
        let from_variable = refused(&hydra, &[], &[(&variable, value)]);
        assert!(from_variable.starts_with(&format!("error: environment variable {variable}: {key}")));
        for message in [message, from_variable] {
            for word in [&[came], wanted].concat() {
                assert!(message.contains(word), "{setting}: no {word} in {message}");
            }
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}

#[test]
fn a_message_about_a_file_names_its_line_too() {
    let hydra = Hydra::new();
    for (key, value, came, wanted) in [
        ("count", "18446744073709551616", "18446744073709551616", "from 1 to 10000"),
        ("count", "nan", "nan", "from 1 to 10000"),
        ("count", "3.0", "3.0", "from 1 to 10000"),
        ("count", "2024-01-01", "2024-01-01", "from 1 to 10000"),
        ("listen", "['0.0.0.0:1']", "0.0.0.0:1", "without a port"),
    ] {
        hydra.file("node.toml", &format!("# A file.\n[heads]\n{key} = {value}\n"));
        let message = refused(&hydra, &["--config", "node.toml"], &[]);
        assert!(message.starts_with("error: node.toml:3:"), "{value}: {message}");
        for word in [key, came, wanted, "such as"] {
            assert!(message.contains(word), "{value}: no {word} in {message}");
        }
    }
}

#[test]
fn all_wrong_values_are_told_at_once() {
    let hydra = Hydra::new();
    hydra.file(
        "node.toml",
        "[heads]\nlisten = ['a', '127.0.0.1', 'b']\nannounce = ['c']\n[telemetry.http]\nlisten = ':1'\n[kad]\nstream_idle_s = 0\n",
    );
    let message = refused(&hydra, &["--config", "node.toml"], &[]);
    for key in [
        "2:11: heads.listen[0]:",
        "2:29: heads.listen[2]:",
        "3:13: heads.announce[0]:",
        "5:10: telemetry.http.listen:",
        "7:17: kad.stream_idle_s:",
    ] {
        assert!(message.contains(&format!("error: node.toml:{key}")), "no {key} in {message}");
    }
    assert_eq!(message.lines().count(), 5, "{message}");
}

#[test]
fn a_text_key_takes_the_text_as_it_stands() {
    let hydra = Hydra::new();
    for (key, value, wanted) in [
        ("data_dir", "2024-01-01", "\"2024-01-01\""),
        ("data_dir", "42", "\"42\""),
        ("data_dir", "[x]", "\"[x]\""),
        ("data_dir", "it's \"here\"", "\"it's \\\"here\\\"\""),
        ("data_dir", "\"quoted\"", "\"quoted\""),
        ("data_dir", "'quoted'", "\"quoted\""),
        ("telemetry.http.listen", "[::]:9464", "\"[::]:9464\""),
        ("store.dir", "true", "\"true\""),
        ("heads.count", "5", "5"),
    ] {
        let variable = format!("HYDRA_{}", key.to_uppercase().replace('.', "__"));
        assert_eq!(shown(&hydra, &[], &[(&variable, value)], key), wanted, "{variable}={value}");
        assert_eq!(shown(&hydra, &["--set", &format!("{key}={value}")], &[], key), wanted, "{key}={value}");
    }
}

#[test]
fn a_table_that_selects_a_plugin_names_its_kind() {
    let hydra = Hydra::new();
    for table in ["store={}", "store={cache_mib=8}", "ids={}"] {
        let message = refused(&hydra, &["--set", table], &[]);
        assert!(message.contains("the key `kind` is missing; add `kind = \""), "{message}");
    }
    hydra.file("node.toml", "# A file.\n[store]\ncache_mib = 8\n");
    let message = refused(&hydra, &["--config", "node.toml"], &[]);
    assert!(message.starts_with("error: node.toml:2:2: store: the key `kind` is missing"), "{message}");
    assert!(message.contains("`kind = \"fjall\"`") && message.contains("`postgres`"), "{message}");
    // One key alone belongs to the kind that is in force, and another source may name that.
    assert_eq!(shown(&hydra, &["--set", "store.cache_mib=8"], &[], "store.cache_mib"), "8");
    let set = ["--config", "node.toml", "--set", "store.kind=fjall"];
    assert_eq!(shown(&hydra, &set, &[], "store.kind"), "\"fjall\"");
}

#[test]
fn a_wrong_key_of_a_secret_is_told_with_the_right_one() {
    let hydra = Hydra::new();
    hydra.file("node.toml", "[store]\nkind = 'postgres'\npassword = { fiel = '/run/hunter2' }\n");
    let message = refused(&hydra, &["--config", "node.toml"], &[]);
    let expected = "error: node.toml:3:14: store.password.fiel: unknown key; did you mean `file`?";
    assert!(message.starts_with(expected), "{message}");
    let message = refused(&hydra, &["--set", "ids.seed={file=\"a\", env=\"b\"}"], &[]);
    assert!(
        message.contains("ids.seed") && message.contains("`file`") && message.contains("`env`"),
        "{message}"
    );
}

#[test]
fn a_default_is_never_the_place_of_a_mistake() {
    let hydra = Hydra::new();
    for (setting, key) in [
        ("connections.per_head_max=100", "connections.per_head_max"),
        ("connections.per_node_high=100", "connections.per_node_high"),
        ("shutdown.deadline_ms=1000", "shutdown.deadline_ms"),
        ("kad.frames_bytes_max=4194304", ""),
    ] {
        if key.is_empty() {
            continue;
        }
        let message = refused(&hydra, &["--set", setting], &[]);
        assert!(message.starts_with(&format!("error: --set {key}: {key}: ")), "{message}");
        assert!(!message.contains("default:"), "{message}");
    }
    let output = hydra.run(&["check", "--set", "ids.slots_max=2"]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.starts_with("error: --set ids.slots_max: ") && message.contains("3 heads"), "{message}");
}

#[test]
fn steps_of_the_memory_guard_out_of_order_or_without_an_end_are_refused() {
    let hydra = Hydra::new();
    hydra.file("node.toml", "[memory]\nshrink_percent = 96\n");
    let message = refused(&hydra, &["--config", "node.toml"], &[]);
    assert!(message.starts_with("error: node.toml:2:18: memory.shrink_percent: 96 exceeds"), "{message}");
    assert!(message.contains("shrink ≤ refuse ≤ close"), "{message}");
    hydra.file("node.toml", "[memory]\nshrink_percent = 0\nrefuse_percent = 30\nrecover_percent = 30\n");
    let message = refused(&hydra, &["--config", "node.toml"], &[]);
    assert!(
        message.starts_with("error: node.toml:4:19: memory.recover_percent: 30 is not less"),
        "{message}"
    );
    hydra.file("node.toml", "[memory.profiles]\nfile_max = 2\n");
    let message = refused(&hydra, &["--config", "node.toml"], &[]);
    let expected = "error: node.toml:2:1: memory.profiles.file_max: unknown key; did you mean `files_max`?";
    assert!(message.starts_with(expected), "{message}");
    assert_eq!(shown(&hydra, &["--set", "memory.shrink_percent=0"], &[], "memory.shrink_percent"), "0");
}

#[test]
fn listen_addresses_that_repeat_or_overlap_are_refused() {
    let hydra = Hydra::new();
    for (listen, at, word) in [
        ("[\"0.0.0.0\", \"0.0.0.0\"]", 1, "twice"),
        ("[\"127.0.0.1\", \"0.0.0.0\"]", 0, "`0.0.0.0`"),
        ("[\"::\", \"::1\"]", 1, "`::`"),
        ("[\"127.0.0.1\", \"::ffff:127.0.0.1\"]", 1, "twice"),
    ] {
        let message = refused(&hydra, &["--set", &format!("heads.listen={listen}")], &[]);
        assert!(message.contains(&format!("heads.listen[{at}]: ")) && message.contains(word), "{message}");
    }
    let message = refused(&hydra, &["--set", "heads.transports=[\"tcp\", \"tcp\"]"], &[]);
    assert!(message.contains("heads.transports[1]: ") && message.contains("twice"), "{message}");
    let twice = "heads.announce=[\"/ip4/192.0.2.1/tcp/1\", \"/ip4/192.0.2.1/tcp/1\"]";
    let message = refused(&hydra, &["--set", twice], &[]);
    assert!(message.contains("heads.announce[1]: ") && message.contains("twice"), "{message}");
    for key in ["announce", "announce_only"] {
        let own = format!(
            "heads.{key}=[\"/ip4/192.0.2.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN\"]"
        );
        let message = refused(&hydra, &["--set", &own], &[]);
        assert!(message.contains(&format!("heads.{key}[0]: ")) && message.contains("/p2p/"), "{message}");
    }
    let both = "heads.listen=[\"0.0.0.0\", \"::\"]";
    assert_eq!(shown(&hydra, &["--set", both], &[], "heads.listen"), "[\"0.0.0.0\",\"::\"]");
}

#[test]
fn the_two_lists_of_announced_addresses_exclude_each_other() {
    let hydra = Hydra::new();
    let address = "['/ip4/192.0.2.1/tcp/0']";
    hydra.file("node.toml", &format!("[heads]\nannounce = {address}\nannounce_only = {address}\n"));
    let message = refused(&hydra, &["--config", "node.toml"], &[]);
    assert!(message.starts_with("error: node.toml:3:17: heads.announce_only: "), "{message}");
    assert!(message.contains("excludes `announce`"), "{message}");
    hydra.file("node.toml", &format!("[heads]\nannounce = []\nannounce_only = {address}\n"));
    assert_eq!(
        shown(&hydra, &["--config", "node.toml"], &[], "heads.announce_only"),
        "[\"/ip4/192.0.2.1/tcp/0\"]"
    );
}

#[test]
fn no_credential_of_a_url_is_shown() {
    let hydra = Hydra::new();
    let url = "https://user:hunter2@host:4318/path?token=hunter3&x=hunter4#hunter5";
    for key in
        ["network.protocol", "log.level", "telemetry.otlp.endpoint", "telemetry.http.listen", "data_dir"]
    {
        let output = hydra.run(&["config", "show", "--set", &format!("{key}={url}")]);
        let all = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
        assert!(!all.contains("hunter"), "{key}: {all}");
    }
    // Of a command's own argument, and in the log: the name of a variable stands there as it is.
    let output = hydra.run(&[
        "store",
        "import",
        "--from",
        "hydra-booster-postgres",
        "postgres://u:hunter2@127.0.0.1:x/d?password=hunter3",
    ]);
    assert!(!output.status.success() && !stderr(&output).contains("hunter"), "{}", stderr(&output));
    let output = hydra.run(&["ask", "providers", url]);
    assert!(!output.status.success() && !stderr(&output).contains("hunter"), "{}", stderr(&output));
    let query = "telemetry.otlp.endpoint=http://host:4318/v1/traces?key=hunter2";
    for args in [&["config", "show"][..], &["config", "show", "--json"]] {
        let text = hydra.prints(&[args, &["--set", query]].concat());
        assert!(text.contains("http://host:4318/v1/traces?…") && !text.contains("hunter2"), "{text}");
    }
}
