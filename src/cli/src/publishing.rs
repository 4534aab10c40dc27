//! The publications of a pipeline: made where they are missing, made whole where something narrowed them, and
//! judged where they are not regraft's.

use regraft_core::sql::{literal, quote};
use regraft_core::{Code, Error, Result, fail_point};
use regraft_pipeline::Plan;
use regraft_postgres::planning::may_publish;
use regraft_postgres::slot::{Publication, START_OVER, Server, of_appended};
use regraft_postgres::writes::{self, Leaf};
use regraft_settings::Settings;

use crate::resolve::{Resolved, Side};
use crate::setup::Setup;

/// Publications carry generated columns since this major version.
const GENERATED_SINCE: u32 = 18;

/// The names of the publications that a pipeline may have.
pub(crate) fn publications(settings: &Settings) -> Vec<String> {
    let name = &settings.source.publication;
    std::iter::once(name.clone()).chain(of_appended(name).ok()).collect()
}

/// What keeps the publication of new rows from being used or made; `None` where there is nothing.
///
/// # Errors
/// When the source cannot be asked.
pub(crate) async fn unfit_appended(
    settings: &Settings,
    side: &Side,
    plan: &Plan,
) -> Result<Option<Error>> {
    let tables = plan.appended();
    if tables.is_empty() {
        return Ok(None);
    }
    let Side { client, place, server, .. } = side;
    let name = of_appended(&settings.source.publication)?;
    let create = Publication::appended_sql(&name, &tables);
    let Some(found) = Publication::find(client, server, place, &name).await? else {
        if settings.makes(&settings.source.publication) {
            return may_publish(client, place, &name, &tables, &create).await;
        }
        let what = format!("the publication {name} of tables without a key is not there");
        let error = Error::new(Code::PublicationUnfit, what).at(place);
        return Ok(Some(error.remedy(format!(
            "regraft makes no publication beside {}, which it did not make: {create}",
            settings.source.publication
        ))));
    };
    // What regraft made it adds tables to.
    let own = settings.makes(&settings.source.publication);
    let tables = if own { Vec::new() } else { tables };
    Ok(found.fit_appended(&name, place, &tables).err())
}

/// A pipeline of this name into another target has a publication, and a slot, of the same names: to take them
/// over would end it.
///
/// # Errors
/// When the source cannot be asked.
pub(crate) async fn others(
    settings: &Settings,
    source: &Side,
    target: &Side,
) -> Result<Option<Error>> {
    let name = &settings.source.publication;
    if !settings.makes(name) {
        return Ok(None);
    }
    let Side { client, place, server, .. } = source;
    let found = Publication::find(client, server, place, name).await?;
    let Some(other) = found.and_then(|found| found.made_for) else { return Ok(None) };
    // One of several targets may have had it for itself before.
    let of = other.strip_prefix("pipeline ").and_then(|of| of.split_once(" into "));
    let of_this = |name: &str| name.split('.').next() == Some(settings.pipeline());
    let shared = settings.is_shared() && of.is_some_and(|(name, _)| of_this(name));
    if shared || other == made_for(settings, target) {
        return Ok(None);
    }
    let (publication, slot) = (quote(name), literal(&settings.source.slot));
    let what = format!("the publication {name} was made for another one: {other}");
    Ok(Some(Error::new(Code::PublicationUnfit, what).at(place.as_str()).remedy(format!(
        "give this pipeline another name; if that one is over, `regraft teardown` with its regraft.toml, or \
         DROP PUBLICATION {publication} and SELECT pg_drop_replication_slot({slot})"
    ))))
}

/// The pipeline, as the comment on its publication has it.
fn made_for(settings: &Settings, target: &Side) -> String {
    if settings.is_shared() {
        return format!("pipeline {} into several targets", settings.pipeline());
    }
    let server = &target.server;
    format!(
        "pipeline {} into database {} of cluster {}",
        settings.name, server.database, server.system
    )
}

impl Setup<'_> {
    pub(crate) async fn publish(
        &self,
        Resolved { plan, elsewhere, .. }: &Resolved,
        resuming: bool,
    ) -> Result<()> {
        let Side { client, place, server, .. } = self.source;
        let (name, tables) = (&self.settings.source.publication, plan.published());
        let found = Publication::find(client, server, place, name).await?;
        let leaves = Leaf::of(client, place, &plan.published_oids()).await?;
        // What others of the targets need is not known here, and to alter it later holds those that run.
        let generated = leaves.iter().any(|leaf| leaf.needs_generated(server))
            || self.settings.is_shared() && server.major() >= GENERATED_SINCE;
        let Some(found) = found else {
            if resuming && !self.starts_over() {
                let what = format!("the publication {name} is gone");
                return Err(Error::new(Code::PublicationUnfit, what).at(place).remedy(
                    "the server cannot decode what was written while it was gone: copy anew by \
                     `regraft run --recopy all`, which makes it again",
                ));
            }
            let create = Publication::sql(name, &tables);
            if let Some(refusal) = may_publish(client, place, name, &tables, &create).await? {
                return Err(refusal);
            }
            accept_writes(&leaves, server, true, place)?;
            let made_for = made_for(self.settings, self.target);
            Publication::create(client, place, (name, &made_for), &tables, generated).await?;
            fail_point!("publication.made");
            return self.withdraw(plan).await;
        };
        if !self.settings.makes(name) {
            accept_writes(&leaves, server, found.generated, place)?;
            return found.fit(name, place, &tables);
        }
        accept_writes(&leaves, server, true, place)?;
        let made_for = made_for(self.settings, self.target);
        if found.made_for.as_ref() != Some(&made_for) {
            Publication::mark(client, name, &made_for).await;
        }
        if generated && !found.generated {
            Publication::add_generated(client, place, name).await?;
        }
        // What the mapping does not need any more is decoded for nothing. One that is published in part only
        // is to be published whole.
        let needless = found
            .tables
            .iter()
            .filter(|published| !elsewhere.contains(&published.table))
            .filter(|published| published.restricted || !tables.contains(&published.table));
        let needless: Vec<_> = needless.map(|published| published.table.clone()).collect();
        if !needless.is_empty() {
            match Publication::remove(client, place, name, &needless).await {
                // Somebody holds a lock on one of them. As long as they are published they are looked at like
                // any other, and the next plan tries again.
                Err(error) if error.code() == Code::TargetUnavailable => tracing::warn!(
                    "tables that the mapping does not need stay in the publication {name} for now: {error:#}"
                ),
                removed => removed?,
            }
        }
        // So that the server refuses no writes of what stays in it, this comes after that.
        if !found.carries_all() {
            self.withdraw(plan).await?;
            Publication::carry_all(client, place, name).await?;
        }
        if let Some(found) = Publication::find(client, server, place, name).await? {
            let missing = found.missing(&tables);
            if !missing.is_empty() {
                Publication::add(client, place, name, &missing).await?;
            }
        }
        fail_point!("publication.altered");
        self.withdraw(plan).await?;
        self.fits(name, |found| found.fit(name, place, &tables)).await
    }

    /// What a publication is after it was altered, which others may do at the same time.
    async fn fits(&self, name: &str, fit: impl Fn(&Publication) -> Result<()>) -> Result<()> {
        let Side { client, place, server, .. } = self.source;
        match Publication::find(client, server, place, name).await? {
            Some(found) => fit(&found),
            None => {
                let what = format!("the publication {name} is gone");
                Err(Error::new(Code::PublicationUnfit, what).at(place).remedy("start again"))
            }
        }
    }

    /// The publication of tables of which only new rows are followed.
    pub(crate) async fn publish_appended(&self, plan: &Plan, resuming: bool) -> Result<()> {
        let Side { client, place, server, .. } = self.source;
        let tables = plan.appended();
        if tables.is_empty() {
            return Ok(());
        }
        let name = of_appended(&self.settings.source.publication)?;
        if self.settings.makes(&self.settings.source.publication) {
            writes::withdraw_appended(client, server, place, &name).await?;
        }
        if let Some(refusal) = unfit_appended(self.settings, self.source, plan).await? {
            return Err(refusal);
        }
        let Some(found) = Publication::find(client, server, place, &name).await? else {
            if resuming && !self.starts_over() {
                let what = format!("the publication {name} of tables without a key is not there");
                return Err(Error::new(Code::PublicationUnfit, what).at(place).remedy(format!(
                    "the server cannot decode what was written before it is made: {START_OVER}; either makes it"
                )));
            }
            return Publication::create_appended(client, place, &name, &tables).await;
        };
        let missing = found.missing(&tables);
        if !missing.is_empty() {
            Publication::add(client, place, &name, &missing).await?;
        }
        self.fits(&name, |found| found.fit_appended(&name, place, &tables)).await
    }

    /// Takes tables out again that were altered while they were being published.
    async fn withdraw(&self, plan: &Plan) -> Result<()> {
        let Side { client, place, server, .. } = self.source;
        let name = &self.settings.source.publication;
        writes::withdraw(client, server, place, name, &plan.published_oids()).await
    }
}

/// Refuses to publish what would make the server refuse writes of the application.
fn accept_writes(leaves: &[Leaf], server: &Server, generated: bool, place: &str) -> Result<()> {
    leaves.iter().try_for_each(|leaf| leaf.accepts_writes(server, generated, place))
}
