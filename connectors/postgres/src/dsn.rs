//! Connection strings as lists of keyword and value.
//!
//! Both forms are read here, because `tokio_postgres` refuses keywords that it does not know, and
//! because nothing else may quote the string in an error: it holds a password.

use regraft_core::{Code, Error, Result};

pub(crate) type Pairs = Vec<(String, String)>;

/// Keywords of libpq that change nothing here: the encoding is always UTF-8, and GSSAPI encryption
/// is never used.
const IGNORED: &[&str] = &["client_encoding", "gssencmode"];

pub(crate) fn invalid(why: impl AsRef<str>) -> Error {
    let what = format!("the connection string is not valid: {}", why.as_ref());
    Error::new(Code::ConfigInvalid, what)
        .remedy("write postgres://user:password@host:5432/database?sslmode=verify-full")
}

/// An environment variable that is set and not empty.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Reads either form.
pub(crate) fn pairs(text: &str) -> Result<Pairs> {
    let text = text.trim();
    let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
    let mut pairs = match rest {
        Some(rest) => from_url(rest)?,
        None if text.contains("://") => return Err(invalid("it does not start with postgres://")),
        None => from_keywords(text)?,
    };
    pairs.retain(|(key, _)| !IGNORED.contains(&key.as_str()));
    Ok(pairs)
}

/// Removes a keyword; the last occurrence counts, as in libpq.
pub(crate) fn take(pairs: &mut Pairs, key: &str) -> Option<String> {
    let mut found = None;
    pairs.retain_mut(|(name, value)| {
        let matches = name == key;
        if matches {
            found = Some(std::mem::take(value));
        }
        !matches
    });
    found.filter(|value| !value.is_empty())
}

/// The keyword/value form, quoted.
pub(crate) fn render(pairs: &Pairs) -> String {
    let mut text = String::new();
    for (i, (key, value)) in pairs.iter().enumerate() {
        // `tokio_postgres` collects hosts and ports of repeated keywords instead of replacing them.
        if value.is_empty() || pairs[i + 1..].iter().any(|(later, _)| later == key) {
            continue;
        }
        let value = value.replace('\\', "\\\\").replace('\'', "\\'");
        text.push_str(&format!("{key}='{value}' "));
    }
    text
}

fn from_url(rest: &str) -> Result<Pairs> {
    let mut pairs = Pairs::new();
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let (userinfo, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    push(&mut pairs, "user", user)?;
    push(&mut pairs, "password", password)?;
    if !hosts.is_empty() {
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for host in hosts.split(',') {
            let (name, port) = split_port(host)?;
            names.push(percent_decode(name)?);
            ports.push(port);
        }
        pairs.push(("host".to_owned(), names.join(",")));
        if ports.iter().any(|port| !port.is_empty()) {
            pairs.push(("port".to_owned(), ports.join(",")));
        }
    }
    push(&mut pairs, "dbname", path.strip_prefix('/').unwrap_or(path))?;
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (key, value) =
            part.split_once('=').ok_or_else(|| invalid("a parameter has no value"))?;
        push(&mut pairs, &percent_decode(key)?, value)?;
    }
    Ok(pairs)
}

fn push(pairs: &mut Pairs, key: &str, encoded: &str) -> Result<()> {
    if !encoded.is_empty() {
        if key.is_empty() || key.contains(|c: char| c == '=' || c == '\'' || c.is_whitespace()) {
            return Err(invalid("a parameter has no proper name"));
        }
        pairs.push((key.to_owned(), percent_decode(encoded)?));
    }
    Ok(())
}

/// `host`, `host:port`, `[::1]:port`.
fn split_port(host: &str) -> Result<(&str, &str)> {
    if let Some(rest) = host.strip_prefix('[') {
        let (name, tail) =
            rest.split_once(']').ok_or_else(|| invalid("an IPv6 address has no end"))?;
        return match tail.strip_prefix(':') {
            Some(port) => Ok((name, port)),
            None if tail.is_empty() => Ok((name, "")),
            None => Err(invalid("something other than a port follows an IPv6 address")),
        };
    }
    Ok(host.split_once(':').unwrap_or((host, "")))
}

fn percent_decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err(invalid("a % is not followed by two hexadecimal digits")),
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(invalid("a part of it is not UTF-8 text")),
    }
}

fn from_keywords(text: &str) -> Result<Pairs> {
    let mut pairs = Pairs::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or_else(|| invalid("a keyword has no value"))?;
        let key = key.trim();
        if key.is_empty() || key.contains(|c: char| c == '\'' || c.is_whitespace()) {
            return Err(invalid("a keyword is not followed by ="));
        }
        let (value, after) = keyword_value(after.trim_start())?;
        pairs.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(pairs)
}

fn keyword_value(text: &str) -> Result<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            c if !quoted && c.is_whitespace() => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    if quoted { Err(invalid("a quoted value has no end")) } else { Ok((value, "")) }
}
