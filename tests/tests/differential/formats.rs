//! Formats for to_char.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

const FIELDS: &[&str] = &[
    "A.D.", "A.M.", "AD", "AM", "B.C.", "BC", "CC", "DAY", "DDD", "DD", "DY", "Day", "Dy", "D",
    "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "HH24", "HH12", "HH", "ID", "IW", "IYYY", "IYY",
    "IY", "I", "J", "MI", "MM", "MONTH", "MON", "MS", "Month", "Mon", "P.M.", "PM", "Q", "SSSSS",
    "SSSS", "SS", "US", "WW", "W", "Y,YYY", "YYYY", "YYY", "YY", "Y",
];
const BETWEEN: &[&str] = &["", " ", "-", ":", ", ", "\"T\"", "/", ".", "\" of \"", ""];

/// A format for a timestamp.
pub(crate) fn stamp(random: &mut StdRng) -> String {
    let mut out = String::new();
    for _ in 0..random.random_range(1..6) {
        let field = *FIELDS.choose(random).unwrap();
        if random.random_range(0..4) == 0 {
            out.push_str("FM");
        }
        out +=
            &if random.random_range(0..5) == 0 { field.to_lowercase() } else { field.to_owned() };
        out.push_str(BETWEEN.choose(random).unwrap());
    }
    out
}

/// A format for a number.
pub(crate) fn number(random: &mut StdRng) -> String {
    const USUAL: &[&str] = &[
        "FM999999990.00",
        "9999999999",
        "FM000000",
        "FM999,999,999,990.00",
        "999G999D99",
        "FM9.99",
        "S999",
        "999,999.00",
    ];
    if random.random_range(0..4) == 0 {
        return (*USUAL.choose(random).unwrap()).to_owned();
    }
    let mut out = if random.random() { "FM" } else { "" }.to_owned();
    for _ in 0..random.random_range(1..12) {
        out.push_str(["9", "9", "9", "0", ",", "9"].choose(random).unwrap());
    }
    if random.random() {
        out.push('.');
        for _ in 0..random.random_range(1..4) {
            out.push_str(["0", "0", "9"].choose(random).unwrap());
        }
    }
    out
}

/// A format that holds a whole day.
pub(crate) fn full(random: &mut StdRng) -> &'static str {
    [
        "YYYY-MM-DD",
        "YYYYMMDD",
        "DD.MM.YYYY",
        "mm/dd/yyyy",
        "YYYY-MM-DD HH24:MI:SS",
        "YYYY-MM-DD\"T\"HH24:MI:SS.MS",
        "YYYYMMDDHH24MISS",
        "YYYY-MM-DD HH24:MI:SS.US",
    ]
    .choose(random)
    .unwrap()
}
