//! Which host names the public name system answers for.

/// Names that are answered by one machine, one network or nobody, and so is each name under them (RFC 6761, RFC 6762,
/// RFC 8375; go-multiaddr `net/private.go`).
const SPECIAL: [&str; 7] = ["localhost", "local", "home.arpa", "test", "invalid", "in-addr.arpa", "ip6.arpa"];
/// The longest name, in bytes without the final dot (RFC 1035).
const LEN_MAX: usize = 253;

/// Whether a name may lead to a public host. One that is a number in disguise is none: resolvers take `10.0.0.1` and
/// `0x7f.1` for addresses.
pub(super) fn is_public(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    let well_formed = name.len() <= LEN_MAX && name.split('.').all(is_label);
    well_formed && !is_number(last) && !SPECIAL.iter().any(|special| is_under(name, special))
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && !label.contains([':', '/', '%'])
}

/// As the URL standard tells numbers from names: by the last label.
fn is_number(label: &str) -> bool {
    let digits = |text: &str, radix| text.chars().all(|digit| digit.is_digit(radix));
    let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    digits(label, 10) || hexadecimal.is_some_and(|rest| digits(rest, 16))
}

fn is_under(name: &str, parent: &str) -> bool {
    let Some(at) = name.len().checked_sub(parent.len()) else { return false };
    let (before, end) = (name.get(..at), name.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(parent))
        && before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}
