//! The script of the status page runs without an error over whatever the daemon answers, and says it in words.

use std::process::Command;
use std::time::SystemTime;

use serde_json::{Value, json};

/// What the page at an address that ends so shows for each of these answers, by the ids of its elements.
fn shown(answers: &Value, search: &str) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page.js");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/src/status.html");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), answers.to_string()).expect("written");
    let node = Command::new("node").args([folder, page]).arg(file.path()).arg(search).output();
    let output = node.expect("node: ./setup node installs it");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn the_page_says_in_words_what_the_status_has() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let starting = json!({
        "name": "shop", "phase": "starting", "position": null, "lag_bytes": null, "lag_seconds": null,
        "unready": "starting", "tables": [], "held": [], "last_error": null, "copy_seconds_left": null,
        "verification": { "rows": 0, "oldest_seconds": null, "passes": 0, "unsettled": 0, "tries": 0,
                          "findings_open": 0, "repaired": 0, "stopped": null },
        "waiting": [{ "server": "source (db1)", "for": "SELECT pg_x", "since": now - 300, "seconds": 300.0,
                      "seen": "process 7 waits for a lock, held by process 8 (psql)" }],
    });
    let table = |done: u64| {
        json!({ "target": "public.<b>goods", "source": "public.items", "rows": 12345,
                                    "deleted": 3, "chunks_done": done, "chunks_total": 90, "chunks_expected": 90 })
    };
    let copying = json!({
        "name": "shop", "phase": "backfill", "position": "0/1A", "lag_bytes": 2048, "lag_seconds": 1.25,
        "unready": "backfill", "tables": [table(30), table(30)], "copy_seconds_left": 7200.0, "waiting": [],
        "verification": { "rows": 10, "oldest_seconds": 90.0, "passes": 0, "unsettled": 3, "tries": 13,
                          "findings_open": 0, "repaired": 0, "stopped": "RG2001 gone" },
        "held": [{ "table": "public.old", "since": now - 7200, "position": "0/1", "code": "RG3018",
                   "what": "a column is gone", "remedy": "regraft resume" }],
        "last_error": { "code": "RG4001", "what": "refused", "remedy": "mend it", "at": now - 3 },
    });
    let following = json!({
        "name": "shop", "phase": "streaming", "position": "0/2B", "lag_bytes": 0, "lag_seconds": 0.0,
        "unready": null, "tables": [table(90)], "copy_seconds_left": null, "waiting": [], "held": [],
        "verification": { "rows": 5000, "oldest_seconds": 720.0, "passes": 4, "unsettled": 0, "tries": 0,
                          "findings_open": 2, "repaired": 7, "stopped": null },
        "last_error": null,
    });
    // A daemon of another version, a failure, and one that is back.
    let answers = json!([starting, copying, following, { "name": "x" }, null, following]);
    let shown = shown(&answers, "");
    assert_eq!(shown.len(), 6, "{shown:#?}");
    let says = |at: usize, id: &str, part: &str| {
        let text = shown[at][id].as_str().unwrap_or_else(|| panic!("{id}: {:#}", shown[at]));
        assert!(text.contains(part), "{id}: {part} is not in {text}");
    };
    says(0, "title", "shop – regraft");
    says(0, "ready", "no: starting");
    says(
        0,
        "waiting",
        "source (db1) to answer SELECT pg_x, for 5.0 min: process 7 waits for a lock",
    );
    says(0, "copy", "not yet");
    says(0, "verification", "nothing yet");
    assert_eq!((&shown[0]["error"], &shown[0]["held"]), (&Value::Null, &Value::Null));
    says(1, "phase", "copying");
    says(1, "lag", "2.0 KiB, 1.3 s");
    says(1, "copy", "30 of about 90 chunks, about 2.0 h left");
    says(1, "verification", "not every row was compared yet; the daemon began 1.5 min ago");
    says(
        1,
        "verification",
        "3 rows changed a moment ago or differ, and are looked at again, tried up to 13 times",
    );
    says(1, "verification", "stopped: RG2001 gone");
    says(
        1,
        "held",
        "public.old is held at 0/1, since 2.0 h ago: RG3018: a column is goneTo do: regraft resume",
    );
    says(1, "error-what", "RG4001: refused");
    says(1, "error-at", " s ago");
    says(1, "tables", "public.<b>goods12,3453 30 of 90 chunks");
    says(2, "ready", "yes");
    says(2, "copy", "done");
    says(
        2,
        "verification",
        "every row was compared 4 times; the oldest proof of a row is from 12.0 min ago",
    );
    says(
        2,
        "findings",
        "2 rows differ: see regraft.findings; `regraft repair` brings them in line, 7 were repaired",
    );
    says(2, "seen", "As of 0 s ago");
    says(3, "phase", "not known");
    says(3, "ready", "not known");
    assert_eq!([4, 5].map(|at| shown[at]["lost"].is_null()), [false, true], "{shown:#?}");
    // Each age has the time itself beside it.
    assert_eq!([0, 1, 2].map(|at| shown[at]["times"].as_u64().unwrap()), [2, 4, 2], "{shown:#?}");
}

#[test]
fn of_several_targets_the_page_shows_the_one_that_its_address_names() {
    let target = |name: Option<&str>, stream: &str, phase: &str| {
        json!({ "name": "shop", "target": name, "phase": phase, "stream": stream, "unready": phase,
                "position": "0/1A", "tables": [], "held": [], "waiting": [] })
    };
    let targets =
        [target(None, "shared", "streaming"), target(Some("b"), "detached", "catching_up")];
    let answers = json!([{ "name": "shop", "targets": targets }]);
    let said = |search: &str| {
        let shown = shown(&answers, search).remove(0);
        ["targets", "phase", "stream"].map(|id| shown[id].as_str().unwrap().to_owned())
    };
    let all = "target (streaming)b (catching up)";
    let other = "its own, until it has caught up with the others";
    assert_eq!(said("?target=b"), [all, "catching up", other]);
    for search in ["", "?target=unknown"] {
        assert_eq!(said(search), [all, "streaming", "the one that all targets share"]);
    }
}
