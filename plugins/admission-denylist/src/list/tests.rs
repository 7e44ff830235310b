use super::*;

const CID: &str = "/ipfs/QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR";

fn load(text: impl AsRef<[u8]>) -> Result<Counts, Unusable> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.deny"), text).unwrap();
    let config = Config { files: vec!["a.deny".into()], ..Config::default() };
    let loaded = Lists::of(&config, &Scope::new(dir.path())).unwrap().load();
    loaded.map(|loaded| loaded.counts).map_err(|(_, why)| why)
}

#[test]
fn every_line_is_counted() {
    let text = format!(
        "version: 1\nname: a list\nhints:\n  hint: value\n---\n# comment\n\n{CID}\n{CID}/path\n!{CID}/path*\n\
         /ipns/domain.example\nnonsense\n!{CID} hint:value"
    );
    let counts = load(text).unwrap();
    assert_eq!(counts, Counts { rules: 2, paths: 2, domains: 1, bad: 1 });
}

#[test]
fn a_header_may_be_left_out_or_empty() {
    for text in [format!("{CID}\n"), format!("---\n{CID}"), format!("custom: x\r\n---\r\n{CID}\r\n")] {
        assert_eq!(load(&text).unwrap(), Counts { rules: 1, ..Counts::default() }, "{text}");
    }
    assert_eq!(load("").unwrap(), Counts::default());
}

#[test]
fn a_header_beyond_its_bound_is_read_as_lines() {
    let text = format!("{}---\n{CID}\n", "a: b\n".repeat((HEADER_BYTES_MAX / 5 + 1) as usize));
    let counts = load(text).unwrap();
    assert_eq!((counts.rules, counts.bad), (1, HEADER_BYTES_MAX / 5 + 2));
}

#[test]
fn a_line_beyond_its_bound_is_a_bad_one_and_the_next_is_read() {
    let long = vec![b'x'; LINE_BYTES_MAX as usize + 7];
    let counts =
        load([CID.as_bytes(), b"\n", &long, b"\n", CID.as_bytes(), b"\n\xff\xfe\n"].concat()).unwrap();
    assert_eq!(counts, Counts { rules: 2, bad: 2, ..Counts::default() });
}

#[test]
fn other_versions_of_the_format_are_refused() {
    for version in ["2", "\"1.1\"", "one"] {
        let refused = load(format!("version: {version} # of the format\n---\n{CID}")).unwrap_err();
        assert!(matches!(refused, Unusable::Version(_)), "{refused}");
    }
    for version in ["1", "'1'", " 1 # of the format"] {
        assert_eq!(load(format!("version: {version}\n---\n{CID}")).unwrap().rules, 1);
    }
}
