//! `regraft resume`: what is held, and how it goes on.

use regraft_core::{Code, Error, Result, TableName};
use regraft_postgres::ledger::PgLedger;
use regraft_postgres::standing::{How, Resume, aside, ask, resumption};
use regraft_settings::Settings;
use serde_json::json;

use crate::args::ResumeArgs;
use crate::holding::shown;
use crate::legs::{Report, each};
use crate::out::{outln, outln_good};
use crate::resolve::Side;

/// Shows what is held, or has it go on. Exit status 1 when something is held and nothing was said.
///
/// # Errors
/// When the target cannot be asked, its ledger knows no such pipeline, or a table is not one of it.
pub(crate) async fn resume(args: &ResumeArgs) -> Result<u8, Vec<Error>> {
    each(&args.config, args.json, &args.tables, async |settings| {
        resumed(settings, args).await.map_err(|error| vec![error])
    })
    .await
}

async fn resumed(settings: &Settings, args: &ResumeArgs) -> Result<Report> {
    let target = Side::connect("target", &settings.target.url, &settings.name).await?;
    let (client, place, name) = (&target.client, target.place.as_str(), &settings.name);
    let registered = PgLedger::registered(client, place, name).await?;
    let registered = registered.ok_or_else(|| {
        Error::new(Code::PipelineUnknown, format!("the ledger knows no pipeline {name}"))
            .at(place)
            .remedy("`regraft run` makes it")
    })?;
    let held = aside(client, place, name).await?;
    let is = |table: &TableName, wanted: &String| {
        wanted == "all" || *wanted == table.name || *wanted == table.to_string()
    };
    let known = || registered.shapes.iter().map(|(table, _)| table);
    if let Some(unknown) = args.tables.iter().find(|wanted| !known().any(|t| is(t, wanted))) {
        let what = format!("{unknown}: the pipeline {name} has no such source table");
        let known: Vec<_> = known().map(ToString::to_string).collect();
        return Err(Error::new(Code::UsageInvalid, what)
            .at("command line")
            .remedy(format!("name one of {}, or all", known.join(", "))));
    }
    // In full: what is said is about these, and nothing that comes later.
    let mut tables: Vec<_> = known()
        .filter(|table| args.tables.iter().any(|wanted| wanted != "all" && is(table, wanted)))
        .map(ToString::to_string)
        .collect();
    if args.tables.iter().any(|wanted| wanted == "all") {
        tables.clear();
    }
    let shown: Vec<_> = held.iter().map(shown).collect();
    let whole = registered.last_error.as_ref();
    if !args.accept {
        let is_held = u8::from(!shown.is_empty() || whole.is_some());
        if args.json {
            let whole = whole.map(|(code, what)| json!({ "code": code, "what": what }));
            return Ok((is_held, Some(json!({ "held": shown, "error": whole }))));
        } else {
            shown.iter().for_each(|held| outln!("{held}\n  to do: {}", held.remedy));
            if let Some((code, what)) = whole {
                outln!("the whole pipeline: [{code}] {what}");
            }
            if shown.is_empty() && whole.is_none() {
                outln_good!("nothing is held");
            } else {
                outln!("--accept makes the plan again, and brings the rows in line");
            }
        }
        return Ok((is_held, None));
    }
    if shown.is_empty() && whole.is_none() && args.tables.is_empty() {
        outln_good!("nothing is held");
        return Ok((0, None));
    }
    if args.as_is {
        let stale = shown.iter().find(|held| tables.is_empty() || tables.contains(&held.table));
        if let Some(held) = stale {
            let what =
                format!("the other tables went on without {}: its rows are stale", held.table);
            return Err(Error::new(Code::UsageInvalid, what)
                .at("command line")
                .remedy("leave --as-is out: its rows are compared, and mended where they differ"));
        }
        if tables.is_empty() {
            tables.clone_from(&registered.drifted);
        }
        if tables.is_empty() {
            let what = "what holds the pipeline is not about tables that have changed";
            return Err(Error::new(Code::UsageInvalid, what)
                .at("command line")
                .remedy("name the tables whose rows fit as they are"));
        }
    }
    let how = match (args.copy, args.as_is) {
        (true, _) => How::Copy,
        (_, true) => How::AsIs,
        _ => How::Mend,
    };
    PgLedger::migrate_existing(client, place).await?;
    if let Some(waiting) = resumption(client, place, name).await? {
        if waiting.how != how {
            let what = "something else was said before, and the daemon has not seen it yet";
            return Err(Error::new(Code::UsageInvalid, what)
                .at("command line")
                .remedy("say it again in some seconds, or when the daemon runs"));
        }
        // None stands for all that is held.
        match waiting.tables.is_empty() {
            true => tables.clear(),
            false if !tables.is_empty() => tables.extend(waiting.tables),
            false => {}
        }
    }
    let resume = Resume { how, tables };
    ask(client, place, name, &resume).await?;
    let running = PgLedger::is_running(client, place, name).await?;
    if args.json {
        return Ok((0, Some(json!({ "asked": resume, "running": running }))));
    }
    if running {
        outln!("asked; the daemon makes its plan again within seconds, see `regraft status`");
    } else {
        outln!("noted; the daemon does so when it tries again, or is started");
    }
    Ok((0, None))
}
