//! PostgreSQL as source and target, behind the traits of `regraft-core`.

use std::sync::Arc;

use regraft_core::contract::Connectors;
use regraft_core::segment::Route;
use regraft_core::{Code, Error, Lsn, Position, Result, Transaction, fail_point};

use crate::WireConnection;
use crate::address::{Address, of_role, place};
use crate::apply::PgSink;
use crate::at::lsn;
use crate::chunks::{PgReader, ReadTable, ReadTrace};
use crate::history;
use crate::ledger::{Fence, PgLedger};
use crate::replication::{PgStream, Replay, StreamOptions};
use crate::sessions::{Sessions, Wide};
use crate::slot::{START_OVER, Server, Slot};
use crate::standing::{self, Asked, Gone, How, PgSentinel, Resume};
use crate::verify::{PgVerifier, VerifySide, VerifyStatement};
use tokio::sync::Semaphore;
use tokio_postgres::Client;

/// Opens the connections of one pipeline.
pub struct PgConnectors {
    /// The source.
    pub source: Address,
    /// The target.
    pub target: Address,
    /// The sessions that are opened by these.
    pub watched: Sessions,
    /// Name of the pipeline.
    pub name: String,
    /// Replication slot.
    pub slot: String,
    /// Publications.
    pub publications: Vec<String>,
    /// System identifier of the source that the ledger knows.
    pub source_system: String,
    /// Statements.
    pub routes: Vec<Route>,
    /// Source tables.
    pub tables: Arc<Vec<ReadTable>>,
    /// How changes of other tables lead to source rows.
    pub traces: Arc<Vec<ReadTrace>>,
    /// Neither foreign keys nor ordinary triggers of the target fire.
    pub trusted: bool,
    /// Sessions that write to the target side by side, at least 1.
    pub sessions: usize,
    /// Fingerprints of the statements, in order.
    pub fingerprints: Vec<String>,
    /// Statements, as they are verified.
    pub verify: Arc<Vec<VerifyStatement>>,
    /// What the mapping stands on.
    pub asked: Arc<Asked>,
    /// Of all sentinels.
    pub gone: Gone,
    /// Findings keep the values of their rows.
    pub verify_values: bool,
    /// Of the ledger opened last.
    pub fence: Option<Fence>,
    /// One permit: of the readers, one at a time has a wide row.
    pub wide: Arc<Semaphore>,
}

impl PgConnectors {
    fn application(&self) -> String {
        format!("regraft {}", self.name)
    }

    /// A connection, and how its server is called in messages.
    async fn connect(&self, role: &str) -> Result<(Client, String)> {
        let address = if role == "source" { &self.source } else { &self.target };
        let endpoint = address()?;
        let client = endpoint.connect(&self.application()).await;
        Ok((client.map_err(|error| of_role(role, error))?, place(role, &endpoint)))
    }
}

impl Connectors for PgConnectors {
    type Stream = PgStream;
    type Sink = PgSink;
    type Reader = PgReader;
    type Ledger = PgLedger;
    type Verifier = PgVerifier;
    type Sentinel = PgSentinel;

    async fn ledger(&mut self) -> Result<PgLedger> {
        let (client, place) = self.connect("target").await?;
        let ledger = PgLedger::open(client, &place, &self.name, &self.fingerprints).await?;
        self.fence = Some(ledger.fence());
        Ok(ledger)
    }

    async fn sink(&mut self) -> Result<PgSink> {
        let (first, place) = self.connect("target").await?;
        let mut clients = vec![first];
        for _ in 1..self.sessions {
            clients.push(self.connect("target").await?.0);
        }
        let fence = self.fence.clone();
        let fence = fence.ok_or_else(|| Error::new(Code::Internal, "a sink before its ledger"))?;
        PgSink::new(clients, &place, self.routes.clone(), fence, self.trusted).await
    }

    fn reader(&mut self) -> PgReader {
        let (tables, traces) = (Arc::clone(&self.tables), Arc::clone(&self.traces));
        let (source, wide) = (Arc::clone(&self.source), Wide::new(Arc::clone(&self.wide)));
        PgReader::new(source, self.application(), &self.slot, tables, traces, wide)
    }

    async fn verifier(&mut self) -> Result<PgVerifier> {
        let side = async |role, address: &Address| {
            let (client, place) = self.connect(role).await?;
            let (address, application) = (Arc::clone(address), self.application());
            Ok(VerifySide { client, place, address, application })
        };
        let source = side("source", &self.source).await?;
        let target = side("target", &self.target).await?;
        let statements = Arc::clone(&self.verify);
        PgVerifier::new(source, target, &self.name, statements, self.verify_values).await
    }

    fn sentinel(&mut self) -> PgSentinel {
        let (source, target) = (Arc::clone(&self.source), Arc::clone(&self.target));
        PgSentinel::new(source, target, &self.name, Arc::clone(&self.asked), self.gone.clone())
    }

    async fn stream(&mut self, from: &Position) -> Result<PgStream> {
        let (endpoint, from) = ((self.source)()?, lsn(from)?);
        let (client, at_source, last, confirmed) =
            self.continues(endpoint.database(), from).await?;
        fail_point!("stream.proved");
        let connection = endpoint.connect_replication(&self.application()).await;
        let mut connection: WireConnection =
            connection.map_err(|error| of_role("source", error))?;
        // Errors of the stream name the role, too.
        connection.place = place("source", &endpoint);
        let options = StreamOptions::default();
        let start = match &last {
            Some(last) => Replay::start(last, confirmed, from)?,
            None => from,
        };
        connection.begin(&self.slot, start, &self.publications, &options).await?;
        let replay = match last.filter(|_| start < from) {
            // What the daemon before this one had acknowledged may have come late.
            Some(last) => {
                let slot = Slot::find(&client, &at_source, &self.slot).await?;
                let confirmed = slot.and_then(|slot| slot.confirmed).unwrap_or_default();
                Some(Replay::new(last, confirmed, from))
            }
            None => None,
        };
        Ok(PgStream::spawn(connection, from, replay, options))
    }

    fn explain(&self, error: Error) -> Error {
        self.watched.explain(error)
    }

    async fn answer(&mut self, error: &Error) -> Result<bool> {
        let (Some(drifted), Some(fence)) = (error.drift(), &self.fence) else { return Ok(false) };
        let policy = &self.asked.policy;
        let (client, place) = self.connect("target").await?;
        let goes_on = policy.goes_on(drifted);
        if goes_on {
            let tables = drifted.tables.iter().map(ToString::to_string).collect();
            let resume = Resume { how: How::Mend, tables };
            standing::ask(&client, &place, &self.name, &resume).await?;
            tracing::warn!("{error:#}; [drift] says to go on");
        }
        if !policy.alone {
            return Ok(goes_on);
        }
        let tables = &drifted.tables;
        let held = standing::connected(&client, &place, &self.name, tables, policy.trusted).await?;
        let Some(held) = held else { return Ok(goes_on) };
        let pipeline = (self.name.as_str(), Some(fence.epoch()));
        standing::set_aside(&client, &place, pipeline, &held, error).await
    }
}

impl PgConnectors {
    /// Proves that the stream continues at `from` without a gap, as far as the server can tell without
    /// sending anything. It would not say by itself: it starts at whatever the slot was confirmed to.
    ///
    /// Gives the connection, the last commit that the target has, and what the slot has confirmed.
    async fn continues(
        &self,
        database: &str,
        from: Lsn,
    ) -> Result<(Client, String, Option<Transaction>, Lsn)> {
        let (client, place) = self.connect("source").await?;
        let server = Server::ask(&client, &place).await?;
        // Its log may end earlier, and it may have no slot, for as long as it is one.
        if server.standby {
            let what = "the server is a standby now: the primary is waited for";
            return Err(Error::new(Code::Unreachable, what).at(place).remedy(
                "after a failover, point the address at the new primary; it is asked again by itself",
            ));
        }
        let replaced = |what: String| {
            Err(Error::new(Code::SourceReplaced, what).at(&place).remedy(
                format!("point [source] at the server that the pipeline was made for; if it was replaced for \
                 good: {START_OVER}"),
            ))
        };
        if server.system != self.source_system {
            return replaced("the source is not the cluster that the ledger knows".to_owned());
        }
        if !server.wal_end.covers(&from.into()) {
            let what = format!(
                "the source's log ends at {}, before the position {from} that the target has",
                server.wal_end
            );
            return Err(history::rewound(what, &place));
        }
        let last = self.same_past(&client, &place, from).await?;
        let Some(slot) = Slot::find(&client, &place, &self.slot).await? else {
            let what = format!("the replication slot {} is gone", self.slot);
            return Err(Error::new(Code::SlotMissing, what).at(place).remedy(format!(
                "changes since the last position are lost to the stream: {START_OVER}"
            )));
        };
        slot.fit(&self.slot, &place, database, Some(from))?;
        Ok((client, place, last, slot.confirmed.unwrap_or_default()))
    }
}

impl PgConnectors {
    /// Proves that the source's timeline has the past in which the position was given out. Gives the last
    /// commit that the target has.
    async fn same_past(
        &self,
        client: &Client,
        place: &str,
        from: Lsn,
    ) -> Result<Option<Transaction>> {
        let now = history::timeline(client, place).await?;
        let (target, at_target) = self.connect("target").await?;
        let known = PgLedger::registered(&target, &at_target, &self.name).await?;
        let last = known.as_ref().and_then(|registered| registered.last.clone());
        let known = known.and_then(|registered| registered.source_timeline);
        if known == Some(now) {
            return Ok(last);
        }
        if let Some(known) = known {
            let endpoint = (self.source)()?;
            let connection = endpoint.connect_replication(&self.application()).await;
            let mut connection = connection.map_err(|error| of_role("source", error))?;
            connection.place = place.to_owned();
            history::continues(&mut connection, known, now, from).await?;
        }
        PgLedger::note_timeline(&target, &at_target, &self.name, now).await?;
        Ok(last)
    }
}
