//! Every expression of `expressions.txt` against `expected.tsv`, which PostgreSQL 15 produced by
//! `produce.sql`: types, and the bytes of every value for ten rows.

use std::collections::HashMap;

use regraft_core::{Cell, Column, Mapped, Mapper, Rows, TableName, Tuple, TupleBuilder};

use crate::{Settings, SourceTable, TypeKind, TypeNames, UserType, compile, parse};

const ROWS: &str = include_str!("rows.tsv");
const EXPECTED: &str = include_str!("expected.tsv");

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

pub(crate) fn table() -> SourceTable {
    let column = |text: &str| {
        let parts: Vec<_> = text.split(':').collect();
        Column {
            name: parts[0].into(),
            type_oid: parts[1].parse().unwrap(),
            type_modifier: parts[2].parse().unwrap(),
            key: parts[0] == "id",
        }
    };
    let user = |name: &str, kind| UserType { schema: "public".into(), name: name.into(), kind };
    let labels = ["sad", "ok", "happy"].map(String::from).to_vec();
    SourceTable {
        name: TableName::new("public", "s"),
        columns: ROWS.lines().next().unwrap().split(',').map(column).collect(),
        key: vec!["id".into()],
        types: TypeNames(HashMap::from([
            (100_001, user("mood", TypeKind::Enum(labels))),
            (100_002, user("small", TypeKind::Domain { base: 23, modifier: -1 })),
        ])),
        collated: Vec::new(),
        meant: Default::default(),
    }
}

pub(crate) fn images() -> Vec<Tuple> {
    let image = |line: &str| {
        let mut builder = TupleBuilder::with_capacity(26, 1000);
        for cell in line.split(',') {
            match cell {
                "N" => builder.push(Cell::Null),
                hex => builder.push(Cell::Binary(&unhex(hex))),
            }
        }
        builder.finish()
    };
    ROWS.lines().skip(1).map(image).collect()
}

pub(crate) const C: Settings = Settings {
    c_collation: true,
    c_ctype: true,
    utf8: true,
    utc_iso: true,
    server_version: 150_018,
};

/// The expressions that stand alone.
pub(crate) fn expressions() -> impl Iterator<Item = &'static str> {
    let first = |line: &'static str| line.split('\t').next();
    EXPECTED.lines().filter_map(first).filter(|sql| !sql.contains(" FROM s"))
}

/// The rows as `produce.sql` writes them.
fn printed(rows: &Rows) -> String {
    let cell = |cell: Option<&[u8]>| match cell {
        None => "N".to_owned(),
        Some(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let row = |row: regraft_core::Row<'_>| row.cells().map(cell).collect::<Vec<_>>().join(",");
    rows.iter().map(row).collect::<Vec<_>>().join(";")
}

/// What differs for one line of expected.tsv; `None` when the compiler refused the expression.
fn differences(line: &str, undecided: &mut Vec<String>) -> Option<Vec<String>> {
    let mut fields = line.split('\t');
    let sql = fields.next().unwrap();
    let types = fields.next().unwrap();
    let tail = if sql.contains(" FROM s") { "" } else { " FROM s" };
    let text = format!("INSERT INTO x SELECT {sql}{tail}");
    let statement = parse("e.sql", &text).unwrap().remove(0);
    let mapper = compile(&statement, &table(), &C).ok()?;
    let modifiers = mapper.output_modifiers();
    let own: Vec<String> =
        mapper.output_types().iter().zip(modifiers).map(|(oid, m)| format!("{oid}:{m}")).collect();
    let mut found = Vec::new();
    if own.join(",") != types {
        found.push(format!("{sql}: type {} instead of {types}", own.join(",")));
    }
    for (i, (image, want)) in images().iter().zip(fields).enumerate() {
        let mut out = Rows::new();
        let got = match mapper.map(image, &mut out) {
            Ok(Mapped::Rows(_)) => printed(&out),
            Ok(_) => {
                undecided.push(format!("{sql}: row {}", i + 1));
                continue;
            }
            Err(error) => {
                let what = error.what();
                format!("!{}", &what[what.len() - 6..what.len() - 1])
            }
        };
        if got != want {
            found.push(format!("{sql}: row {}: {got} instead of {want}", i + 1));
        }
    }
    Some(found)
}

#[test]
fn every_expression_gives_what_postgres_gave() {
    let (mut wrong, mut refused, mut undecided, mut checked) = (vec![], vec![], vec![], 0);
    for line in EXPECTED.lines() {
        match differences(line, &mut undecided) {
            None => refused.push(line.split('\t').next().unwrap()),
            Some(found) => {
                wrong.extend(found);
                checked += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    println!(
        "{checked} checked; refused:\n{}\nundecided:\n{}",
        refused.join("\n"),
        undecided.join("\n")
    );
    assert!(checked >= 1980, "only {checked} were compiled; refused:\n{}", refused.join("\n"));
}
