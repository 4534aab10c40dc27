//! Reads both sides for a comparison: exactly, or range by range where the target's order is not that
//! of the source, or a mapper of the program makes the rows.

use std::time::{Duration, Instant};

use regraft_core::verify::{Compare, Range, RangeRows, Seen};
use regraft_core::{Code, Key, Position, Result, Snapshot, TableName};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::sql::{Scope, key_of};
use super::{PgVerifier, VerifyStatement, rows};
use crate::at;
use crate::chunks::{key, parse_snapshot};

/// How long the target may take to come to the position that a comparison needs, between looks.
pub(super) const POSITION_WAIT: Duration = Duration::from_millis(5);
/// Owners that are asked for at once.
const LISTED_MAX: u64 = 20_000;
/// Both sides are read in one snapshot each.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl PgVerifier {
    /// Reads the rows of owners, or all, with what tells whether a difference is one.
    pub(super) async fn read_exactly<C: Compare>(
        &self,
        at: usize,
        owners: Option<Vec<Key>>,
        not_before: &Position,
        into: &mut C,
    ) -> Result<Seen> {
        let statement = self.statement(at)?;
        let scope = owners.map_or(Scope::Whole, Scope::Owners);
        let position = self.begin_target(Some(not_before)).await?;
        let (pending, all_pending) = self.pending(&statement.source).await?;
        self.begin_source().await?;
        let snapshot = self.source.client.query_one("SELECT pg_current_snapshot()::text", &[]);
        let snapshot = snapshot.await.map_err(|error| self.at_source(&error))?;
        let snapshot: Snapshot = parse_snapshot(snapshot.get(0))?;
        self.read_both(at, (&scope, &scope), into).await?;
        Ok(Seen { snapshot, position, pending, all_pending })
    }

    /// Reads a range on the connections that everything else is asked on.
    pub(super) async fn read_range<C: Compare>(
        &self,
        at: usize,
        after: Option<Vec<String>>,
        rows: RangeRows,
        into: &mut C,
    ) -> Result<Range> {
        let statement = self.statement(at)?;
        let rows = RangeRows { max: rows.max.min(LISTED_MAX), ..rows };
        let begun = Instant::now();
        self.begin_source().await?;
        let boundary = statement.source_boundary(after.as_ref(), rows.max);
        let bound = self.source.client.query_opt(&boundary, &[]).await;
        let mut upto = key_of(bound.map_err(|error| self.at_source(&error))?.map(texts));
        let position = self.begin_target(None).await?;
        if let Some(boundary) = statement.target_boundary(after.as_ref(), upto.as_ref(), rows) {
            let bound = self.target.client.query_opt(&boundary, &[]).await;
            upto = key_of(bound.map_err(|error| self.at_target(&error))?.map(texts)).or(upto);
        }
        let scope = Scope::Range { after, upto: upto.clone() };
        // A range that is none at the target is a list of owners there.
        let listed = match statement.is_ordered() {
            true => None,
            false => Some(Scope::Owners(self.owners_in(statement, &scope).await?)),
        };
        let time = self.read_both(at, (&scope, listed.as_ref().unwrap_or(&scope)), into).await?;
        Ok(Range { upto, position, source_time: time.unwrap_or_else(|| begun.elapsed()) })
    }

    /// Reads both sides, and ends their transactions. Gives the time until the source was through.
    async fn read_both<C: Compare>(
        &self,
        at: usize,
        (scope, target_scope): (&Scope, &Scope),
        into: &mut C,
    ) -> Result<Option<Duration>> {
        let (statement, large) = (self.statement(at)?, self.large[at]);
        let target = (statement.target_sql(target_scope, large), target_scope);
        let target = (target.0.as_str(), target.1);
        let read = async {
            let Some(mapper) = statement.read.mapper.clone() else {
                let sql = statement.source_sql(scope, large)?;
                return rows::both(self, (&sql, scope), target, into).await;
            };
            let begun = Instant::now();
            self.mapped((statement, mapper.as_ref()), scope, large, into).await?;
            let time = begun.elapsed();
            rows::of_target(self, target, into).await.map(|()| Some(time))
        };
        let time = match read.await {
            // The rest of the rows is dropped as it comes.
            Err(error) if error.code() == Code::ChunkTooLarge => {
                self.roll_back().await?;
                return Err(error);
            }
            read => read?,
        };
        let end = self.source.client.batch_execute("COMMIT").await;
        end.map_err(|error| self.at_source(&error))?;
        self.end_target().await?;
        Ok(time)
    }

    async fn begin_source(&self) -> Result<()> {
        let begin = self.source.client.batch_execute(BEGIN).await;
        begin.map_err(|error| self.at_source(&error))
    }

    /// Begins the transaction in which the target is read, at a position of at least `not_before`.
    async fn begin_target(&self, not_before: Option<&Position>) -> Result<Position> {
        loop {
            let begin = self.target.client.batch_execute(BEGIN).await;
            begin.map_err(|error| self.at_target(&error))?;
            let sql = "SELECT position FROM regraft.pipelines WHERE name = $1";
            let row = self.target.client.query_one(sql, &[&self.name]).await;
            let position = at::position(&row.map_err(|error| self.at_target(&error))?, 0)?;
            if not_before.is_none_or(|wanted| position.covers(wanted)) {
                return Ok(position);
            }
            self.end_target().await?;
            tokio::time::sleep(POSITION_WAIT).await;
        }
    }

    /// Source keys that the target's snapshot still waits for; `true` when they are not known.
    async fn pending(&self, table: &TableName) -> Result<(Vec<Key>, bool)> {
        let sql = "SELECT keys, trace IS NOT NULL OR keys IS NULL FROM regraft.chunks WHERE pipeline = $1 \
                   AND source_schema = $2 AND source_table = $3 AND done_at IS NULL";
        let parameters: [&(dyn ToSql + Sync); 3] = [&self.name, &table.schema, &table.name];
        let rows = self.target.client.query(sql, &parameters).await;
        let (mut keys, mut all) = (Vec::new(), false);
        for row in rows.map_err(|error| self.at_target(&error))? {
            all |= row.get::<_, bool>(1);
            let found = row.get::<_, Option<Vec<Vec<u8>>>>(0).unwrap_or_default();
            keys.extend(found.into_iter().map(|key| Key(key.into_boxed_slice())));
        }
        Ok((keys, all))
    }

    /// The source keys of a range, as owner values.
    async fn owners_in(&self, statement: &VerifyStatement, scope: &Scope) -> Result<Vec<Key>> {
        let rows = self.source.client.query(&statement.owners_in(scope), &[]).await;
        let rows = rows.map_err(|error| self.at_source(&error))?;
        rows.iter().map(|row| key(row, statement.owner().len())).collect()
    }
}

pub(super) fn texts(row: Row) -> Vec<Option<String>> {
    (0..row.len()).map(|at| row.get(at)).collect()
}
