//! Lists of `key=value` in the standard variables: separated by commas, values percent-encoded.

/// The pairs of a list. Values are decoded once and may contain `=`; empty entries are left out.
///
/// # Errors
/// What is wrong, without the value: it may be a secret.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.enumerate().map(|(index, entry)| pair(index + 1, entry)).collect()
}

fn pair(place: usize, entry: &str) -> Result<(String, String), String> {
    let Some((key, value)) = entry.split_once('=') else {
        return Err(format!("entry {place} has no `=`"));
    };
    let key = key.trim();
    if key.is_empty() {
        return Err(format!("entry {place} has no name before its `=`"));
    }
    match decoded(value.trim()) {
        Some(value) => Ok((key.to_owned(), value)),
        None => Err(format!("the value of `{key}` is not percent-encoded UTF-8")),
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push(u8::try_from(digit()? << 4 | digit()?).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_once_and_may_hold_an_equals_sign() {
        let read = pairs(" a=b%20c , ,d=e=f==,g=%2520,h=,").unwrap();
        let read: Vec<_> = read.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(read, [("a", "b c"), ("d", "e=f=="), ("g", "%20"), ("h", "")]);
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_told_without_its_value() {
        for (text, told) in [
            ("a=b,hunter2", "entry 2 has no `=`"),
            ("=hunter2", "entry 1 has no name before its `=`"),
            ("a=hunter2%2", "the value of `a` is not percent-encoded UTF-8"),
            ("a=hunter2%zz", "the value of `a` is not percent-encoded UTF-8"),
            ("a=%ff", "the value of `a` is not percent-encoded UTF-8"),
        ] {
            assert_eq!(pairs(text).unwrap_err(), told);
        }
    }
}
