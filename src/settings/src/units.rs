//! Durations (`"100ms"`) and sizes (`"8MiB"`) as an operator writes them.

use std::time::Duration;

/// Units of durations, the largest first, in milliseconds.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of sizes in bytes; those that are written by [`format_bytes`] come first.
const SIZE_UNITS: [(&str, usize); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Splits `"12 MiB"` into 12 and `MiB`; whole numbers only, spaces between are allowed.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit.trim_start()))
}

/// Reads a duration: a whole number and `ms`, `s`, `m` or `h`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let (_, millis) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_millis(number.checked_mul(*millis)?))
}

/// Writes a duration with the largest unit that gives a whole number; below 1 ms is cut off.
pub fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let largest =
        DURATION_UNITS.iter().find(|(_, unit)| millis != 0 && millis.is_multiple_of(*unit));
    let (name, unit) = largest.unwrap_or(&("ms", 1));
    format!("{}{name}", millis / unit)
}

/// Reads a size: a whole number and `B`, `kB`, `MB`, `GB` (powers of 1000) or `KiB`, `MiB`, `GiB`
/// (powers of 1024).
pub fn parse_bytes(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    usize::try_from(number).ok()?.checked_mul(*bytes)
}

/// Writes a size with the largest unit that gives a whole number.
pub fn format_bytes(bytes: usize) -> String {
    let largest = SIZE_UNITS.iter().find(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit));
    let (name, unit) = largest.unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

/// `#[serde(with = "…")]` and `#[schemars(schema_with = "…")]` for one kind of text.
macro_rules! text_format {
    ($module:ident, $type:ty, $parse:path, $format:path, $expected:literal, $pattern:literal) => {
        pub(crate) mod $module {
            use schemars::{Schema, SchemaGenerator, json_schema};
            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            pub(crate) fn serialize<S: Serializer>(
                value: &$type,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&$format(*value))
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$type, D::Error> {
                let text = String::deserialize(deserializer)?;
                $parse(&text).ok_or_else(|| D::Error::custom(concat!("must be ", $expected)))
            }

            pub(crate) fn schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

text_format!(
    duration,
    std::time::Duration,
    crate::parse_duration,
    crate::format_duration,
    "a duration such as \"100ms\", \"5s\" or \"2m\"",
    "^[0-9]+ *(ms|s|m|h)$"
);
/// A duration that may be left out.
pub(crate) mod optional_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::duration::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let wrong = || D::Error::custom("must be a duration such as \"5s\", \"2m\" or \"24h\"");
        super::parse_duration(&text).map(Some).ok_or_else(wrong)
    }
}

text_format!(
    bytes,
    usize,
    crate::parse_bytes,
    crate::format_bytes,
    "a size such as \"8MiB\", \"500MB\" or \"1GiB\"",
    "^[0-9]+ *(B|kB|MB|GB|KiB|MiB|GiB)$"
);

/// A size that may be left out.
pub(crate) mod optional_bytes {
    use serde::{Deserialize, Deserializer, de::Error};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<usize>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let wrong = || D::Error::custom("must be a size such as \"500MB\" or \"20GiB\"");
        super::parse_bytes(&text).map(Some).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis) in [("100ms", 100), ("5s", 5_000), ("2m", 120_000), ("1 h", 3_600_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for wrong in ["", "5", "ms", "-5s", "1.5s", "5 sec", "5S", "99999999999999999999h"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        for text in ["100ms", "5s", "2m", "1h", "0ms", "1500ms"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        let sizes = [("256MiB", 256 << 20), ("8MB", 8_000_000), ("1GiB", 1 << 30), ("7B", 7)];
        for (text, bytes) in sizes {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for wrong in ["", "8", "MiB", "8mib", "8 M", "-1B", "99999999999999999999GiB"] {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
        for text in ["256MiB", "8MB", "1GiB", "7B", "0B", "1025KiB"] {
            assert_eq!(format_bytes(parse_bytes(text).unwrap()), text);
        }
    }
}
