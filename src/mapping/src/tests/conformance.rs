//! Compiled mappers under the conformance suite: those of the examples, every expression of the
//! differential test, and SELECTs in which conditions and lateral functions meet unchanged values.

use proptest::collection::vec;
use proptest::prelude::*;
use regraft_conformance::Suite;
use regraft_core::row::put_value;
use regraft_core::{Column, Mapper, Oid, Relation, ReplicaIdentity, TableName};

use super::differential::{C, expressions, table};
use crate::{CompiledMapper, KeyedRead, SourceTable, TypeNames, compile, parse};

fn relation(table: &SourceTable) -> Relation {
    Relation {
        oid: 1,
        table: table.name.clone(),
        identity: ReplicaIdentity::Default,
        columns: table.columns.clone(),
    }
}

/// `text[]`
fn texts() -> impl Strategy<Value = Vec<u8>> {
    vec("[a-z ]{0,4}", 1..4).prop_map(|texts| {
        let count = i32::try_from(texts.len()).unwrap();
        let mut array = [1, 0, 25, count, 1].map(i32::to_be_bytes).concat();
        texts.iter().for_each(|text| put_value(&mut array, text.as_bytes()));
        array
    })
}

/// Enum labels are sent as their text.
fn moods() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof!["sad", "ok", "happy"].prop_map(String::into_bytes)
}

fn suite(mapper: CompiledMapper, table: &SourceTable) -> Suite<CompiledMapper> {
    let mut suite = Suite::new(mapper, relation(table)).asks_the_server();
    for column in &table.columns {
        suite = match column.type_oid {
            1009 => suite.values(&column.name, texts()),
            100_001 => suite.values(&column.name, moods()),
            100_002 => {
                suite.values(&column.name, any::<i32>().prop_map(|n| n.to_be_bytes().to_vec()))
            }
            _ => suite,
        };
    }
    suite
}

fn source(name: &str, columns: &[(&str, Oid)]) -> SourceTable {
    let column = |(name, type_oid): &(&str, Oid)| Column {
        name: (*name).into(),
        type_oid: *type_oid,
        type_modifier: -1,
        key: *name == "id",
    };
    SourceTable {
        name: TableName::new("public", name),
        columns: columns.iter().map(column).collect(),
        key: vec!["id".into()],
        types: TypeNames::default(),
        collated: Vec::new(),
        meant: Default::default(),
    }
}

#[test]
fn the_mappers_of_the_examples_conform() {
    let workloads = [
        ("id", 2950),
        ("model_name", 25),
        ("model_version", 25),
        ("training_data_size", 20),
        ("model_weights", 17),
        ("hyperparameters", 3802),
        ("training_metrics", 3802),
        ("inference_config", 3802),
        ("created_at", 1184),
        ("updated_at", 1184),
        ("status", 25),
    ];
    let todos = [
        ("id", 2950),
        ("user_id", 2950),
        ("project_id", 2950),
        ("parent_todo_id", 2950),
        ("title", 25),
        ("description", 25),
        ("status", 25),
        ("priority", 23),
        ("due_date", 1184),
        ("ai_generated", 16),
        ("tags", 1009),
        ("created_at", 1184),
        ("updated_at", 1184),
        ("completed_at", 1184),
        ("archived_at", 1184),
    ];
    for (text, table) in [
        (
            include_str!("../../../../examples/ai-workloads/mapping.sql"),
            source("ai_workloads", &workloads),
        ),
        (include_str!("../../../../examples/todos/mapping.sql"), source("todos", &todos)),
    ] {
        for statement in parse("mapping.sql", text).unwrap() {
            let mapper = compile(&statement, &table, &C).unwrap();
            let object =
                prop_oneof![Just("{}"), Just("{\"a\": 0.95, \"b\": \"7\"}"), Just("{\"c\": 1}")];
            let object = object.prop_map(|text| [b"\x01", text.as_bytes()].concat());
            let status = prop_oneof![Just("archived"), Just("done")];
            suite(mapper, &table)
                .values("training_metrics", object)
                .values("status", status.prop_map(|text| text.as_bytes().to_vec()))
                .assert();
        }
    }
}

#[test]
fn every_expression_conforms() {
    let table = table();
    let mut tried = 0;
    for (number, expression) in expressions().enumerate() {
        // Every fourth as a condition, too: it decides whether there is a row at all.
        let filter = if number % 4 == 0 {
            format!(" WHERE ({expression}) IS NOT NULL")
        } else {
            String::new()
        };
        let select = format!("SELECT id, {expression}, t FROM s{filter}");
        let statement = parse("m.sql", &format!("INSERT INTO x {select}")).unwrap().remove(0);
        let Ok(mapper) = compile(&statement, &table, &C) else { continue };
        let reads = mapper.declaration().reads;
        let mut narrow = table.clone();
        narrow.columns.retain(|c| c.name == "i2" || reads.iter().any(|read| read.name == c.name));
        tried += 1;
        if let Err(violations) = suite(mapper, &narrow).cases(8).check() {
            panic!("{select}:\n{}", violations[0]);
        }
    }
    assert!(tried > 500, "{tried}");
}

#[test]
fn conditions_and_lateral_functions_conform() {
    let table = source(
        "s",
        &[("id", 20), ("doc", 3802), ("list", 1009), ("t", 25), ("u", 25), ("n", 23), ("b", 16)],
    );
    for select in [
        "SELECT id, k.key, k.value, t FROM s, jsonb_each_text(doc) AS k",
        "SELECT id, k.key, u FROM s LEFT JOIN LATERAL jsonb_each_text(doc) AS k ON k.value = t",
        "SELECT id, e, n FROM s CROSS JOIN LATERAL jsonb_array_elements_text(doc) AS e WHERE b",
        "SELECT id, e.e, e.o FROM s, unnest(list) WITH ORDINALITY AS e(e, o) WHERE e.e <> t",
        "SELECT id, e, f FROM s, unnest(list) AS e, unnest(list) AS f WHERE n > 0 AND e < f",
        "SELECT id, coalesce(t, u), n + 1 FROM s WHERE t IS NULL OR u = 'x'",
        "SELECT id, CASE WHEN b THEN t ELSE u END FROM s WHERE t <> u AND n <> 0",
        "SELECT id, 100 / n, t FROM s WHERE b AND t IS NOT NULL",
        "SELECT id + 1, upper(t), id FROM s WHERE id % 2 = 0",
        "SELECT t, u FROM s",
    ] {
        let text = format!("INSERT INTO x {select}");
        let statement = parse("m.sql", &text).unwrap().remove(0);
        let mapper = compile(&statement, &table, &C)
            .unwrap_or_else(|refusal| panic!("{select}: {refusal:?}"));
        let doc = prop_oneof![Just("{\"k\": \"a\"}"), Just("[\"a\", 2]"), Just("{}")];
        let small = (-2..3_i32).prop_map(|n| n.to_be_bytes().to_vec());
        suite(mapper, &table)
            .values("doc", doc.prop_map(|text| [b"\x01", text.as_bytes()].concat()))
            .values("n", small)
            .values("t", "[ax]{0,2}".prop_map(String::into_bytes))
            .values("u", "[ax]{0,2}".prop_map(String::into_bytes))
            .assert();
    }
}

#[test]
fn a_mapper_that_leaves_all_to_the_source_conforms() {
    let table = source("s", &[("id", 20), ("t", 25), ("u", 25)]);
    let text = "INSERT INTO x SELECT id, regexp_replace(t, 'a', '') FROM s";
    let statement = parse("m.sql", text).unwrap().remove(0);
    let mapper =
        KeyedRead::new(&statement, &statement.source_tables()[0], &table, &[], Vec::new()).unwrap();
    Suite::new(mapper, relation(&table)).asks_the_server().assert();
}
