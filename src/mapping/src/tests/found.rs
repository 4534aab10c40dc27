//! What the comparison with a live server found (`tests/tests/differential`), with what PostgreSQL
//! gave.

use regraft_core::{Mapped, Mapper, Rows};

use super::differential::{C, images, table};
use crate::{CompiledMapper, compile, parse};

fn mapper(sql: &str) -> Option<CompiledMapper> {
    let statement =
        parse("e.sql", &format!("INSERT INTO x SELECT {sql} FROM s")).unwrap().remove(0);
    compile(&statement, &table(), &C).ok()
}

/// The value for a row of `rows.tsv` in hexadecimal, N, an SQLSTATE, or `read`.
fn outcome(sql: &str, row: usize) -> String {
    let mapper = mapper(sql).unwrap_or_else(|| panic!("{sql} is refused"));
    let mut out = Rows::new();
    match mapper.map(&images()[row - 1], &mut out) {
        Ok(Mapped::Rows(_)) => match out.iter().next().and_then(|row| row.cells().next()) {
            Some(Some(bytes)) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            _ => "N".to_owned(),
        },
        Ok(_) => "read".to_owned(),
        Err(error) => error.what().rsplit('(').next().unwrap().trim_end_matches(')').to_owned(),
    }
}

#[test]
fn each_case_gives_what_postgres_gave() {
    for (sql, row, wanted) in [
        // The first day is 4714-11-24 BC.
        ("ts::date - 11", 8, "ffda97c2"),
        ("ts::date - 38", 8, "ffda97a7"),
        ("ts::date - 39", 8, "22008"),
        // The planner drops what stands beside a NULL.
        ("nullif(null::int, 1 / i4)", 6, "N"),
        ("nullif(i4, null)", 6, "00000000"),
        ("(1 / i4)::text not like null", 6, "N"),
        ("1 not between 1 / i4 and 0", 6, "01"),
        ("null::int in (1 / i4, i2)", 6, "N"),
        ("null::int in (1 / i4, i2)", 1, "N"),
        ("date_part(null, d + 2147483000)", 7, "N"),
        ("date_part(null, ('5874897-12-' || 20 + i2)::date)", 6, "N"),
        // The planner does not compute what is STABLE, and so does not see this NULL.
        ("to_char(timestamptz '-infinity', 'YYYY') = encode(y, t)", 1, "22023"),
        // An item that is no constant is compared in a type of its own.
        ("n in (n, ceil(i8))", 4, "01"),
        ("n2 in (f8, 0.1, 0.2, n2 + 1)", 9, "00"),
        ("5 in (1, 5, 1 / i4)", 6, "01"),
        ("5 not in (1, 6, 1 / i4)", 6, "22012"),
        // Digits are read before what follows them.
        ("(num || '-x')::int2", 4, "22003"),
        ("(num || '-x')::int8", 4, "22P02"),
        ("(num || '-')::int4", 2, "22P02"),
        ("('1e400' || num)::float8", 8, "22003"),
        ("('1e40' || num)::float8", 8, "22P02"),
        ("('3e400' || num)::float8", 10, "22003"),
        // What depends on the minor version, or is read further first.
        ("round(n, 2001 + i4)", 1, "read"),
        ("trunc(n, i4)", 4, "read"),
        ("right(t, i4)", 5, "read"),
        ("('[1e400000]' || t)::jsonb", 5, "read"),
        ("('1e400000' || t)::jsonb", 5, "22003"),
        ("('1' || doc)::jsonb", 4, "read"),
        ("('1' || doc)::jsonb", 7, "22P02"),
        ("(i4 || t)::jsonb", 1, "22P02"),
    ] {
        assert_eq!(outcome(sql, row), wanted, "{sql}, row {row}");
    }
}

#[test]
fn a_plus_sign_takes_the_modifier_away() {
    assert_eq!(mapper("n2").unwrap().output_modifiers(), [786_439]);
    assert_eq!(mapper("+ n2").unwrap().output_modifiers(), [-1]);
}

#[test]
fn constants_that_fail_and_ambiguous_literals_are_refused() {
    for sql in ["'1e-400'::numeric > null::float8", "f8 * '1e400'::numeric"] {
        assert!(mapper(sql).is_none(), "{sql}");
    }
}
