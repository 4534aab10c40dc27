//! What a transaction of the target owes before its commit: their own values to rows that have made-up ones,
//! and the end of rows that are leaving.

use std::collections::BTreeSet;

use super::target::Target;

/// Made-up values that stand in for unique values until the end of the transaction.
pub(super) struct Parked {
    pub(super) statement: usize,
    pub(super) column: usize,
    /// Each with the value in whose place it stands.
    pub(super) values: Vec<(String, String)>,
    /// They stand in for values of the target key.
    pub(super) key: bool,
}

/// Rows of one statement that go before the commit.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    pub(super) statement: usize,
    /// Their target keys, as texts.
    pub(super) keys: BTreeSet<Vec<String>>,
}

/// A value that no row has, in the type of a column; `None` where none can be made up.
pub(super) fn made_up(target: &Target, column: usize) -> Option<String> {
    /// What the length of a `varchar` is counted from in a modifier.
    const HEADER: i32 = 4;
    const MARKED: &str = "'regraft-parked-' || gen_random_uuid()";
    const MARKED_LENGTH: i32 = 51;
    /// Of random digits, so that two do not meet.
    const SHORTEST: i32 = 12;
    if target.identity.contains(&column) {
        return None;
    }
    let value = match target.types[column].as_str() {
        "text" => MARKED.to_owned(),
        "character varying" => match target.modifiers[column] - HEADER {
            room if !(0..MARKED_LENGTH).contains(&room) => MARKED.to_owned(),
            room if room >= SHORTEST => {
                format!("left(replace(gen_random_uuid()::text, '-', ''), {room})")
            }
            _ => return None,
        },
        "uuid" => "gen_random_uuid()".to_owned(),
        "bigint" | "numeric" => "-4611686018427387904 - floor(random() * 1e15)::bigint".to_owned(),
        "integer" => "-1073741824 - floor(random() * 1e9)::integer".to_owned(),
        _ => return None,
    };
    Some(value)
}
