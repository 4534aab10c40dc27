//! Which regular expressions are taken.

use regraft_core::{Mapped, Mapper, Rows};

use super::differential::{C, images, table};
use crate::{Settings, compile, parse};

/// The refusal of an expression.
fn refusal(sql: &str, settings: &Settings) -> Option<String> {
    let text = format!("INSERT INTO x SELECT {sql} FROM s");
    compile(&parse("e.sql", &text).unwrap()[0], &table(), settings).err().map(|r| r.message)
}

#[test]
fn what_is_not_certain_is_refused() {
    for (sql, what) in [
        (r"t ~ '(a)\1'", "a back reference"),
        ("t ~ 'a(?=b)'", "a look at what is around"),
        ("t ~ 'a**'", "a quantifier after another one"),
        ("t ~ '^*'", "a quantifier after another one"),
        ("t ~ '+a'", "a quantifier without an operand"),
        ("t ~ 'a{256}'", "such a count"),
        ("t ~ 'a{2,1}'", "such a count"),
        ("t ~ '(a'", "an open parenthesis"),
        ("t ~ 'a)'", "a closing parenthesis"),
        ("t ~ '[a'", "an open bracket"),
        ("t ~ '[b-a]'", "a range"),
        ("t ~ '[a-c-e]'", "a range"),
        ("t ~ '[[.a.]]'", "a collating element"),
        ("t ~ '(?x)a b'", "a flag other than"),
        ("t ~ v", "that is no literal"),
        ("regexp_match(t, 'a', 'g')", "the flag g"),
        ("regexp_match(t, '(a|ab)(c|bcd)(d*)')", "groups that can divide"),
        ("regexp_match(t, '(a*)*')", "groups that can divide"),
        ("regexp_replace(t, '(?:(a)|b)*', '\\1')", "groups that can divide"),
        ("t ~ repeat('x*y*z*', 1000)", "a pattern as large"),
        ("t ~ '(a{200}){200}'", "a pattern as large"),
        ("t similar to '%[[:alpha:]]%'", "such a SIMILAR TO pattern"),
    ] {
        let found = refusal(sql, &C).unwrap_or_else(|| panic!("{sql} is taken"));
        assert!(found.contains(what), "{sql}: {found}");
    }
    // Groups that nobody asks for.
    assert_eq!(refusal("regexp_replace(t, '(a|ab)(c|bcd)(d*)', 'x')", &C), None);
    let old = Settings { server_version: 140_000, ..C };
    assert!(refusal("regexp_like(t, 'a')", &old).is_some());
}

#[test]
fn what_stands_in_from_is_refused_in_the_same_way() {
    for (sql, what) in [
        ("x FROM s, regexp_split_to_table(t, 'a', 'g') x", "the flag g"),
        ("x FROM s, regexp_matches(t, '(a|ab)(c|bcd)(d*)') x", "groups that can divide"),
        ("x FROM s, generate_series('1', '2') x", "generate_series(unknown"),
        ("x FROM s, generate_series(id, f8) x", "generate_series(integer"),
        ("x FROM s, string_to_table(ta, ',') x", "with these arguments"),
        ("x.n FROM s, (VALUES (i4)) AS x(n)", "without LATERAL"),
        ("1 FROM s, (VALUES (1), (2, 3)) AS x", "different lengths"),
        ("1 FROM s, (VALUES (1), ('a'::text)) AS x", "mixes"),
        ("1 FROM s, (VALUES (t)) AS x", "without LATERAL"),
        ("1 FROM s, LATERAL (VALUES (v)) AS x", "have modifiers"),
        ("1 FROM s, (VALUES (1))", "an alias for VALUES"),
        ("x FROM s, (VALUES (1)) AS x", "a whole row"),
    ] {
        let text = format!("INSERT INTO x SELECT {sql}");
        let statement = &parse("e.sql", &text).unwrap()[0];
        assert_eq!(statement.source_tables().len(), 1, "{sql}");
        let found = compile(statement, &table(), &C).unwrap_err().message;
        assert!(found.contains(what), "{sql}: {found}");
    }
}

#[test]
fn beyond_ascii_a_locale_decides() {
    let other = Settings { c_ctype: false, ..C };
    assert!(refusal("t ~* 'ä'", &other).unwrap().contains("letters beyond ASCII"));
    assert!(refusal("t ~ '[[:punct:]]'", &other).unwrap().contains("[:punct:]"));
    assert_eq!(refusal("t ~ 'ä'", &other), None);
    let text = r"INSERT INTO x SELECT t ~ '^\w' FROM s";
    let mapper = compile(&parse("e.sql", text).unwrap()[0], &table(), &other).unwrap();
    let images = images();
    let mut out = Rows::new();
    assert_eq!(mapper.map(&images[0], &mut out).unwrap(), Mapped::Rows(1));
    // Begins with a letter that is none in C.
    assert_eq!(mapper.map(&images[3], &mut out).unwrap(), Mapped::Read);
}
