//! The command that runs PostgreSQL's regression tests, over scripts of this test.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const SETUP: &str = "
\\getenv folder PG_ABS_SRCDIR
\\set file :folder '/numbers.data'
CREATE TABLE numbers (n int, word text);
COPY numbers FROM :'file';
COPY numbers FROM stdin;
0\tzero; none
\\.
SELECT no such statement;
";

const NUMBERS: &str = "
SET datestyle = 'German';
SELECT n + 1 AS more, upper(word) FROM numbers WHERE n > 0 ORDER BY n LIMIT 1;
SELECT 10 / n FROM numbers;
BEGIN;
SELECT '2024-02-30'::date AS wrong;
SELECT 1;
ROLLBACK;
SELECT v.a * 2 FROM (VALUES (1), (2.5)) AS v (a);
SELECT e.key FROM jsonb_each_text('{\"a\": 1, \"b\": 2}') e;
SELECT upper(word), count(*) OVER () FROM numbers;
SELECT count(*) FROM numbers;
\\if 0
SELECT 3;
\\endif
SELECT now()::date, 'x' || 'y' \\gset
";

/// Its counts: SELECTs, accepted, in part.
const COUNTS: &str = "| numbers.sql | 9 | 5 | 2 | ";

/// A server whose initcap() is not PostgreSQL's.
const SEEDED: &str = "
CREATE OR REPLACE FUNCTION pg_catalog.initcap(text) RETURNS text IMMUTABLE STRICT LANGUAGE sql
AS $$ SELECT replace($1, 't', 'T') $$;
SELECT n,
       initcap(word) FROM numbers;
";

/// Runs the command over scripts; its status, its output, and the page that it wrote.
fn regress(scripts: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("sql");
    std::fs::create_dir(&folder).unwrap();
    // The server, which reads the data, has an account of its own.
    std::fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).unwrap();
    std::fs::write(parent.path().join("numbers.data"), "1\tone\n2\ttwo\n").unwrap();
    std::fs::write(parent.path().join("parallel_schedule"), "test: setup\ntest: numbers\n")
        .unwrap();
    for (name, text) in scripts {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let page = parent.path().join("page.md");
    let mut command = Command::new(env!("CARGO_BIN_EXE_regress"));
    let finished = command.arg(&folder).arg("--write").arg(&page).output().unwrap();
    let told = String::from_utf8_lossy(&finished.stdout).into_owned();
    (finished.status.code(), told, std::fs::read_to_string(page).unwrap())
}

#[test]
fn scripts_are_run_compared_and_counted() {
    let (status, told, page) = regress(&[("numbers.sql", NUMBERS), ("setup.sql", SETUP)]);
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("setup.sql: 1 SELECTs, 0 accepted"), "{told}");
    assert!(page.contains(COUNTS) && page.contains(" | 0 |\n"), "{page}");
}

#[test]
fn what_differs_is_told_with_its_place() {
    let (status, told, page) = regress(&[("seeded.sql", SEEDED), ("setup.sql", SETUP)]);
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("seeded.sql:4: SELECT n, initcap(word) FROM "), "{told}");
    assert!(told.contains("row 1: column number 2 (PostgreSQL 'one', regraft 'One')"), "{told}");
    assert!(page.contains("| seeded.sql | 1 | 1 | 0 | 1 | 3 | 0 | 1 |"), "{page}");
}

#[test]
fn a_folder_that_cannot_be_read_is_told() {
    let finished = Command::new(env!("CARGO_BIN_EXE_regress")).arg("/none/such").output().unwrap();
    assert_eq!(finished.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&finished.stderr).contains("/none/such"), "{finished:?}");
}
