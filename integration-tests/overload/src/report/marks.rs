//! Parts of a text that are made by the program: they stand between two marks.

/// The text with this between the marks of this name, or after the text if it has no such marks.
pub(super) fn replace(text: &str, name: &str, with: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->\n"));
    let parts = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.unwrap_or((text, ""));
    format!("{before}{begin}{with}{end}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_takes_the_place_of_what_was_made_before() {
        let before = "text\n<!-- a -->\nold\n<!-- end of a -->\nmore\n";
        assert_eq!(replace(before, "a", "new\n"), "text\n<!-- a -->\nnew\n<!-- end of a -->\nmore\n");
        assert_eq!(replace("text\n", "b", "new\n"), "text\n<!-- b -->\nnew\n<!-- end of b -->\n");
    }
}
