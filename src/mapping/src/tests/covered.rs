//! docs/functions.md says what is covered; it is written from what compiles.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use super::differential::C;
use crate::{
    Covered, Form, Settings, TypeKind, TypeNames, UserType, covered, forms, from_forms,
    set_functions, sql_name,
};

const MOOD: u32 = 100_001;

const HEAD: &str = "\
# What is evaluated on the stream

Generated from the compiler (`REGRAFT_BLESS=1 cargo test -p regraft-mapping covered`). What is not in
this list, the source evaluates for the keys of changed rows. What is in it gives, byte for byte, what PostgreSQL gives: `tests/tests/differential`
compares it with a live server over generated expressions and rows. Where a value is not certain for some row, that row is
read from the source instead.

";

fn types() -> TypeNames {
    let kind = TypeKind::Enum(vec!["a".into(), "b".into()]);
    let user = UserType { schema: "any".into(), name: "enum".into(), kind };
    TypeNames(HashMap::from([(MOOD, user)]))
}

fn name(oid: u32) -> String {
    if oid == MOOD { "enum".to_owned() } else { sql_name(oid, &types()) }
}

fn names(oids: &[u32]) -> String {
    oids.iter().map(|oid| name(*oid)).collect::<Vec<_>>().join(", ")
}

/// Left, right and result.
type Operands = (String, String, String);

/// Operators with the same operands share a table.
fn operators(out: &mut String, all: &[Covered]) {
    let mut by_name: Vec<(&str, Vec<Operands>)> = Vec::new();
    for operator in all.iter().filter(|c| matches!(c.form, Form::Infix | Form::Prefix)) {
        let row = match operator.arguments.as_slice() {
            [operand] => (String::new(), name(*operand), name(operator.result)),
            [left, right] => (name(*left), name(*right), name(operator.result)),
            _ => continue,
        };
        match by_name.iter_mut().find(|(name, _)| *name == operator.name) {
            Some((_, rows)) => rows.push(row),
            None => by_name.push((&operator.name, vec![row])),
        }
    }
    let mut groups: Vec<(Vec<&str>, Vec<Operands>)> = Vec::new();
    for (name, mut rows) in by_name {
        rows.sort();
        match groups.iter_mut().find(|(_, own)| *own == rows) {
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], rows)),
        }
    }
    out.push_str("## Operators\n");
    for (names, rows) in groups {
        let list: Vec<_> =
            names.iter().map(|name| format!("`{}`", name.replace('|', "\\|"))).collect();
        write!(
            out,
            "\n### {}\n\n| left | right | result |\n|---|---|---|\n",
            list.join(" ").replace("\\|", "|")
        )
        .unwrap();
        let mut lines: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for (left, right, result) in &rows {
            lines.entry((left, result)).or_default().push(right);
        }
        for ((left, result), rights) in lines {
            writeln!(out, "| {left} | {} | {result} |", rights.join(", ")).unwrap();
        }
    }
}

fn document() -> String {
    let all = covered(&types(), &C);
    let other = covered(&types(), &Settings::default());
    let mut out = HEAD.to_owned();
    out.push_str("## Expressions\n\n");
    for form in forms(&C) {
        writeln!(out, "- `{form}`").unwrap();
    }
    out.push_str("\n## Functions\n\n");
    let newest = covered(&types(), &Settings { server_version: 180_000, ..C });
    let mut functions: Vec<_> = newest.iter().filter(|c| c.form == Form::Function).collect();
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    for function in functions {
        let note = match function {
            newer if !all.contains(newer) => "; from PostgreSQL 18",
            own if !other.contains(own) => "; in a database of locale C",
            _ => "",
        };
        let (list, result) = (names(&function.arguments), name(function.result));
        writeln!(out, "- `{}({list})` → {result}{note}", function.name).unwrap();
    }
    out.push_str("\n## Set-returning functions in FROM\n\n");
    for (function, arguments) in set_functions(&C) {
        writeln!(out, "- `{function}({})`", names(&arguments)).unwrap();
    }
    for form in from_forms(&C) {
        writeln!(out, "- `{form}`").unwrap();
    }
    out.push('\n');
    operators(&mut out, &all);
    out.push_str("\nThe order of texts (`<`, `<=`, `>`, `>=`) needs a database of locale C.\n");
    out.push_str("\n## Casts\n\n| from | to |\n|---|---|\n");
    let mut casts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for cast in all.iter().filter(|c| c.form == Form::Cast) {
        casts.entry(names(&cast.arguments)).or_default().push(name(cast.result));
    }
    for (from, to) in casts {
        writeln!(out, "| {from} | {} |", to.join(", ")).unwrap();
    }
    out
}

#[test]
fn the_list_of_functions_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/functions.md");
    let wanted = document();
    if std::env::var_os("REGRAFT_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/functions.md is not what compiles; REGRAFT_BLESS=1 cargo test -p regraft-mapping covered"
    );
}
