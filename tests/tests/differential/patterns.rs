//! Regular expressions over a small alphabet, so that they match now and then.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// What the texts for patterns are made of.
pub(crate) const ALPHABET: &[char] =
    &['a', 'b', 'a', 'b', 'A', '0', '1', ' ', '-', '.', '_', '\n', 'ä', '€'];

const ATOMS: &[&str] = &[
    "a",
    "b",
    "a",
    "b",
    "A",
    "0",
    ".",
    ".",
    "-",
    " ",
    "ä",
    "\\.",
    "\\d",
    "\\w",
    "\\s",
    "\\D",
    "\\W",
    "\\S",
    "[ab]",
    "[^a]",
    "[a-b0-1]",
    "[[:alpha:]]",
    "[^[:space:]]",
    "[-.]",
    "[a-]",
    "[\\w.]",
    "[^\\d]",
    "[[:upper:]]",
    "[]a]",
    "[€-]",
    "{",
    "\\n",
    "\\u00e4",
    "\\-",
    "[^\\Wa]",
];

/// Patterns as people write them.
const USUAL: &[&str] = &[
    "",
    "^a.*$",
    "[a-z]+",
    "(a|b)",
    "^[[:space:]]*$",
    "\\s+",
    "^\\s+|\\s+$",
    "[^a-zA-Z0-9]+",
    "^([^-]*)-(.*)$",
    "^(\\w+)\\s(\\w+)$",
    "(\\d+)\\.(\\d+)",
    "^\\d{4}-\\d{2}-\\d{2}",
    "\\mb\\w*\\M",
    "(a)(b)?",
    "(?i)^A",
    "(?n)^a.$",
    "***=a.b",
    "^(a+)(b*)$",
    "a.*?b",
    "<([^>]*)>",
    "[,;]\\s*",
    "^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,}$",
    "^(https?)://([^/]+)(/.*)?$",
];

fn quantifier(random: &mut StdRng) -> &'static str {
    let list = ["*", "+", "?", "{2}", "{1,2}", "{0,1}", "{2,}", "*?", "+?", "??", "{1,3}?"];
    let greedy = random.random_range(0..3) > 0;
    list[random.random_range(0..if greedy { 7 } else { list.len() })]
}

fn branch(random: &mut StdRng, depth: u32) -> String {
    (0..random.random_range(0..4)).map(|_| piece(random, depth)).collect()
}

fn piece(random: &mut StdRng, depth: u32) -> String {
    let atom = match random.random_range(0..if depth == 0 { 7 } else { 11 }) {
        0 if random.random_range(0..2) == 0 => {
            return (*["^", "$", "\\m", "\\M", "\\y", "\\Y", "\\A", "\\Z"].choose(random).unwrap())
                .into();
        }
        0..7 => (*ATOMS.choose(random).unwrap()).to_owned(),
        7 => format!("(?:{})", branches(random, depth - 1)),
        _ => format!("({})", branches(random, depth - 1)),
    };
    match random.random_range(0..5) {
        0..2 => atom + quantifier(random),
        _ => atom,
    }
}

fn branches(random: &mut StdRng, depth: u32) -> String {
    let count = [1, 1, 1, 2, 3].choose(random).copied().unwrap_or(1);
    (0..count).map(|_| branch(random, depth)).collect::<Vec<_>>().join("|")
}

/// A pattern, often a valid one.
pub(crate) fn pattern(random: &mut StdRng) -> String {
    if random.random_range(0..5) == 0 {
        return (*USUAL.choose(random).unwrap()).to_owned();
    }
    branches(random, 2)
}

pub(crate) fn subject(random: &mut StdRng) -> String {
    (0..random.random_range(0..9)).map(|_| *ALPHABET.choose(random).unwrap()).collect()
}

pub(crate) fn flags(random: &mut StdRng) -> &'static str {
    ["", "g", "g", "i", "gi", "n", "p", "w", "s", "q", "ci", "gn"].choose(random).unwrap()
}

pub(crate) fn replacement(random: &mut StdRng) -> &'static str {
    ["", "x", "[\\&]", "\\1", "<\\2\\1>", "\\\\", "\\x\\", "ä\\3"].choose(random).unwrap()
}

pub(crate) fn similar(random: &mut StdRng) -> String {
    const PARTS: &[&str] = &[
        "a", "b", "%", "_", "(a|b)", "[ab]", "[^a]", "a*", "b+", "(ab)?", "a{2}", "\\%", ".", "$",
        "^", "|", "[a-b]*",
    ];
    (0..random.random_range(0..5)).map(|_| *PARTS.choose(random).unwrap()).collect()
}
