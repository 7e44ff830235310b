use super::*;

const V0: &str = "QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR";
const V1: &str = "bafybeidjwik6im54nrpfg7osdvmx7zojl5oaxqel5cmsz46iuelwf5acja";

fn content(effect: Effect, cid: &str) -> Result<Line, BadLine> {
    Ok(Line::Rule(effect, Target::Content(Cid::try_from(cid).unwrap().hash().to_bytes())))
}

#[test]
fn a_cid_of_either_version_stands_for_its_multihash() {
    assert_eq!(content(Effect::Deny, V0), content(Effect::Deny, V1));
    for cid in [V0, V1] {
        for ending in ["", "/", "/*", " hint:value", "/*\thint:value other:1", "\r\n"] {
            let text = format!("/ipfs/{cid}{ending}");
            assert_eq!(line(&text), content(Effect::Deny, V0), "{text}");
            assert_eq!(line(&format!("!{text}")), content(Effect::Allow, V0), "!{text}");
            assert_eq!(line(&format!("+{text}")), content(Effect::Allow, V0), "+{text}");
        }
    }
}

#[test]
fn paths_and_domains_are_told_apart_from_keys() {
    for path in ["path", "test*", "test/*", "a/b/", "%20"] {
        assert_eq!(line(&format!("/ipfs/{V0}/{path}")), Ok(Line::Path));
        assert_eq!(line(&format!("!/ipns/{V0}/{path}")), Ok(Line::Path));
    }
    for domain in ["domain.example", "domain2.example/path", "_dnslink.a-b.example", "bücher.example"] {
        assert_eq!(line(&format!("/ipns/{domain}")), Ok(Line::Domain), "{domain}");
    }
}

#[test]
fn names_are_cids_or_multihashes() {
    let key = "k51qzi5uqu5dhmzyv3zac033i7rl9hkgczxyl81lwoukda2htteop7d3x0y1mf";
    let Ok(Line::Rule(Effect::Deny, Target::Name(hash))) = line(&format!("/ipns/{key}")) else {
        panic!("{key} is no name");
    };
    assert_eq!((hash.len(), &hash[..2]), (38, &[0x00, 0x24][..]));
    // The same as peers write it: the multihash in base58.
    let peer = Base::Base58Btc.encode(&hash);
    assert_eq!(line(&format!("/ipns/{peer}")), Ok(Line::Rule(Effect::Deny, Target::Name(hash))));
}

#[test]
fn double_hashes_come_in_two_forms() {
    let modern = line("//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM");
    assert!(matches!(modern, Ok(Line::Rule(Effect::Deny, Target::Hashed(Form::Modern, _)))), "{modern:?}");
    let hex = "d9d295bde21f422d471a90f2a37ec53049fdf3e5fa3ee2e8f20e10003da429e7";
    let legacy = line(&format!("//{hex}"));
    assert!(matches!(legacy, Ok(Line::Rule(Effect::Deny, Target::Hashed(Form::Legacy, _)))), "{legacy:?}");
    assert_eq!(line(&format!("//{}", hex.to_uppercase())), legacy);
    assert_eq!(line("//gW813G35CnLsy7gRYYHuf63hrz71U1xoLFDVeV7actx6oX"), Err(BadLine::HashFunction));
}

#[test]
fn what_is_no_rule_says_why() {
    for blank in ["", "  ", "# /ipfs/x", "\n"] {
        assert_eq!(line(blank), Ok(Line::Blank));
    }
    for (text, why) in [
        ("/ipld/x", BadLine::NoRule),
        (V0, BadLine::NoRule),
        ("!", BadLine::NoRule),
        ("/ipfs/", BadLine::Cid),
        ("/ipfs/nonsense", BadLine::Cid),
        ("/ipfs/domain.example", BadLine::Cid),
        ("/ipns/", BadLine::Name),
        ("/ipns/nonsense", BadLine::Name),
        ("//", BadLine::Hash),
        ("//0123", BadLine::Hash),
        ("///ipfs", BadLine::Hash),
    ] {
        assert_eq!(line(text), Err(why), "{text}");
    }
}
