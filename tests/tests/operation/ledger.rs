//! Ledgers that another version of regraft has left.

use regraft_tests::number;

use crate::support::{Case, assert_says, ready, stop};

/// The layouts up to version 6, as they were released.
const BEFORE_TEXT: [&str; 6] = [
    include_str!("../../../schemas/ledger/001_initial.sql"),
    include_str!("../../../schemas/ledger/002_traces.sql"),
    include_str!("../../../schemas/ledger/003_verification.sql"),
    include_str!("../../../schemas/ledger/004_standing.sql"),
    include_str!("../../../schemas/ledger/005_held.sql"),
    include_str!("../../../schemas/ledger/006_last_commit.sql"),
];

/// Brings all rows of `of_today` into the layout that `regraft` has.
const DOWN: &str = "
    DO $$
    DECLARE t text; names text; given text;
    BEGIN
        FOR t IN SELECT relname FROM pg_class WHERE relnamespace = 'regraft'::regnamespace AND relkind = 'r'
                 ORDER BY relname <> 'pipelines', relname
        LOOP
            SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum),
                   string_agg(CASE WHEN atttypid = 'pg_lsn'::regtype
                       THEN format('split_part(%s, '':'', 2)::pg_lsn', replace(attname, 'commit_lsn', 'commit_at'))
                       WHEN attname = 'source_timeline' THEN 'source_history::bigint'
                       ELSE quote_ident(attname) END, ', ' ORDER BY attnum)
            INTO names, given FROM pg_attribute
            WHERE attrelid = format('regraft.%I', t)::regclass AND attnum > 0 AND NOT attisdropped;
            EXECUTE format('INSERT INTO regraft.%I (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM of_today.%I',
                           t, names, given, t);
            IF position('id, ' IN names) = 1 THEN
                EXECUTE format('SELECT setval(pg_get_serial_sequence(''regraft.%I'', ''id''),
                                              (SELECT coalesce(max(id), 1) FROM regraft.%I))', t, t);
            END IF;
        END LOOP;
        DELETE FROM regraft.versions WHERE version > 6;
    END $$;
    DROP SCHEMA of_today CASCADE";

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_a_newer_version_is_left_alone() {
    let case = Case::usual().await;
    case.catch_up().await;
    case.at_target("INSERT INTO regraft.versions (version) VALUES (9)").await;
    case.at_target("ALTER TABLE regraft.pipelines RENAME COLUMN source_system TO system").await;
    case.at_source("UPDATE items SET amount = 0").await;
    for arguments in [&["run"][..], &["run", "--recopy", "all"], &["teardown", "--apply"]] {
        let finished = case.regraft(arguments).await;
        assert_says(&finished, 4, "RG5001", &["version 9", "newer regraft", "schema regraft"]);
    }
    let changed = "SELECT count(*) FROM goods WHERE amount = 0";
    assert_eq!(number(&case.databases.target, changed).await, 0);
    let slots =
        format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}'", case.slot());
    assert_eq!(number(&case.databases.source, &slots).await, 1);
}

/// A position of a kind that only a newer version knows: an error, of whatever looks at it.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_an_unknown_kind_is_an_error() {
    let case = Case::usual().await;
    case.catch_up().await;
    case.at_target("UPDATE regraft.pipelines SET position = 'gtid:' || position").await;
    for arguments in [&["run"][..], &["status"], &["check"]] {
        let finished = case.regraft(arguments).await;
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(said.contains("RG5001") && said.contains("of a form that is not known"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// With rows in each of its tables; what only looks at it does not migrate it.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_with_lsns_is_read_and_migrated() {
    let case = Case::usual().await;
    let target = &case.databases.target;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("UPDATE items SET amount = 0 WHERE id = 1").await;
    case.settled().await;
    case.at_target("DELETE FROM goods WHERE id = 2").await;
    let verified = case.regraft(&["verify", "--json"]).await;
    assert_eq!(verified.code(), 1, "{}", verified.stderr);
    stop(daemon).await;
    let position = case.regraft(&["status", "--json"]).await.json()["position"].clone();
    assert!(position.as_str().is_some_and(|position| position.contains('/')), "{position}");

    case.at_target("ALTER SCHEMA regraft RENAME TO of_today; CREATE SCHEMA regraft").await;
    for migration in BEFORE_TEXT {
        case.at_target(migration).await;
    }
    case.at_target(DOWN).await;
    // What a pipeline does not have that is well; of another one where it would be held by it.
    case.at_target(
        "UPDATE regraft.tables SET anew_from = p.position, keeps_rows = true FROM regraft.pipelines p;
         INSERT INTO regraft.pipelines (name, source_system, source_db, slot, publication, position)
         VALUES ('another', 's', 'd', 's', 'p', '0/A');
         INSERT INTO regraft.held (pipeline, source_schema, source_table, position, error)
         VALUES ('another', 'public', 'items', '16/B374D848', '{}')",
    )
    .await;
    let lsns = "SELECT (SELECT count(*) FROM regraft.pipelines WHERE commit_lsn < position)
                + (SELECT count(*) FROM regraft.tables WHERE anew_from IS NOT NULL)
                + (SELECT least(count(*), 1) FROM regraft.chunks WHERE position > '0/0')
                + (SELECT least(count(*), 1) FROM regraft.verified WHERE position > '0/0')
                + (SELECT count(*) FROM regraft.findings WHERE position > '0/0')
                + (SELECT least(count(*), 1) FROM regraft.standing WHERE position > '0/0')
                + (SELECT count(*) FROM regraft.held WHERE position = '16/B374D848')";
    assert_eq!(number(target, lsns).await, 7);
    let old = case.regraft(&["status", "--json"]).await.json();
    assert_eq!((&old["position"], &old["phase"]), (&position, &"stopped".into()));
    let checked = case.regraft(&["check"]).await;
    assert_eq!(checked.code(), 0, "{}{}", checked.stdout, checked.stderr);
    assert_eq!(number(target, lsns).await, 7, "nothing is migrated by a look");

    case.at_source("UPDATE items SET amount = 7 WHERE id = 3").await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.settled().await;
    let texts = "SELECT count(*) FROM (
                     SELECT position FROM regraft.pipelines UNION ALL SELECT commit_at FROM regraft.pipelines
                     WHERE name <> 'another' UNION ALL SELECT position FROM regraft.chunks WHERE position IS NOT NULL
                     UNION ALL SELECT position FROM regraft.verified UNION ALL SELECT position FROM regraft.findings
                     UNION ALL SELECT position FROM regraft.standing
                     UNION ALL SELECT position FROM regraft.held) AS all_of_them
                 WHERE position !~ '^lsn:[0-9A-F]+/[0-9A-F]+$'";
    assert_eq!(number(target, texts).await, 0);
    assert_eq!(number(target, "SELECT count(anew_from) FROM regraft.tables").await, 0);
    let verified = case.regraft(&["verify", "--json"]).await;
    let finding = &verified.json()["findings"][0];
    assert!(finding["position"].as_str().is_some_and(|p| !p.contains("lsn")), "{finding}");
    let repaired = case.regraft(&["repair", "--apply"]).await;
    assert_eq!(repaired.code(), 0, "{}{}", repaired.stdout, repaired.stderr);
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}
