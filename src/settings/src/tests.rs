use std::path::{Path, PathBuf};
use std::time::Duration;

use regraft_core::{Code, Error};

use crate::{Secret, Settings, UrlSource, json_schema, model};

/// The least that works, as the documents show it.
const DOCUMENTED: &str = r#"
name = "ai"                                  # of the pipeline; slot, publication and ledger rows carry it
[source]
url = "postgres://user@host:5432/legacy"     # "${SOURCE_URL}" and url_file = "..." work too
[target]
url = "postgres://user@host:5432/modern"
[mapping]
file = "mapping.sql"
[http]
listen = "127.0.0.1:9187"
"#;

const REST: &str = r#"
[target]
url = "postgres://host/modern"
[mapping]
file = "mapping.sql"
"#;

fn read(text: &str) -> Result<Settings, Vec<Error>> {
    Settings::from_toml(text, "regraft.toml", &|name| match name {
        "SOURCE_URL" => Some("postgres://u:hunter2@host/legacy".to_owned()),
        "WORD" => Some("hunter2".to_owned()),
        _ => None,
    })
}

/// `place: what`, of every error.
fn errors(text: &str) -> Vec<String> {
    let errors = read(text).expect_err("the text is faulty");
    assert!(errors.iter().all(|error| error.code() == Code::ConfigInvalid));
    errors.iter().map(|e| format!("{}: {}", e.place().unwrap(), e.what())).collect()
}

/// A complete file with `more` after it.
fn with(more: &str) -> String {
    format!("{}{more}", DOCUMENTED.trim_start())
}

#[test]
fn the_documented_example_gives_the_documented_defaults() {
    let settings = read(DOCUMENTED).unwrap();
    assert_eq!(settings.name, "ai");
    assert_eq!(settings.source.slot, "regraft_ai");
    assert_eq!(settings.source.publication, "regraft_ai");
    assert_eq!(settings.mapping.file, Path::new("mapping.sql"));
    assert_eq!(settings.target.url.read().unwrap().expose(), "postgres://user@host:5432/modern");
    assert_eq!(settings.http, model::Http::default());
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:9187");
    assert_eq!((settings.backfill.readers, settings.backfill.chunk_rows), (2, 10_000));
    assert_eq!(settings.backfill.chunk_bytes, 8 << 20);
    assert_eq!(settings.limits.memory, 256 << 20);
    assert_eq!(settings.limits.batch_age, Duration::from_millis(100));
    settings.validate().unwrap();
}

#[test]
fn the_examples_of_the_repository_are_valid() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut read = 0;
    for folder in std::fs::read_dir(&examples).unwrap() {
        let file = folder.unwrap().path().join("regraft.toml");
        if let Ok(text) = std::fs::read_to_string(&file) {
            let url = |_: &str| Some("postgres://host/db".to_owned());
            Settings::from_toml(&text, &file.display().to_string(), &url).unwrap();
            read += 1;
        }
    }
    assert!(read > 0, "there are examples in {}", examples.display());
}

#[test]
fn every_key_is_read() {
    let settings = read(&with(
        "enabled = false\n[backfill]\nenabled = false\nreaders = 4\nchunk_rows = 500\n\
         chunk_bytes = \"1MB\"\nrows_per_second = 2000\n[limits]\nmemory = \"1GiB\"\nbatch_rows = 7\n\
         batch_bytes = \"2MiB\"\nbatch_age = \"5s\"\n[log]\nformat = \"json\"\nlevel = \"debug\"\n",
    ))
    .unwrap();
    assert!(!settings.http.enabled && !settings.backfill.enabled);
    assert_eq!((settings.backfill.readers, settings.backfill.chunk_rows), (4, 500));
    assert_eq!(settings.backfill.chunk_bytes, 1_000_000);
    assert_eq!(settings.backfill.rows_per_second, Some(2000));
    assert_eq!((settings.limits.memory, settings.limits.batch_rows), (1 << 30, 7));
    assert_eq!(settings.limits.batch_bytes, 2 << 20);
    assert_eq!(settings.limits.batch_age, Duration::from_secs(5));
    assert_eq!(settings.log.format, model::LogFormat::Json);
    assert_eq!(settings.log.level.as_str(), "debug");
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
    let text = "name = \"ai\"\n[mapping]\nfile = \"m.sql\"\n[sourc]\nurl = \"postgres://h/d\"\n[target]\nurl = \"postgres://h/d\"\n";
    let found = read(text).expect_err("sourc is unknown");
    let unknown = &found[0];
    assert_eq!(unknown.place(), Some("regraft.toml:4:2"));
    assert_eq!(unknown.what(), "unknown key \"sourc\"; did you mean \"source\"?");
    assert_eq!(
        unknown.remedy_text(),
        Some(
            "the keys of the file are backfill, deadlines, drift, http, limits, log, mapping, name, source, target, targets, verify"
        )
    );
    // What was misspelt is not missing as well.
    assert_eq!(found.len(), 1, "{found:?}");
    let text = with("").replace("name =", "nam =").replace("file =", "flie =");
    let want = [
        "regraft.toml:1:1: unknown key \"nam\"; did you mean \"name\"?",
        "regraft.toml:7:1: unknown key \"flie\" in [mapping]; did you mean \"file\"?",
    ];
    assert_eq!(errors(&text), want);
}

#[test]
fn a_key_of_another_table_is_recognised_and_a_foreign_word_is_not_guessed_at() {
    let found = errors(&with("slot = \"a\"\n[sinks.kafka]\nbrokers = \"b\"\n"));
    assert_eq!(
        found,
        [
            "regraft.toml:10:1: unknown key \"slot\" in [http]; did you mean \"source.slot\"?",
            "regraft.toml:11:2: unknown key \"sinks\"",
        ]
    );
}

#[test]
fn all_faults_are_found_at_once_in_the_order_of_the_file() {
    let text = "name = \"Ai\"\n[source]\nurl = \"${NOWHERE}\"\n[target]\nurl = 5\n[backfill]\n\
                readers = 33\nchunk_rows = -1\nchunk_bytes = 100\nenabled = \"no\"\n[limits]\n\
                memory = \"1MiB\"\nbatch_age = \"5 sec\"\nbatch_row = 5\n[log]\nformat = \"xml\"\n[http]\n\
                listen = \"here\"\n";
    let found = errors(text);
    let want = [
        "regraft.toml: mapping.file is missing",
        "regraft.toml:1:1: name is not a valid pipeline name",
        "regraft.toml:3:7: source.url uses the environment variable NOWHERE, which is not set",
        "regraft.toml:5:7: target.url must be a text in quotes, not an integer",
        "regraft.toml:7:1: backfill.readers is 33, out of range",
        "regraft.toml:8:14: backfill.chunk_rows must be a whole number from 1 to 1000000",
        "regraft.toml:9:15: backfill.chunk_bytes must be a text in quotes, not an integer",
        "regraft.toml:10:11: backfill.enabled must be true or false, not a string",
        "regraft.toml:12:1: limits.memory is too small",
        "regraft.toml:13:13: limits.batch_age must be a duration such as \"100ms\", \"5s\" or \"2m\"",
        "regraft.toml:14:1: unknown key \"batch_row\" in [limits]; did you mean \"batch_rows\"?",
        "regraft.toml:16:10: log.format: unknown variant `xml`, expected `text` or `json`",
        "regraft.toml:18:10: http.listen: invalid socket address syntax",
    ];
    assert_eq!(found, want);
}

#[test]
fn of_very_many_faults_the_first_ones_are_told() {
    let twice = "a = 1\n".repeat(20_000);
    let unknown: String = (0..20_000).map(|n| format!("a{n} = 1\n")).collect();
    let nameless: String = (0..20_000).map(|n| format!("a{n} = \"${{}}\"\n")).collect();
    for text in [twice, unknown, nameless] {
        let errors = Settings::from_toml(&text, "regraft.toml", &|_| None).unwrap_err();
        assert_eq!(errors.len(), 100);
    }
}

#[test]
fn faults_of_syntax_have_their_place() {
    let found = errors("name = \"ai\"\n[source\nurl = 1\n");
    assert_eq!(found, ["regraft.toml:2:8: unclosed table, expected `]`"]);
    let found = errors("name = ai\n[source]\nurl = 1 2\n");
    assert!(found[0].starts_with("regraft.toml:1:8: "), "{found:?}");
    assert!(found[1].starts_with("regraft.toml:3:7: "), "{found:?}");
    let twice = errors("name = \"a\"\nname = \"b\"\n");
    assert!(twice[0].starts_with("regraft.toml:2:1: duplicate key"), "{twice:?}");
}

#[test]
fn a_table_written_as_a_value_is_one_fault_without_the_value() {
    let found = errors(&format!("name = \"ai\"\nsource = \"postgres://u:hunter2@h/d\"\n{REST}"));
    assert_eq!(found, ["regraft.toml:2:10: source must be a table, not a string"]);
}

#[test]
fn columns_count_characters() {
    let found = errors(&with("\"ключ\" = 1\n"));
    assert_eq!(found, ["regraft.toml:10:1: unknown key \"ключ\" in [http]"]);
    let inline = errors("name = \"ai\"\nmapping = { \"ä\" = 1, x = 2 }\n");
    assert!(inline.contains(&"regraft.toml:2:22: unknown key \"x\" in [mapping]".to_owned()));
}

#[test]
fn variables_are_replaced_and_can_be_escaped() {
    let text = format!(
        "name = \"ai\"\n[source]\nurl = \"${{SOURCE_URL}}?a=$${{SOURCE_URL}}&b=$c${{WORD}}\"\n{REST}"
    );
    let url = read(&text).unwrap().source.url.read().unwrap();
    assert_eq!(url.expose(), "postgres://u:hunter2@host/legacy?a=${SOURCE_URL}&b=$chunter2");
}

#[test]
fn a_variable_that_is_not_closed_or_not_a_name_is_a_fault() {
    for (value, what) in [
        ("${SOURCE_URL", "source.url has a ${ without a }"),
        ("${A B}", "source.url has a ${…} that does not name a variable"),
        ("${}", "source.url has a ${…} that does not name a variable"),
    ] {
        let found = errors(&format!("name = \"ai\"\n[source]\nurl = \"{value}\"\n{REST}"));
        assert_eq!(found, [format!("regraft.toml:3:7: {what}")]);
    }
}

#[test]
fn values_of_variables_are_in_no_message() {
    let more = "[log]\nformat = \"${WORD}\"\n[limits]\nmemory = \"${WORD}\"\n";
    let text = format!("name = \"ai\"\n[source]\nurl = \"${{WORD}}\"\n{REST}{more}");
    let all = read(&text).expect_err("none of them is valid");
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(!format!("{all:?}").contains("hunter2"), "{all:?}");
}

#[test]
fn secrets_are_never_printed() {
    let settings = read(&format!("name = \"ai\"\n[source]\nurl = \"${{SOURCE_URL}}\"\n{REST}"));
    let settings = settings.unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert_eq!(Secret::new("hunter2").to_string(), "…");
}

#[test]
fn url_and_url_file_exclude_each_other_and_one_is_needed() {
    let both = "name = \"ai\"\n[source]\nurl = \"postgres://h/d\"\nurl_file = \"u\"\n";
    let found = errors(&format!("{both}{REST}"));
    assert_eq!(found, ["regraft.toml:4:1: source.url and source.url_file are both given"]);
    let found = errors(&format!("name = \"ai\"\n[source]\nslot = \"s\"\n{REST}"));
    assert_eq!(found, ["regraft.toml:2:2: source.url is missing"]);
}

#[test]
fn other_schemes_and_names_that_slots_do_not_allow_are_refused() {
    for name in ["", "1a", "_a", "a-b", "Ab", "ä", &"a".repeat(41)] {
        let text = with("").replace("\"ai\"", &format!("\"{name}\""));
        assert_eq!(errors(&text), ["regraft.toml:1:1: name is not a valid pipeline name"]);
    }
    read(&with("").replace("\"ai\"", &format!("\"{}\"", "a".repeat(40)))).unwrap();
    let text = format!("name = \"ai\"\n[source]\nurl = \"mysql://h/d\"\nslot = \"A\"\n{REST}");
    let want = [
        "regraft.toml:3:1: source.url is not a postgres:// URL",
        "regraft.toml:4:1: source.slot is not a valid name of a replication slot",
    ];
    assert_eq!(errors(&text), want);
}

#[test]
fn chunks_and_batches_that_do_not_fit_in_memory_are_refused() {
    let found = read(&with("[backfill]\nreaders = 32\n")).expect_err("32 × 8 MiB is the budget");
    assert!(found[0].what().starts_with("limits.memory (256MiB) does not hold"));
    assert_eq!(found[0].place(), Some("regraft.toml"));
}

#[test]
fn settings_made_in_code_are_checked_too() {
    let mut settings = read(DOCUMENTED).unwrap();
    settings.backfill.readers = 0;
    settings.limits.batch_age = Duration::from_secs(61);
    settings.backfill.rows_per_second = Some(0);
    let faults = settings.validate().expect_err("three values are out of range");
    let places: Vec<_> = faults.iter().filter_map(Error::place).collect();
    assert_eq!(places, ["backfill.readers", "limits.batch_age", "backfill.rows_per_second"]);
    assert_eq!(faults[1].what(), "limits.batch_age is 61s, out of range");
    assert_eq!(faults[1].remedy_text(), Some("choose from 1ms to 1m"));
}

/// A folder with a configuration that reads its source URL from a file.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("regraft.toml");
    let text = format!("name = \"ai\"\n[source]\nurl_file = \"source.url\"\n{REST}");
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

#[test]
fn paths_are_resolved_against_the_folder_of_the_file_and_urls_are_read_again() {
    let (folder, file) = folder();
    let secret = folder.path().join("source.url");
    std::fs::write(&secret, "postgres://u:one@h/d\n").unwrap();
    std::fs::write(folder.path().join("mapping.sql"), "-- none").unwrap();
    let settings = Settings::load(&file).unwrap();
    assert_eq!(settings.source.url, UrlSource::File(secret.clone()));
    assert_eq!(settings.source.url.read().unwrap().expose(), "postgres://u:one@h/d");
    assert_eq!(settings.read_mapping().unwrap(), "-- none");

    std::fs::write(&secret, "postgres://u:two@h/d\r\n").unwrap();
    assert_eq!(settings.source.url.read().unwrap().expose(), "postgres://u:two@h/d");

    std::fs::write(&secret, "hunter2").unwrap();
    let error = settings.source.url.read().expect_err("this is no URL");
    assert_eq!(error.code(), Code::ConfigInvalid);
    assert!(!error.to_string().contains("hunter2"));
}

#[test]
fn every_file_that_is_missing_is_named() {
    let (folder, file) = folder();
    let missing = Settings::load(&file).expect_err("neither the URL nor the mapping is there");
    assert!(missing.iter().all(|error| error.code() == Code::FileUnreadable), "{missing:?}");
    let places: Vec<_> = missing.iter().filter_map(Error::place).collect();
    let want = ["source.url", "mapping.sql"].map(|name| folder.path().join(name));
    assert_eq!(places, want.iter().filter_map(|path| path.to_str()).collect::<Vec<_>>());

    let none = Settings::load(&folder.path().join("none.toml")).expect_err("there is none");
    assert_eq!(none[0].code(), Code::FileUnreadable);
    assert!(none[0].place().unwrap().ends_with("none.toml"));
}

#[test]
fn the_json_schema_in_the_repository_is_the_one_of_the_structs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/config.schema.json");
    let want = json_schema();
    if std::env::var_os("REGRAFT_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&want).unwrap();
        std::fs::write(&path, text + "\n").unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        serde_json::from_str(&found).is_ok_and(|found: serde_json::Value| found == want),
        "schemas/config.schema.json is not what the structs give; write it anew with \
         `REGRAFT_BLESS=1 cargo test -p regraft-settings`"
    );
}

#[test]
fn the_json_schema_describes_every_key_and_gives_the_defaults() {
    fn each(node: &serde_json::Value, path: &str, count: &mut usize) {
        if node["additionalProperties"].is_object() {
            // Its keys are names.
            return each(&node["additionalProperties"], path, count);
        }
        assert_eq!(node["additionalProperties"], false, "{path}");
        for (key, child) in node["properties"].as_object().unwrap() {
            let description = child["description"].as_str().expect(key);
            assert!(!description.contains('\n'), "{path}{key}: {description}");
            assert!(child["type"].is_string() || child["oneOf"].is_array(), "{path}{key}");
            *count += 1;
            if child["type"] == "object" {
                each(child, &format!("{path}{key}."), count);
            }
        }
    }
    let schema = json_schema();
    let mut count = 0;
    each(&schema, "", &mut count);
    assert_eq!(count, 57);
    let required = serde_json::json!(["name", "source", "mapping"]);
    assert_eq!(schema["required"], required);
    let limits = &schema["properties"]["limits"]["properties"];
    assert_eq!(limits["memory"]["default"], "256MiB");
    assert_eq!(limits["batch_age"]["default"], "100ms");
    assert_eq!(schema["properties"]["backfill"]["properties"]["readers"]["maximum"], 32);
}

#[test]
fn several_targets_are_pipelines_that_share_the_source() {
    let text = r#"
name = "ai"
[source]
url = "postgres://host/legacy"
[target]
url = "postgres://host/modern"
[targets.replica2]
url = "postgres://host/replica"
sessions = 4
keep_log = "20GB"
[mapping]
file = "mapping.sql"
"#;
    let settings = read(text).unwrap();
    assert!(settings.is_shared() && settings.makes("regraft_ai"));
    let legs = settings.legs();
    let names: Vec<_> = legs.iter().map(|leg| (leg.name.as_str(), leg.target.sessions)).collect();
    assert_eq!(names, [("ai", 2), ("ai.replica2", 4)]);
    for leg in &legs {
        assert!(leg.makes("regraft_ai"), "{}", leg.name);
        assert_eq!((leg.pipeline(), leg.limits.memory), ("ai", 128 << 20));
    }
    assert_eq!(legs[1].target.keep_log, Some(20_000_000_000));
    assert_eq!(read(DOCUMENTED).unwrap().legs(), [read(DOCUMENTED).unwrap()]);
}

#[test]
fn faults_of_a_named_target_have_its_table() {
    let faulty = |more: &str| {
        let text = format!(
            "name = \"ai\"\n[source]\nurl = \"postgres://host/a\"\n[mapping]\nfile = \"m.sql\"\n{more}"
        );
        errors(&text)
    };
    let cases = [
        ("", "regraft.toml: target.url is missing"),
        ("[targets.b]\n", "regraft.toml:6:2: targets.b.url is missing"),
        (
            "[targets.b]\nurl = \"mysql://x\"\n",
            "regraft.toml:7:1: targets.b.url is not a postgres:// URL",
        ),
        (
            "[targets.B]\nurl = \"postgres://x/y\"\n",
            "regraft.toml:6:10: \"B\" is not a valid name of a target",
        ),
        (
            "[targets.b]\nurl = \"postgres://x/y\"\nsession = 2\n",
            "regraft.toml:8:1: unknown key \"session\" in [targets.b]; did you mean \"sessions\"?",
        ),
        (
            "[targets.b]\nurl = \"postgres://x/y\"\nsessions = 99\n",
            "regraft.toml:8:1: targets.b.sessions is 99, out of range",
        ),
        (
            "[targets.b]\nurl = \"postgres://x/y\"\nkeep_log = \"much\"\n",
            "regraft.toml:8:12: targets.b.keep_log must be a size such as \"500MB\" or \"20GiB\"",
        ),
    ];
    for (more, fault) in cases {
        assert_eq!(faulty(more), [fault], "{more}");
    }
}
