use super::*;

fn one(sql: &str) -> Statement {
    parse("mapping.sql", sql).unwrap().remove(0)
}

#[test]
fn statements_are_split_with_their_places() {
    let text = "-- all; of it\nINSERT INTO A (x, \"Y\") SELECT ';', b FROM s; /* ; */\n  insert into \"B\".c select * from t as u -- end";
    let found = parse("mapping.sql", text).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].target(), (None, "a"));
    assert_eq!(found[0].columns().unwrap(), ["x", "Y"]);
    assert_eq!(found[0].place(), "mapping.sql:2:1");
    assert_eq!(found[0].select_sql(), "SELECT ';', b FROM s");
    assert_eq!(found[1].target(), (Some("B"), "c"));
    assert_eq!(found[1].place(), "mapping.sql:3:3");
    assert_eq!(found[1].source_ref(), "\"u\"");
}

#[test]
fn anything_else_is_refused_with_its_place() {
    for (text, place, part) in [
        ("", "1:1", "no statement"),
        ("\n\nUPDATE t SET a = 1", "3:1", "instead of INSERT INTO"),
        ("INSERT INTO t VALUES (1)", "1:15", "VALUES"),
        ("INSERT INTO t (a, a) SELECT b, c FROM s", "1:19", "named twice"),
        ("INSERT INTO t SELECT a FROM s ON CONFLICT DO NOTHING", "1:31", "ON CONFLICT"),
        ("INSERT INTO t SELECT (a FROM s", "1:31", "not closed"),
        ("INSERT INTO t SELECT 'a FROM s", "1:22", "no end"),
    ] {
        let error = parse("m.sql", text).unwrap_err().remove(0);
        assert_eq!(error.place(), Some(format!("m.sql:{place}").as_str()), "{text}");
        assert!(error.what().contains(part), "{error}");
        assert!(error.remedy_text().is_some());
    }
}

#[test]
fn the_key_goes_before_and_the_restriction_behind() {
    let statement = one(
        "INSERT INTO t SELECT w.a -- x\n, substring(b from 2) AS where FROM s AS w, unnest(w.c) u -- y",
    );
    let sql = statement.keyed_select(&["i\"d".into(), "k".into()], "\"w\".\"k\" > 1").unwrap();
    assert_eq!(
        sql,
        "SELECT \"w\".\"i\"\"d\", \"w\".\"k\", w.a -- x\n, substring(b from 2) AS where\nFROM s AS w, unnest(w.c) u\nWHERE (\"w\".\"k\" > 1)"
    );
    let statement =
        one("INSERT INTO t SELECT a IS DISTINCT FROM b, c FROM \"S\" WHERE a OR b -- z");
    let sql = statement.keyed_select(&["k".into()], "TRUE").unwrap();
    assert_eq!(
        sql,
        "SELECT \"S\".\"k\", a IS DISTINCT FROM b, c\nFROM \"S\"\nWHERE (\na OR b\n) AND (TRUE)"
    );
}

#[test]
fn rows_that_belong_to_no_single_source_row_get_no_key() {
    for sql in [
        "SELECT a FROM s GROUP BY a",
        "SELECT DISTINCT a FROM s",
        "SELECT a FROM s JOIN r ON true",
        "SELECT a FROM s, r",
        "SELECT a FROM s UNION SELECT b FROM s",
        "WITH x AS (SELECT 1) SELECT a FROM s",
        "SELECT a FROM s WHERE EXISTS (SELECT FROM r)",
        "SELECT 1",
    ] {
        let statement = one(&format!("INSERT INTO t {sql}"));
        let error = statement.keyed_select(&["k".into()], "TRUE").unwrap_err();
        assert_eq!(error.code(), Code::NotStreamable, "{sql}");
    }
}

#[test]
fn source_tables_are_found_at_any_depth() {
    let sql = "INSERT INTO t WITH c AS (SELECT * FROM x.a) SELECT extract(year FROM d), (SELECT max(q) FROM b) FROM c JOIN (SELECT 1 FROM e) z ON true, LATERAL f(c.v) WHERE g IN (SELECT trim(both from h) FROM i AS j)";
    let tables = one(sql);
    let names: Vec<_> = tables.source_tables().iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "e", "i"]);
}

#[test]
fn a_fingerprint_ignores_comments_and_space_only() {
    let a = one("INSERT INTO t SELECT a, 'x y' FROM s").fingerprint();
    assert_eq!(a, one("insert into T\n-- c\nselect A ,'x y' from s").fingerprint());
    assert_ne!(a, one("INSERT INTO t SELECT a, 'x  y' FROM s").fingerprint());
    assert_ne!(a, one("INSERT INTO t SELECT \"A\", 'x y' FROM s").fingerprint());
}

#[test]
fn a_server_position_becomes_a_place_in_the_file() {
    let statement = one("\n INSERT INTO t\nSELECT ä,\n  b FROM s");
    assert_eq!(statement.place_in_select(8), (3, 8));
    assert_eq!(statement.place_in_select(13), (4, 3));
}

#[test]
fn equalities_that_tie_a_table_to_the_source_are_found() {
    let pairs = |select: &str| {
        let statement = parse("m.sql", &format!("INSERT INTO t {select}")).unwrap().remove(0);
        let [source, table] = statement.source_tables() else { panic!("{select}") };
        let pairs = statement.equal_columns(table, source);
        pairs.into_iter().map(|(a, b)| format!("{a}={b}")).collect::<Vec<_>>().join(" ")
    };
    for (select, expected) in [
        ("SELECT s.id FROM s JOIN k ON k.id = s.kind", "id=kind"),
        ("SELECT s.id FROM s LEFT JOIN k AS x ON s.kind = x.id AND x.b = s.c", "id=kind b=c"),
        ("SELECT s.id, (SELECT max(k.n) FROM k WHERE k.n > 0 AND k.s_id = s.id) FROM s", ""),
        ("SELECT s.id, count(*) FROM s, k WHERE s.id = k.s_id GROUP BY s.id", "s_id=id"),
        ("SELECT s.id FROM s JOIN k ON k.id = s.kind + 1", ""),
        ("SELECT s.id FROM s JOIN k ON k.id = s.kind OR s.kind IS NULL", ""),
        ("SELECT s.id FROM s JOIN k ON true WHERE EXISTS (SELECT WHERE k.id = s.kind)", ""),
        ("SELECT s.id FROM s JOIN k ON (k.id = s.kind) IS NULL", ""),
        ("SELECT s.id FROM s JOIN k ON k.id = s.kind IS FALSE", ""),
        ("SELECT s.id FROM s JOIN k ON CASE WHEN true AND k.id = s.kind THEN false END", ""),
    ] {
        assert_eq!(pairs(select), expected, "{select}");
    }
    // The order in which tables are written does not matter.
    let text = "INSERT INTO t SELECT s.id, (SELECT max(k.n) FROM k WHERE k.s_id = s.id) FROM s";
    let statement = parse("m.sql", text).unwrap().remove(0);
    let [table, source] = statement.source_tables() else { panic!() };
    assert_eq!(statement.equal_columns(table, source), [("s_id".to_owned(), "id".to_owned())]);
}

#[test]
fn tables_are_qualified_where_they_stand_and_nowhere_else() {
    let name =
        |table: &TableRef| Some(regraft_core::TableName::new("pub\"lic", table.name.clone()));
    for (select, want) in [
        ("SELECT id FROM items", "SELECT id FROM \"pub\"\"lic\".\"items\""),
        (
            "SELECT items.id, 'items' FROM items, other.items AS o WHERE items.id = o.id -- items",
            "SELECT items.id, 'items' FROM \"pub\"\"lic\".\"items\", other.items AS o WHERE items.id = o.id",
        ),
        (
            "WITH x AS (SELECT * FROM a) SELECT x.id FROM x JOIN \"B b\" AS a ON a.id = x.id",
            "WITH x AS (SELECT * FROM \"pub\"\"lic\".\"a\") SELECT x.id FROM x JOIN \"pub\"\"lic\".\"B b\" AS a ON a.id = x.id",
        ),
    ] {
        let statement = parse("m.sql", &format!("INSERT INTO t\n{select}")).unwrap().remove(0);
        let qualified = statement.qualified(name);
        assert_eq!(qualified.select_sql(), want);
        assert_eq!(qualified.source_ref(), statement.source_ref());
        // Once more it is the same.
        assert_eq!(qualified.qualified(name).select_sql(), want);
    }
}
