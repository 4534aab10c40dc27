//! What the sink writes into the ledger, in its own transaction.

use regraft_core::contract::Written;
use regraft_core::segment::Commit;
use regraft_core::{Code, Error, Key, Result, Segment, TableName, fail_point};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::chunk::{Chunk, INSERT_CHUNK};
use crate::at::At;
use crate::classify;

/// Writes into the ledger in the sink's transaction, as long as no other daemon took over.
#[derive(Clone, Debug)]
pub struct Fence {
    pub(super) name: String,
    pub(super) epoch: i64,
}

impl Fence {
    /// Of the daemon.
    pub(crate) fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Notes chunks and keys of a segment.
    pub(crate) async fn note(&self, client: &Client, segment: &Segment) -> Result<()> {
        let fail = |error: tokio_postgres::Error| classify(&error, "ledger");
        for table in &segment.anew {
            let sql = "UPDATE regraft.tables SET anew_from = NULL, keeps_rows = false \
                       WHERE pipeline = $1 AND source_schema = $2 AND source_table = $3";
            client.execute(sql, &[&self.name, &table.schema, &table.name]).await.map_err(fail)?;
        }
        for to_read in &segment.to_read {
            let chunk = Chunk::of(&self.name, &to_read.table, &to_read.scope);
            client.execute(INSERT_CHUNK, &chunk.parameters()).await.map_err(fail)?;
            fail_point!("keys.recorded");
        }
        for done in &segment.chunks_done {
            // Ranges stay as evidence; keys would only pile up.
            let position = segment.commit.as_ref().map(|c| At(c.position.clone()));
            let rows = i64::try_from(done.rows).unwrap_or(i64::MAX);
            let sql = "WITH keys AS (DELETE FROM regraft.chunks WHERE id = $1 AND keys IS NOT NULL) \
                       UPDATE regraft.chunks SET done_at = now(), rows = $2, position = $3 \
                       WHERE id = $1 AND keys IS NULL";
            client.execute(sql, &[&done.id, &rows, &position]).await.map_err(fail)?;
            fail_point!("chunk.noted");
        }
        Ok(())
    }

    /// Keys of a source table that wait to be read: what the target holds of them may be from before.
    pub(crate) async fn keys_to_read(
        &self,
        client: &Client,
        table: &TableName,
    ) -> Result<Vec<Key>> {
        let sql = "SELECT unnest(keys) FROM regraft.chunks WHERE pipeline = $1 AND done_at IS NULL \
                   AND source_schema = $2 AND source_table = $3 AND trace IS NULL";
        let rows = client.query(sql, &[&self.name, &table.schema, &table.name]).await;
        let rows = rows.map_err(|error| classify(&error, "ledger"))?;
        Ok(rows.iter().map(|row| Key(row.get::<_, Vec<u8>>(0).into_boxed_slice())).collect())
    }

    /// Statement that records the position and the rows written.
    pub(crate) const RECORD: &str = "
        WITH rows AS (UPDATE regraft.statements s
            SET upserted = s.upserted + w.u, deleted = s.deleted + w.d
            FROM unnest($5::int[], $6::bigint[], $7::bigint[]) AS w(n, u, d)
            WHERE s.pipeline = $1 AND s.statement = w.n AND w.u + w.d > 0)
        UPDATE regraft.pipelines SET position = $3, commit_time = coalesce($4::timestamptz, commit_time),
            commit_at = coalesce($8, commit_at), commit_xid = coalesce($9, commit_xid),
            updated_at = now()
        WHERE name = $1 AND epoch = $2";

    /// Records the position and the rows written, by [`Fence::RECORD`].
    ///
    /// # Errors
    /// [`Code::PipelineRunning`] when another daemon took over: the transaction must not commit.
    pub(crate) async fn record(
        &self,
        client: &Client,
        statement: &Statement,
        commit: &Commit,
        written: &[Written],
    ) -> Result<()> {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let count = i32::try_from(written.len()).unwrap_or(i32::MAX);
        let statements: Vec<i32> = (0..count).collect();
        let upserted: Vec<i64> = written.iter().map(|w| number(w.upserted)).collect();
        let deleted: Vec<i64> = written.iter().map(|w| number(w.deleted)).collect();
        let position = At(commit.position.clone());
        let last = commit.last.as_ref();
        let time = last.map(|last| last.commit_time);
        let at = last.map(|last| At(last.at.clone()));
        let xid = last.and_then(|last| last.xid).map(i64::from);
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &self.name,
            &self.epoch,
            &position,
            &time,
            &statements,
            &upserted,
            &deleted,
            &at,
            &xid,
        ];
        let recorded = client.execute(statement, &parameters).await;
        if recorded.map_err(|error| classify(&error, "ledger"))? == 0 {
            let what = format!("another daemon took over the pipeline {}", self.name);
            return Err(Error::new(Code::PipelineRunning, what).at("ledger"));
        }
        Ok(())
    }
}
