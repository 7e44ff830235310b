use super::*;
use crate::lines::HEADER_BYTES_MAX;

const CID: &str = "/ipfs/QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR";

fn load(text: impl AsRef<[u8]>) -> Result<Counts, Unusable> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.deny"), text).unwrap();
    let config = Config { files: vec!["a.deny".into()], ..Config::default() };
    let loaded = Lists::of(&config, &Scope::new(dir.path())).unwrap().load();
    loaded.map(|loaded| loaded.files[0].counts).map_err(|(_, why)| why)
}

#[test]
fn every_line_is_counted() {
    let text = format!(
        "version: 1\nname: a list\nhints:\n  hint: value\n---\n# comment\n\n{CID}\n{CID}/path\n!{CID}/path*\n\
         /ipns/domain.example\nnonsense\n!{CID} hint:value"
    );
    let counts = load(text).unwrap();
    assert_eq!(counts, Counts { rules: 2, paths: 2, domains: 1, empty: 0, bad: 1 });
}

#[test]
fn a_header_may_be_left_out_or_empty() {
    for text in [format!("{CID}\n"), format!("---\n{CID}"), format!("custom: x\r\n---\r\n{CID}\r\n")] {
        assert_eq!(load(&text).unwrap(), Counts { rules: 1, ..Counts::default() }, "{text}");
    }
    assert_eq!(load("").unwrap(), Counts::default());
}

#[test]
fn a_header_beyond_its_bound_refuses_the_file() {
    let text = format!("{}---\n{CID}\n", "a: b\n".repeat((HEADER_BYTES_MAX / 5 + 1) as usize));
    let refused = load(text).unwrap_err().to_string();
    assert!(refused.contains("line 1 ") && refused.contains("1 MiB"), "{refused}");
}

#[test]
fn a_line_beyond_its_bound_is_a_bad_one_and_the_next_is_read() {
    let long = vec![b'x'; LINE_BYTES_MAX + 7];
    let counts =
        load([CID.as_bytes(), b"\n", &long, b"\n", CID.as_bytes(), b"\n\xff\xfe\n"].concat()).unwrap();
    assert_eq!(counts, Counts { rules: 2, bad: 2, ..Counts::default() });
}

#[test]
fn other_versions_of_the_format_are_refused() {
    for version in ["2", "\"1.1\"", "one"] {
        let refused = load(format!("version: {version} # of the format\n---\n{CID}")).unwrap_err();
        assert!(matches!(refused, Unusable::Text(Unreadable::Version { line: 1, .. })), "{refused}");
    }
    for version in ["1", "'1'", " 1 # of the format"] {
        assert_eq!(load(format!("version: {version}\n---\n{CID}")).unwrap().rules, 1);
    }
}

/// A mark of the byte order, and the ends of lines of other systems, lose no rule and make no line bad.
#[test]
fn marks_and_line_ends_of_other_systems_lose_no_rule() {
    for mark in ["", "\u{feff}"] {
        for end in ["\n", "\r\n", "\r"] {
            for header in ["", "---\n", "# a list\n", "version: 1\nname: x\n---\n"] {
                // The second half as it is when files were joined.
                let text = format!("{mark}{header}{CID}\n{mark}!{CID}\n# end\n").replace('\n', end);
                let counts = load(&text).unwrap();
                assert_eq!(counts, Counts { rules: 2, ..Counts::default() }, "{text:?}");
            }
        }
    }
    let refused = load(format!("\u{feff}version: 2\r\n---\r\n{CID}")).unwrap_err();
    assert!(refused.to_string().contains("version 2"), "{refused}");
}

/// Lines keep their numbers, whatever ends them.
#[test]
fn a_refused_line_has_the_number_that_editors_show() {
    for end in ["\n", "\r\n", "\r"] {
        let text = format!("# a list\n\nname: x\nnonsense\n---\n{CID}").replace('\n', end);
        let refused = load(&text).unwrap_err().to_string();
        assert!(refused.contains("line 4 "), "{end:?}: {refused}");
    }
}

#[test]
fn text_that_is_no_utf_8_or_not_whole_refuses_the_file() {
    let utf16 = |mark: &[u8], swap: fn(u16) -> [u8; 2]| {
        [mark, &CID.encode_utf16().flat_map(swap).collect::<Vec<_>>()].concat()
    };
    for text in [
        utf16(&[0xff, 0xfe], u16::to_le_bytes),
        utf16(&[0xfe, 0xff], u16::to_be_bytes),
        utf16(&[], u16::to_le_bytes),
        // What a crash leaves of a file that was being written.
        [format!("{CID}\n").as_bytes(), &[0; 4_096]].concat(),
    ] {
        let refused = load(&text).unwrap_err();
        assert!(refused.to_string().contains("line "), "{refused}");
    }
}

#[test]
fn a_header_that_cannot_be_read_refuses_the_file_and_names_the_line() {
    for (text, line) in [
        ("name: x\n/ipfs/rule\n", 2),
        ("name: x\n", 2),
        ("nonsense\n", 1),
        ("name: x\nno key and value\n---\n", 2),
        ("{version: 2}\n---\n", 1),
        ("? version\n: 2\n---\n", 1),
        ("name: x\n\tindented: with a tab\n---\n", 2),
        ("name: \"x\nauthor: y\n---\n", 1),
        ("name: x\nhints: [a, b\n---\n", 2),
        ("version: 1\nversion: 2\n---\n", 2),
        ("/ipfs/rule\nname: x\n---\n", 3),
    ] {
        let refused = load(format!("{text}{CID}\n")).unwrap_err();
        let Unusable::Text(Unreadable::Header { line: told, .. }) = refused else {
            panic!("{text:?}: {refused}")
        };
        assert_eq!(told, line, "{text:?}: {refused}");
        assert!(refused.to_string().contains(&format!("line {line} ")), "{refused}");
    }
    for text in ["name: x\n", "version: 1\nhints:\n  a: b\n# no rules\n"] {
        let refused = load(text).unwrap_err().to_string();
        assert!(refused.contains("line 1 ") && refused.contains("`---`"), "{refused}");
    }
    let not_utf8 = load([b"name: \xff\n---\n", CID.as_bytes()].concat()).unwrap_err();
    assert!(matches!(not_utf8, Unusable::Text(Unreadable::Header { line: 1, .. })), "{not_utf8}");
}

#[test]
fn headers_as_people_write_them_are_read() {
    for header in [
        "name: \"a: b\"\nauthor: 'x'\nhints:\n- a\n- b: c\nmore:\n  d: e\n",
        "description: >\n  of several\n  /ipfs/lines\n\nversion: 1\n",
        "name: \"of two\n  lines\"\nhints: {a: b,\n  c: d}\n# comment\nurl: https://example.org/list\n",
        "\"version\": 1\n",
        "version : 1\n",
    ] {
        assert_eq!(load(format!("{header}---\n{CID}\n")).unwrap().rules, 1, "{header}");
    }
    for version in ["\"version\": 2\n", "version : 2\n", "version:\n"] {
        let refused = load(format!("{version}---\n{CID}\n")).unwrap_err();
        assert!(matches!(refused, Unusable::Text(Unreadable::Version { .. })), "{refused}");
    }
}
