//! Values of built-in types in binary send format: made up, and judged.

use proptest::collection::vec;
use proptest::prelude::*;
use regraft_core::{Oid, oid};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Values of a type, or `None` for one that the suite does not know.
pub fn well_formed(type_oid: Oid) -> Option<BoxedStrategy<Vec<u8>>> {
    let text = || {
        let plain = vec(prop::char::range(' ', 'z'), 0..12);
        let any = vec(prop::char::any().prop_filter("text has no NUL", |c| *c != '\0'), 0..12);
        prop_oneof![plain, any].prop_map(|chars| String::from_iter(chars).into_bytes())
    };
    // As jsonb prints them, so that they are valid for both types.
    let json = || {
        let number = any::<i32>().prop_map(|n| n.to_string());
        let list = vec(any::<i16>(), 0..4).prop_map(|list| format!("{list:?}"));
        let object = (any::<u8>(), any::<bool>())
            .prop_map(|(n, b)| format!("{{\"a\": {n}, \"b\": {{\"x\": {b}, \"y\": null}}}}"));
        let name = "[a-z]{0,6}".prop_map(|name| format!("\"{name}\""));
        prop_oneof![number, list, object, name, Just("null".to_owned()), Just("2.50".to_owned())]
    };
    Some(match type_oid {
        oid::BOOL => (0..2_u8).prop_map(|b| vec![b]).boxed(),
        oid::INT2 => any::<i16>().prop_map(|n| n.to_be_bytes().to_vec()).boxed(),
        oid::INT4 => any::<i32>().prop_map(|n| n.to_be_bytes().to_vec()).boxed(),
        oid::INT8 => any::<i64>().prop_map(|n| n.to_be_bytes().to_vec()).boxed(),
        oid::FLOAT4 => any::<f32>().prop_map(|n| n.to_be_bytes().to_vec()).boxed(),
        oid::FLOAT8 => any::<f64>().prop_map(|n| n.to_be_bytes().to_vec()).boxed(),
        oid::DATE => (-20_000..80_000_i32).prop_map(|n| n.to_be_bytes().to_vec()).boxed(),
        oid::TIME => (0..=DAY).prop_map(|n| n.to_be_bytes().to_vec()).boxed(),
        oid::TIMESTAMP | oid::TIMESTAMPTZ => {
            (-20_000 * DAY..80_000 * DAY).prop_map(|n| n.to_be_bytes().to_vec()).boxed()
        }
        oid::INTERVAL => (-DAY..DAY, -400..400_i32, -99..99_i32)
            .prop_map(|(micros, days, months)| {
                [&micros.to_be_bytes()[..], &days.to_be_bytes(), &months.to_be_bytes()].concat()
            })
            .boxed(),
        oid::UUID => any::<[u8; 16]>().prop_map(|bytes| bytes.to_vec()).boxed(),
        oid::BYTEA => vec(any::<u8>(), 0..40).boxed(),
        oid::TEXT | oid::VARCHAR | oid::BPCHAR => text().boxed(),
        oid::JSON => json().prop_map(String::into_bytes).boxed(),
        oid::JSONB => json().prop_map(|text| [b"\x01", text.as_bytes()].concat()).boxed(),
        oid::NUMERIC => numeric().boxed(),
        _ => return None,
    })
}

/// Groups of four digits, without zeros at either end, as PostgreSQL sends them.
fn numeric() -> impl Strategy<Value = Vec<u8>> {
    let number = (vec(1..10_000_u16, 0..5), -2..4_i16, any::<bool>(), 0..6_u16);
    number.prop_map(|(digits, weight, negative, scale)| {
        let count = u16::try_from(digits.len()).unwrap_or(0);
        // Zero has no sign and no weight; the scale covers all digits.
        let weight = if count == 0 { 0 } else { weight };
        let sign: u16 = if negative && count > 0 { 0x4000 } else { 0 };
        let behind = (i32::from(count) - 1 - i32::from(weight)).max(0) * 4;
        let scale = u16::try_from(behind).unwrap_or(0).max(scale);
        let head = [count.to_be_bytes(), weight.to_be_bytes(), sign.to_be_bytes()];
        let digits = digits.iter().flat_map(|digit| digit.to_be_bytes());
        head.into_iter().flatten().chain(scale.to_be_bytes()).chain(digits).collect()
    })
}

/// Whether PostgreSQL's receive function for a built-in type takes these bytes; true for types that
/// the suite does not know.
pub fn is_well_formed(type_oid: Oid, bytes: &[u8]) -> bool {
    let text = || std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'));
    let json = |bytes: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    match type_oid {
        oid::BOOL => matches!(bytes, [0 | 1]),
        oid::INT2 => bytes.len() == 2,
        oid::INT4 | oid::FLOAT4 | oid::DATE => bytes.len() == 4,
        oid::INT8 | oid::FLOAT8 | oid::TIMESTAMP | oid::TIMESTAMPTZ => bytes.len() == 8,
        oid::TIME => {
            bytes.try_into().is_ok_and(|bytes| (0..=DAY).contains(&i64::from_be_bytes(bytes)))
        }
        oid::INTERVAL | oid::UUID => bytes.len() == 16,
        oid::TEXT | oid::VARCHAR | oid::BPCHAR => text(),
        oid::JSON => text() && json(bytes),
        oid::JSONB => {
            bytes.split_first().is_some_and(|(version, text)| *version == 1 && json(text))
        }
        oid::NUMERIC => is_numeric(bytes),
        _ => true,
    }
}

fn is_numeric(bytes: &[u8]) -> bool {
    let Some((head, digits)) = bytes.split_first_chunk::<8>() else { return false };
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    // NaN and both infinities, and the two signs.
    let sign = matches!(word(4), 0 | 0x4000 | 0xc000 | 0xd000 | 0xf000);
    let digits = digits.chunks(2);
    let small =
        |digit: &[u8]| digit.try_into().is_ok_and(|digit| u16::from_be_bytes(digit) < 10_000);
    sign && word(6) < 0x4000
        && digits.len() == usize::from(word(0))
        && digits.into_iter().all(small)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest! {
        #[test]
        fn what_is_made_up_is_well_formed(values in [
            oid::BOOL, oid::INT2, oid::INT4, oid::INT8, oid::FLOAT4, oid::FLOAT8, oid::DATE, oid::TIME,
            oid::TIMESTAMP, oid::TIMESTAMPTZ, oid::INTERVAL, oid::UUID, oid::BYTEA, oid::TEXT,
            oid::VARCHAR, oid::BPCHAR, oid::JSON, oid::JSONB, oid::NUMERIC,
        ].map(|known| (Just(known), well_formed(known).expect("known")))) {
            for (type_oid, value) in values {
                prop_assert!(is_well_formed(type_oid, &value), "{type_oid}: {value:?}");
            }
        }
    }

    #[test]
    fn other_bytes_are_not() {
        for (type_oid, bytes) in [
            (oid::BOOL, &b"\x02"[..]),
            (oid::INT4, b"\0\0\0"),
            (oid::TEXT, b"a\0"),
            (oid::TEXT, b"\xff"),
            (oid::JSON, b"{\"a\""),
            (oid::JSONB, b"{}"),
            (oid::NUMERIC, b"\0\x01\0\0\0\0\0\0"),
            (oid::NUMERIC, b"\0\x01\0\0\0\0\0\0\x27\x10"),
            (oid::TIME, b"\xff\0\0\0\0\0\0\0"),
        ] {
            assert!(!is_well_formed(type_oid, bytes), "{type_oid}: {bytes:?}");
        }
    }
}
