//! Values that love edges, in the text form of their types.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::grammar::Oid;
use crate::patterns;

/// The test's enum; its OID is the server's choice.
pub(crate) const LABELS: &[&str] = &["sad", "ok", "very happy", "it's"];

/// A built-in array's elements.
pub(crate) fn element(oid: Oid) -> Option<Oid> {
    let known = [
        (1000, 16),
        (1005, 21),
        (1007, 23),
        (1016, 20),
        (1021, 700),
        (1022, 701),
        (1231, 1700),
        (1009, 25),
        (2951, 2950),
        (1182, 1082),
        (1115, 1114),
        (1185, 1184),
        (3807, 3802),
    ];
    known.iter().find(|(array, _)| *array == oid).map(|(_, element)| *element)
}

const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "A",
    "  x  ",
    "it's",
    "\"",
    "\\",
    "a\\",
    "%",
    "_",
    "a%b_c",
    "a,b,,c",
    ",",
    "äöü€😀",
    "e\u{301}",
    "\u{301}",
    "ß",
    "ǅ",
    "İ",
    "\t\n\r",
    "\u{a0}",
    "\u{b}x\u{c}",
    "null",
    "NULL",
    "true",
    "yes",
    "off",
    " t ",
    "0",
    "-0",
    "1",
    "-1",
    "42",
    " 42 ",
    "+7",
    "2147483647",
    "2147483648",
    "-2147483648",
    "9223372036854775808",
    "1.5",
    ".5",
    "5.",
    "1e3",
    "1e400",
    "1e-400",
    "NaN",
    "nan",
    "Infinity",
    "-inf",
    "+Infinity",
    "infinity",
    "0x1F",
    "1_000",
    "--1",
    "1 2",
    "{}",
    "[]",
    "{\"a\": 1}",
    " [1, {\"a\": null}] ",
    "{\"a\":1,\"a\":2}",
    "\"x\"",
    "{bad",
    "[1e400]",
    "\"\\u00e4\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "[1.50, -0.0, 1E+2]",
    "2024-02-29",
    "2023-02-29",
    "0001-01-01",
    "0044-03-15 BC",
    "2024-02-29 12:34:56.789",
    "2024-02-29T12:34:56Z",
    "2024-02-29 12:34:56+05:30",
    "24:00:00",
    "12:34",
    "epoch",
    "now",
    "20240229",
    "Jan 1 2020",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}",
    "a0eebc99",
    "sad",
    "ok",
    "\\x00ff",
    "\\xzz",
    "{a,b}",
    "a b",
    "{a,NULL,\"c d\"}",
    "UTC",
    "Hello World",
    "x=1&y=2",
    "$1",
    "\\1",
    "^a.*$",
    "[a-z]+",
    "(a|b)",
];

const ALPHABET: &[char] = &[
    'a', 'b', 'A', 'z', '0', '9', '.', '-', ' ', ',', '%', '_', '\\', '\'', '"', 'ä', '€', '😀',
    '\u{301}', '{', '}', ':',
];

pub(crate) fn text(random: &mut StdRng) -> String {
    if random.random_range(0..100) < 15 {
        return patterns::subject(random);
    }
    if random.random_range(0..100) < 70 {
        return (*TEXTS.choose(random).unwrap()).to_owned();
    }
    let length = if random.random_range(0..20) == 0 { 300 } else { random.random_range(0..12) };
    (0..length).map(|_| *ALPHABET.choose(random).unwrap()).collect()
}

fn digits(random: &mut StdRng, length: usize) -> String {
    (0..length).map(|_| char::from(b'0' + random.random_range(0..10))).collect()
}

fn integer(random: &mut StdRng, bits: u32) -> String {
    let (low, high) = (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits));
    match random.random_range(0..10) {
        0..5 => random.random_range(-3..=12_i64).to_string(),
        5 => low.to_string(),
        6 => high.to_string(),
        7 => (high - random.random_range(0..3)).to_string(),
        8 => random.random_range(-2000..=2000).to_string(),
        _ => random.random_range(low..=high).to_string(),
    }
}

fn numeric(random: &mut StdRng) -> String {
    const EDGES: &[&str] = &[
        "0",
        "-0.000",
        "NaN",
        "Infinity",
        "-Infinity",
        "1",
        "-1",
        "0.5",
        "1.5",
        "2.5",
        "-2.5",
        "-0.5",
        "9999.9999",
        "10000",
        "9999",
        "0.0001",
        "0.00001",
        "100.00",
        "1e20",
        "1e-20",
        "-1e100",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808.5",
        "2147483647.5",
        "32767.49",
        "0.1",
        "12345678901234567890.123456789",
        "1e-400",
        "1e400",
        "340282346638528859811704183484516925440",
        "999999999999999999999999",
        "0.9999999999999999999999",
    ];
    let sign = if random.random() { "-" } else { "" };
    match random.random_range(0..20) {
        0..10 => (*EDGES.choose(random).unwrap()).to_owned(),
        10 => {
            let (whole, part) = (random.random_range(0..1000), random.random_range(0..1000));
            format!("{sign}1{}.{}", digits(random, whole), digits(random, part))
        }
        11 => format!("{sign}0.{}{}", "0".repeat(random.random_range(0..300)), digits(random, 4)),
        _ => {
            let (whole, part) = (random.random_range(1..12), random.random_range(1..10));
            format!("{sign}{}.{}", digits(random, whole), digits(random, part))
        }
    }
}

fn float(random: &mut StdRng, single: bool) -> String {
    const EDGES: &[&str] = &[
        "0",
        "-0",
        "1",
        "-1",
        "0.5",
        "1.5",
        "2.5",
        "-2.5",
        "NaN",
        "Infinity",
        "-Infinity",
        "0.1",
        "1e15",
        "1e-5",
        "123456.7",
        "16777217",
        "1e6",
        "100000",
        "0.0001",
        "2147483647",
        "9.5e9",
        "1e37",
        "-1e37",
        "1e-37",
    ];
    const DOUBLES: &[&str] = &[
        "1.7976931348623157e308",
        "-1e308",
        "5e-324",
        "2.2250738585072014e-308",
        "9007199254740993",
        "9223372036854775807",
        "1e22",
        "1e23",
        "0.30000000000000004",
        "123456789012345.67",
        "3.5e38",
        "1e-46",
    ];
    const SINGLES: &[&str] = &["3.4028235e38", "1e-45", "1.1754944e-38"];
    match random.random_range(0..10) {
        0..5 => (*EDGES.choose(random).unwrap()).to_owned(),
        5..7 => (*(if single { SINGLES } else { DOUBLES }).choose(random).unwrap()).to_owned(),
        7 => format!("{}.{}", random.random_range(-999..1000), random.random_range(0..100)),
        _ => {
            let power = if single { 30 } else { 300 };
            format!("{}e{}", random.random_range(-9.0..9.0_f64), random.random_range(-power..power))
        }
    }
}

fn date(random: &mut StdRng) -> String {
    const EDGES: &[&str] = &[
        "infinity",
        "-infinity",
        "4714-11-24 BC",
        "4713-01-01 BC",
        "5874897-12-31",
        "0001-01-01",
        "0001-12-31 BC",
        "0044-03-15 BC",
        "1999-12-31",
        "2000-01-01",
        "2000-02-29",
        "1900-02-28",
        "1970-01-01",
        "9999-12-31",
        "10000-01-01",
        "2024-02-29",
    ];
    if random.random_range(0..3) > 0 {
        return (*EDGES.choose(random).unwrap()).to_owned();
    }
    let (year, month) = (random.random_range(1..2500), random.random_range(1..13));
    format!("{year:04}-{month:02}-{:02}", random.random_range(1..29))
}

fn time(random: &mut StdRng) -> String {
    const EDGES: &[&str] =
        &["00:00:00", "24:00:00", "23:59:59.999999", "12:34:56.789", "00:00:00.000001", "12:00"];
    if random.random() {
        return (*EDGES.choose(random).unwrap()).to_owned();
    }
    let (hour, minute) = (random.random_range(0..24), random.random_range(0..60));
    format!(
        "{hour:02}:{minute:02}:{:02}.{}",
        random.random_range(0..60),
        random.random_range(0..1_000_000)
    )
}

fn timestamp(random: &mut StdRng) -> String {
    const EDGES: &[&str] = &[
        "infinity",
        "-infinity",
        "4714-11-24 00:00:00 BC",
        "4713-01-01 00:00:00 BC",
        "294276-12-31 23:59:59.999999",
        "0001-01-01 00:00:00",
        "0001-12-31 23:59:59.999999 BC",
        "1969-12-31 23:59:59.5",
        "2000-01-01 00:00:00",
        "1999-12-31 23:59:59.9999995",
        "9999-12-31 23:59:59.999999",
        "2024-02-29 12:34:56.789",
    ];
    if random.random() {
        return (*EDGES.choose(random).unwrap()).to_owned();
    }
    let (year, month) = (random.random_range(1..2500), random.random_range(1..13));
    format!(
        "{year:04}-{month:02}-{:02} {}",
        random.random_range(1..29),
        time(random).replace("24:00:00", "00:00:00")
    )
}

fn interval(random: &mut StdRng) -> String {
    const EDGES: &[&str] = &[
        "0",
        "1 day",
        "-1 day",
        "1 mon",
        "-13 mons",
        "1 year 2 mons -3 days 04:05:06.789",
        "178000000 years",
        "30 days",
        "24:00:00",
        "-00:00:00.000001",
        "1 mon -30 days",
        "100000 days",
        "1000000:00:00",
    ];
    (*EDGES.choose(random).unwrap()).to_owned()
}

fn json_string(random: &mut StdRng) -> String {
    const EDGES: &[&str] = &[
        "a",
        "b",
        "x",
        "",
        "ä",
        "\\u00e4",
        "\\ud83d\\ude00",
        "q\\\"\\\\\\/",
        "\\n\\t\\b",
        "aa",
        "0",
        "1",
        "e\u{301}",
    ];
    format!("\"{}\"", EDGES.choose(random).unwrap())
}

fn json(random: &mut StdRng, depth: u32) -> String {
    const NUMBERS: &[&str] = &[
        "0",
        "-0",
        "-0.0",
        "1",
        "42",
        "1.50",
        "1e3",
        "1E-3",
        "-7",
        "1e100",
        "3000000000",
        "0.1",
        "12345678901234567890.5",
    ];
    let space = if random.random_range(0..4) == 0 { " " } else { "" };
    match random.random_range(0..if depth == 0 { 6 } else { 14 }) {
        0 => "null".into(),
        1 => if random.random() { "true" } else { "false" }.into(),
        2..4 => (*NUMBERS.choose(random).unwrap()).into(),
        4..6 => json_string(random),
        6..9 => {
            let items: Vec<_> =
                (0..random.random_range(0..4)).map(|_| json(random, depth - 1)).collect();
            format!("[{space}{}{space}]", items.join(&format!("{space},")))
        }
        _ => {
            let member = |random: &mut StdRng| {
                format!("{}{space}:{}", json_string(random), json(random, depth - 1))
            };
            let items: Vec<_> = (0..random.random_range(0..5)).map(|_| member(random)).collect();
            format!("{{{space}{}}}", items.join(&format!(",{space}")))
        }
    }
}

fn array(random: &mut StdRng, of: Oid) -> String {
    let item = |random: &mut StdRng| match random.random_range(0..6) {
        0 => "NULL".to_owned(),
        _ => {
            let text = value(random, of).unwrap();
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
    };
    let items: Vec<_> = (0..random.random_range(0..5)).map(|_| item(random)).collect();
    match random.random_range(0..12) {
        0 if !items.is_empty() => format!("[0:{}]={{{}}}", items.len() - 1, items.join(",")),
        1 if !items.is_empty() => format!("{{{{{0}}},{{{0}}}}}", items.join(",")),
        _ => format!("{{{}}}", items.join(",")),
    }
}

/// A value of a type, `None` for a type that is not known here.
pub(crate) fn value(random: &mut StdRng, oid: Oid) -> Option<String> {
    if let Some(of) = element(oid) {
        return Some(array(random, of));
    }
    Some(match oid {
        16 => if random.random() { "t" } else { "f" }.into(),
        17 => match random.random_range(0..3) {
            0 => "\\x".into(),
            1 => "\\x00ff41".into(),
            _ => format!("\\x{}", digits(random, 8)),
        },
        21 => integer(random, 16),
        23 => integer(random, 32),
        20 => integer(random, 64),
        700 => float(random, true),
        701 => float(random, false),
        1700 => numeric(random),
        25 | 1043 | 1042 => text(random),
        2950 => match random.random_range(0..3) {
            0 => "00000000-0000-0000-0000-000000000000".into(),
            1 => "ffffffff-ffff-ffff-ffff-ffffffffffff".into(),
            _ => format!("{:032x}", random.random::<u128>()),
        },
        1082 => date(random),
        1083 => time(random),
        1266 => time(random) + "+00",
        1114 => timestamp(random),
        1184 => timestamp(random).replace(" BC", "+00 BC"),
        1186 => interval(random),
        114 => json(random, 3),
        3802 => json(random, 3),
        _ => return None,
    })
}
