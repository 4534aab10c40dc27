//! `regraft repair`: brings rows that differ in line, by reading them from the source again.

use std::sync::Arc;
use std::time::Duration;

use regraft_core::{Code, Error, Result};
use regraft_postgres::address::application;
use regraft_postgres::standing::aside;
use regraft_postgres::verify::{PgVerifier, VerifySide};
use regraft_settings::Settings;
use serde_json::json;

use crate::args::RepairArgs;
use crate::legs::{Report, each};
use crate::load;
use crate::mappers::Mappers;
use crate::out::outln;
use crate::resolve::{Side, resolve};
use crate::verify::{
    HeldTarget, Until, drive, findings, held_targets, is_repairable, known_tables, ledger,
    print_findings,
};

/// Findings that are listed.
const LISTED: i64 = 10_000;
/// Findings that are printed for people.
const PRINTED: usize = 20;
/// How often the pipeline is asked, when a server ends the transaction in favour of another one.
const ASKS: u32 = 5;
const ASK_WAIT: Duration = Duration::from_millis(200);

/// Says what would be repaired, or has it repaired and waits for it. Exit status 1 when rows that differ
/// are left, or held.
///
/// # Errors
/// When a server cannot be asked, or the mapping is not in order.
pub async fn repair(args: &RepairArgs, mappers: &Mappers) -> Result<u8, Vec<Error>> {
    crate::init_logging(&load(&args.config)?.log);
    let repair = async |settings: &Settings| repair_one(settings, args, mappers).await;
    each(&args.config, args.json, &args.tables, repair).await
}

async fn repair_one(
    settings: &Settings,
    args: &RepairArgs,
    mappers: &Mappers,
) -> Result<Report, Vec<Error>> {
    let one = |error| vec![error];
    let target = ledger(settings).await.map_err(one)?;
    let tables = known_tables(&target, &settings.name, &args.tables).await.map_err(one)?;
    let args = &RepairArgs { tables, ..args.clone() };
    let open = findings(&target, settings, &args.tables, LISTED).await.map_err(one)?;
    let mut asked = 0;
    if args.apply && !open.is_empty() {
        asked = ask_again(settings, mappers, &args.tables).await?;
        drive((settings, mappers), &target, &args.config.config, Until::Repaired).await?;
    }
    let left = match args.apply {
        true => findings(&target, settings, &args.tables, LISTED).await.map_err(one)?,
        false => open.clone(),
    };
    let held = match args.tables.is_empty() {
        true => held_targets(&target, &settings.name).await.map_err(one)?,
        false => Vec::new(),
    };
    let status = u8::from(!left.is_empty() || !held.is_empty());
    if args.json {
        let held: Vec<_> = held.iter().map(HeldTarget::json).collect();
        let told = json!({ "held": held, "found": open.len(), "asked": asked, "open": left });
        return Ok((status, Some(told)));
    }
    if !args.apply {
        // It is asked for again by name: what keeps such rows may be gone.
        let repairable = open.iter().filter(|finding| finding["by_key"] == true).count();
        match repairable {
            0 => outln!("would repair 0 rows"),
            _ => outln!("would repair {repairable} rows; --apply does it"),
        }
        print_findings(&open[..open.len().min(PRINTED)], false);
    } else {
        outln!("repaired {} rows, {} are left", open.len().saturating_sub(left.len()), left.len());
        print_findings(&left[..left.len().min(PRINTED)], false);
        if left.iter().any(is_repairable) {
            outln!("what was found meanwhile is repaired by another `regraft repair --apply`");
        }
    }
    held.iter().for_each(|held| outln!("not repaired: {held}"));
    Ok((status, None))
}

/// Asks until it is done: a transaction that the target ended, of a deadlock say, has changed nothing.
async fn ask_again(
    settings: &Settings,
    mappers: &Mappers,
    tables: &[String],
) -> Result<u64, Vec<Error>> {
    let mut left = ASKS;
    loop {
        left -= 1;
        match ask(settings, mappers, tables).await {
            Err(errors)
                if left > 0
                    && errors.iter().all(|error| error.code() == Code::TargetUnavailable) =>
            {
                tokio::time::sleep(ASK_WAIT).await;
                errors
                    .iter()
                    .for_each(|error| tracing::warn!("the repair begins again: {error:#}"));
            }
            result => return result,
        }
    }
}

/// Asks the pipeline for the repair.
async fn ask(settings: &Settings, mappers: &Mappers, tables: &[String]) -> Result<u64, Vec<Error>> {
    let one = |error| vec![error];
    let source =
        Side::connect("source", &settings.source.url, &settings.name).await.map_err(one)?;
    let target =
        Side::connect("target", &settings.target.url, &settings.name).await.map_err(one)?;
    let held = aside(&target.client, &target.place, &settings.name).await.map_err(one)?;
    let resolution = resolve(settings, mappers, (&source, &target), &held).await.map_err(one)?;
    let resolved = resolution.resolved;
    let Some(resolved) = resolved else {
        let what = "the mapping is not in order";
        return Err(vec![
            Error::new(Code::VerificationRefused, what)
                .at(settings.mapping.file.display().to_string())
                .remedy("see `regraft check`"),
        ]);
    };
    let statements = Arc::clone(&resolved.verify);
    let side = |side: Side| VerifySide {
        client: side.client,
        place: side.place,
        address: Arc::new(move || Ok(side.endpoint.clone())),
        application: application(&settings.name),
    };
    let (source, target) = (side(source), side(target));
    let verifier = PgVerifier::new(source, target, &settings.name, statements, false).await;
    verifier.map_err(one)?.repair(tables, true).await.map_err(one)
}
