//! What is wrong with `regraft.toml` or the mapping file as files.

use crate::support::{Case, assert_says};

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_name() {
    let case = Case::usual().await;
    let path = case.installation.path("regraft.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = format!("{text}[backfill]\nreader = 3\nchunk_rowz = 7\n");
    case.installation.write_config(&text);
    let line = text.lines().position(|line| line == "reader = 3").unwrap() + 1;
    for command in ["check", "run", "status", "teardown"] {
        let finished = case.regraft(&[command]).await;
        let place = format!("regraft.toml:{line}:1");
        let parts = [place.as_str(), "\"reader\"", "\"readers\"", "\"chunk_rows\""];
        assert_says(&finished, 2, "RG1002", &parts);
        assert_eq!(finished.stderr.matches("error: ").count(), 2, "{}", finished.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_not_set_is_named() {
    let case = Case::usual().await;
    case.installation.write_config(
        "name = \"x\"\n[source]\nurl = \"postgres://me:${REGRAFT_TEST_UNSET}@h/d\"\n\
         [target]\nurl = \"postgres://me:geheim-5kLq@h/d\"\n[mapping]\nfile = \"mapping.sql\"\n",
    );
    let finished = case.regraft(&["run"]).await;
    assert_says(&finished, 2, "RG1002", &["regraft.toml:3:7", "REGRAFT_TEST_UNSET", "set "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_string_that_makes_no_sense_is_refused_without_showing_it() {
    let case = Case::usual().await;
    for url in [
        "mysql://me:geheim-5kLq@h/d",
        "postgres://me:geheim-5kLq@h/d?sslmode=perhaps",
        "postgres://me:geheim-5kLq@h:port/d",
        "postgres://me:geheim-5kLq@h/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem",
    ] {
        case.installation.write_config(&format!(
            "name = \"x\"\n[source]\nurl = \"{url}\"\n[target]\nurl = \"{url}\"\n\
             [mapping]\nfile = \"mapping.sql\"\n",
        ));
        let finished = case.regraft(&["check"]).await;
        assert_eq!(finished.code(), 2, "{url}: {}", finished.stderr);
        assert!(finished.stderr.contains("[RG100"), "{}", finished.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_missing_are_named_with_what_should_be_in_them() {
    let case = Case::usual().await;
    std::fs::remove_file(case.installation.path("mapping.sql")).unwrap();
    let finished = case.regraft(&["check"]).await;
    assert_says(&finished, 2, "RG1001", &["mapping.sql", "mapping.file"]);
    std::fs::remove_file(case.installation.path("regraft.toml")).unwrap();
    let finished = case.regraft(&["run"]).await;
    assert_says(&finished, 2, "RG1001", &["regraft.toml", "-c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_with_anything_but_insert_select_is_refused_with_all_places() {
    let case = Case::usual().await;
    let mapping = "-- one\nUPDATE goods SET name = 'rowvalue4711';\n\n\
                   INSERT INTO goods SELECT id, name, amount FROM items;\n  DROP TABLE goods;\n";
    case.installation.write_mapping(mapping);
    let finished = case.run_once().await;
    let parts = ["mapping.sql:2:1", "mapping.sql:5:3", "\"update\"", "\"drop\"", "INSERT INTO"];
    assert_says(&finished, 2, "RG1003", &parts);
    case.installation.write_mapping("-- nothing yet\n");
    let finished = case.run_once().await;
    assert_says(&finished, 2, "RG1003", &["mapping.sql:1:1", "no statement"]);
    case.installation.write_mapping("INSERT INTO goods SELECT id, 'open FROM items");
    let finished = case.run_once().await;
    assert_says(&finished, 2, "RG1003", &["mapping.sql:1:30"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    let case = Case::usual().await;
    for arguments in [&["rum"][..], &["check", "--json", "--ddl"], &["run", "--recopy"]] {
        let finished = case.regraft(arguments).await;
        assert_eq!(finished.code(), 2, "{arguments:?}: {}", finished.stderr);
        assert!(finished.stderr.contains("--help"), "{}", finished.stderr);
    }
    case.catch_up().await;
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "item"]).await;
    assert_says(&finished, 2, "RG1004", &["item", "public.items"]);
}
