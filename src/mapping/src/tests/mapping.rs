//! Refusals with their places, unchanged values, shapes and what a mapper says of itself.

use regraft_core::mapper::{Count, Output};
use regraft_core::{
    Cell, Code, Column, Mapped, Mapper, Relation, ReplicaIdentity, Row, Rows, TableName, Tuple,
    TupleBuilder,
};

use super::differential::C;
use crate::{CompiledMapper, Refusal, Settings, SourceTable, TypeNames, compile, parse};

fn column(name: &str, type_oid: u32, key: bool) -> Column {
    Column { name: name.into(), type_oid, type_modifier: -1, key }
}

pub(super) fn workloads() -> SourceTable {
    SourceTable {
        name: TableName::new("public", "ai_workloads"),
        columns: vec![
            column("id", 2950, true),
            column("training_metrics", 3802, false),
            column("updated_at", 1184, false),
            column("status", 25, false),
            column("big", 25, false),
            column("size", 20, false),
        ],
        key: vec!["id".into()],
        types: TypeNames::default(),
        collated: vec!["status".into()],
        meant: Default::default(),
    }
}

fn try_compile(select: &str, settings: &Settings) -> Result<CompiledMapper, Refusal> {
    let text = format!("INSERT INTO t\n{select}");
    compile(&parse("mapping.sql", &text).unwrap()[0], &workloads(), settings)
}

fn compiled(select: &str) -> CompiledMapper {
    try_compile(select, &C).unwrap()
}

const METRICS: &str = "SELECT w.id, m.key, m.value::numeric, w.updated_at FROM ai_workloads w \
    CROSS JOIN LATERAL jsonb_each_text(w.training_metrics) m WHERE w.training_metrics IS NOT NULL";

const ID: Cell<'static> = Cell::Binary(&[7; 16]);
const AT: Cell<'static> = Cell::Binary(&[0, 0, 0, 0, 0, 0, 0, 9]);

fn image(metrics: Cell<'_>, status: Cell<'_>, big: Cell<'_>, size: Cell<'_>) -> Tuple {
    let mut builder = TupleBuilder::with_capacity(6, 64);
    [ID, metrics, AT, status, big, size].into_iter().for_each(|cell| builder.push(cell));
    builder.finish()
}

fn map(select: &str, image: &Tuple) -> (Mapped, Rows) {
    let mut out = Rows::new();
    let mapped = compiled(select).map(image, &mut out).unwrap();
    (mapped, out)
}

fn patched(mapped: &Mapped) -> Vec<usize> {
    match mapped {
        Mapped::Patch(patch) => {
            assert_eq!(Row(&patch.cells).cells().count(), patch.columns.len());
            patch.columns.clone()
        }
        other => panic!("{other:?} is no patch"),
    }
}

#[test]
fn metrics_become_rows() {
    let metrics = Cell::Binary(b"\x01{\"a\": 0.95, \"bb\": null}");
    let (mapped, out) = map(METRICS, &image(metrics, Cell::Null, Cell::Null, Cell::Null));
    assert_eq!(mapped, Mapped::Rows(2));
    let row: Vec<_> = out.get(0).unwrap().cells().collect();
    assert_eq!(row[0], Some(&[7; 16][..]));
    assert_eq!(row[1], Some(&b"a"[..]));
    assert_eq!(row[2], Some(&[0, 1, 255, 255, 0, 0, 0, 2, 0x25, 0x1c][..]));
    assert_eq!(out.get(1).unwrap().cell(2), Some(None));
    assert_eq!(
        map(METRICS, &image(Cell::Null, Cell::Null, Cell::Null, Cell::Null)).0,
        Mapped::Rows(0)
    );
}

#[test]
fn unchanged_metrics_leave_their_columns_out_of_a_patch() {
    let unchanged = image(Cell::Unchanged, Cell::Null, Cell::Null, Cell::Null);
    let (mapped, out) = map(METRICS, &unchanged);
    assert_eq!(patched(&mapped), [0, 3]);
    assert!(out.is_empty());
}

#[test]
fn an_unchanged_value_that_nothing_needs_is_no_matter() {
    let row = image(Cell::Unchanged, Cell::Binary(b"x"), Cell::Unchanged, Cell::Null);
    for select in [
        "SELECT id, status FROM ai_workloads",
        "SELECT id, big IS NULL FROM ai_workloads",
        "SELECT id, CASE WHEN status IS NULL THEN big END FROM ai_workloads",
        "SELECT id, COALESCE(status, big) FROM ai_workloads WHERE big IS NOT NULL",
    ] {
        assert_eq!(map(select, &row).0, Mapped::Rows(1), "{select}");
    }
    for select in [
        "SELECT big FROM ai_workloads WHERE big IS NULL",
        "SELECT big FROM ai_workloads WHERE status IS NULL AND big = 'x'",
        "SELECT big FROM ai_workloads WHERE big = 'x' AND status IS NULL",
        "SELECT id FROM ai_workloads, jsonb_each(training_metrics) WHERE status IS NULL",
    ] {
        assert_eq!(map(select, &row).0, Mapped::Rows(0), "{select}");
    }
}

#[test]
fn a_patch_sets_what_the_image_decides() {
    let row = image(Cell::Unchanged, Cell::Binary(b"x"), Cell::Unchanged, Cell::Null);
    for (select, columns) in [
        ("SELECT id, big, status FROM ai_workloads", vec![0, 2]),
        ("SELECT big, big || 'x', 1, size FROM ai_workloads", vec![2, 3]),
        ("SELECT big, big || id::text FROM ai_workloads WHERE id IS NOT NULL", vec![]),
        (
            "SELECT size, x FROM ai_workloads LEFT JOIN LATERAL jsonb_object_keys(training_metrics) x ON x <> 'a'",
            vec![0],
        ),
        (
            "SELECT size, x, big FROM ai_workloads, jsonb_array_elements(training_metrics -> 'a') x WHERE x <> 'null'",
            vec![0],
        ),
    ] {
        assert_eq!(patched(&map(select, &row).0), columns, "{select}");
    }
}

#[test]
fn what_mixes_unchanged_and_changed_values_is_read() {
    let row = image(Cell::Unchanged, Cell::Binary(b"x"), Cell::Unchanged, Cell::Binary(&[0; 8]));
    for select in [
        "SELECT id, big || size FROM ai_workloads",
        "SELECT id, big FROM ai_workloads WHERE size = 0",
        "SELECT id, big FROM ai_workloads WHERE status IS NOT NULL",
        "SELECT id, big FROM ai_workloads WHERE length(big) > size",
        "SELECT id, x || size FROM ai_workloads, jsonb_object_keys(training_metrics) x",
        "SELECT id, x FROM ai_workloads, jsonb_object_keys(training_metrics -> size::text) x",
        "SELECT id, x FROM ai_workloads, jsonb_object_keys(training_metrics) x WHERE length(x) > size",
        // In a row that may not exist the division does not fail.
        "SELECT id, 1 / size FROM ai_workloads, jsonb_object_keys(training_metrics) x",
    ] {
        assert_eq!(map(select, &row).0, Mapped::Read, "{select}");
    }
}

#[test]
fn refusals_say_where() {
    for (select, place, part) in [
        ("SELECT id, nope FROM ai_workloads", (2, 12), "no column \"nope\""),
        ("SELECT id,\n  x.id FROM ai_workloads", (3, 3), "alias \"x\""),
        ("SELECT now() FROM ai_workloads", (2, 8), "another value each time"),
        ("SELECT id, CURRENT_TIMESTAMP FROM ai_workloads", (2, 12), "CURRENT_TIMESTAMP"),
        ("SELECT gen_random_uuid() FROM ai_workloads", (2, 8), "gen_random_uuid()"),
        ("SELECT count(*) FROM ai_workloads", (2, 8), "aggregate count(*)"),
        ("SELECT max(size) FROM ai_workloads", (2, 8), "aggregate max()"),
        ("SELECT row_number() OVER () FROM ai_workloads", (2, 21), "window function"),
        ("SELECT DISTINCT id FROM ai_workloads", (2, 8), "DISTINCT"),
        ("SELECT id FROM ai_workloads GROUP BY id", (2, 29), "GROUP BY"),
        ("SELECT id FROM ai_workloads ORDER BY id", (2, 29), "ORDER BY"),
        ("SELECT id FROM ai_workloads LIMIT 1", (2, 29), "LIMIT"),
        ("SELECT id FROM ai_workloads UNION SELECT 1", (2, 29), "UNION"),
        ("WITH x AS (SELECT 1) SELECT id FROM ai_workloads", (2, 1), "WITH"),
        ("SELECT id FROM ai_workloads JOIN b ON true", (2, 34), "second table"),
        ("SELECT id FROM ai_workloads, b", (2, 30), "second table"),
        ("SELECT (SELECT 1) FROM ai_workloads", (2, 8), "subquery"),
        ("SELECT id FROM ai_workloads WHERE size IN (SELECT 1)", (2, 40), "subquery"),
        ("SELECT id FROM ai_workloads WHERE EXISTS (SELECT 1)", (2, 35), "EXISTS"),
        ("SELECT unnest(big) FROM ai_workloads", (2, 8), "in an expression"),
        ("SELECT size + 'x' FROM ai_workloads", (2, 15), "invalid input syntax"),
        ("SELECT size + big FROM ai_workloads", (2, 13), "the operator bigint + text"),
        ("SELECT id FROM ai_workloads WHERE size", (2, 35), "needs boolean"),
        ("SELECT quote_ident(big) FROM ai_workloads", (2, 8), "quote_ident(text)"),
        ("SELECT substring('2', '2') FROM ai_workloads", (2, 8), "substring(unknown, unknown)"),
        ("SELECT sqrt(2.5) FROM ai_workloads", (2, 8), "sqrt(numeric)"),
        ("SELECT format('%I', big) FROM ai_workloads", (2, 8), "a format()"),
        ("SELECT jsonb_build_object('a') FROM ai_workloads", (2, 8), "a value for each key"),
        ("SELECT big ^@ 'x' FROM ai_workloads", (2, 12), "operator text ^@"),
        ("SELECT big ~ '(a' FROM ai_workloads", (2, 14), "a regular expression with"),
        ("SELECT id FROM (SELECT 1) x", (2, 16), "subquery"),
        ("SELECT upper(status) FROM ai_workloads", (2, 14), "collation of its own"),
        ("SELECT status = 'x' FROM ai_workloads", (2, 8), "collation of its own"),
        ("SELECT a b c FROM ai_workloads", (2, 12), "\"c\" stands where"),
        ("SELECT id FROM ai_workloads WHERE big = $1", (2, 41), "a parameter"),
        ("SELECT CASE WHEN true THEN 1 ELSE 'x'::text END FROM ai_workloads", (2, 28), "mixes"),
        ("SELECT COALESCE(size, 'x') FROM ai_workloads", (2, 23), "invalid input syntax"),
        ("SELECT size < 1 < 2 FROM ai_workloads", (2, 17), "does not chain"),
        ("SELECT updated_at AT TIME ZONE 'Europe/Rome' FROM ai_workloads", (2, 19), "'UTC'"),
        ("SELECT interval '1' day FROM ai_workloads", (2, 21), "interval with fields"),
        ("SELECT to_char(updated_at, 'TMMon') FROM ai_workloads", (2, 28), "to_char()"),
        ("SELECT extract(fortnight FROM updated_at) FROM ai_workloads", (2, 16), "fortnight"),
        ("SELECT ARRAY[] FROM ai_workloads", (2, 8), "has no type"),
        ("SELECT big[1] FROM ai_workloads", (2, 11), "subscript"),
        ("SELECT ARRAY(SELECT 1) FROM ai_workloads", (2, 8), "ARRAY of a subquery"),
        ("SELECT size = ANY(SELECT 1) FROM ai_workloads", (2, 13), "subquery"),
        ("SELECT big LIKE ANY('{a}') FROM ai_workloads", (2, 12), "LIKE ANY"),
    ] {
        let refusal = try_compile(select, &C).unwrap_err();
        assert!(refusal.message.contains(part), "{select}: {}", refusal.message);
        assert_eq!((refusal.line, refusal.column), place, "{select}: {}", refusal.message);
        assert!(!refusal.remedy.is_empty());
    }
}

#[test]
fn other_collations_are_asked_for_equality_only() {
    let settings = Settings { c_collation: false, c_ctype: false, ..C };
    for select in [
        "big < 'x'",
        "big BETWEEN 'a' AND 'b'",
        "greatest(big, 'x')",
        "upper(big)",
        "initcap(big)",
        "big ILIKE 'x'",
        "big < ANY('{a,b}')",
        "'a' >= ALL(ARRAY[big])",
    ] {
        let select = format!("SELECT {select} FROM ai_workloads");
        assert!(try_compile(&select, &settings).is_err(), "{select}");
        assert!(try_compile(&select, &C).is_ok(), "{select}");
    }
    for select in ["big = 'x', big LIKE 'x%'", "big = ANY('{a,b}'), ARRAY[big] @> '{a}'"] {
        let select = format!("SELECT {select} FROM ai_workloads");
        assert!(try_compile(&select, &settings).is_ok(), "{select}");
    }
}

#[test]
fn times_with_a_zone_need_sessions_in_utc() {
    let settings = Settings { utc_iso: false, ..C };
    for select in [
        "updated_at + '1 day'",
        "date_trunc('day', updated_at)",
        "extract(hour FROM updated_at)",
        "updated_at AT TIME ZONE 'UTC'",
        "to_char(updated_at, 'YYYY')",
        "updated_at::time",
        "(updated_at - updated_at)::text",
        "make_timestamptz(2020, 1, 1, 0, 0, 0)",
    ] {
        let select = format!("SELECT {select} FROM ai_workloads");
        assert!(try_compile(&select, &settings).is_err(), "{select}");
        assert!(try_compile(&select, &C).is_ok(), "{select}");
    }
}

#[test]
fn bytes_of_a_literal_are_known_in_utf8_only() {
    let settings = Settings { utf8: false, ..C };
    let select = "SELECT 'ä'::bytea FROM ai_workloads";
    assert!(try_compile(select, &settings).is_err());
    assert!(try_compile(select, &C).is_ok());
    assert!(try_compile("SELECT '\\xff'::bytea FROM ai_workloads", &settings).is_ok());
}

#[test]
fn a_mapper_says_what_it_reads_and_copies() {
    let mapper = compiled(METRICS);
    let declaration = mapper.declaration();
    assert_eq!(declaration.owner(&["id".to_owned()]), Some(vec![0]));
    assert_eq!(declaration.rows, Count::Any);
    let made = [Output::made("?column?", 25), Output::made("?column?", 1700)];
    assert_eq!(declaration.outputs[1..3], made);
    assert_eq!(mapper.output_types(), [2950, 25, 1700, 1184]);
    let mut reads: Vec<_> = declaration.reads.into_iter().map(|read| read.name).collect();
    reads.sort();
    assert_eq!(reads, ["id", "training_metrics", "updated_at"]);
    let mapper = compiled("SELECT 'it''s', -1.5, true, NULL, id::text, 1 FROM ai_workloads");
    let literal = |i, sql: &str| (i, sql.to_owned());
    assert_eq!(
        mapper.constants(),
        [literal(0, "'it''s'"), literal(1, "-1.5"), literal(2, "TRUE"), literal(5, "1")]
    );
    let declaration = mapper.declaration();
    assert_eq!(declaration.owner(&["id".to_owned()]), None);
    assert_eq!(declaration.rows, Count::One);
}

fn relation(columns: Vec<Column>) -> Relation {
    let table = TableName::new("public", "ai_workloads");
    Relation { oid: 1, table, identity: ReplicaIdentity::Default, columns }
}

#[test]
fn a_moved_column_is_found_and_a_changed_one_is_refused() {
    let mut mapper = compiled("SELECT size, id FROM ai_workloads");
    let moved = relation(vec![
        column("new", 25, false),
        column("size", 20, false),
        column("id", 2950, true),
    ]);
    mapper.bind(&moved).unwrap();
    let mut builder = TupleBuilder::with_capacity(3, 32);
    [Cell::Null, AT, ID].into_iter().for_each(|cell| builder.push(cell));
    let mut out = Rows::new();
    assert_eq!(mapper.map(&builder.finish(), &mut out).unwrap(), Mapped::Rows(1));
    assert_eq!(out.get(0).unwrap().cell(0), Some(AT.bytes()));
    let retyped = relation(vec![column("size", 23, false), column("id", 2950, true)]);
    let error = mapper.bind(&retyped).unwrap_err();
    assert_eq!(error.code(), Code::ShapeChanged);
    assert!(
        error
            .what()
            .contains("\"size\" of public.ai_workloads had the type bigint and now has integer")
    );
    let error = mapper.bind(&relation(vec![column("id", 2950, true)])).unwrap_err();
    assert!(error.what().contains("\"size\""));
}

#[test]
fn a_failing_expression_is_an_error_without_values() {
    let mapper = compiled("SELECT id,\n  big::int FROM ai_workloads");
    let row = image(Cell::Null, Cell::Null, Cell::Binary(b"secret"), Cell::Null);
    let mut out = Rows::new();
    let error = mapper.map(&row, &mut out).unwrap_err();
    assert_eq!(error.code(), Code::ExpressionFailed);
    assert_eq!(error.place(), Some("mapping.sql:3:3"));
    assert!(!error.to_string().contains("secret"));
    assert!(out.is_empty() && out.size() == 0);
}

#[test]
fn a_json_null_becomes_a_number_by_the_version_of_the_source() {
    let row = image(Cell::Binary(b"\x01null"), Cell::Null, Cell::Null, Cell::Null);
    let select = "SELECT training_metrics::int FROM ai_workloads";
    let newer = try_compile(select, &Settings { server_version: 180_000, ..C }).unwrap();
    let mut out = Rows::new();
    assert_eq!(newer.map(&row, &mut out).unwrap(), Mapped::Rows(1));
    assert_eq!(out.get(0).unwrap().cell(0), Some(None));
    assert!(compiled(select).map(&row, &mut out).is_err());
}

#[test]
fn a_star_is_every_column() {
    let mapper = compiled("SELECT *, w.* FROM ai_workloads w");
    assert_eq!(mapper.output_types(), [2950, 3802, 1184, 25, 25, 20].repeat(2));
    assert_eq!(mapper.declaration().reads.len(), 6);
}

#[test]
fn broken_bytes_are_errors_and_never_panics() {
    let mapper = compiled(
        "SELECT size + 1, training_metrics -> 'a', x FROM ai_workloads, jsonb_object_keys(training_metrics) x WHERE big <> 'y'",
    );
    for bytes in [
        &b"\x01"[..],
        b"",
        b"\x01{",
        b"\x01{\"",
        b"\x01{\"a",
        b"\x01{\"a\"",
        b"\x01{\"a\":",
        b"\x01[\\",
        b"\x02{}",
        b"\xff",
        b"\x01\xff",
        b"\x01}",
        b"\x01{\"a\": [}",
    ] {
        let row = image(Cell::Binary(bytes), Cell::Null, Cell::Binary(bytes), Cell::Binary(bytes));
        let mut out = Rows::new();
        assert!(mapper.map(&row, &mut out).is_err() || out.is_empty() || out.len() == 1);
    }
    let mut short = TupleBuilder::with_capacity(1, 16);
    short.push(ID);
    assert!(mapper.map(&short.finish(), &mut Rows::new()).is_err());
}
