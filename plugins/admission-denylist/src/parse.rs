//! One line of a list (specification: specs.ipfs.tech, "Compact Denylist Format", IPIP-383).

use cid::Cid;
use cid::multibase::Base;
use cid::multihash::Multihash;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// Nothing: it is empty or a comment.
    Blank,
    /// A rule that concerns a key of the DHT.
    Rule(Effect, Target),
    /// A rule on a path below a CID or a name: the DHT knows no paths.
    Path,
    /// A rule on a domain: the DHT knows none.
    Domain,
}

/// What a rule does to what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It declines it.
    Deny,
    /// It takes back what earlier rules say.
    Allow,
}

/// What a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Content with this multihash.
    Content(Vec<u8>),
    /// The IPNS name with this multihash.
    Name(Vec<u8>),
    /// Whatever has this hash.
    Hashed(Form, [u8; 32]),
}

/// What a double-hashed rule is the SHA-256 of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// A multihash in base58.
    Modern,
    /// A CIDv1 in base32, and a slash.
    Legacy,
}

/// Why a line is no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLine {
    #[error("it begins with none of /ipfs/, /ipns/ and //")]
    NoRule,
    #[error("what follows /ipfs/ is neither a CID nor a multihash in base58")]
    Cid,
    #[error("what follows /ipns/ is neither a CID, a multihash in base58 nor a domain")]
    Name,
    #[error("what follows // is neither a multihash in base58 nor a SHA-256 in hexadecimal")]
    Hash,
    #[error("it is hashed with another function than SHA-256, which hydra does not support")]
    HashFunction,
}

/// Reads a line. Hints, which follow the rule after a space, are ignored.
pub(crate) fn line(line: &str) -> Result<Line, BadLine> {
    let rule = line.split_whitespace().next().unwrap_or_default();
    if rule.is_empty() || rule.starts_with('#') {
        return Ok(Line::Blank);
    }
    let (effect, rule) = match rule.strip_prefix(['!', '+']) {
        Some(rule) => (Effect::Allow, rule),
        None => (Effect::Deny, rule),
    };
    if let Some(hash) = rule.strip_prefix("//") {
        return double_hash(hash).map(|(form, hash)| Line::Rule(effect, Target::Hashed(form, hash)));
    }
    if let Some(rest) = rule.strip_prefix("/ipfs/") {
        let (cid, path) = split(rest);
        let key = multihash(cid).ok_or(BadLine::Cid)?;
        return Ok(if path { Line::Path } else { Line::Rule(effect, Target::Content(key)) });
    }
    if let Some(rest) = rule.strip_prefix("/ipns/") {
        let (name, path) = split(rest);
        return match multihash(name) {
            Some(_) if path => Ok(Line::Path),
            Some(key) => Ok(Line::Rule(effect, Target::Name(key))),
            None if is_domain(name) => Ok(Line::Domain),
            None => Err(BadLine::Name),
        };
    }
    Err(BadLine::NoRule)
}

/// The first part, and whether only something below it is meant: `/*` means all of it, the first part included.
fn split(rest: &str) -> (&str, bool) {
    match rest.split_once('/') {
        Some((first, path)) => (first, !matches!(path, "" | "*")),
        None => (rest, false),
    }
}

/// The multihash of a CID of either version, or of a multihash in base58.
fn multihash(text: &str) -> Option<Vec<u8>> {
    // Whatever else a CID could be called in a URL is none here.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    if let Ok(cid) = Cid::try_from(text) {
        return Some(cid.hash().to_bytes());
    }
    let bytes = Base::Base58Btc.decode(text).ok()?;
    Multihash::<64>::from_bytes(&bytes).ok().map(|hash| hash.to_bytes())
}

fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || byte >= 128)
    };
    name.contains('.') && name.strip_suffix('.').unwrap_or(name).split('.').all(label)
}

fn double_hash(text: &str) -> Result<(Form, [u8; 32]), BadLine> {
    const SHA2_256: u64 = 0x12;
    // No SHA-256 multihash in base58 has 64 digits, so that the forms cannot be mistaken for each other.
    if text.len() == 64
        && let Ok(digest) = Base::Base16Lower.decode(text.to_ascii_lowercase())
    {
        return digest.try_into().map(|digest| (Form::Legacy, digest)).map_err(|_| BadLine::Hash);
    }
    let bytes = Base::Base58Btc.decode(text).map_err(|_| BadLine::Hash)?;
    let hash = Multihash::<64>::from_bytes(&bytes).map_err(|_| BadLine::Hash)?;
    if hash.code() != SHA2_256 {
        return Err(BadLine::HashFunction);
    }
    hash.digest().try_into().map(|digest| (Form::Modern, digest)).map_err(|_| BadLine::Hash)
}

#[cfg(test)]
mod tests;
