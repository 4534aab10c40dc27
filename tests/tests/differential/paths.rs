//! Generated jsonpaths over the keys that the test's documents have.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

const KEYS: &[&str] = &[
    ".a", ".b", ".x", ".\"\"", ".\"ä\"", ".ä", ".a", ".*", ".aa", ". b", ".\"0\"", ".type", ".last",
];

fn step(random: &mut StdRng, depth: u32) -> String {
    match random.random_range(0..if depth == 0 { 8 } else { 10 }) {
        0..4 => (*KEYS.choose(random).unwrap()).to_owned(),
        4 => "[*]".into(),
        5 => (*["[0]", "[1]", "[last]", "[0 to 1]", "[1 to last]", "[0, 2]", "[5]", "[last to 0]"]
            .choose(random)
            .unwrap())
        .to_owned(),
        6 => ".type()".into(),
        7 => ".size()".into(),
        _ => format!(" ? ({})", predicate(random, "@", depth - 1)),
    }
}

fn walk(random: &mut StdRng, root: &str, depth: u32) -> String {
    let steps: String = (0..random.random_range(0..4)).map(|_| step(random, depth)).collect();
    root.to_owned() + &steps
}

fn operand(random: &mut StdRng, root: &str, depth: u32) -> String {
    const LITERALS: &[&str] = &[
        "1",
        "42",
        "-7",
        "1.5",
        "0",
        "-0.0",
        "\"a\"",
        "\"\"",
        "\"ä\"",
        "true",
        "false",
        "null",
        "\"number\"",
        "3000000000",
        "1000",
    ];
    match random.random_range(0..3) {
        0 => (*LITERALS.choose(random).unwrap()).to_owned(),
        1 => walk(random, "$", depth.min(1)),
        _ => walk(random, root, depth),
    }
}

fn predicate(random: &mut StdRng, root: &str, depth: u32) -> String {
    match random.random_range(0..if depth == 0 { 7 } else { 11 }) {
        0..6 => {
            let operator =
                ["==", "!=", "<>", "<", "<=", ">", ">="].choose(random).copied().unwrap_or("==");
            let (left, right) =
                (operand(random, root, depth.saturating_sub(1)), operand(random, root, 0));
            format!("{left} {operator} {right}")
        }
        6 => format!("{} starts with \"a\"", walk(random, root, depth.saturating_sub(1))),
        7 => format!("exists({})", walk(random, root, depth - 1)),
        8 => format!("!({})", predicate(random, root, depth - 1)),
        _ => {
            let operator = if random.random() { "&&" } else { "||" };
            format!(
                "{} {operator} ({})",
                predicate(random, root, depth - 1),
                predicate(random, root, depth - 1)
            )
        }
    }
}

pub(crate) fn path(random: &mut StdRng) -> String {
    let mode = if random.random_range(0..8) == 0 { "lax " } else { "" };
    if random.random_range(0..3) == 0 {
        return mode.to_owned() + &predicate(random, "$", 2);
    }
    mode.to_owned() + &walk(random, "$", 2)
}
