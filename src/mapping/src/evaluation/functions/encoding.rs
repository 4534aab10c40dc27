//! The textual forms of bytes: `encode`, `decode`, and the input of the type bytea.

use crate::values::value::Fail;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Characters of base64 in a line, as PostgreSQL breaks it.
const LINE: usize = 76;

/// A way to write bytes as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Hex,
    Base64,
    Escape,
}

fn invalid(what: &'static str) -> Fail {
    Fail::error("22023", what)
}

impl Form {
    /// By its name, upper or lower case alike.
    pub(crate) fn named(name: &str) -> Result<Form, Fail> {
        [("hex", Form::Hex), ("base64", Form::Base64), ("escape", Form::Escape)]
            .into_iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, form)| form)
            .ok_or_else(|| invalid("unrecognized encoding"))
    }

    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Form::Hex => hex(bytes),
            Form::Base64 => base64(bytes),
            Form::Escape => escape(bytes),
        }
    }

    pub(crate) fn decode(self, text: &str) -> Result<Vec<u8>, Fail> {
        match self {
            Form::Hex => from_hex(text),
            Form::Base64 => from_base64(text),
            Form::Escape => from_escape(text),
        }
    }
}

/// A text as the type bytea reads it.
pub(crate) fn bytea_in(text: &str) -> Result<Vec<u8>, Fail> {
    match text.strip_prefix("\\x") {
        Some(digits) => from_hex(digits),
        None => from_escape(text),
    }
}

/// Two lower case digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn base64(bytes: &[u8]) -> String {
    let digit =
        |group: u32, place: u32| char::from(BASE64[(group >> (18 - 6 * place)) as usize & 63]);
    let mut out = String::with_capacity(bytes.len() / 3 * 4 + bytes.len() / 57 + 4);
    let mut line = 0;
    let mut groups = bytes.chunks_exact(3);
    for three in groups.by_ref() {
        let group = three.iter().fold(0, |group, byte| group << 8 | u32::from(*byte));
        out.extend((0..4).map(|place| digit(group, place)));
        line += 4;
        // Also when nothing follows.
        if line == LINE {
            out.push('\n');
            line = 0;
        }
    }
    match groups.remainder() {
        [a] => {
            let group = u32::from(*a) << 16;
            out.extend([digit(group, 0), digit(group, 1), '=', '=']);
        }
        [a, b] => {
            let group = u32::from(*a) << 16 | u32::from(*b) << 8;
            out.extend([digit(group, 0), digit(group, 1), digit(group, 2), '=']);
        }
        _ => {}
    }
    out
}

fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            0 | 0x80.. => {
                out.push('\\');
                out.extend([6, 3, 0].map(|shift| char::from(b'0' + (byte >> shift & 7))));
            }
            plain => out.push(char::from(*plain)),
        }
    }
    out
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
}

fn from_hex(text: &str) -> Result<Vec<u8>, Fail> {
    let digit = |byte: u8| {
        let found = char::from(byte).to_digit(16);
        found.map(|value| value as u8).ok_or_else(|| invalid("invalid hexadecimal digit"))
    };
    let mut out = Vec::with_capacity(text.len() / 2);
    let mut bytes = text.bytes();
    while let Some(first) = bytes.next() {
        // White space is skipped between bytes, not within one.
        if is_space(first) {
            continue;
        }
        let high = digit(first)?;
        let second = bytes.next().ok_or_else(|| invalid("odd number of hexadecimal digits"))?;
        out.push(high << 4 | digit(second)?);
    }
    Ok(out)
}

/// As `pg_base64_decode`, which takes some texts that are not quite base64.
fn from_base64(text: &str) -> Result<Vec<u8>, Fail> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut place, mut end) = (0_u32, 0, 0);
    for byte in text.bytes().filter(|byte| !is_space(*byte)) {
        let value = if byte == b'=' {
            if end == 0 {
                end = match place {
                    2 => 1,
                    3 => 2,
                    _ => return Err(invalid("unexpected \"=\" in base64")),
                };
            }
            0
        } else {
            let found = BASE64.iter().position(|own| *own == byte);
            found.ok_or_else(|| invalid("invalid symbol in base64"))? as u32
        };
        group = group << 6 | value;
        place += 1;
        if place == 4 {
            out.push((group >> 16) as u8);
            if end != 1 {
                out.push((group >> 8) as u8);
            }
            if end == 0 {
                out.push(group as u8);
            }
            (group, place) = (0, 0);
        }
    }
    if place == 0 { Ok(out) } else { Err(invalid("invalid base64 end sequence")) }
}

fn from_escape(text: &str) -> Result<Vec<u8>, Fail> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'\\', [b'\\', after @ ..]) => {
                out.push(b'\\');
                after
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                after
            }
            (b'\\', _) => return Err(Fail::syntax("bytea")),
            (plain, after) => {
                out.push(*plain);
                after
            }
        };
    }
    Ok(out)
}
