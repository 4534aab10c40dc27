//! `regraft teardown`: removes what a pipeline made at the source, and its rows in the ledger.

use regraft_core::{Code, Error, Result};
use regraft_postgres::ledger::PgLedger;
use regraft_postgres::planning::{drop_publication, drop_slot};
use regraft_postgres::slot::{Publication, Slot};
use regraft_settings::Settings;

use crate::args::TeardownArgs;
use crate::legs::each;
use crate::out::outln;
use crate::publishing::publications;
use crate::resolve::Side;

/// Says what would be removed, or removes it.
///
/// # Errors
/// When a daemon still runs the pipeline, or a server refuses.
pub async fn teardown(args: &TeardownArgs) -> Result<u8, Vec<Error>> {
    each(&args.config, false, &[], async |settings| {
        let found = remove(settings, args).await.map_err(|error| vec![error])?;
        if !found {
            outln!("there is nothing to remove");
        } else if !args.apply {
            outln!("nothing was removed; --apply does it");
        }
        Ok((0, None))
    })
    .await
}

/// False when there is nothing of the pipeline at either side.
async fn remove(settings: &Settings, args: &TeardownArgs) -> Result<bool> {
    let apply = args.apply;
    let source = Side::connect("source", &settings.source.url, &settings.name).await?;
    let target = Side::connect("target", &settings.target.url, &settings.name).await?;
    let name = &settings.name;
    if apply {
        PgLedger::migrate_existing(&target.client, &target.place).await?;
        if !PgLedger::lock_if_free(&target.client, &target.place, name).await? {
            let what = format!("a daemon runs the pipeline {name}");
            return Err(Error::new(Code::PipelineRunning, what)
                .at(&target.place)
                .remedy("stop the daemon first"));
        }
    }
    let (mut slot, mut publication) = (false, false);
    if settings.is_shared() && args.config.target.is_some() {
        outln!("leaving the slot and the publication, which the other targets use");
    } else {
        slot = self::slot(settings, &source, apply).await?;
        for name in publications(settings) {
            publication |= self::publication(settings, &source, &name, apply).await?;
        }
    }
    let registered = PgLedger::registered(&target.client, &target.place, name).await?.is_some();
    if registered {
        outln!("{} the ledger's rows of {name}; target tables stay", verb(apply));
        if apply {
            PgLedger::forget(&target.client, &target.place, name).await?;
        }
    }
    if registered {
        schema(&target, apply).await?;
    }
    Ok(slot || publication || registered)
}

/// Says what becomes of the ledger's schema: other pipelines may be in it.
async fn schema(side: &Side, apply: bool) -> Result<()> {
    let left = PgLedger::pipelines(&side.client, &side.place).await?;
    match left - i64::from(!apply) {
        0 => outln!(
            "leaving the schema regraft of the target, which holds the events of what was; no pipeline is in \
             it any more: DROP SCHEMA regraft CASCADE"
        ),
        others => {
            outln!("leaving the schema regraft of the target, which {others} more pipelines use")
        }
    }
    Ok(())
}

/// Drops the slot, if regraft made it. True when there is one.
async fn slot(settings: &Settings, side: &Side, apply: bool) -> Result<bool> {
    let Side { client, place, .. } = side;
    let name = &settings.source.slot;
    let Some(found) = Slot::find(client, place, name).await? else { return Ok(false) };
    if !settings.makes(name) {
        outln!("leaving the slot {name}, which regraft did not make");
        return Ok(true);
    }
    outln!("{} the slot {name}", verb(apply));
    if !apply {
        return Ok(true);
    }
    if let Some(pid) = found.active_pid {
        let what = format!("the slot {name} is used by process {pid}");
        return Err(Error::new(Code::SlotInUse, what).at(place).remedy("stop that consumer first"));
    }
    drop_slot(client, place, name).await.map(|()| true)
}

/// Drops a publication, if regraft made it. True when there is one.
async fn publication(settings: &Settings, side: &Side, name: &str, apply: bool) -> Result<bool> {
    let Side { client, place, server, .. } = side;
    if Publication::find(client, server, place, name).await?.is_none() {
        return Ok(false);
    }
    if !settings.makes(&settings.source.publication) {
        outln!("leaving the publication {name}, which regraft did not make");
        return Ok(true);
    }
    outln!("{} the publication {name}", verb(apply));
    if apply {
        drop_publication(client, place, name).await?;
    }
    Ok(true)
}

fn verb(apply: bool) -> &'static str {
    if apply { "removing" } else { "would remove" }
}
