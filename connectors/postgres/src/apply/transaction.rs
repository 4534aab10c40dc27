//! A transaction of the target: segments up to a commit, with the position and the chunks done.

use regraft_core::contract::Written;
use regraft_core::segment::Commit;
use regraft_core::{Code, Error, Lsn, Position, Result, Segment, fail_point};
use tokio::sync::oneshot;
use tokio_postgres::Statement;

use super::lane::Lane;
use super::shape::{self, SHAPES};
use crate::classify;
use crate::ledger::Fence;

/// What became of a segment.
pub(super) struct Outcome {
    pub(super) written: Vec<Written>,
    pub(super) commit: Option<Committed>,
}

/// A commit that is visible, and where it is in the target's log.
pub(super) struct Committed {
    pub(super) position: Position,
    /// Its record ends at or before here.
    pub(super) recorded: Lsn,
    /// The target's disk has everything up to here.
    pub(super) flushed: Lsn,
}

impl Lane {
    /// Writes a segment. Its commit waits for its `turn`: that of the batch before.
    pub(super) async fn write(
        &mut self,
        segment: &Segment,
        turn: Option<oneshot::Receiver<()>>,
    ) -> Result<Outcome> {
        if !self.open {
            self.begin().await?;
            fail_point!("batch.begun");
        }
        let before = self.written.clone();
        let chunk = segment.chunks_done.first().map(|chunk| chunk.id);
        let in_chunk = |error: Error| match chunk {
            Some(chunk) => error.in_chunk(chunk),
            None => error,
        };
        self.touched.extend(segment.net()?.iter().map(|writes| writes.statement));
        self.write_segment(segment).await.map_err(in_chunk)?;
        fail_point!("batch.written");
        self.fence.note(&self.client, segment).await?;
        fail_point!("batch.noted");
        let written = self
            .written
            .iter()
            .zip(&before)
            .enumerate()
            .map(|(statement, (now, before))| Written {
                statement,
                upserted: now.upserted - before.upserted,
                deleted: now.deleted - before.deleted,
            })
            .filter(|written| written.upserted + written.deleted > 0)
            .collect();
        let commit = match &segment.commit {
            Some(commit) => {
                if let Some(turn) = turn {
                    turn.await
                        .map_err(|_| Error::new(Code::Internal, "the batch before failed"))?;
                }
                Some(self.commit(commit).await?)
            }
            None => None,
        };
        Ok(Outcome { written, commit })
    }

    async fn begin(&mut self) -> Result<()> {
        let deferrable = self.targets.iter().any(|target| target.deferrable);
        let sql = if deferrable { "BEGIN; SET CONSTRAINTS ALL DEFERRED" } else { "BEGIN" };
        self.execute_text(sql).await?;
        self.open = true;
        self.touched.clear();
        self.written = vec![Written::default(); self.routes.len()];
        Ok(())
    }

    async fn commit(&mut self, commit: &Commit) -> Result<Committed> {
        self.settle_leaving().await?;
        self.settle_parked().await?;
        let written = std::mem::take(&mut self.written);
        let record = self.prepare(Fence::RECORD, "ledger").await?;
        let shapes = self.prepare(SHAPES, "looking at the targets").await?;
        // In one round trip.
        let (recorded, fits) = tokio::join!(
            self.fence.record(&self.client, &record, commit, &written),
            self.fits(&shapes)
        );
        recorded?;
        fits?;
        fail_point!("batch.recorded");
        if commit.awaited {
            // The disk is waited for here, rather than the writer of the log, which comes by now and then.
            self.execute_text("SET LOCAL synchronous_commit = local").await?;
        }
        self.execute_text("COMMIT").await?;
        fail_point!("batch.committed");
        self.open = false;
        let [recorded, flushed] = self.log_positions().await?;
        Ok(Committed {
            position: commit.position.clone(),
            recorded: end_of_record(recorded),
            flushed,
        })
    }

    /// Refuses to commit what was written by a plan for other tables than those that are there. The locks of the
    /// writes keep them as they are from here to the commit, and what was altered before is visible.
    async fn fits(&self, shapes: &Statement) -> Result<()> {
        let touched: Vec<_> = self.touched.iter().copied().collect();
        let routes = touched.iter().map(|&at| &self.routes[at]);
        let now = shape::ask(&self.client, &self.place, shapes, routes).await?;
        let altered = touched.iter().zip(now).find(|(at, now)| self.targets[**at].shape != *now);
        let Some((&at, _)) = altered else { return Ok(()) };
        let table = &self.routes[at].target;
        let what = format!(
            "the target {table} was altered while its rows were written: they are not committed"
        );
        let remedy = "nothing needs to be done: they are written again, for the table as it is now";
        Err(Error::new(Code::TargetUnavailable, what).at(&self.place).remedy(remedy))
    }

    /// Where the target's log ends, and up to where it is on disk.
    pub(super) async fn log_positions(&mut self) -> Result<[Lsn; 2]> {
        let sql = "SELECT pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text";
        let statement = self.prepare(sql, "asking what is durable").await?;
        let row = self.client.query_one(&statement, &[]).await;
        let row = row.map_err(|error| classify(&error, &self.place))?;
        let lsn = |at: usize| row.get::<_, String>(at).parse::<Lsn>();
        let protocol = |_| Error::new(Code::Protocol, "a log position of unknown form");
        Ok([lsn(0).map_err(protocol)?, lsn(1).map_err(protocol)?])
    }
}

/// At a page boundary the server reports the next insertion behind the page's header, up to which
/// nothing is flushed before the next record: the log that exists ends at the boundary.
fn end_of_record(insert: Lsn) -> Lsn {
    const PAGE: u64 = 8192;
    const LONG_HEADER: u64 = 40;
    if insert.0 % PAGE <= LONG_HEADER { Lsn(insert.0 - insert.0 % PAGE) } else { insert }
}
