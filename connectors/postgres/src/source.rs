//! A PostgreSQL that changes come from.

use std::sync::Arc;

use regraft_core::contract::{Opened, Past, Source};
use regraft_core::sql::literal;
use regraft_core::{Code, Error, Gives, Lsn, Result, fail_point};
use tokio::sync::Semaphore;
use tokio_postgres::Client;

use crate::WireConnection;
use crate::address::{Address, connect, of_role, place};
use crate::at::lsn;
use crate::chunks::{PgReader, ReadTable, ReadTrace};
use crate::history;
use crate::replication::{PgStream, Replay, StreamOptions};
use crate::sessions::Wide;
use crate::slot::{START_OVER, Server, Slot};

/// So much of a slot's name goes into that of its copy: both have at most 63 bytes.
const SLOT_PREFIX: usize = 50;

/// The source of one pipeline.
#[derive(Clone)]
pub struct PgSource {
    /// Where it is.
    pub address: Address,
    /// How its sessions call themselves.
    pub application: String,
    /// Replication slot.
    pub slot: String,
    /// Publications.
    pub publications: Vec<String>,
    /// System identifier of the source that the ledger knows.
    pub system: String,
    /// Source tables.
    pub tables: Arc<Vec<ReadTable>>,
    /// How changes of other tables lead to source rows.
    pub traces: Arc<Vec<ReadTrace>>,
    /// One permit: of the readers, one at a time has a wide row.
    pub wide: Arc<Semaphore>,
}

impl Source for PgSource {
    type Stream = PgStream;
    type Reader = PgReader;

    async fn stream(&mut self, past: &Past) -> Result<Opened<PgStream>> {
        self.open(past, false).await
    }

    async fn beside(&mut self, past: &Past) -> Result<Opened<PgStream>> {
        self.open(past, true).await
    }

    fn gives(&self) -> Gives {
        Self::GIVES
    }

    fn scope(&self) -> String {
        self.publications.join(",")
    }

    fn reader(&mut self) -> Option<PgReader> {
        let (tables, traces) = (Arc::clone(&self.tables), Arc::clone(&self.traces));
        let (source, wide) = (Arc::clone(&self.address), Wide::new(Arc::clone(&self.wide)));
        let application = self.application.clone();
        Some(PgReader::new(source, application, &self.slot, tables, traces, wide))
    }
}

impl PgSource {
    /// What it gives, wherever it is.
    pub const GIVES: Gives = Gives::EVERYTHING;

    /// From the slot, or from a copy of it that lives as long as the connection.
    async fn open(&self, past: &Past, beside: bool) -> Result<Opened<PgStream>> {
        let (endpoint, from) = ((self.address)()?, lsn(&past.position)?);
        let (client, at_source) = connect("source", &self.address, &self.application).await?;
        let (confirmed, history) =
            self.continues((&client, &at_source), endpoint.database(), past).await?;
        fail_point!("stream.proved");
        let connection = endpoint.connect_replication(&self.application).await;
        let mut connection: WireConnection =
            connection.map_err(|error| of_role("source", error))?;
        // Errors of the stream name the role, too.
        connection.place = place("source", &endpoint);
        let slot = match beside {
            true => copied(&mut connection, &self.slot).await?,
            false => self.slot.clone(),
        };
        // A copy is where the slot was by then.
        let confirmed = async || {
            let slot = Slot::find(&client, &at_source, &slot).await?;
            Ok::<_, Error>(slot.and_then(|slot| slot.confirmed).unwrap_or(confirmed))
        };
        let options = StreamOptions::default();
        let start = match &past.last {
            Some(last) => Replay::start(last, confirmed().await?, from)?,
            None => from,
        };
        connection.begin(&slot, start, &self.publications, &options).await?;
        // What the daemon before this one had acknowledged may have come late.
        let confirmed = confirmed().await?;
        if confirmed > from {
            return Err(Slot::gap(&slot, &at_source, confirmed, from));
        }
        let replay = past.last.clone().filter(|_| start < from);
        let replay = replay.map(|last| Replay::new(last, confirmed, from));
        let stream = PgStream::spawn(connection, (from, confirmed), replay, options);
        Ok(Opened { stream, history })
    }

    /// Proves that the stream continues where the target is without a gap, as far as the server can tell without
    /// sending anything. It would not say by itself: it starts at whatever the slot was confirmed to.
    ///
    /// Gives what the slot has confirmed, and the history of positions from now on, if it is another one.
    async fn continues(
        &self,
        (client, place): (&Client, &str),
        database: &str,
        past: &Past,
    ) -> Result<(Lsn, Option<String>)> {
        let from = lsn(&past.position)?;
        let server = Server::ask(client, place).await?;
        // Its log may end earlier, and it may have no slot, for as long as it is one.
        if server.standby {
            let what = "the server is a standby now: the primary is waited for";
            return Err(Error::new(Code::Unreachable, what).at(place).remedy(
                "after a failover, point the address at the new primary; it is asked again by itself",
            ));
        }
        let replaced = |what: String| {
            Err(Error::new(Code::SourceReplaced, what).at(place).remedy(
                format!("point [source] at the server that the pipeline was made for; if it was replaced for \
                 good: {START_OVER}"),
            ))
        };
        if server.system != self.system {
            return replaced("the source is not the cluster that the ledger knows".to_owned());
        }
        if !server.wal_end.covers(&past.position) {
            let what = format!(
                "the source's log ends at {}, before the position {from} that the target has",
                server.wal_end
            );
            return Err(history::rewound(what, place));
        }
        let history = self.same_past(client, place, past).await?;
        let Some(slot) = Slot::find(client, place, &self.slot).await? else {
            let what = format!("the replication slot {} is gone", self.slot);
            return Err(Error::new(Code::SlotMissing, what).at(place).remedy(format!(
                "changes since the last position are lost to the stream: {START_OVER}"
            )));
        };
        slot.fit(&self.slot, place, database, Some(from))?;
        Ok((slot.confirmed.unwrap_or_default(), history))
    }

    /// Proves that the source's timeline has the past in which the position was given out. Gives the timeline if
    /// it is another one.
    async fn same_past(&self, client: &Client, place: &str, past: &Past) -> Result<Option<String>> {
        let now = history::timeline(client, place).await?;
        let known = past.history.as_ref().and_then(|known| known.parse::<u32>().ok());
        if known == Some(now) {
            return Ok(None);
        }
        if let Some(known) = known {
            let endpoint = (self.address)()?;
            let connection = endpoint.connect_replication(&self.application).await;
            let mut connection = connection.map_err(|error| of_role("source", error))?;
            connection.place = place.to_owned();
            history::continues(&mut connection, known, now, lsn(&past.position)?).await?;
        }
        Ok(Some(now.to_string()))
    }
}

/// Copies the slot; the server drops the copy with the connection.
///
/// <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION>
async fn copied(connection: &mut WireConnection, slot: &str) -> Result<String> {
    let (name, prefix) = (literal(slot), literal(slot.get(..SLOT_PREFIX).unwrap_or(slot)));
    let sql = format!(
        "SELECT slot_name FROM pg_catalog.pg_copy_logical_replication_slot({name}, {prefix} || '_' || \
         pg_catalog.pg_backend_pid(), true)"
    );
    let rows = connection.simple_query(&sql).await?;
    rows.into_iter().flatten().flatten().next().ok_or_else(|| {
        let what = format!("the slot {slot} was copied, and the copy has no name");
        Error::new(Code::Protocol, what).at(connection.place())
    })
}
