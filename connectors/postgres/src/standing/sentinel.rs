//! Looks from time to time whether what the mapping stands on is the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use regraft_core::contract::Sentinel;
use regraft_core::{Code, Drifted, Error, Lsn, Position, Result, TableName};
use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;

use super::aside::resumption;
use super::drift::{Reply, When, ways_on};
use super::record::{accept_mending, known, mended};
use super::{Asked, Drift, Standing};
use crate::address::{Address, application, of_role, place};
use crate::at;
use crate::classify;
use crate::often::Often;
use crate::slot::{Server, of_appended};
use crate::writes;

/// See the module.
pub struct PgSentinel {
    source: Address,
    target: Address,
    name: String,
    asked: Arc<Asked>,
    at_source: Option<AtSource>,
    at_target: Option<(Client, String)>,
    /// What was accepted; of the ledger.
    known: Option<Standing>,
    gone: Gone,
}

/// Columns that are not there any more, each with where the source's log ended when that was seen: once the
/// pipeline is beyond it, the stream has had its chance to tell. Outlives a sentinel.
#[derive(Clone, Debug, Default)]
pub struct Gone(Arc<Mutex<Vec<(Drift, Position)>>>);

impl Gone {
    /// Takes what is gone now, where the log ends now; gives what the stream, which is at `position`, will
    /// tell nothing of.
    fn untold(&self, now: Vec<Drift>, end: &Position, position: Option<&Position>) -> Vec<Drift> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |drift: &Drift| {
            known.iter().find(|(known, _)| known == drift).map(|(_, at)| at.clone())
        };
        let now: Vec<_> = now
            .into_iter()
            .map(|drift| {
                let at = since(&drift).unwrap_or_else(|| end.clone());
                (drift, at)
            })
            .collect();
        *known = now;
        let untold = |at: &Position| position.is_some_and(|position| position.covers(at));
        known.iter().filter(|(_, at)| untold(at)).map(|(drift, _)| drift.clone()).collect()
    }
}

struct AtSource {
    client: Client,
    place: String,
    server: Server,
    log_end: Often,
    /// Where the log ended before it was last seen that the application may write, and when.
    guarded: Option<(PgLsn, Instant)>,
}

/// What nothing was written to has changed in nothing: its catalogues are not asked again so soon.
const TRUSTED: Duration = Duration::from_secs(30);
const LOG_END: &str =
    "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn() END";

impl AtSource {
    /// `None` on a standby.
    async fn log_end(&self) -> Result<Option<PgLsn>> {
        let asked = async {
            let statement = self.log_end.on(&self.client).await?;
            self.client.query_one(&statement, &[]).await
        };
        Ok(asked.await.map_err(|error| classify(&error, &self.place))?.get(0))
    }
}

impl PgSentinel {
    /// Connects at the first look.
    pub fn new(
        source: Address,
        target: Address,
        name: &str,
        asked: Arc<Asked>,
        gone: Gone,
    ) -> Self {
        let name = name.to_owned();
        Self { source, target, name, asked, at_source: None, at_target: None, known: None, gone }
    }

    /// A session that searches what is built in and nothing else: what the catalog prints depends on it.
    /// It waits for no lock, as others may wait for what it holds.
    async fn connect(&self, role: &str, address: &Address) -> Result<(Client, String)> {
        let endpoint = address()?.searching(&[]);
        let client = endpoint.connect(&application(&self.name)).await;
        let client = client.map_err(|error| of_role(role, error))?;
        let place = place(role, &endpoint);
        let set = client.batch_execute("SET lock_timeout = '1s'").await;
        set.map_err(|error| classify(&error, &place))?;
        Ok((client, place))
    }

    /// Frees the application, should what regraft made keep it from writing. Needs the source only.
    async fn guard_once(&mut self) -> Result<AtSource> {
        let mut at_source = match self.at_source.take() {
            Some(at_source) => at_source,
            None => {
                let (client, place) = self.connect("source", &self.source).await?;
                let server = Server::ask(&client, &place).await?;
                AtSource { client, place, server, log_end: Often::new(LOG_END), guarded: None }
            }
        };
        let AtSource { client, place, server, .. } = &at_source;
        if self.asked.own_publication {
            let now = Instant::now();
            let end = at_source.log_end().await?;
            let same = |(at, when): (PgLsn, Instant)| Some(at) == end && now < when + TRUSTED;
            if !at_source.guarded.is_some_and(same) {
                let whole = self.asked.sources.iter().filter(|table| !table.appended);
                let oids: Vec<_> = whole.map(|table| table.oid).collect();
                writes::withdraw(client, server, place, &self.asked.publication, &oids).await?;
                if self.asked.sources.iter().any(|table| table.appended) {
                    let appended = of_appended(&self.asked.publication)?;
                    writes::withdraw_appended(client, server, place, &appended).await?;
                }
                at_source.guarded = end.map(|end| (end, now));
            }
        }
        Ok(at_source)
    }

    async fn look_once(&mut self) -> Result<Vec<String>> {
        let at_source = self.guard_once().await?;
        let (at_target_client, at_target) = match self.at_target.take() {
            Some(at_target) => at_target,
            None => self.connect("target", &self.target).await?,
        };
        let AtSource { client: source, place: source_place, server, .. } = &at_source;
        let (target, target_place) = (&at_target_client, at_target.as_str());
        let asked = Arc::clone(&self.asked);
        let sides = ((source, source_place.as_str()), (target, target_place));
        let now = Standing::take(sides.0, server, sides.1, &asked).await?;
        let known = match self.known.take() {
            Some(known) => Some(known),
            None => known(target, target_place, &self.name).await?,
        };
        // Of a pipeline that an earlier regraft made: what is now is all that is known.
        let known = known.unwrap_or_else(|| now.clone());
        let mut drift = known.drift(&now, &asked, When::Running);
        let gone = known.gone(&now, &asked);
        if gone.is_empty() {
            self.gone.untold(gone, &Lsn::default().into(), None);
        } else if let Some(end) = at_source.log_end().await? {
            let sql = "SELECT position FROM regraft.pipelines WHERE name = $1";
            let row = target.query_opt(sql, &[&self.name]).await;
            let row = row.map_err(|error| classify(&error, target_place))?;
            let position = row.map(|row| at::position(&row, 0)).transpose()?;
            drift.extend(self.gone.untold(gone, &Lsn(end.into()).into(), position.as_ref()));
        }
        if let Some(held) = held(&drift, source_place) {
            return Err(held);
        }
        if let Some(replanned) = replanned(&drift, target_place) {
            return Err(replanned);
        }
        // What means nothing today must not add up with what comes later; but what is left to the stream
        // is to be seen by the next start.
        let now = now.keeping(&known);
        let meaningless = || known != now && known.drift(&now, &asked, When::Start).is_empty();
        let targets = mended(&drift);
        if !drift.is_empty() || meaningless() {
            accept_mending(target, target_place, &self.name, &now, &drift).await?;
            self.known = Some(now);
        } else {
            self.known = Some(known);
        }
        self.at_source = Some(at_source);
        self.at_target = Some((at_target_client, at_target));
        Ok(targets)
    }
}

/// All that holds the pipeline, as one error.
pub fn held(drift: &[Drift], place: &str) -> Option<Error> {
    let held: Vec<_> = drift.iter().filter(|drift| drift.reply == Reply::Hold).collect();
    let (first, rest) = held.split_first()?;
    let what = match rest {
        [] => first.what.clone(),
        _ => {
            let rest: Vec<_> = rest.iter().map(|drift| drift.what.as_str()).collect();
            format!("{}; also: {}", first.what, rest.join("; "))
        }
    };
    let subjects = held.iter().map(|drift| drift.subject).collect();
    let mut tables: Vec<TableName> = Vec::new();
    // One that concerns everything leaves nothing to tell apart.
    if held.iter().all(|drift| !drift.copies.is_empty()) {
        for table in held.iter().flat_map(|drift| &drift.copies) {
            if !tables.contains(table) {
                tables.push(table.clone());
            }
        }
    }
    // The way on is one for all of it.
    let remedy = match held.iter().find(|drift| drift.copies.is_empty()) {
        Some(everything) => everything.remedy.clone(),
        None if rest.is_empty() => first.remedy.clone(),
        None => {
            let by_key = held.iter().all(|drift| drift.by_key);
            ways_on(&tables, by_key, "because the target's rows fit already")
        }
    };
    let error = Drift { what, remedy, ..(*first).clone() }.error(place);
    Some(error.drifted(Drifted { subjects, tables, replanned: false }))
}

/// What is answered by another plan.
fn replanned(drift: &[Drift], place: &str) -> Option<Error> {
    let drift = drift.iter().find(|drift| drift.reply == Reply::Replan)?;
    let drifted = Drifted::of(drift.subject, drift.copies.clone());
    Some(drift.error(place).drifted(Drifted { replanned: true, ..drifted }))
}

impl Sentinel for PgSentinel {
    async fn guard(&mut self) -> Result<()> {
        match self.guard_once().await {
            Ok(at_source) => {
                self.at_source = Some(at_source);
                Ok(())
            }
            Err(error) => only_what_holds(error),
        }
    }

    async fn resumed(&mut self) -> bool {
        let (client, place) = match self.at_target.take() {
            Some(at_target) => at_target,
            None => match self.connect("target", &self.target).await {
                Ok(at_target) => at_target,
                Err(_) => return false,
            },
        };
        let asked = resumption(&client, &place, &self.name).await;
        if asked.is_ok() {
            self.at_target = Some((client, place));
        }
        matches!(asked, Ok(Some(_)))
    }

    async fn look(&mut self) -> Result<Vec<String>> {
        match self.look_once().await {
            Ok(targets) => Ok(targets),
            Err(error) => only_what_holds(error).map(|()| Vec::new()),
        }
    }
}

/// A look that came to nothing is no reason to stop: the connections of the pipeline itself tell whether a
/// server is there.
fn only_what_holds(error: Error) -> Result<()> {
    let holds =
        [Code::StandsOnOther, Code::PublicationGap, Code::PublicationUnfit, Code::WritesRefused];
    if error.drift().is_some() || holds.contains(&error.code()) {
        return Err(error);
    }
    tracing::debug!("the catalogues were not looked at: {error:#}");
    Ok(())
}
