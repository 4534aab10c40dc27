//! PostgreSQL's hash functions (`hashfn.c`, `hashfunc.c`) as servers of little-endian machines compute
//! them, and checksums.

use super::{Entry, entry};
use crate::values::types::Type::{
    Bpchar, Bytea, Float4, Float8, Int2, Int4, Int8, Text, Time, Timestamp, Uuid,
};
use crate::values::value::{Evaluated, Fail, Value};

pub(crate) const ENTRIES: &[Entry] = &[
    entry("hashint2", &[Int2], Int4, |a| plain(a, word)),
    entry("hashint4", &[Int4], Int4, |a| plain(a, word)),
    entry("hashint8", &[Int8], Int4, |a| plain(a, folded)),
    entry("hashtext", &[Text], Int4, |a| plain(a, bytes)),
    entry("hashbpchar", &[Bpchar], Int4, |a| plain(a, unpadded)),
    entry("hashfloat4", &[Float4], Int4, |a| plain(a, float)),
    entry("hashfloat8", &[Float8], Int4, |a| plain(a, float)),
    entry("uuid_hash", &[Uuid], Int4, |a| plain(a, bytes)),
    entry("time_hash", &[Time], Int4, |a| plain(a, folded)),
    entry("timestamp_hash", &[Timestamp], Int4, |a| plain(a, folded)),
    entry("hashint2extended", &[Int2, Int8], Int8, |a| extended(a, word)),
    entry("hashint4extended", &[Int4, Int8], Int8, |a| extended(a, word)),
    entry("hashint8extended", &[Int8, Int8], Int8, |a| extended(a, folded)),
    entry("hashtextextended", &[Text, Int8], Int8, |a| extended(a, bytes)),
    entry("hashbpcharextended", &[Bpchar, Int8], Int8, |a| extended(a, unpadded)),
    entry("hashfloat4extended", &[Float4, Int8], Int8, |a| extended(a, float)),
    entry("hashfloat8extended", &[Float8, Int8], Int8, |a| extended(a, float)),
    entry("uuid_hash_extended", &[Uuid, Int8], Int8, |a| extended(a, bytes)),
    entry("time_hash_extended", &[Time, Int8], Int8, |a| extended(a, folded)),
    entry("timestamp_hash_extended", &[Timestamp, Int8], Int8, |a| extended(a, folded)),
    entry("crc32", &[Bytea], Int8, |a| checksum(a, 0xedb8_8320)).since(180_000),
    entry("crc32c", &[Bytea], Int8, |a| checksum(a, 0x82f6_3b78)).since(180_000),
];

/// What of a value is hashed.
enum Key<'v> {
    Word(u32),
    Bytes(&'v [u8]),
    Float([u8; 8]),
    /// Zero of either sign, whose hash is 0 or the seed.
    Zero,
}

fn wrong() -> Fail {
    Fail::Wire("a hash function got another type than it was compiled for")
}

type ToKey = for<'a> fn(&'a Value<'_>) -> Option<Key<'a>>;

fn word<'a>(value: &'a Value<'_>) -> Option<Key<'a>> {
    match value {
        Value::Int(value) => Some(Key::Word(*value as u32)),
        _ => None,
    }
}

/// Small numbers hash as the same ones of smaller types.
fn folded<'a>(value: &'a Value<'_>) -> Option<Key<'a>> {
    let Value::Int(value) = value else { return None };
    let high = (value >> 32) as u32;
    Some(Key::Word(*value as u32 ^ if *value >= 0 { high } else { !high }))
}

fn bytes<'a>(value: &'a Value<'_>) -> Option<Key<'a>> {
    match value {
        Value::Text(text) => Some(Key::Bytes(text.as_bytes())),
        Value::Bytes(bytes) => Some(Key::Bytes(bytes)),
        _ => None,
    }
}

fn unpadded<'a>(value: &'a Value<'_>) -> Option<Key<'a>> {
    match value {
        Value::Text(text) => Some(Key::Bytes(text.trim_end_matches(' ').as_bytes())),
        _ => None,
    }
}

fn float<'a>(value: &'a Value<'_>) -> Option<Key<'a>> {
    match value {
        Value::Float(value) if *value == 0.0 => Some(Key::Zero),
        // All NaNs are equal.
        Value::Float(value) if value.is_nan() => {
            Some(Key::Float(0x7ff8_0000_0000_0000_u64.to_le_bytes()))
        }
        Value::Float(value) => Some(Key::Float(value.to_le_bytes())),
        _ => None,
    }
}

fn plain<'v>(arguments: &mut [Value<'v>], key: ToKey) -> Evaluated<'v> {
    let [value] = arguments else { return Err(wrong()) };
    let (hash, _) = match key(value).ok_or_else(wrong)? {
        Key::Zero => return Ok(Value::Int(0)),
        key => hashed(&key, 0),
    };
    Ok(Value::Int(i64::from(hash.cast_signed())))
}

fn extended<'v>(arguments: &mut [Value<'v>], key: ToKey) -> Evaluated<'v> {
    let [value, Value::Int(seed)] = arguments else { return Err(wrong()) };
    let (low, high) = match key(value).ok_or_else(wrong)? {
        Key::Zero => return Ok(Value::Int(*seed)),
        key => hashed(&key, seed.cast_unsigned()),
    };
    Ok(Value::Int((u64::from(high) << 32 | u64::from(low)).cast_signed()))
}

/// Bob Jenkins' lookup3: the lower and the upper half of 64 bits.
fn hashed(key: &Key<'_>, seed: u64) -> (u32, u32) {
    let (data, length) = match key {
        Key::Word(_) => (&[][..], 4),
        Key::Bytes(bytes) => (*bytes, bytes.len() as u32),
        Key::Float(bytes) => (&bytes[..], 8),
        Key::Zero => return (0, 0),
    };
    let mut state = [0x9e37_79b9_u32.wrapping_add(length).wrapping_add(3_923_095); 3];
    if seed != 0 {
        add(&mut state, [(seed >> 32) as u32, seed as u32, 0]);
        mix(&mut state);
    }
    let mut blocks = data.chunks_exact(12);
    for block in blocks.by_ref() {
        add(&mut state, [part(block, 0), part(block, 4), part(block, 8)]);
        mix(&mut state);
    }
    let rest = blocks.remainder();
    let mut last = [part(rest, 0), part(rest, 4), 0];
    // The lowest byte of the third word is left for the length.
    last[2] = part(rest, 8) << 8;
    if let Key::Word(word) = key {
        last[0] = *word;
    }
    add(&mut state, last);
    finish(&mut state);
    (state[2], state[1])
}

/// Up to four bytes from `at` on.
fn part(bytes: &[u8], at: usize) -> u32 {
    let some = bytes.iter().skip(at).take(4);
    some.enumerate().fold(0, |word, (i, byte)| word | u32::from(*byte) << (8 * i))
}

fn add(state: &mut [u32; 3], words: [u32; 3]) {
    for (own, word) in state.iter_mut().zip(words) {
        *own = own.wrapping_add(word);
    }
}

fn mix([a, b, c]: &mut [u32; 3]) {
    let turn = |a: &mut u32, b: &mut u32, c: &mut u32, by: u32| {
        *a = a.wrapping_sub(*c) ^ c.rotate_left(by);
        *c = c.wrapping_add(*b);
    };
    turn(a, b, c, 4);
    turn(b, c, a, 6);
    turn(c, a, b, 8);
    turn(a, b, c, 16);
    turn(b, c, a, 19);
    turn(c, a, b, 4);
}

fn finish([a, b, c]: &mut [u32; 3]) {
    let turn = |a: &mut u32, b: u32, by: u32| *a = (*a ^ b).wrapping_sub(b.rotate_left(by));
    turn(c, *b, 14);
    turn(a, *c, 11);
    turn(b, *a, 25);
    turn(c, *b, 16);
    turn(a, *c, 4);
    turn(b, *a, 14);
    turn(c, *b, 24);
}

/// A CRC of 32 bits, its polynomial reflected.
fn checksum<'v>(arguments: &mut [Value<'v>], polynomial: u32) -> Evaluated<'v> {
    let [Value::Bytes(bytes)] = arguments else { return Err(wrong()) };
    let mut sum = u32::MAX;
    for byte in bytes.iter() {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = sum >> 1 ^ if sum & 1 == 1 { polynomial } else { 0 };
        }
    }
    Ok(Value::Int(i64::from(!sum)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_documentation() {
        let sum = |polynomial| match checksum(&mut [Value::Bytes(b"abc"[..].into())], polynomial) {
            Ok(Value::Int(sum)) => sum,
            other => panic!("{other:?}"),
        };
        assert_eq!(sum(0xedb8_8320), 891_568_578);
        assert_eq!(sum(0x82f6_3b78), 910_901_175);
    }
}
