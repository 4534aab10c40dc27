//! Quoting of SQL identifiers and literals. Everything that reaches a server as text goes through
//! here; values are bound as parameters wherever the protocol allows it.

/// An identifier, always quoted: `a"b` becomes `"a""b"`.
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// A comma-separated list of quoted identifiers.
pub fn quote_list<S: AsRef<str>>(identifiers: impl IntoIterator<Item = S>) -> String {
    identifiers.into_iter().map(|i| quote(i.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A string literal, correct under any `standard_conforming_strings`.
pub fn literal(text: &str) -> String {
    let escaped = text.replace('\'', "''");
    if escaped.contains('\\') {
        format!(" E'{}'", escaped.replace('\\', "\\\\"))
    } else {
        format!("'{escaped}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_names() {
        assert_eq!(quote(r#"a"; DROP TABLE x; --"#), r#""a""; DROP TABLE x; --""#);
        assert_eq!(quote_list(["a", "B c"]), r#""a", "B c""#);
    }

    #[test]
    fn hostile_literals_stay_literals() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"\'; --"), r" E'\\''; --'");
    }
}
