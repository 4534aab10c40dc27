//! Ranges of source keys, compared as they are: without regard to the stream, and as fast as both
//! servers give their rows.
//!
//! The end of the next range is looked for while a range is read. Where that says nothing (at the first
//! range, at the end of the table, and when a range turned out to be too much), it is found in the
//! snapshots in which the range is read: then it has as many rows as it was to have, whatever was
//! committed a moment ago.

use std::time::{Duration, Instant};

use bytes::Bytes;
use regraft_core::sql::literal;
use regraft_core::verify::{Compare, Range, RangeRows};
use regraft_core::{Position, Result};
use tokio_postgres::Client;

use super::read::{self, BEGIN};
use super::rows::full;
use super::sql::{Scope, key_of};
use super::{VerifySide, VerifyStatement};
use crate::WireConnection;
use crate::address::of_role;
use crate::chunks::of_source;
use crate::hindered::HARDLY_WAITING;
use crate::replication::copy::CopyOut;

/// One side is read no further ahead of the other than this, in bytes.
const AHEAD_MAX: u64 = 4 << 20;
/// For so long the end of the next range is believed: rows may come to be before it.
const AHEAD_TIME: Duration = Duration::from_secs(10);

/// Connections on which ranges are read. After an error they are used no more: rows may be on their way.
pub(super) struct Wires {
    source: WireConnection,
    target: WireConnection,
    ahead: Option<Ahead>,
}

/// Where the next range may end.
struct Ahead {
    fingerprint: String,
    after: Vec<String>,
    rows: u64,
    upto: Vec<String>,
    found: Instant,
}

/// A statement of a pipeline, and whether values of it may be large.
pub(super) type Asked<'a> = (&'a str, &'a VerifyStatement, bool);

impl Wires {
    pub(super) async fn open(source: &VerifySide, target: &VerifySide) -> Result<Self> {
        let (source, target) = tokio::try_join!(wire("source", source), wire("target", target))?;
        Ok(Self { source, target, ahead: None })
    }

    /// Begins the transactions in which a range is read.
    pub(super) async fn begin(&mut self) -> Result<()> {
        tokio::try_join!(self.source.simple_query(BEGIN), self.target.simple_query(BEGIN))?;
        Ok(())
    }

    /// Reads the rows of the next source keys after `after`, and ends the transactions; looks for the end
    /// of the next range on `other`, a connection to the source.
    pub(super) async fn read<C: Compare>(
        &mut self,
        (pipeline, statement, large): Asked<'_>,
        after: Option<Vec<String>>,
        rows: RangeRows,
        (other, into): (&Client, &mut C),
    ) -> Result<Range> {
        let begun = Instant::now();
        let known = self.ahead.take().filter(|ahead| ahead.is_of(statement, &after, rows));
        let bound = async {
            if let Some(ahead) = known {
                return Ok(Some(ahead.upto));
            }
            let boundary = statement.source_boundary(after.as_ref(), rows.max);
            let bound = self.source.simple_query(&boundary).await;
            Ok(key_of(bound.map_err(of_source)?.into_iter().next()))
        };
        let position =
            format!("SELECT position FROM regraft.pipelines WHERE name = {}", literal(pipeline));
        let (mut upto, position) = tokio::try_join!(bound, self.target.simple_query(&position))?;
        let position = position.into_iter().flatten().next().flatten();
        let position = position.and_then(|text| Position::from_stored(&text).ok());
        let position = position.ok_or_else(|| self.target.protocol("a position is none"))?;
        if let Some(boundary) = statement.target_boundary(after.as_ref(), upto.as_ref(), rows) {
            let bound = self.target.simple_query(&boundary).await?;
            upto = key_of(bound.into_iter().next()).or(upto);
        }
        let scope = Scope::Range { after, upto: upto.clone() };
        let source = self.source.copy_out(&statement.source_sql(&scope, large)?, "COMMIT").await?;
        let target = self.target.copy_out(&statement.target_sql(&scope, large), "COMMIT").await?;
        let next = async {
            let after = upto.clone().filter(|_| !rows.at_target)?;
            let boundary = statement.source_boundary(Some(&after), rows.max);
            // Without an answer, it is asked for again.
            let upto = other.query_opt(&boundary, &[]).await.ok()?;
            let upto = key_of(upto.map(read::texts))?;
            let (fingerprint, found) = (statement.fingerprint.clone(), Instant::now());
            Some(Ahead { fingerprint, after, rows: rows.max, upto, found })
        };
        let (source_end, ahead) = tokio::join!(both(source, target, into), next);
        let source_time = source_end?.duration_since(begun);
        self.ahead = ahead;
        Ok(Range { upto, position, source_time })
    }
}

impl Ahead {
    fn is_of(
        &self,
        statement: &VerifyStatement,
        after: &Option<Vec<String>>,
        rows: RangeRows,
    ) -> bool {
        let of = (self.fingerprint == statement.fingerprint, Some(&self.after), self.rows);
        of == (true, after.as_ref(), rows.max)
            && !rows.at_target
            && self.found.elapsed() < AHEAD_TIME
    }
}

async fn wire(role: &str, side: &VerifySide) -> Result<WireConnection> {
    let opened = async {
        let mut wire = (side.address)()?.connect_plain(&side.application).await?;
        // A plan for a range is not worth compiling.
        wire.simple_query("SET row_security = off; SET jit = off").await?;
        if role == "source" {
            wire.simple_query(HARDLY_WAITING).await?;
        }
        Ok(wire)
    };
    let mut wire: WireConnection = opened.await.map_err(|error| of_role(role, error))?;
    wire.place = format!("{}, verifying", side.place);
    Ok(wire)
}

/// Takes the rows of both sides as they come; gives the time when the source was through.
async fn both<C: Compare>(
    mut source: CopyOut<'_>,
    mut target: CopyOut<'_>,
    into: &mut C,
) -> Result<Instant> {
    let (mut source_rows, mut target_rows) = (Vec::<Bytes>::new(), Vec::<Bytes>::new());
    let (mut source_bytes, mut target_bytes, mut source_end) = (0_u64, 0_u64, None);
    while !source.is_ended() || !target.is_ended() {
        if into.is_full() {
            return Err(full());
        }
        let source_waits = source.is_ended() || source_bytes > target_bytes + AHEAD_MAX;
        let target_waits = target.is_ended() || target_bytes > source_bytes + AHEAD_MAX;
        tokio::select! {
            read = source.read(&mut source_rows), if !source_waits || target.is_ended() => read.map_err(of_source)?,
            read = target.read(&mut target_rows), if !target_waits || source.is_ended() => read?,
        }
        for row in source_rows.drain(..) {
            source_bytes += row.len() as u64;
            into.source(row);
        }
        for row in target_rows.drain(..) {
            target_bytes += row.len() as u64;
            into.target(row);
        }
        if source.is_ended() {
            source_end.get_or_insert_with(Instant::now);
        }
    }
    Ok(source_end.unwrap_or_else(Instant::now))
}
