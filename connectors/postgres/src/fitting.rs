//! Texts for people in a database whose encoding has not all characters.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

/// The text, where the database has all of its characters; else with none but those that every encoding has.
/// What stopped a pipeline has to be told also where a dash of it cannot be stored. In a transaction the question
/// may end it: ask before.
pub(crate) async fn fitting(client: &Client, text: String) -> Result<String, Error> {
    if text.is_ascii() {
        return Ok(text);
    }
    match client.query_one("SELECT $1::text IS NULL", &[&text]).await {
        Err(error) if error.code() == Some(&SqlState::UNTRANSLATABLE_CHARACTER) => Ok(plain(&text)),
        Err(error) => Err(error),
        Ok(_) => Ok(text),
    }
}

/// The same in ASCII. Of JSON it stays JSON, which escapes none of these characters by itself.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '…' => out.push_str("..."),
            _ if c.is_ascii() => out.push(c),
            // The brackets of Rust's escape without its backslash, which JSON would take for one of its own.
            _ => out.extend(c.escape_default().skip(1)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_json_in_ascii() {
        let detail = serde_json::json!({ "what": "ALTER TABLE … \"täble €\"\n" });
        let plain = plain(&detail.to_string());
        assert!(plain.is_ascii());
        let read: serde_json::Value = serde_json::from_str(&plain).unwrap();
        assert_eq!(read["what"], "ALTER TABLE ... \"tu{e4}ble u{20ac}\"\n");
    }
}
