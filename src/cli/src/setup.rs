//! What has to be there before a pipeline can run: publication, slot and ledger, made where they
//! are missing and judged where they are not.
//!
//! All of it happens under the pipeline's lock in the target, the one that a running daemon holds:
//! a table must not be copied anew under a daemon that is about to note chunks of it.

use std::time::{Duration, Instant};

use regraft_core::segment::Route;
use regraft_core::sql::{literal, quote};
use regraft_core::{Code, Drifted, Error, Position, Result, Subject, TableName, fail_point};
use regraft_pipeline::Fan;
use regraft_postgres::address::application;
use regraft_postgres::history;
use regraft_postgres::ledger::{NewPipeline, PgLedger, Registered};
use regraft_postgres::planning::{drop_publication, drop_slot, standbys, there};
use regraft_postgres::sessions::{Sessions, process};
use regraft_postgres::slot::{START_OVER, Server, Slot, names_standby};
use regraft_postgres::standing::{self, Drift, How, Standing, When};
use regraft_settings::Settings;

use crate::accepted::{
    Accepted, changed_mapping, changed_shape, copy_anew, every_table, named, other_meaning,
    without_owner,
};
use crate::args::RunArgs;
use crate::finding::Finding;
use crate::holding::Holding;
use crate::publishing::{others, publications};
use crate::resolve::standing::take;
use crate::resolve::{Resolved, Side, occupied};

/// Between looks at a slot that is in use, and how long one is taken for that of a daemon that has
/// just ended.
const SLOT_LOOKS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Harm to the application: the source's commits would wait for this pipeline.
///
/// # Errors
/// When the source cannot be asked.
pub(crate) async fn standby(side: &Side, name: &str) -> Result<Option<Finding>> {
    let (standbys, commit) = standbys(&side.client, &side.place).await?;
    Ok(names_standby(&standbys, &application(name)).then(|| {
        let what = format!(
            "synchronous_standby_names is {}, which counts this pipeline as a synchronous standby: \
             commits of the application may wait until the target has them (synchronous_commit = \
             {commit}), and for ever while the pipeline is held",
            literal(&standbys)
        );
        Finding::warning(
            what,
            &side.place,
            "name the standbys there, one by one: ALTER SYSTEM SET \
            synchronous_standby_names = 'FIRST 1 (standby1, standby2)'; SELECT pg_reload_conf()",
        )
    }))
}

/// Why this is not the source that the ledger knows: a position means nothing anywhere else.
pub(crate) fn other_source(source: &Side, known: &Registered) -> Option<Error> {
    let server = &source.server;
    let what = if server.system != known.source_system {
        "the source is not the cluster that the ledger knows".to_owned()
    } else if server.database != known.source_db {
        format!("the source is not the database {} that the ledger knows", known.source_db)
    } else {
        return None;
    };
    Some(Error::new(Code::SourceReplaced, what).at(&source.place).remedy(format!(
        "point [source] at the server that the pipeline was made for; if it was replaced for good: \
         {START_OVER}"
    )))
}

/// Why the source is not taken, though its log may have grown beyond the position in the meantime: what was
/// once found missing in it is still not there.
///
/// # Errors
/// When the source cannot be asked.
pub(crate) async fn rewound(source: &Side, known: &Registered) -> Result<Option<Error>> {
    let Side { client, place, .. } = source;
    // The position was read a moment ago, and another daemon may have moved it since the server was asked.
    let end = Server::ask(client, place).await?.wal_end;
    let of_this = |error: &(String, String)| {
        error.0 == Code::SourceRewound.as_str() && error.1.starts_with(place)
    };
    let ended = known.last_error.as_ref().is_some_and(of_this);
    Ok((ended || !end.covers(&known.position)).then(|| {
        let what = format!(
            "the source's log did not hold the position {} that the target has: it was restored, or promoted \
             too early",
            known.position
        );
        history::rewound(what, place)
    }))
}

pub(crate) struct Setup<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) holding: &'a Holding<'a>,
    pub(crate) args: &'a RunArgs,
    pub(crate) source: &'a Side,
    pub(crate) target: &'a Side,
    /// Where it is told who is waited for.
    pub(crate) sessions: &'a Sessions,
    /// What it shares with other targets, of which some may be followed already.
    pub(crate) fan: Option<&'a Fan>,
}

impl Setup<'_> {
    /// Makes or judges everything; gives the system identifier of the source that the ledger knows.
    ///
    /// # Errors
    /// What keeps the pipeline from running.
    pub(crate) async fn register(&self, resolved: &Resolved) -> Result<String> {
        let Self { settings, target, .. } = self;
        let mut accepted = self.accepted(resolved)?;
        let (client, place) = (&target.client, target.place.as_str());
        let alone = PgLedger::lock_if_free(client, place, &settings.name).await?;
        if let Some(refusal) = PgLedger::may_keep(client, place).await? {
            return Err(refusal);
        }
        let has_ledger = PgLedger::migrate_existing(client, place).await?;
        let registered = PgLedger::registered(client, place, &settings.name).await?;
        if !alone {
            return self.stand_by(resolved, registered);
        }
        let mut drift = Vec::new();
        match &registered {
            None => self.refuse_mixing(resolved, &accepted.anew).await?,
            Some(known) if !self.starts_over() => {
                other_source(self.source, known).map_or(Ok(()), Err)?;
                if let Some(error) = rewound(self.source, known).await? {
                    // The log may have grown beyond the position when it is looked at again.
                    PgLedger::note_error(client, place, &settings.name, Some(&error)).await?;
                    return Err(error);
                }
                self.refuse_mixing_new(resolved, known, &accepted.anew).await?;
                if has_ledger {
                    drift = self.drifted(resolved).await?;
                }
                self.judge(resolved, known, &drift, &mut accepted)?;
                drift.retain(|drift| !accepted.covers(resolved, drift));
            }
            Some(_) => {}
        }
        let first = registered.is_none();
        if first {
            if let Some(refusal) = others(self.settings, self.source, target).await? {
                return Err(refusal);
            }
            self.unused_slot().await?;
        }
        let there = self.there().await?;
        let made = async {
            self.publish(resolved, !first).await?;
            self.publish_appended(&resolved.plan, !first).await?;
            if !has_ledger {
                PgLedger::migrate(client, place).await?;
            }
            match registered {
                None => self.create(resolved, &accepted.anew, there.1).await,
                Some(known) => self.resume(resolved, known, &drift, &accepted).await,
            }
        };
        let system = match made.await {
            Err(error) if first => {
                self.undo(there).await;
                return Err(error);
            }
            made => made?,
        };
        // What was compared; only the publication is another one by now.
        let Standing { publication, appended, .. } =
            take(self.source, target, &resolved.asked).await?;
        let standing = Standing { publication, appended, ..resolved.standing.clone() };
        standing::accept(client, place, &settings.name, &standing).await?;
        fail_point!("standing.accepted");
        // The pipeline takes it again on the connection of its ledger.
        PgLedger::unlock(client, place, &settings.name).await?;
        Ok(system)
    }

    /// Which of the publications, and whether the slot, are there.
    async fn there(&self) -> Result<(Vec<String>, bool)> {
        let Side { client, place, .. } = self.source;
        let publications = publications(self.settings);
        there(client, place, &publications, &self.settings.source.slot).await
    }

    /// Removes what a first start has made at the source, because it failed: a slot that nobody reads
    /// keeps the log until the disk is full. Names what cannot be removed.
    async fn undo(&self, before: (Vec<String>, bool)) {
        let names = &self.settings.source;
        let (slot, publication) = (&names.slot, quote(&names.publication));
        let Side { client, place, .. } = self.source;
        let remove = async {
            let now = self.there().await?;
            if now.1 && !before.1 {
                drop_slot(client, place, slot).await?;
            }
            for name in now.0.iter().filter(|name| !before.0.contains(name)) {
                drop_publication(client, place, name).await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = remove.await {
            tracing::warn!(
                "this start failed, and may have left the slot {slot} and the publication \
                 {publication} at the source: start again, or drop them: {error}"
            );
        }
    }

    /// The slot may be lost, and the source another one: everything starts from here.
    pub(crate) fn starts_over(&self) -> bool {
        let RunArgs { recopy, resync, .. } = self.args;
        recopy.iter().chain(resync).any(|name| name == "all")
    }

    /// What the command line and a resumption say of tables whose rows are stale.
    fn accepted(&self, resolved: &Resolved) -> Result<Accepted> {
        let anew = named(resolved, "--recopy", &self.args.recopy)?;
        // What is copied anew is not compared.
        let mut resynced = named(resolved, "--resync", &self.args.resync)?;
        resynced.retain(|table| !anew.contains(table));
        let lost = |table| without_owner(resolved, table);
        if let Some(route) = resynced.iter().find_map(lost) {
            let what = format!(
                "--resync {}: rows of {} cannot be told by their source row",
                route.source, route.target
            );
            return Err(Error::new(Code::UsageInvalid, what)
                .at(&route.place)
                .remedy(copy_anew(&route.source)));
        }
        let mut accepted = Accepted { anew, resynced, as_is: Vec::new() };
        let resume = self.holding.resume.as_ref();
        let how = resume.map_or(How::Mend, |resume| resume.how);
        for planned in &resolved.plan.tables {
            let table = &planned.table;
            let printed = table.to_string();
            let asked = resume
                .is_some_and(|resume| resume.tables.iter().any(|t| t == "all" || *t == printed));
            // What was held has missed changes, whatever its rows are made of now: it cannot go on as it is.
            let mut fills = resolved.plan.routes.iter().filter(|route| route.source == *table);
            let held = self.holding.resumed.iter().any(|held| {
                held.table == *table
                    || fills.any(|route| held.targets.contains(&route.target.to_string()))
            });
            match how {
                How::AsIs if held => accepted.add(resolved, table.clone(), How::Mend),
                _ if held || asked => accepted.add(resolved, table.clone(), how),
                _ => {}
            }
        }
        Ok(accepted)
    }

    /// Refuses to go on over something else than what was accepted, unless it is said how.
    fn judge(
        &self,
        resolved: &Resolved,
        known: &Registered,
        drift: &[Drift],
        accepted: &mut Accepted,
    ) -> Result<()> {
        // Without names it is about whatever is held; that rows fit is never said of what nobody knew of.
        let resume = self.holding.resume.as_ref();
        let resume = resume.filter(|resume| resume.tables.is_empty() && resume.how != How::AsIs);
        loop {
            let all = accepted.all();
            let moved = || other_meaning(resolved, known, &all);
            let changed = || self.changed(resolved, known, &all);
            let held = || {
                let drift = drift.iter().filter(|drift| !accepted.covers(resolved, drift));
                let drift: Vec<_> = drift.cloned().collect();
                let error = standing::held(&drift, &self.source.place)?;
                let tables = error.drift().map(|drifted| drifted.tables.clone());
                Some((error, tables.unwrap_or_default()))
            };
            let Some((error, mut tables)) = moved().or_else(changed).or_else(held) else {
                return Ok(());
            };
            if error.drift().is_some_and(|drifted| drifted.subjects.contains(&Subject::Names)) {
                tables = every_table(resolved);
            }
            tables.retain(|table| !all.contains(table));
            let policy = &resolved.asked.policy;
            let goes_on = error.drift().is_some_and(|drifted| policy.goes_on(drifted));
            if tables.is_empty() || resume.is_none() && !goes_on {
                return Err(error);
            }
            tracing::warn!("{error:#}; it goes on all the same, as was said");
            let how = resume.map_or(How::Mend, |resume| resume.how);
            tables.into_iter().for_each(|table| accepted.add(resolved, table, how));
        }
    }

    /// Another daemon runs the pipeline: this one may wait for its end, and must not change a thing.
    fn stand_by(&self, resolved: &Resolved, registered: Option<Registered>) -> Result<String> {
        let running = |what: String| Error::new(Code::PipelineRunning, what).at(&self.target.place);
        let name = &self.settings.name;
        let Some(registered) = registered else {
            let what = format!("another regraft is making the pipeline {name}");
            return Err(running(what).remedy("start this one again in a moment"));
        };
        let RunArgs { recopy, resync, accept_mapping, .. } = self.args;
        if !recopy.is_empty() || !resync.is_empty() || *accept_mapping {
            let what = format!("another daemon runs the pipeline {name}");
            return Err(running(what).remedy(
                "stop it first: --recopy, --resync and --accept-mapping change what it works on",
            ));
        }
        self.changed(resolved, &registered, &[]).map_or(Ok(()), |(error, _)| Err(error))?;
        Ok(registered.source_system)
    }

    /// A new pipeline expects empty targets.
    async fn refuse_mixing(&self, resolved: &Resolved, anew: &[TableName]) -> Result<()> {
        if !self.settings.backfill.enabled {
            return Ok(());
        }
        let routes = resolved.plan.routes.iter().filter(|route| !anew.contains(&route.source));
        // Rows without a key are not written over those that are there.
        let routes = routes.filter(|route| route.keyless || !self.args.accept_mapping);
        let routes: Vec<_> = routes.cloned().collect();
        let found = occupied(self.target, &routes).await?.into_iter().next();
        found.map_or(Ok(()), |error| {
            let keyless = |route: &&Route| Some(route.place.as_str()) == error.place();
            match routes.iter().find(keyless).filter(|route| route.keyless) {
                None => Err(error),
                Some(route) => Err(error.remedy(format!(
                    "its rows have no key, and go before they are copied: `regraft run --recopy {}`, or empty the \
                     target, or name another one",
                    route.source
                ))),
            }
        })
    }

    /// Tables without a key that are new in the mapping of a known pipeline expect empty targets, too.
    async fn refuse_mixing_new(
        &self,
        resolved: &Resolved,
        known: &Registered,
        anew: &[TableName],
    ) -> Result<()> {
        let old = resolved.plan.routes.iter().filter(|route| {
            !route.keyless || known.shapes.iter().any(|(name, _)| *name == route.source)
        });
        let passed: Vec<_> = old.map(|route| route.source.clone()).collect();
        self.refuse_mixing(resolved, &[anew, passed.as_slice()].concat()).await
    }

    /// What is not the same as when it was accepted.
    async fn drifted(&self, resolved: &Resolved) -> Result<Vec<Drift>> {
        let Side { client, place, .. } = self.target;
        let known = standing::known(client, place, &self.settings.name).await?;
        let known = known.filter(|_| !self.args.accept_mapping);
        Ok(known.map_or_else(Vec::new, |known| {
            known.drift(&resolved.standing, &resolved.asked, When::Start)
        }))
    }

    /// `used`: there was a slot before.
    async fn create(&self, resolved: &Resolved, anew: &[TableName], used: bool) -> Result<String> {
        let target = self.target;
        let position = self.slot(used).await?;
        fail_point!("slot.made");
        let new = self.registration(position.clone());
        let Resolved { plan, fingerprints, shapes, .. } = resolved;
        PgLedger::register(&target.client, &target.place, &new, &plan.routes, fingerprints, shapes)
            .await?;
        for table in anew {
            PgLedger::recopy(&target.client, &target.place, &new.name, table, &position).await?;
        }
        fail_point!("pipeline.registered");
        tracing::info!(slot = new.slot, %position, "made the pipeline");
        Ok(new.source_system)
    }

    /// The position from which the slot has everything; makes the slot if it is not there.
    async fn slot(&self, used: bool) -> Result<Position> {
        let Side { client, place, .. } = self.source;
        let name = &self.settings.source.slot;
        if let Some(slot) = self.unused_slot().await? {
            let position = slot.position().ok_or_else(|| {
                Error::new(Code::SlotUnfit, format!("the slot {name} has no position"))
                    .at(place)
                    .remedy("drop the slot, and regraft makes it anew")
            })?;
            // One that other targets use moves meanwhile, and is from before what was published for this one.
            let shared = self.settings.is_shared() && used && self.settings.backfill.enabled;
            return match shared || slot.active_pid.is_some() {
                true => position.join(&Server::ask(client, place).await?.wal_end),
                false => Ok(position),
            };
        }
        self.new_slot().await
    }

    async fn new_slot(&self) -> Result<Position> {
        let Side { client, place, .. } = self.source;
        let name = &self.settings.source.slot;
        tracing::info!(
            slot = name,
            "making the slot; it waits for open transactions of the source"
        );
        Slot::create(client, place, name).await
    }

    /// The slot once nobody uses it but this process, for other targets. A daemon that was killed leaves processes at the source that
    /// notice after a while; while they make the slot, they wait for the source's transactions.
    async fn unused_slot(&self) -> Result<Option<Slot>> {
        let Side { client, place, server, .. } = self.source;
        let name = &self.settings.source.slot;
        let started = Instant::now();
        let mut wait = None;
        while let Some(slot) = Slot::find(client, place, name).await? {
            slot.fit(name, place, &server.database, None)?;
            let own = self.fan.is_some_and(Fan::is_open) && slot.confirmed.is_some();
            let Some(pid) = slot.active_pid.filter(|_| !own) else { return Ok(Some(slot)) };
            let what = format!("the slot {name} is used by process {pid} of the source");
            if slot.confirmed.is_some() && started.elapsed() > SLOT_LOOKS.1 {
                return Err(Error::new(Code::SlotInUse, what)
                    .at(place)
                    .remedy("stop the other consumer, or name another slot in [source]"));
            }
            let wait = wait.get_or_insert_with(|| {
                tracing::info!("{what}; waiting for its end");
                self.sessions.wait(place, format!("whether the slot {name} is free"))
            });
            let does = process(client, place, pid).await?;
            wait.seen(does.map_or_else(|| what.clone(), |does| format!("{what}: {does}")));
            tokio::time::sleep(SLOT_LOOKS.0).await;
        }
        Ok(None)
    }

    async fn resume(
        &self,
        resolved: &Resolved,
        registered: Registered,
        drift: &[Drift],
        Accepted { anew, resynced, .. }: &Accepted,
    ) -> Result<String> {
        let Self { settings, source, target, .. } = self;
        let Resolved { plan, fingerprints, shapes, .. } = resolved;
        let fresh = if self.starts_over() {
            let (client, place) = (&target.client, target.place.as_str());
            PgLedger::starts(client, place, &settings.name).await?;
            Some(self.fresh_slot().await?)
        } else {
            None
        };
        let (name, place) = (&settings.name, &target.place);
        PgLedger::begin(&target.client, place).await?;
        if let Some(position) = &fresh {
            PgLedger::restart(&target.client, place, &self.registration(position.clone())).await?;
        } else if registered.publication != settings.source.publication {
            let publication = &settings.source.publication;
            PgLedger::exchange_publication(&target.client, place, name, publication).await?;
        }
        let resumed: Vec<_> = self.holding.resumed.iter().map(|held| held.table.clone()).collect();
        standing::release(&target.client, place, name, &resumed).await?;
        PgLedger::set_statements(&target.client, place, name, &plan.routes, fingerprints, shapes)
            .await?;
        let from = fresh.as_ref().unwrap_or(&source.server.wal_end);
        for table in anew {
            PgLedger::recopy(&target.client, place, name, table, from).await?;
            tracing::info!(%table, %from, "copying the table anew");
        }
        for table in resynced {
            PgLedger::resync(&target.client, place, name, table, from).await?;
            tracing::info!(%table, %from, "bringing the table's rows in line");
        }
        if let Some(resume) = &self.holding.resume {
            standing::answered(&target.client, place, name, resume).await?;
        }
        // With the position: what is missing before it is found by the comparison.
        let mended = standing::mended(drift);
        standing::mend(&target.client, place, name, drift, &mended).await?;
        let mut compared = resynced.clone();
        for table in plan.tables.iter().map(|planned| &planned.table) {
            // It goes on as it is, save for rows whose keys may be of another type by now.
            if changed_shape(resolved, &registered, table, place).is_some()
                && PgLedger::forget_keys(&target.client, place, name, table).await?
            {
                compared.push(table.clone());
            }
        }
        let of = plan.routes.iter().filter(|route| compared.contains(&route.source));
        let mut targets: Vec<_> = of.map(|route| route.target.to_string()).collect();
        targets.dedup();
        standing::mend(&target.client, place, name, &[], &targets).await?;
        PgLedger::commit(&target.client, place).await?;
        fail_point!("mapping.accepted");
        Ok(match fresh {
            Some(_) => source.server.system.clone(),
            None => registered.source_system,
        })
    }

    /// The pipeline, as it begins at a position.
    fn registration(&self, position: Position) -> NewPipeline {
        let Self { settings, source, .. } = self;
        NewPipeline {
            name: settings.name.clone(),
            source_system: source.server.system.clone(),
            source_db: source.server.database.clone(),
            slot: settings.source.slot.clone(),
            publication: settings.source.publication.clone(),
            position,
        }
    }

    /// A table whose rows in the target may not fit the mapping any more, and why.
    fn changed(
        &self,
        resolved: &Resolved,
        registered: &Registered,
        accepted: &[TableName],
    ) -> Option<(Error, Vec<TableName>)> {
        if self.args.accept_mapping {
            return None;
        }
        let tables = resolved.plan.tables.iter().map(|planned| &planned.table);
        tables.filter(|table| !accepted.contains(table)).find_map(|table| {
            let error = changed_mapping(resolved, registered, table).or_else(|| {
                let error = changed_shape(resolved, registered, table, &self.source.place)?;
                Some(error.drifted(Drifted::of(Subject::Columns, vec![table.clone()])))
            });
            error.map(|error| (error, vec![table.clone()]))
        })
    }

    /// A slot from whose position on everything comes, made if need be.
    async fn fresh_slot(&self) -> Result<Position> {
        let Side { client, place, server, .. } = self.source;
        let name = &self.settings.source.slot;
        let mut found = Slot::find(client, place, name).await?;
        // One that a daemon has just begun to make has no position, and may still go.
        if found.as_ref().is_some_and(|slot| slot.confirmed.is_none()) {
            found = self.unused_slot().await?;
        }
        let Some(slot) = found else { return self.new_slot().await };
        let Err(unfit) = slot.fit(name, place, &server.database, None) else {
            // A publication that was made a moment ago does not exist for what was written before it.
            let now = Server::ask(client, place).await?.wal_end;
            return match slot.position() {
                Some(confirmed) => confirmed.join(&now),
                None => Ok(now),
            };
        };
        if unfit.code() != Code::SlotLost || !self.settings.makes(name) {
            return Err(unfit);
        }
        drop_slot(client, place, name).await?;
        self.new_slot().await
    }
}
