//! Small cases in `cases/NAME/`, each a source, a target, a mapping and a load. Their oracle is the
//! SELECT itself: whatever the load did, in the end the target holds what PostgreSQL gives for it.
//!
//! Files of a case:
//!
//! - `source.sql`, `target.sql`, `mapping.sql`: both schemas, the rows at the start, the mapping.
//! - `load.sql`: what happens later, in steps that begin with a line `-- step`. Each step is sent as
//!   one query, so that a step without BEGIN is one transaction. `@SITE@` is the name of the site,
//!   for what has to be unique in the whole server.
//! - `offline.sql`: further steps, while no daemon runs.
//! - `copied.sql`: what happens at the target once all rows are copied, such as new constraints.
//! - `limits.toml`, `crumbs.toml`: settings in place of [`LIMITS`] and [`CRUMBS`]; `target.toml`:
//!   further lines of `[target]`.
//! - `expect.toml`: how the case is evaluated, which equal tables do not tell. Whatever else it names is an
//!   error.
//!
//!   ```toml
//!   # Of each statement of mapping.sql, in its order: what `regraft check` says of it. A case with one that
//!   # is refused is checked, and does not run.
//!   statements = ["streamed", "read", { refused = "RG3002" }]
//!   # `while_copying` puts the steps of the load between the chunks of the copy, and the ledger has to say so.
//!   overlap = true
//!   # Where all statements are streamed: `regraft check --sample` leaves some rows of `source.sql` to the
//!   # source, such as values that cannot be decided without it. As a rule it leaves none.
//!   leaves = true
//!   ```
//!
//! Each case is run four times, see [`Way`]: the same load meets the pipeline in batches of very
//! different sizes. Cases of types are run between other servers too, see [`newest`] and [`upgrade`].
//! Cases below `icu` need a server that is built with ICU.

mod expect;
mod overlap;

use std::path::{Path, PathBuf};
use std::time::Duration;

use regraft_testkit::{Daemon, wait_until};
use regraft_tests::{DEADLINE, Server, Site};
use tokio_postgres::Client;

use expect::Expect;

/// Many chunks, although the tables are small.
const LIMITS: &str = "[backfill]\nchunk_rows = 3\n";
/// Every change is a segment of its own, in the middle of its transaction.
const CRUMBS: &str = "[backfill]\nchunk_rows = 1000\n[limits]\nbatch_rows = 1\n";
/// Chunks of single rows, which meet the load.
const GRAINS: &str = "[backfill]\nchunk_rows = 1\n";

/// How the load meets the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Step by step, while the daemon runs and is idle; at the end `offline.sql` while none runs.
    Live,
    /// The same with a limit of one row per batch, so that every change is written alone.
    Crumbs,
    /// All of it while no daemon runs, so that it is netted into few batches.
    Netted,
    /// While the rows are copied.
    Copied,
}

struct Case {
    source: String,
    target: String,
    mapping: String,
    load: Vec<String>,
    offline: Vec<String>,
    limits: Option<String>,
    crumbs: Option<String>,
    target_lines: String,
    copied: String,
    expect: Option<Expect>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

impl Case {
    fn read(name: &str, site: &str) -> Case {
        let path = |file: &str| folder().join(name).join(file);
        let given =
            |file: &str| Some(std::fs::read_to_string(path(file)).ok()?.replace("@SITE@", site));
        let needed = |file: &str| given(file).unwrap_or_else(|| panic!("{name} has no {file}"));
        Case {
            source: needed("source.sql"),
            target: needed("target.sql"),
            mapping: needed("mapping.sql"),
            load: steps(&needed("load.sql")),
            offline: given("offline.sql").as_deref().map(steps).unwrap_or_default(),
            limits: given("limits.toml"),
            crumbs: given("crumbs.toml"),
            target_lines: given("target.toml").unwrap_or_default(),
            copied: given("copied.sql").unwrap_or_default(),
            expect: Expect::read(name, &folder().join(name)),
        }
    }

    async fn site(&self, servers: (Server, Server), name: &str, (way, rate): (Way, u32)) -> Site {
        let slow = overlap::slow_grains(rate);
        let limits = match way {
            Way::Live | Way::Netted => self.limits.as_deref().unwrap_or(LIMITS),
            Way::Crumbs => self.crumbs.as_deref().unwrap_or(CRUMBS),
            Way::Copied if self.overlaps() => &slow,
            Way::Copied => GRAINS,
        };
        let lines = (limits, self.target_lines.as_str());
        let source = [self.source.as_str()];
        Site::between(servers, name, lines, &source, &self.target, &self.mapping).await
    }

    fn overlaps(&self) -> bool {
        self.expect.as_ref().is_some_and(|expect| expect.overlap)
    }
}

/// Texts between lines that begin with `-- step`.
fn steps(text: &str) -> Vec<String> {
    let mut steps = Vec::new();
    for line in text.lines() {
        if line.starts_with("-- step") || steps.is_empty() {
            steps.push(String::new());
        }
        if let Some(step) = steps.last_mut() {
            step.push_str(line);
            step.push('\n');
        }
    }
    let says = |step: &String| step.lines().any(|l| !l.trim().is_empty() && !l.starts_with("--"));
    steps.retain(says);
    steps
}

async fn execute(source: &Client, step: &str) {
    if let Err(error) = source.batch_execute(step).await {
        let error = error.as_db_error().map_or_else(|| error.to_string(), |e| e.to_string());
        panic!("{error}\n{step}");
    }
}

async fn run(name: &str, way: Way) {
    run_between((Server::Usual, Server::Usual), name, way).await;
}

async fn run_between(servers: (Server, Server), name: &str, way: Way) {
    // A machine that stands still may miss the copy: it is made slower then.
    let mut missed = String::new();
    for rate in [10, 2, 1] {
        match run_at(rate, servers, name, way).await {
            Ok(()) => return,
            Err(how) => missed = how,
        }
    }
    panic!("{missed}");
}

/// With so many chunks of a slow copy in a second. An error says that the copy was to meet the load, and did not.
async fn run_at(rate: u32, servers: (Server, Server), name: &str, way: Way) -> Result<(), String> {
    // An upgrade shares its source with the usual run.
    let upgrade = if servers.0 == servers.1 { "" } else { "_upgrade" };
    let slower = if rate == 10 { String::new() } else { format!("_{rate}") };
    let site_name = format!("{name}_{way:?}{upgrade}{slower}").to_lowercase();
    let case = Case::read(name, &site_name);
    let site = case.site(servers, &site_name, (way, rate)).await;
    // The same for all ways, which cost enough without it.
    if way == Way::Live
        && let Some(expect) = &case.expect
    {
        expect.assert_checked(name, &site).await;
        if expect.refuses() {
            return Ok(());
        }
    }
    let source = site.at_source().await;
    let copied = async || site.at_target().await.batch_execute(&case.copied).await.unwrap();
    if way != Way::Copied {
        site.catch_up().await;
        site.assert_equal().await;
        copied().await;
    }
    match way {
        Way::Live | Way::Crumbs => {
            let mut daemon = site.run();
            for (number, step) in case.load.iter().enumerate() {
                execute(&source, step).await;
                settle(&site, &mut daemon, number + 1).await;
            }
            stop(&mut daemon).await;
            for step in &case.offline {
                execute(&source, step).await;
            }
            site.catch_up().await;
        }
        Way::Netted => {
            for step in case.load.iter().chain(&case.offline) {
                execute(&source, step).await;
            }
            site.catch_up().await;
        }
        Way::Copied => {
            let mut daemon = site.run();
            registered(&site, &mut daemon).await;
            let steps = case.load.iter().chain(&case.offline);
            let mut first = None;
            if case.overlaps() {
                first = overlap::between_chunks(&site, steps).await;
            } else {
                for step in steps {
                    execute(&source, step).await;
                }
            }
            settle(&site, &mut daemon, 0).await;
            if let Some(first) = first {
                first.stands_between_chunks(name, &site.at_target().await).await?;
            }
            stop(&mut daemon).await;
            copied().await;
        }
    }
    site.assert_equal().await;
    if way == Way::Netted {
        verified(&site).await;
    }
    Ok(())
}

/// `regraft verify` finds a row that is gone, and nothing else: whatever the types, each other row is
/// equal. `regraft repair` brings it back, where rows belong to keys.
async fn verified(site: &Site) {
    let target = site.at_target().await;
    let table = regraft_testkit::mapped_tables(&site.mapping).pop().unwrap().target;
    let sql = format!(
        "SET session_replication_role = replica; \
         DELETE FROM {table} WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM {table} LIMIT 1)"
    );
    let before = site.rows().await;
    target.batch_execute(&sql).await.unwrap();
    let broken = usize::from(site.rows().await < before);
    let finished = site.installation.command(&["verify", "--json"], DEADLINE).await;
    assert!(finished.code() < 2, "{}\n{}", finished.stdout, finished.stderr);
    let report = finished.json();
    let findings = report["findings"].as_array().unwrap();
    let missing = findings.iter().filter(|finding| finding["difference"] == "missing").count();
    assert_eq!((findings.len(), missing), (broken, broken), "{report:#}");
    let rows: u64 =
        report["tables"].as_array().unwrap().iter().map(|t| t["rows"].as_u64().unwrap()).sum();
    assert_eq!(rows, site.rows().await, "{report:#}");
    let repaired = site.installation.command(&["repair", "--apply", "--json"], DEADLINE).await;
    assert!(repaired.code() < 2, "{}\n{}", repaired.stdout, repaired.stderr);
    if repaired.code() == 0 {
        site.assert_equal().await;
    } else {
        // The row cannot be read by key; nothing else was done.
        assert_eq!(repaired.json()["asked"], 0, "{}", repaired.stdout);
    }
}

async fn stop(daemon: &mut Daemon) {
    let status = daemon.terminate(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
}

/// From here on, the slot has everything that is committed.
async fn registered(site: &Site, daemon: &mut Daemon) {
    let target = site.at_target().await;
    wait_until("the pipeline to be registered", DEADLINE, async || {
        assert!(daemon.ended().is_none(), "the daemon ended");
        let sql = "SELECT count(*) FROM regraft.pipelines";
        let found = target.query_one(sql, &[]).await.map_err(|error| error.to_string())?;
        if found.get::<_, i64>(0) == 1 { Ok(()) } else { Err("no pipeline".to_owned()) }
    })
    .await;
}

/// Waits until the daemon has applied everything, and compares.
async fn settle(site: &Site, daemon: &mut Daemon, step: usize) {
    tokio::select! {
        () = site.settled() => {}
        error = site.held() => panic!("step {step}: the pipeline is held: {error}"),
    }
    assert!(daemon.ended().is_none(), "step {step}");
    eprintln!("step {step} is applied");
    site.assert_equal().await;
}

/// One test per folder and way.
macro_rules! cases {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        $(
            mod $name {
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[$attribute])*
                async fn step_by_step() {
                    crate::run(stringify!($name), crate::Way::Live).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[$attribute])*
                async fn in_one_batch() {
                    crate::run(stringify!($name), crate::Way::Netted).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[$attribute])*
                async fn change_by_change() {
                    crate::run(stringify!($name), crate::Way::Crumbs).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[$attribute])*
                async fn while_copying() {
                    crate::run(stringify!($name), crate::Way::Copied).await;
                }
            }
        )*

        pub(crate) const LISTED: &[&str] = &[$(stringify!($name)),*];
    };
}

#[test]
fn every_folder_is_listed() {
    let mut listed = [LISTED, icu::LISTED, newest::LISTED, &["refused"]].concat();
    listed.sort_unstable();
    let entries = std::fs::read_dir(folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<_> = names.collect();
    found.sort_unstable();
    assert_eq!(found, listed);
}

/// There is nothing to copy or to stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused() {
    run("refused", Way::Live).await;
}

cases! {
    arrays,
    bulk,
    casts,
    churn,
    columns_added,
    columns_dropped,
    constant_rows,
    enum_arrays,
    enums_and_domains,
    explosion,
    explosion_elements,
    explosion_left,
    explosion_many,
    explosion_natural_key,
    filters,
    foreign_key_child_first,
    foreign_key_one_source,
    foreign_key_read,
    foreign_key_tree,
    foreign_key_tree_strict,
    foreign_key_trusted,
    foreign_key_two_tables,
    foreign_key_unchanged,
    foreign_key_unique,
    full_deferrable_key,
    full_names_pass,
    full_natural_key,
    full_without_primary_key,
    generated_columns,
    hostile_names,
    hostile_settings,
    identity_always,
    key_arrays,
    key_bigint,
    key_composite,
    key_composites,
    key_int,
    key_moves_chained,
    key_numeric_scale,
    key_other_types,
    key_passes,
    key_swap,
    key_text,
    key_time,
    key_uuid,
    many_columns,
    partition_hash,
    partition_range,
    partition_routing,
    partitioned_source,
    read_beside_streamed,
    read_by_key,
    read_children,
    read_depth,
    read_full_identity,
    read_join,
    read_reassembled,
    read_steps,
    read_twice,
    read_windows,
    rollbacks,
    statements_disagree,
    table_renamed,
    toast_arrays,
    toast_explosion,
    toast_full,
    toast_index_identity,
    toast_key_move,
    toast_key_move_filter,
    toast_key_move_mixed,
    toast_keys,
    toast_mixed,
    toast_plain,
    toast_routing,
    truncate,
    truncate_large_values,
    two_statements,
    two_statements_one_key,
    unique_arrays,
    unique_deferrable,
    unique_expression,
    unique_int,
    unique_int_checked,
    unique_large,
    unique_large_value,
    unique_natural_key,
    unique_rotation,
    unique_short_text,
    unique_text,
    unique_uuid,
    values_numeric,
    values_schemas,
    values_text,
    values_texts,
    values_time,
    values_types,
    values_user_types,
}

/// Cases with collations of ICU, which not every server has.
mod icu {
    cases! {
        key_text_collated,
        key_text_folded,
        key_text_nondeterministic,
    }
}

/// Cases of types, between these servers: copied, and in the stream.
macro_rules! cases_of_types {
    ($source:ident, $target:ident: $($name:ident),* $(,)?) => {
        $(
            mod $name {
                use crate::{Server, Way, run_between};

                const SERVERS: (Server, Server) = (Server::$source, Server::$target);

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn step_by_step() {
                    run_between(SERVERS, stringify!($name), Way::Live).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn while_copying() {
                    run_between(SERVERS, stringify!($name), Way::Copied).await;
                }
            }
        )*
    };
    ($source:ident, $target:ident) => {
        cases_of_types! {
            $source, $target:
            arrays, casts, enum_arrays, enums_and_domains, generated_columns, hostile_settings,
            key_arrays, key_composites, key_other_types, many_columns, read_join, toast_arrays,
            values_numeric, values_text, values_texts, values_time, values_types, values_user_types,
        }
    };
}

/// Within the newest PostgreSQL.
mod newest {
    cases_of_types! { Newest, Newest }

    /// With what the newest version has alone.
    pub(crate) const LISTED: &[&str] = &["values_18"];
    cases_of_types! { Newest, Newest: values_18 }
}

/// From the usual PostgreSQL to the newest one.
mod upgrade {
    cases_of_types! { Usual, Newest }
}
