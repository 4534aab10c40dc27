//! `regraft verify`: compares the target with the source now, and reports. `regraft repair` brings what
//! differs in line.
//!
//! The daemon that runs the pipeline does the work; where none runs, this process follows the stream
//! itself until it is done. What is compared beside the rows ([`audit`]) asks both servers itself, and needs
//! only that the target follows.

mod audit;
mod checksum;
mod follower;
mod rule_file;
mod rules;
mod statistics;

use std::collections::BTreeSet;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use regraft_core::verify::{Outcome, Request};
use regraft_core::{Code, Error, Position, Result};
use regraft_postgres::ledger::{PgLedger, Verified};
use regraft_settings::{ForeignKeys, Settings};
use serde_json::{Value, json};

use crate::args::VerifyArgs;
use crate::legs::{Report, each};
use crate::load;
use crate::mappers::Mappers;
use crate::out::{out, outln};
use crate::resolve::Side;
use crate::run::on_terminal;
use crate::status::table;
use audit::Asked;
use follower::Follower;

/// Between looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);
/// Findings that are printed for people; the table has all.
const PRINTED: i64 = 20;
/// Findings in a JSON report.
const REPORTED: i64 = 10_000;

/// Verifies, prints a report; exit status 1 when something differs, or is held.
///
/// # Errors
/// When the request cannot be carried out, or a server cannot be asked.
pub async fn verify(args: &VerifyArgs, mappers: &Mappers) -> Result<u8, Vec<Error>> {
    crate::init_logging(&load(&args.config)?.log);
    let verify = async |settings: &Settings| verify_one(settings, args, mappers).await;
    each(&args.config, args.json, &args.tables, verify).await
}

async fn verify_one(
    settings: &Settings,
    args: &VerifyArgs,
    mappers: &Mappers,
) -> Result<Report, Vec<Error>> {
    let one = |error| vec![error];
    let target = ledger(settings).await.map_err(one)?;
    let keys = keys(&args.keys).map_err(one)?;
    let tables = known_tables(&target, &settings.name, &args.tables).await.map_err(one)?;
    let args = &VerifyArgs { tables, ..args.clone() };
    let sample = args.sample.map(f64::from);
    let request = Request { tables: args.tables.clone(), keys, sample, repair: false };
    let asked = Asked::read(args)?;
    let mut follower = Follower::start((settings, mappers), &target, &args.config.config).await?;
    let (mut outcomes, mut open) = (Vec::new(), Vec::new());
    if !args.without_rows {
        let (client, place) = (&target.client, target.place.as_str());
        let asked = PgLedger::ask_verification(client, place, &settings.name, &request).await;
        let until = Until::Verified(asked.map_err(one)?);
        let bar = (on_terminal() && !args.json).then(bar);
        outcomes = wait(&mut follower, &target, &settings.name, until, bar).await.map_err(one)?;
        let limit = if args.json { REPORTED } else { PRINTED };
        open = findings(&target, settings, &args.tables, limit).await.map_err(one)?;
    }
    let audited = asked.carry_out((settings, mappers), args, &target, &mut follower).await?;
    follower.stop().await;
    let held = match args.tables.is_empty() {
        true => held_targets(&target, &settings.name).await.map_err(one)?,
        false => Vec::new(),
    };
    let differ = outcomes.iter().any(|o| o.missing + o.surplus + o.different > 0);
    let status = u8::from(differ || audited.differs() || !held.is_empty());
    if args.json {
        let mut report = report(&outcomes, &open);
        report["held"] = held.iter().map(HeldTarget::json).collect();
        audited.add_to(&mut report);
        return Ok((status, Some(report)));
    }
    if !args.without_rows {
        print(&outcomes, &open);
    }
    audited.print();
    held.iter().for_each(|held| outln!("\nnot compared: {held}"));
    Ok((status, None))
}

/// A connection to the ledger of a pipeline that exists.
pub(crate) async fn ledger(settings: &Settings) -> Result<Side> {
    let target = Side::connect("target", &settings.target.url, &settings.name).await?;
    PgLedger::migrate_existing(&target.client, &target.place).await?;
    let known = PgLedger::registered(&target.client, &target.place, &settings.name).await?;
    if known.is_none() {
        let what = format!("the ledger knows no pipeline {}", settings.name);
        return Err(Error::new(Code::PipelineUnknown, what)
            .at(target.place.clone())
            .remedy("`regraft run` makes it"));
    }
    Ok(target)
}

/// A key is its text, or a JSON array of the texts of its columns.
fn keys(written: &[String]) -> Result<Vec<Vec<String>>> {
    let key = |text: &String| {
        if !text.starts_with('[') {
            return Ok(vec![text.clone()]);
        }
        let invalid = |error: serde_json::Error| {
            let what = format!("a key is no JSON array of texts: {error}");
            Error::new(Code::VerificationRefused, what)
                .at("--keys")
                .remedy("write a key of two columns as '[\"eu\", \"42\"]'")
        };
        let values: Vec<Value> = serde_json::from_str(text).map_err(invalid)?;
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(values.into_iter().map(text).collect())
    };
    written.iter().map(key).collect()
}

/// A target that is held, as it is told.
pub(crate) struct HeldTarget(regraft_postgres::ledger::HeldTarget);

impl HeldTarget {
    pub(crate) fn json(&self) -> Value {
        let Self(held) = self;
        json!({ "target": held.target, "source": held.source, "code": held.code })
    }
}

impl std::fmt::Display for HeldTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let regraft_postgres::ledger::HeldTarget { target, source, code } = &self.0;
        write!(
            f,
            "{target} is held with {source} [{code}], and its rows are stale; `regraft resume` says why, and \
             `regraft resume --accept {source}` brings them in line"
        )
    }
}

/// Those targets, in the order of their names.
pub(crate) async fn held_targets(target: &Side, name: &str) -> Result<Vec<HeldTarget>> {
    let held = PgLedger::held_targets(&target.client, &target.place, name).await?;
    Ok(held.into_iter().map(HeldTarget).collect())
}

/// The targets that are meant by names of targets, or of sources, whose rows fill all of theirs.
pub(crate) async fn known_tables(
    target: &Side,
    name: &str,
    tables: &[String],
) -> Result<Vec<String>> {
    let known = PgLedger::filled(&target.client, &target.place, name).await?;
    let mut meant = BTreeSet::new();
    for wanted in tables {
        let is = |known: &str| {
            known == wanted || known.split_once('.').is_some_and(|(_, table)| table == wanted)
        };
        // A name that both sides have is that of the target.
        let of = |side: usize| known.iter().filter(move |names| is(&names[side]));
        let side = if of(0).next().is_some() { 0 } else { 1 };
        let targets: Vec<_> = of(side).map(|names| names[0].clone()).collect();
        if targets.is_empty() {
            let held = PgLedger::held_targets(&target.client, &target.place, name).await?;
            if let Some(held) = held.iter().find(|held| is(&held.target) || is(&held.source)) {
                let what =
                    format!("{wanted} is held, and nothing is done about its rows meanwhile");
                let remedy =
                    format!("`regraft resume --accept {}` brings them in line", held.source);
                return Err(Error::new(Code::VerificationRefused, what)
                    .at("--tables")
                    .remedy(remedy));
            }
            let what = format!("the mapping fills no table {wanted}, and reads none of that name");
            let names: BTreeSet<_> = known.iter().flatten().map(String::as_str).collect();
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Error::new(Code::VerificationRefused, what)
                .at("--tables")
                .remedy(format!("name one of {names}")));
        }
        meant.extend(targets);
    }
    Ok(meant.into_iter().collect())
}

/// What is waited for.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// This request is carried out.
    Verified(i64),
    /// No finding waits for its repair.
    Repaired,
}

/// Waits until the daemon is done with it; runs the pipeline here where no daemon does.
pub(crate) async fn drive(
    pipeline: (&Settings, &Mappers),
    target: &Side,
    config: &std::path::Path,
    until: Until,
) -> Result<(), Vec<Error>> {
    let mut follower = Follower::start(pipeline, target, config).await?;
    let waited = wait(&mut follower, target, &pipeline.0.name, until, None).await;
    waited.map_err(|error| vec![error])?;
    follower.stop().await;
    Ok(())
}

async fn wait(
    follower: &mut Follower,
    target: &Side,
    name: &str,
    until: Until,
    bar: Option<ProgressBar>,
) -> Result<Vec<Outcome>> {
    loop {
        match look(target, name, until).await? {
            Looked::Done(outcomes) => {
                bar.inspect(ProgressBar::finish_and_clear);
                return Ok(outcomes);
            }
            Looked::Underway(rows) => {
                if let Some(bar) = &bar {
                    bar.set_position(rows);
                }
            }
        }
        follower.pause(target, LOOK).await?;
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style =
        ProgressStyle::with_template("{spinner} {human_pos} rows compared  {per_sec}  {elapsed}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

enum Looked {
    Underway(u64),
    Done(Vec<Outcome>),
}

async fn look(target: &Side, name: &str, until: Until) -> Result<Looked> {
    let (client, place) = (&target.client, target.place.as_str());
    let Until::Verified(id) = until else {
        let open = PgLedger::to_repair(client, place, name).await?;
        return Ok(if open == 0 { Looked::Done(Vec::new()) } else { Looked::Underway(0) });
    };
    let Verified { outcomes, finished, error } = PgLedger::verification(client, place, id).await?;
    if let Some(error) = error {
        return Err(Error::new(Code::VerificationRefused, error).at("verification"));
    }
    Ok(match finished {
        true => Looked::Done(outcomes),
        false => Looked::Underway(outcomes.iter().map(|outcome| outcome.rows).sum()),
    })
}

/// Open findings, the oldest first.
pub(crate) async fn findings(
    target: &Side,
    settings: &Settings,
    tables: &[String],
    limit: i64,
) -> Result<Vec<Value>> {
    let trusted = settings.target.foreign_keys == ForeignKeys::Trusted;
    let (client, place) = (&target.client, target.place.as_str());
    PgLedger::findings(client, place, &settings.name, (tables, trusted, limit)).await
}

fn report(outcomes: &[Outcome], findings: &[Value]) -> Value {
    let position = outcomes
        .iter()
        .filter_map(|outcome| outcome.position.parse::<Position>().ok())
        .reduce(|a, b| a.join(&b).unwrap_or(a));
    json!({ "position": position, "tables": outcomes, "findings": findings })
}

fn print(outcomes: &[Outcome], findings: &[Value]) {
    let rows: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            let digest = outcome.digest.get(..16).unwrap_or_default().to_owned();
            let numbers = [outcome.rows, outcome.missing, outcome.surplus, outcome.different];
            let mut cells = vec![outcome.target.clone()];
            cells.extend(numbers.map(|number| number.to_string()));
            cells.extend([
                outcome.unsettled.to_string(),
                format!("{:.1}", outcome.seconds),
                outcome.position.clone(),
                digest,
            ]);
            cells
        })
        .collect();
    let head = [
        "target",
        "equal rows",
        "missing",
        "surplus",
        "different",
        "unsettled",
        "seconds",
        "position",
        "digest",
    ];
    out!("{}", table(&head, &rows));
    if outcomes.iter().any(|outcome| outcome.unsettled > 0) {
        outln!("\nunsettled rows changed whenever they were looked at; verify again later");
    }
    print_findings(findings, true);
}

/// Prints findings; with `advice`, what brings them in line, else what a repair leaves alone.
pub(crate) fn print_findings(findings: &[Value], advice: bool) {
    if findings.is_empty() {
        return;
    }
    outln!();
    for finding in findings {
        let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let columns = finding["columns"].as_array().into_iter().flatten();
        let columns: Vec<_> = columns.filter_map(Value::as_str).collect();
        let columns =
            if columns.is_empty() { String::new() } else { format!(" in {}", columns.join(", ")) };
        outln!("{} {} {}{columns}", text("difference"), text("target"), finding["key"]);
    }
    outln!("\nall of them are in regraft.findings of the target");
    if advice && findings.iter().any(is_repairable) {
        outln!("`regraft repair` brings them in line");
    }
    let whole = findings.iter().filter(|finding| finding["by_key"] == false);
    let sources: BTreeSet<_> = whole.filter_map(|finding| finding["source"].as_str()).collect();
    for source in sources {
        outln!(
            "rows of {source} are not found again by their key in such a target: `regraft run --recopy \
             {source}` makes them anew"
        );
    }
    let kept: BTreeSet<_> = findings.iter().filter_map(kept_by_target).collect();
    kept.iter().for_each(|text| outln!("{text}"));
}

/// A repair brings it in line, as far as is known.
pub(crate) fn is_repairable(finding: &Value) -> bool {
    finding["by_key"] == true && finding["kept_by_target"] != true
}

/// What is to be said of a difference that was there again after its repair.
fn kept_by_target(finding: &Value) -> Option<String> {
    if finding["kept_by_target"] != true {
        return None;
    }
    let key: Vec<_> = finding["key"].as_object()?.keys().map(String::as_str).collect();
    let triggers = finding["triggers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let triggers: Vec<_> = triggers.collect();
    let by = match triggers.is_empty() {
        true => "no trigger of it is enabled: look for a rule, or for another session that writes"
            .to_owned(),
        false => {
            format!("triggers {}: disable them until the migration is over", triggers.join(", "))
        }
    };
    Some(format!(
        "{} changes or suppresses by itself what is written to it: rows that differ (told by {}) are the same \
         after their repair; {by}; then `regraft repair --apply`",
        finding["target"].as_str()?,
        key.join(", "),
    ))
}
