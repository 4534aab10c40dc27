//! `docs/reliability.md`: each command that measures something writes its own part of it.

use std::io;
use std::path::Path;

/// Replaces what stands between `<!-- NAME -->` and `<!-- end of NAME -->`.
///
/// # Errors
/// When the page cannot be read or written, or has no such part.
pub fn write_part(page: &Path, name: &str, text: &str) -> io::Result<()> {
    let before = std::fs::read_to_string(page)?;
    let after = with_part(&before, name, text).ok_or_else(|| {
        io::Error::other(format!("{} has no part «{name}» to be written", page.display()))
    })?;
    std::fs::write(page, after)
}

fn with_part(page: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (head, rest) = page.split_once(&begin)?;
    let (_, tail) = rest.split_once(&end)?;
    Some(format!("{head}{begin}\n{}\n\n{end}{tail}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_replaced_and_the_rest_is_left() {
        let page = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n";
        let wanted = "a\n<!-- x -->\n\nnew\n\n<!-- end of x -->\nb\n";
        assert_eq!(with_part(page, "x", "new\n").as_deref(), Some(wanted));
        assert_eq!(with_part(wanted, "x", "new").as_deref(), Some(wanted));
        assert_eq!(with_part(page, "y", "new"), None);
    }
}
