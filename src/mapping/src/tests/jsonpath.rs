//! Which paths are taken.

use super::differential::{C, table};
use crate::{compile, parse};

#[test]
fn other_paths_are_refused() {
    for (path, taken) in [
        ("lax $.a.b[*].type()", true),
        ("$.a ? (@.b > 1 && (@.c == \"x\" || !exists(@.d))).e", true),
        ("$[0, 2 to last].size() == 3", true),
        ("strict $.a", false),
        ("$.**.a", false),
        ("$.a.double()", false),
        ("$.a.keyvalue()", false),
        ("$.a + 1", false),
        ("$[-1]", false),
        ("$[last - 1]", false),
        ("$.a ? (@ like_regex \"a\")", false),
        ("$.a ? ((@ > 1) is unknown)", false),
        ("$.a == $b", false),
        ("@.a", false),
        ("$.a ? (@ == \"\\u0061\")", false),
        ("$.a == 1e3", false),
        ("$.a == 01", false),
        ("$.1a", false),
        ("$.a-b", false),
        ("", false),
        ("$ $", false),
    ] {
        let text = format!("INSERT INTO x SELECT jsonb_path_query_array(j, '{path}') FROM s");
        let found = compile(&parse("e.sql", &text).unwrap()[0], &table(), &C);
        assert_eq!(found.is_ok(), taken, "{path}");
        if let Err(refusal) = found {
            assert!(refusal.message.contains("such a jsonpath"), "{path}: {}", refusal.message);
        }
    }
}
