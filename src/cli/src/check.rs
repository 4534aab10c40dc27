//! `regraft check`.

use std::path::Path;

use regraft_core::{Code, Error, Result, TableName};
use regraft_postgres::address::application;
use regraft_postgres::ledger::PgLedger;
use regraft_postgres::planning::{ddl, may_publish};
use regraft_postgres::slot::{Publication, Slot};
use regraft_postgres::standing::{self, Held, Reply, When, aside};
use regraft_postgres::writes::Leaf;
use regraft_settings::Settings;
use serde_json::json;

use crate::accepted::other_meaning;
use crate::args::CheckArgs;
use crate::board::needed;
use crate::finding::{Finding, Severity};
use crate::legs::legs;
use crate::mappers::Mappers;
use crate::out::{errln, out, outln, outln_good};
use crate::publishing::{others, unfit_appended};
use crate::resolve::{MissingTarget, Mode, Resolution, Resolved, Side, occupied, resolve};
use crate::sample::{SampleReport, sample};
use crate::setup::{other_source, rewound, standby};
use crate::status::table;

/// Looks at everything and prints what was found; exit status 1 when something keeps the pipeline
/// from running.
///
/// # Errors
/// When the configuration is not valid, or a server cannot be asked.
pub async fn check(args: &CheckArgs, mappers: &Mappers) -> Result<u8, Vec<Error>> {
    let (mut found, mut errors): (Option<Found>, _) = (None, Vec::new());
    let mut missing = Vec::new();
    match checked(args) {
        Ok(legs) => {
            for leg in &legs {
                match look(leg, args, mappers).await {
                    Ok(mut of_leg) => {
                        let tables = std::mem::take(&mut of_leg.resolution.missing_targets);
                        missing.push((leg.clone(), tables));
                        match &mut found {
                            Some(found) => found.add(of_leg),
                            None => found = Some(of_leg),
                        }
                    }
                    Err(of_leg) => add(&mut errors, of_leg),
                }
            }
        }
        Err(faults) => errors = faults,
    }
    let (resolution, sampled) = match found {
        Some(Found { resolution, sampled }) => (resolution, sampled),
        None => (Resolution::default(), None),
    };
    if !errors.is_empty() {
        // A machine that reads the report finds there what it lacks.
        if args.json {
            let Resolution { statements, mut findings, .. } = resolution;
            findings.extend(errors.iter().map(Finding::from));
            out!("{:#}\n", json!({ "statements": statements, "findings": findings }));
        } else if !resolution.statements.is_empty() {
            print(&resolution, None);
        }
        return Err(errors);
    }
    if args.ddl {
        return Ok(print_ddl(&resolution, &missing));
    }
    if args.json {
        let Resolution { statements, findings, .. } = &resolution;
        let mut report = json!({ "statements": statements, "findings": findings });
        if let Some(sampled) = &sampled {
            report["sample"] = json!(sampled);
        }
        out!("{report:#}\n");
    } else {
        print(&resolution, sampled.as_ref());
        if args.sample.is_some() && sampled.is_none() {
            outln!("no rows were sampled: correct the errors first");
        }
    }
    Ok(u8::from(resolution.has_errors()))
}

/// Each once: that the source cannot be reached is true for all targets.
fn add(errors: &mut Vec<Error>, more: Vec<Error>) {
    for error in more {
        if !errors.iter().any(|known| known.to_string() == error.to_string()) {
            errors.push(error);
        }
    }
}

/// What was found for a target, or for several.
struct Found {
    resolution: Resolution,
    sampled: Option<SampleReport>,
}

impl Found {
    fn add(&mut self, more: Found) {
        self.resolution.add(more.resolution);
        self.sampled = match (self.sampled.take(), more.sampled) {
            (Some(sampled), Some(more)) => Some(sampled.and(&more)),
            // Statements of the other one were not sampled.
            _ => None,
        };
    }
}

fn checked(args: &CheckArgs) -> Result<Vec<Settings>, Vec<Error>> {
    legs(&args.config).map_err(|errors| {
        let file = Settings::mapping_file(&args.config.config);
        with_mapping(errors, file.as_deref())
    })
}

async fn look(
    settings: &Settings,
    args: &CheckArgs,
    mappers: &Mappers,
) -> Result<Found, Vec<Error>> {
    let source = Side::connect("source", &settings.source.url, &settings.name).await;
    let target = Side::connect("target", &settings.target.url, &settings.name).await;
    let (source, target) = match (source, target) {
        (Ok(source), Ok(target)) => (source, target),
        (source, target) => {
            let errors = [source.err(), target.err()].into_iter().flatten().collect();
            return Err(with_mapping(errors, Some(&settings.mapping.file)));
        }
    };
    let one = |error: Error| vec![error];
    let mut resolution = resolve(settings, mappers, (&source, &target), &[]).await.map_err(one)?;
    let held = held(settings, &target).await.map_err(one)?;
    slot_and_publication(settings, &source, &held, &mut resolution).await.map_err(one)?;
    resolution.findings.extend(held.iter().map(|held| {
        let what = format!("the table is held: {}", held.what);
        Finding::warning(what, held.table.to_string(), &held.remedy)
    }));
    ledger(settings, &source, &target, &held, &mut resolution).await.map_err(one)?;
    room(settings, [&source, &target], &mut resolution).await.map_err(one)?;
    let mut sampled = None;
    if let (Some(count), Some(resolved)) = (args.sample, &resolution.resolved) {
        let wanted = (count, args.show_values);
        let reports = &resolution.statements;
        let (report, findings) = sample(&source, resolved, reports, wanted).await.map_err(one)?;
        resolution.findings.extend(findings);
        sampled = Some(report);
    }
    Ok(Found { resolution, sampled })
}

/// Tables that the daemon goes on without; none where it cannot keep its ledger.
async fn held(settings: &Settings, target: &Side) -> Result<Vec<Held>> {
    match PgLedger::may_keep(&target.client, &target.place).await? {
        Some(_) => Ok(Vec::new()),
        None => aside(&target.client, &target.place, &settings.name).await,
    }
}

/// What keeps the servers from being asked keeps nobody from reading the mapping.
fn with_mapping(mut errors: Vec<Error>, file: Option<&Path>) -> Vec<Error> {
    if let Some(file) = file
        && let Ok(text) = std::fs::read_to_string(file)
    {
        errors.extend(regraft_mapping::parse_each(&file.display().to_string(), &text).1);
    }
    errors
}

/// What can be made is printed; what else is wrong goes to standard error, so that the output can
/// be run as it is.
fn print_ddl(resolution: &Resolution, missing: &[(Settings, Vec<MissingTarget>)]) -> u8 {
    for (leg, missing) in missing {
        if leg.is_shared() && !missing.is_empty() {
            out!("-- [{}]\n", leg.target.table());
        }
        out!("{}", ddl(missing));
    }
    let others = resolution.findings.iter().filter(|finding| {
        finding.severity == Severity::Error && finding.code != Code::TargetMissing
    });
    let others: Vec<_> = others.collect();
    others.iter().for_each(|finding| errln!("{finding}"));
    u8::from(!others.is_empty())
}

fn print(resolution: &Resolution, sampled: Option<&SampleReport>) {
    let rows: Vec<_> = resolution
        .statements
        .iter()
        .map(|statement| {
            let mode = match statement.mode {
                Mode::Streamed => "streamed",
                Mode::Read => "read",
                Mode::Refused => "refused",
            };
            vec![
                format!("{}:{}", statement.file, statement.line),
                statement.source.clone(),
                statement.target.clone(),
                mode.to_owned(),
                statement.message.clone(),
            ]
        })
        .collect();
    out!("{}", table(&["statement", "source", "target", "mode", ""], &rows));
    for finding in &resolution.findings {
        outln!("\n{finding}");
    }
    if let Some(SampleReport { compared, left, different, failing }) = sampled {
        outln!(
            "\nsample: {compared} rows evaluated both ways, {different} differ; {left} more are left \
             to PostgreSQL; the SELECT fails for {failing}"
        );
    }
    let count = |severity| resolution.findings.iter().filter(|f| f.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match (errors, warnings) {
        (0, 0) => outln_good!("\n0 errors, 0 warnings"),
        _ => outln!("\n{errors} errors, {warnings} warnings"),
    }
}

/// Whether both servers have room for the sessions of the pipeline.
async fn room(settings: &Settings, sides: [&Side; 2], resolution: &mut Resolution) -> Result<()> {
    // Of a pipeline that runs, whatever the target.
    let application = application(settings.pipeline());
    for ((role, side), needed) in ["source", "target"].into_iter().zip(sides).zip(needed(settings))
    {
        let asked = (&side.client, side.place.as_str());
        let lacking = needed.lacking(asked, role, &application).await?;
        let warning = |(what, remedy)| Finding::warning(what, &side.place, remedy);
        resolution.findings.extend(lacking.into_iter().map(warning));
    }
    Ok(())
}

/// Slot and publication, without making either.
async fn slot_and_publication(
    settings: &Settings,
    side: &Side,
    held: &[Held],
    resolution: &mut Resolution,
) -> Result<()> {
    let slot = Slot::find(&side.client, &side.place, &settings.source.slot).await?;
    let name = &settings.source.slot;
    // At a start all targets but one come by a copy of the slot; those of a daemon that runs are there.
    let copies = settings.targets.len().saturating_sub(1);
    let (made, copies) = match &slot {
        None => (1, copies),
        Some(slot) if slot.active_pid.is_some() => (0, 0),
        Some(_) => (0, copies),
    };
    let wanted = made + i64::try_from(copies).unwrap_or(i64::MAX);
    if side.server.free_slots < wanted {
        let free = side.server.free_slots.max(0);
        let what = format!("of replication slots {wanted} are needed, and {free} are free");
        let full = Error::new(Code::SlotsExhausted, what).at(side.place.clone());
        let remedy = "raise max_replication_slots, or drop slots that nobody uses";
        resolution.findings.push(Finding::from(&full.remedy(remedy)));
    }
    if let Some(slot) = &slot {
        let fit = slot.fit(name, &side.place, &side.server.database, None);
        resolution.findings.extend(fit.err().iter().map(Finding::from));
    }
    resolution.findings.extend(standby(side, &settings.name).await?);
    // It has rules of its own (pg_hba.conf, the role, wal_level), which nothing else shows before the start.
    if let Err(error) = side.endpoint.connect_replication(&application(&settings.name)).await {
        let finding = Finding::from(&error.at(&side.place));
        if !resolution.findings.iter().any(|known| known.code == finding.code) {
            resolution.findings.push(finding);
        }
    }
    let Some(resolved) = &resolution.resolved else { return Ok(()) };
    let name = &settings.source.publication;
    let mut tables = resolved.plan.published();
    if settings.makes(name) {
        // Tables that are held are not in the plan, and leave it until they are again.
        tables.retain(|table| !held.iter().any(|held| held.table == *table));
    }
    let found = Publication::find(&side.client, &side.server, &side.place, name).await?;
    let fit = match &found {
        Some(publication) => publication.fit(name, &side.place, &tables).err(),
        None => {
            let create = Publication::sql(name, &tables);
            may_publish(&side.client, &side.place, name, &tables, &create).await?
        }
    };
    resolution.findings.extend(fit.iter().map(Finding::from));
    let appended = unfit_appended(settings, side, &resolved.plan).await?;
    resolution.findings.extend(appended.iter().map(Finding::from));
    if let Some(found) = found.filter(|_| !settings.makes(name)) {
        let leaves = Leaf::of(&side.client, &side.place, &resolved.plan.published_oids()).await?;
        let accepts = leaves
            .iter()
            .map(|leaf| leaf.accepts_writes(&side.server, found.generated, &side.place));
        resolution.findings.extend(accepts.filter_map(Result::err).map(|e| Finding::from(&e)));
    }
    Ok(())
}

/// Whether the ledger can be made; whether a known pipeline has its source, and a new one empty
/// targets.
async fn ledger(
    settings: &Settings,
    source: &Side,
    side: &Side,
    held: &[Held],
    resolution: &mut Resolution,
) -> Result<()> {
    if let Some(refusal) = PgLedger::may_keep(&side.client, &side.place).await? {
        resolution.findings.push(Finding::from(&refusal));
        return Ok(());
    }
    let known = PgLedger::registered(&side.client, &side.place, &settings.name).await?;
    if let Some(known) = known {
        let other = match other_source(source, &known) {
            Some(other) => Some(other),
            None => rewound(source, &known).await?,
        };
        resolution.findings.extend(other.iter().map(Finding::from));
        if let Some(resolved) = &resolution.resolved {
            let meaning = other_meaning(resolved, &known, &[]);
            resolution.findings.extend(meaning.iter().map(|(error, _)| Finding::from(error)));
            let found = drifted(settings, (source, side), held, resolved).await?;
            resolution.findings.extend(found);
        }
        return Ok(());
    }
    resolution.findings.extend(others(settings, source, side).await?.iter().map(Finding::from));
    let Some(resolved) = &resolution.resolved else { return Ok(()) };
    if settings.backfill.enabled {
        let occupied = occupied(side, &resolved.plan.routes).await?;
        resolution.findings.extend(occupied.iter().map(Finding::from));
    }
    Ok(())
}

/// What the pipeline stands on, where it is not what was accepted.
async fn drifted(
    settings: &Settings,
    (source, target): (&Side, &Side),
    held: &[Held],
    resolved: &Resolved,
) -> Result<Vec<Finding>> {
    let known = standing::known(&target.client, &target.place, &settings.name).await?;
    let Some(known) = known else { return Ok(Vec::new()) };
    let asked = &resolved.asked;
    let mut drift = known.drift(&resolved.standing, asked, When::Start);
    // Of tables that are held it is told already, and the others go on without them.
    let is_held = |table: &TableName| held.iter().any(|held| held.table == *table);
    drift.retain(|drift| drift.copies.is_empty() || !drift.copies.iter().all(is_held));
    let finding = |drift: &standing::Drift| {
        let error = drift.error(&source.place);
        let goes_on = error.drift().is_some_and(|drifted| asked.policy.goes_on(drifted));
        if drift.reply == Reply::Hold && !goes_on {
            return Finding::from(&error);
        }
        let remedy = "nothing needs to be done: the daemon goes on, and brings the rows in line";
        Finding::warning(drift.what.clone(), &source.place, remedy)
    };
    Ok(drift.iter().map(finding).collect())
}
