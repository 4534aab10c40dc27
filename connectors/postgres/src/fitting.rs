//! Texts in a ledger whose database has an encoding that lacks some characters: words for people, and bounds of chunks.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

/// The text, where the database has all of its characters; else with none but those that every encoding has.
/// What stopped a pipeline has to be told also where a dash of it cannot be stored. In a transaction the question
/// may end it: ask before.
pub(crate) async fn fitting(client: &Client, text: String) -> Result<String, Error> {
    let fits = text.is_ascii() || fits(client, &[&text]).await?;
    Ok(if fits { text } else { plain(&text) })
}

/// What a text of a key begins with that is stored as the hexadecimal digits of its bytes.
const HEX: &str = "\u{1}hex:";

/// The texts of a key as the database can store all of them. Nothing is lost: see [`restored`]. Not inside a
/// transaction, which the question may end.
pub(crate) async fn storable(
    client: &Client,
    key: Option<&Vec<String>>,
) -> Result<Option<Vec<String>>, Error> {
    let Some(key) = key else { return Ok(None) };
    let texts: Vec<_> = key.iter().filter(|text| !text.is_ascii()).collect();
    let fits = texts.is_empty() || fits(client, &texts).await?;
    let stored = |text: &String| match text.starts_with(HEX) || !(fits || text.is_ascii()) {
        true => text.bytes().fold(HEX.to_owned(), |hex, byte| format!("{hex}{byte:02x}")),
        false => text.clone(),
    };
    Ok(Some(key.iter().map(stored).collect()))
}

/// The key of which these texts were stored.
pub(crate) fn restored(stored: Option<Vec<String>>) -> Option<Vec<String>> {
    let text = |text: String| text.strip_prefix(HEX).and_then(unhex).unwrap_or(text);
    stored.map(|stored| stored.into_iter().map(text).collect())
}

fn unhex(digits: &str) -> Option<String> {
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<_>> = (0..digits.len()).step_by(2).map(byte).collect();
    String::from_utf8(bytes?).ok()
}

async fn fits(client: &Client, texts: &[&String]) -> Result<bool, Error> {
    match client.query_one("SELECT $1::text[] IS NULL", &[&texts]).await {
        Err(error) if error.code() == Some(&SqlState::UNTRANSLATABLE_CHARACTER) => Ok(false),
        Err(error) => Err(error),
        Ok(_) => Ok(true),
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
    fn keys_are_restored() {
        let hex = format!("{HEX}6be282ac");
        let stored = vec!["k".to_owned(), hex, String::new(), "é".to_owned(), "\u{1}".to_owned()];
        let key = restored(Some(stored)).unwrap();
        assert_eq!(key, ["k", "k€", "", "é", "\u{1}"]);
        assert_eq!(restored(None), None);
    }

    #[test]
    fn json_stays_json_in_ascii() {
        let detail = serde_json::json!({ "what": "ALTER TABLE … \"täble €\"\n" });
        let plain = plain(&detail.to_string());
        assert!(plain.is_ascii());
        let read: serde_json::Value = serde_json::from_str(&plain).unwrap();
        assert_eq!(read["what"], "ALTER TABLE ... \"tu{e4}ble u{20ac}\"\n");
    }
}
