//! Text that others wrote, such as names, paths and messages of servers, for people to read.

use std::borrow::Cow;

/// The text on one line, without what a terminal or a log would take for something else than a
/// character: control characters, separators of lines, and marks that turn the direction of writing are
/// escaped as in Rust.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_hidden(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_line_without_hidden_characters() {
        assert!(matches!(visible("täble \"a\\b\""), Cow::Borrowed(_)));
        assert_eq!(
            visible("a\nb\r\t\u{1b}[31m\u{9b}\u{202e}"),
            r"a\nb\r\t\u{1b}[31m\u{9b}\u{202e}"
        );
    }
}
