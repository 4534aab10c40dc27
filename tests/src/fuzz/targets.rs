//! What is fuzzed.

use std::collections::HashMap;
use std::sync::OnceLock;

use regraft::core::{
    Cell, Column, Mapper, Relation, ReplicaIdentity, Rows, TableName, TupleBuilder,
};
use regraft_mapping::{
    CompiledMapper, Settings, SourceTable, TypeKind, TypeNames, UserType, compile, outline, parse,
};
use regraft_postgres::fuzzed;

use super::seeds::{self, NULL, UNCHANGED};

/// Something that reads.
pub struct Target {
    /// Name, and that of its folder.
    pub name: &'static str,
    /// Inputs that are made up in the code.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads an input.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "wire", seeds: seeds::wire, run: fuzzed::wire },
    Target { name: "messages", seeds: seeds::messages, run: fuzzed::messages },
    Target { name: "settings", seeds: seeds::settings, run: settings },
    Target { name: "mapping", seeds: seeds::mapping, run: mapping },
    Target { name: "values", seeds: seeds::values, run: values },
];

fn settings(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let read = regraft_settings::Settings::from_toml(&text, "regraft.toml", &|name| {
        (name != "NOT_SET").then(|| format!("of {name}"))
    });
    match read {
        Ok(settings) => drop(settings.validate()),
        Err(errors) => errors.iter().for_each(|error| drop(error.to_string())),
    }
}

const C: Settings = Settings {
    c_collation: true,
    c_ctype: true,
    utf8: true,
    utc_iso: true,
    server_version: 150_018,
};

fn mapping(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    outline(&text);
    let statements = match parse("mapping.sql", &text) {
        Ok(statements) => statements,
        Err(errors) => return errors.iter().for_each(|error| drop(error.to_string())),
    };
    let table = table();
    for statement in &statements {
        drop(statement.keyed_select(&table.key, "true"));
        if let Ok(mut mapper) = compile(statement, &table, &C) {
            mapper.bind(&relation(&table)).ok();
            for row in seeds::ROWS.lines().skip(1) {
                mapped(&mapper, &seeds::row(row));
            }
        }
    }
}

/// The number of an expression, and a row for it.
fn values(input: &[u8]) {
    static MAPPERS: OnceLock<Vec<CompiledMapper>> = OnceLock::new();
    let mappers = MAPPERS.get_or_init(|| {
        let table = table();
        let compiled = |text: &Vec<u8>| {
            let text = String::from_utf8_lossy(text);
            let statements = parse("mapping.sql", &text).ok()?;
            let mut mapper = compile(statements.first()?, &table, &C).ok()?;
            mapper.bind(&relation(&table)).ok()?;
            Some(mapper)
        };
        seeds::expressions().iter().filter_map(compiled).collect()
    });
    let Some((head, row)) = input.split_first_chunk::<2>() else { return };
    if let Some(mapper) = mappers.get(usize::from(u16::from_be_bytes(*head)) % mappers.len()) {
        mapped(mapper, row);
    }
}

/// Gives a mapper a row: a length, and so many bytes, for each column.
fn mapped(mapper: &CompiledMapper, mut row: &[u8]) {
    let columns = seeds::columns().count();
    let mut image = TupleBuilder::with_capacity(columns, row.len());
    for _ in 0..columns {
        let (length, rest) = match row.split_first_chunk::<2>() {
            Some((length, rest)) => (u16::from_be_bytes(*length), rest),
            None => (NULL, row),
        };
        row = rest;
        match length {
            NULL => image.push(Cell::Null),
            UNCHANGED => image.push(Cell::Unchanged),
            length => {
                let (value, rest) = row.split_at(usize::from(length).min(row.len()));
                image.push(Cell::Binary(value));
                row = rest;
            }
        }
    }
    if let Err(error) = mapper.map(&image.finish(), &mut Rows::new()) {
        drop(error.to_string());
    }
}

/// The table that the expressions are about, as the tests of the mapping have it.
fn table() -> SourceTable {
    let user = |name: &str, kind| UserType { schema: "public".into(), name: name.into(), kind };
    let labels = ["sad", "ok", "happy"].map(String::from).to_vec();
    SourceTable {
        name: TableName::new("public", "s"),
        columns: seeds::columns().collect(),
        key: vec!["id".into()],
        types: TypeNames(HashMap::from([
            (100_001, user("mood", TypeKind::Enum(labels))),
            (100_002, user("small", TypeKind::Domain { base: 23, modifier: -1 })),
        ])),
        collated: Vec::new(),
        meant: HashMap::new(),
    }
}

fn relation(table: &SourceTable) -> Relation {
    let columns: Vec<Column> = table.columns.clone();
    Relation { oid: 1, table: table.name.clone(), identity: ReplicaIdentity::Default, columns }
}
