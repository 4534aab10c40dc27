//! Keys of all kinds: types that differ between the sides, collations with another order, rows that
//! belong to nobody.

use regraft_tests::{DEADLINE, Site, SiteOptions};
use serde_json::Value;

const SOURCE: &str = r#"
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE TABLE texts (k text COLLATE "C" PRIMARY KEY, v int);
    INSERT INTO texts SELECT chr(65 + n % 26 + 32 * (n / 26 % 2)) || '-ä' || n, n FROM generate_series(1, 900) AS n;
    CREATE TABLE narrow (k int PRIMARY KEY, v numeric);
    INSERT INTO narrow SELECT n * 3, n / 3.0 FROM generate_series(1, 900) AS n;
    CREATE TABLE pairs (a uuid, b text, v timestamptz, PRIMARY KEY (a, b));
    INSERT INTO pairs SELECT md5((n % 50)::text)::uuid, 'Key ' || n, now() FROM generate_series(1, 900) AS n;
    CREATE TABLE moods (k mood, n int, PRIMARY KEY (k, n));
    INSERT INTO moods SELECT m, n FROM unnest(enum_range(NULL::mood)) AS m, generate_series(1, 200) AS n;
    CREATE TABLE kinds (id int PRIMARY KEY, kind text, v text);
    INSERT INTO kinds SELECT n, CASE n % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' ELSE 'c' END, 'v' || n FROM generate_series(1, 900) AS n;
    CREATE TABLE plain (id int PRIMARY KEY, v text);
    ALTER TABLE plain REPLICA IDENTITY FULL;
    INSERT INTO plain SELECT n, 'plain ' || n FROM generate_series(1, 300) AS n;"#;
const TARGET: &str = r#"
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE DOMAIN cents AS numeric(12, 2);
    CREATE TABLE texts (k varchar(40) COLLATE "en-x-icu" PRIMARY KEY, v bigint);
    CREATE TABLE narrow (k bigint PRIMARY KEY, v cents);
    CREATE TABLE pairs (b text COLLATE "en-x-icu", a uuid, v timestamptz(3), PRIMARY KEY (a, b));
    CREATE TABLE moods (k mood, n smallint, PRIMARY KEY (k, n));
    CREATE TABLE kinds (id int, kind text, v text, PRIMARY KEY (id, kind));
    CREATE TABLE plain (v text PRIMARY KEY);"#;
const MAPPING: &str = "
    INSERT INTO texts SELECT k, v FROM texts;
    INSERT INTO narrow SELECT k, v FROM narrow;
    INSERT INTO pairs (a, b, v) SELECT a, b, v FROM pairs;
    INSERT INTO moods SELECT k, n FROM moods;
    INSERT INTO kinds SELECT id, 'a', v FROM kinds WHERE kind = 'a';
    INSERT INTO kinds SELECT id, 'b', v FROM kinds WHERE kind = 'b';
    INSERT INTO plain SELECT v FROM plain;";

fn differences(report: &Value) -> Vec<String> {
    let mut told: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| {
            format!(
                "{} {} {}",
                f["target"].as_str().unwrap(),
                f["difference"].as_str().unwrap(),
                f["key"]
            )
        })
        .collect();
    told.sort();
    told
}

async fn verify(site: &Site) -> (i32, Value) {
    let finished = site.installation.command(&["verify", "--json"], DEADLINE).await;
    assert!(finished.code() < 2, "{}\n{}", finished.stdout, finished.stderr);
    (finished.code(), finished.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_other_types_orders_and_owners() {
    let options =
        SiteOptions { extra: "[backfill]\nchunk_rows = 97\n".to_owned(), ..SiteOptions::default() };
    let site = Site::with(options, &[SOURCE], TARGET, MAPPING).await;
    site.catch_up().await;
    let (code, report) = verify(&site).await;
    assert_eq!((code, differences(&report)), (0, vec![]), "{report:#}");
    let rows = |at: usize| report["tables"][at]["rows"].as_u64().unwrap();
    assert_eq!((0..7).map(rows).collect::<Vec<_>>(), [900, 900, 900, 600, 300, 300, 300]);

    let target = site.at_target().await;
    target
        .batch_execute(
            "DELETE FROM texts WHERE k = 'B-ä1'; \
             INSERT INTO texts VALUES ('zz nobody', 1), ('Ä nobody', 2), (' ', 3); \
             UPDATE texts SET v = v + 1 WHERE k LIKE 'Z-ä%' AND v = 25; \
             INSERT INTO narrow VALUES (5000000000, 1), (4, 2); \
             UPDATE narrow SET v = v + 0.01 WHERE k = 30; \
             UPDATE pairs SET v = v + interval '1 ms' WHERE b = 'Key 77'; \
             DELETE FROM moods WHERE k = 'ok' AND n = 7; \
             INSERT INTO moods VALUES ('happy', 999); \
             INSERT INTO kinds VALUES (1, 'zzz', 'nobody'), (2, 'a', 'of another one'); \
             DELETE FROM plain WHERE v = 'plain 7'; \
             INSERT INTO plain VALUES ('nobody')",
        )
        .await
        .unwrap();
    let expected = [
        r#"public.kinds surplus {"id":"1","kind":"zzz"}"#,
        r#"public.kinds surplus {"id":"2","kind":"a"}"#,
        r#"public.moods missing {"k":"ok","n":"7"}"#,
        r#"public.moods surplus {"k":"happy","n":"999"}"#,
        r#"public.narrow different {"k":"30"}"#,
        r#"public.narrow surplus {"k":"4"}"#,
        r#"public.narrow surplus {"k":"5000000000"}"#,
        r#"public.pairs different {"a":"28dd2c79-55ce-9264-56240ff4","b":"Key 77"}"#,
        r#"public.plain missing {"v":"plain 7"}"#,
        r#"public.plain surplus {"v":"nobody"}"#,
        r#"public.texts different {"k":"Z-ä25"}"#,
        r#"public.texts missing {"k":"B-ä1"}"#,
        r#"public.texts surplus {"k":" "}"#,
        r#"public.texts surplus {"k":"zz nobody"}"#,
        r#"public.texts surplus {"k":"Ä nobody"}"#,
    ];
    let (code, report) = verify(&site).await;
    let mut found = differences(&report);
    // The value of the key is that of md5.
    for told in &mut found {
        if told.starts_with("public.pairs different") && told.ends_with(r#""b":"Key 77"}"#) {
            *told = expected[7].to_owned();
        }
    }
    assert_eq!((code, found), (1, expected.map(str::to_owned).to_vec()), "{report:#}");
}

/// Rows whose keys the source's type cannot hold: among them more than a range has, behind the end of the
/// source. Nothing can be read for them.
#[tokio::test(flavor = "multi_thread")]
async fn that_the_source_cannot_have() {
    let options =
        SiteOptions { extra: "[backfill]\nchunk_rows = 4\n".to_owned(), ..SiteOptions::default() };
    let source = "
        CREATE TABLE narrow (k int PRIMARY KEY); INSERT INTO narrow SELECT generate_series(1, 30);
        CREATE TABLE ids (k uuid PRIMARY KEY); INSERT INTO ids SELECT md5(n::text)::uuid FROM generate_series(1, 30) AS n";
    let target =
        "CREATE TABLE narrow (k bigint PRIMARY KEY); CREATE TABLE ids (k varchar(40) PRIMARY KEY)";
    let mapping = "INSERT INTO narrow SELECT k FROM narrow; INSERT INTO ids SELECT k FROM ids";
    let site = Site::with(options, &[source], target, mapping).await;
    site.catch_up().await;
    let strange = "
        INSERT INTO narrow SELECT 5000000000 + n FROM generate_series(1, 250) AS n; DELETE FROM narrow WHERE k = 7;
        INSERT INTO ids VALUES ('nobody'); DELETE FROM ids WHERE k = md5('7')::uuid::text";
    site.at_target().await.batch_execute(strange).await.unwrap();
    let (code, report) = verify(&site).await;
    let told = |report: &Value, at: usize| {
        let table = &report["tables"][at];
        ["rows", "missing", "surplus", "unsettled"].map(|name| table[name].as_u64().unwrap())
    };
    let found = [told(&report, 0), told(&report, 1)];
    assert_eq!((code, found), (1, [[29, 1, 250, 0], [29, 1, 1, 0]]), "{report:#}");
    let repaired = site.installation.command(&["repair", "--apply", "--json"], DEADLINE).await;
    assert_eq!(repaired.code(), 0, "{}{}", repaired.stdout, repaired.stderr);
    let (code, report) = verify(&site).await;
    let found = [told(&report, 0), told(&report, 1)];
    assert_eq!((code, found), (0, [[30, 0, 0, 0], [30, 0, 0, 0]]), "{report:#}");
}

/// Keys for which one side, or both, take texts for equal that are not.
#[tokio::test(flavor = "multi_thread")]
async fn under_collations_that_take_texts_for_equal() {
    let folds = "CREATE COLLATION folds (provider = icu, locale = 'und-u-ks-level1', deterministic = false)";
    for [source, target] in [["\"C\"", "folds"], ["folds", "folds"], ["folds", "\"C\""]] {
        let source = format!(
            "{folds}; CREATE TABLE texts (k text COLLATE {source}, a int, v int, PRIMARY KEY (k, a));
             INSERT INTO texts SELECT chr(65 + n % 26 + 32 * (n / 26 % 2)) || '-ä ' || n, n % 3, n
             FROM generate_series(1, 400) AS n"
        );
        let target = format!(
            "{folds}; CREATE TABLE texts (k varchar(40) COLLATE {target}, a bigint, v int, PRIMARY KEY (k, a))"
        );
        let options = SiteOptions {
            extra: "[backfill]\nchunk_rows = 37\n".to_owned(),
            ..SiteOptions::default()
        };
        let mapping = "INSERT INTO texts (k, a, v) SELECT k, a, v FROM texts";
        let site = Site::with(options, &[&source], &target, mapping).await;
        site.catch_up().await;
        let (code, report) = verify(&site).await;
        assert_eq!((code, differences(&report)), (0, vec![]), "{report:#}");
        // The same key, written in another way.
        site.at_source()
            .await
            .batch_execute(
                "UPDATE texts SET k = lower(k) WHERE v % 5 = 0; UPDATE texts SET k = upper(k) WHERE v % 7 = 0;
                 DELETE FROM texts WHERE v % 11 = 0; INSERT INTO texts VALUES ('Éa', 1, 1000)",
            )
            .await
            .unwrap();
        site.catch_up().await;
        site.assert_equal().await;
        let (code, report) = verify(&site).await;
        assert_eq!((code, differences(&report)), (0, vec![]), "{report:#}");
        site.at_target()
            .await
            .batch_execute(
                "INSERT INTO texts VALUES ('zz nobody', 1, 1), (' ', 0, 1); DELETE FROM texts WHERE v = 3;
                 UPDATE texts SET v = -1 WHERE v = 4; UPDATE texts SET k = lower(k) WHERE v = 42",
            )
            .await
            .unwrap();
        let (code, report) = verify(&site).await;
        assert_eq!(code, 1, "{report:#}");
        let repaired = site.installation.command(&["repair", "--apply"], DEADLINE).await;
        assert_eq!(repaired.code(), 0, "{}{}", repaired.stdout, repaired.stderr);
        site.assert_equal().await;
        let (code, report) = verify(&site).await;
        assert_eq!((code, differences(&report)), (0, vec![]), "{report:#}");
    }
}

/// The ledger keeps keys in binary form: of rows that differ, that were not settled, or that are to be read.
#[tokio::test(flavor = "multi_thread")]
async fn that_have_another_form_since_they_were_noted() {
    let source = "CREATE TABLE items (k int PRIMARY KEY, v int); INSERT INTO items SELECT n, n FROM generate_series(1, 300) AS n";
    let target = "CREATE TABLE items (k int PRIMARY KEY, v int)";
    let mapping = "INSERT INTO items SELECT k, v FROM items";
    let harm = "DELETE FROM items WHERE k = 7; UPDATE items SET v = 0 WHERE k = 8; INSERT INTO items VALUES (900, 1)";
    let unsettled = "INSERT INTO regraft.unsettled (pipeline, fingerprint, owner)
        SELECT pipeline, fingerprint, decode('000000040000000a', 'hex') FROM regraft.findings LIMIT 1";
    let to_be_read = "INSERT INTO regraft.chunks (pipeline, source_schema, source_table, keys)
        SELECT name, 'public', 'items', ARRAY[decode('000000040000000b', 'hex')] FROM regraft.pipelines";
    let wider = "ALTER TABLE items ALTER k TYPE bigint";
    let goes_on = &["run", "--until-caught-up", "--accept-mapping"][..];
    for (at_source, at_target, then) in [
        ("", wider, &["run", "--until-caught-up"][..]),
        ("", wider, &["repair", "--apply"]),
        ("", "ALTER TABLE items ALTER k TYPE numeric", &["run", "--until-caught-up"]),
        (wider, wider, goes_on),
        (wider, "", goes_on),
    ] {
        let site = Site::with(SiteOptions::default(), &[source], target, mapping).await;
        site.catch_up().await;
        let ledger = site.at_target().await;
        ledger.batch_execute(harm).await.unwrap();
        let (code, report) = verify(&site).await;
        assert_eq!((code, differences(&report).len()), (1, 3), "{report:#}");
        ledger.batch_execute(unsettled).await.unwrap();
        ledger.batch_execute(to_be_read).await.unwrap();
        site.at_source().await.batch_execute(at_source).await.unwrap();
        ledger.batch_execute(at_target).await.unwrap();
        let finished = site.installation.command(then, DEADLINE).await;
        assert!(finished.code() < 2, "{then:?}: {}{}", finished.stdout, finished.stderr);
        // Where the plan was made again for it, what differs is mended by that.
        verify(&site).await;
        let repaired = site.installation.command(&["repair", "--apply"], DEADLINE).await;
        assert_eq!(repaired.code(), 0, "{}{}", repaired.stdout, repaired.stderr);
        let (code, report) = verify(&site).await;
        assert_eq!(
            (code, differences(&report)),
            (0, vec![]),
            "{at_source}; {at_target}: {report:#}"
        );
        let left = "SELECT (SELECT count(*) FROM regraft.unsettled)
            + (SELECT count(*) FROM regraft.chunks WHERE done_at IS NULL)";
        assert_eq!(regraft_tests::number(&ledger, left).await, 0, "{at_source}; {at_target}");
    }
}

/// The name of a type without a modifier can be that of another one: `character` is of one character.
#[tokio::test(flavor = "multi_thread")]
async fn of_domains() {
    let mut domains = String::new();
    let (mut source, mut target, mut mapping) = (String::new(), String::new(), String::new());
    let bases = [
        ("char(6)", "lpad(n::text, 6, 'k')"),
        ("d0", "lpad(n::text, 6, 'k')"),
        ("bit(4)", "(n % 16)::bit(4)"),
        ("varbit(9)", "(n % 16)::bit(4)"),
        ("varchar(9)", "'k' || n"),
        ("numeric(6, 2)", "n + 0.25"),
        ("timestamp(3)", "timestamp '2026-01-01' + n * interval '1 ms'"),
        ("interval(0)", "n * interval '1 s'"),
        ("int", "n"),
        ("\"char\"", "chr(64 + n)::\"char\""),
        ("name", "('k' || n)::name"),
    ];
    for (at, (base, value)) in bases.iter().enumerate() {
        domains.push_str(&format!("CREATE DOMAIN d{at} AS {base};"));
        let table = format!(
            "CREATE TABLE t{at} (k d{at} PRIMARY KEY, v int);
             CREATE TABLE p{at} (k d{at}, n int, v int, PRIMARY KEY (n, k));"
        );
        target.push_str(&table);
        source.push_str(&format!(
            "{table} INSERT INTO t{at} SELECT {value}, n FROM generate_series(1, 9) AS n;
             INSERT INTO p{at} SELECT {value}, n % 3, n FROM generate_series(1, 9) AS n;"
        ));
        mapping.push_str(&format!(
            "INSERT INTO t{at} SELECT k, v FROM t{at}; INSERT INTO p{at} SELECT k, n, v FROM p{at};\n"
        ));
    }
    let (source, target) = (format!("{domains}{source}"), format!("{domains}{target}"));
    let site = Site::with(SiteOptions::default(), &[&source], &target, &mapping).await;
    site.catch_up().await;
    let (code, report) = verify(&site).await;
    assert_eq!((code, differences(&report)), (0, vec![]), "{report:#}");
    for table in report["tables"].as_array().unwrap() {
        assert_eq!(table["rows"], 9, "{table}");
    }
    let harm = |table: String| {
        format!("DELETE FROM {table} WHERE v = 3; UPDATE {table} SET v = -v WHERE v = 5;")
    };
    let harms: String =
        (0..bases.len()).map(|at| harm(format!("t{at}")) + &harm(format!("p{at}"))).collect();
    site.at_target().await.batch_execute(&harms).await.unwrap();
    let (code, report) = verify(&site).await;
    assert_eq!(code, 1, "{report:#}");
    for table in report["tables"].as_array().unwrap() {
        assert_eq!([&table["missing"], &table["different"]], [1, 1], "{table}");
    }
    let repaired = site.installation.command(&["repair", "--apply"], DEADLINE).await;
    assert_eq!(repaired.code(), 0, "{}{}", repaired.stdout, repaired.stderr);
    site.assert_equal().await;
}
