//! Writes one segment.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use regraft_core::row::Row;
use regraft_core::segment::{PatchGroup, TableWrites};
use regraft_core::sql::quote;
use regraft_core::{Code, Error, Result, Segment};
use tokio_postgres::types::ToSql;

use super::lane::{Lane, Refused};
use super::recover::Parking;
use super::statements::{self, Guard};
use crate::raw::RawArray;

/// Rows per statement: more gain nothing, and keep locks and memory longer.
const ROWS_PER_STATEMENT: usize = 5_000;
/// Bytes per statement; a single larger row passes.
const BYTES_PER_STATEMENT: usize = 16 << 20;
/// The header and end of a binary COPY: signature, flags, extension length; -1 columns.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_END: &[u8] = &[0xff, 0xff];

/// In which order removals and arrivals take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Rows go before rows come, and fresh rows are inserted as such.
    InsertFresh,
    /// Rows go before rows come: unique values become free first.
    RemoveFirst,
    /// Rows come before rows go: references move away first.
    ArriveFirst,
}

impl Lane {
    /// Writes in a given order; unique values are parked between removals and arrivals. Counts what was
    /// written only when all of it succeeded.
    pub(super) async fn write_in(
        &mut self,
        segment: &Segment,
        order: Order,
        parking: &[Parking],
    ) -> Result<()> {
        let counted = self.written.clone();
        let result = async {
            if order != Order::ArriveFirst {
                self.remove(segment, order).await?;
            }
            for parking in parking {
                self.park(segment, parking).await?;
            }
            self.arrive(segment, order).await?;
            if order == Order::ArriveFirst {
                self.remove(segment, order).await?;
            }
            Ok(())
        }
        .await;
        if result.is_err() {
            self.written = counted;
        }
        result
    }

    fn ranked<'s>(&self, segment: &'s Segment) -> Vec<&'s TableWrites> {
        let mut writes: Vec<_> = segment.writes.iter().collect();
        writes.sort_by_key(|writes| self.targets[writes.statement].rank);
        writes
    }

    /// Removals, children before parents.
    async fn remove(&mut self, segment: &Segment, order: Order) -> Result<()> {
        for writes in self.ranked(segment).into_iter().rev() {
            let at = writes.statement;
            if writes.clear {
                let sql = statements::clear(&self.routes[at]);
                self.written[at].deleted += self.run(&sql, at, &[]).await?;
            }
            self.remove_rows(writes, true, order).await?;
            self.remove_rows(writes, false, order).await?;
        }
        Ok(())
    }

    async fn remove_rows(
        &mut self,
        writes: &TableWrites,
        by_owner: bool,
        order: Order,
    ) -> Result<()> {
        let gone = if by_owner { &writes.replaced } else { &writes.withdrawn };
        if gone.is_empty() {
            return Ok(());
        }
        let at = writes.statement;
        let key = self.targets[at].key.clone();
        let kept = match order {
            Order::InsertFresh => columns(writes.upserts.iter(), &key),
            Order::RemoveFirst | Order::ArriveFirst => columns(writes.arriving(), &key),
        };
        let keep = kept.first().is_some_and(|array| !array.is_empty());
        let kept = if keep { kept } else { Vec::new() };
        for part in parts(gone.iter(), ROWS_PER_STATEMENT) {
            let (route, target) = (&self.routes[at], &self.targets[at]);
            // A row that was put aside has another key now.
            let aside = self.parked.iter().any(|parked| parked.statement == at && parked.key);
            let owner = route.owner.as_ref().filter(|_| by_owner || aside);
            let (sql, mut arrays) = if let Some(owner) = owner {
                let leading: Vec<_> = (0..owner.len()).collect();
                let owner = if by_owner { &leading } else { owner };
                let sql = statements::delete_by_owner(route, target, keep);
                (sql, columns(part.into_iter(), owner))
            } else {
                let sql = statements::delete_by_key(route, target, keep);
                (sql, columns(part.into_iter(), &statements::old_row_columns(route, target)))
            };
            arrays.extend(kept.iter().cloned());
            self.written[at].deleted += self.run(&sql, at, &arrays).await?;
        }
        Ok(())
    }

    /// Upserts, parents before children, and then patches.
    async fn arrive(&mut self, segment: &Segment, order: Order) -> Result<()> {
        for writes in self.ranked(segment) {
            let at = writes.statement;
            if order == Order::InsertFresh {
                for part in parts(writes.upserts.iter(), ROWS_PER_STATEMENT) {
                    self.written[at].upserted += self.put(at, part, segment).await?;
                }
                for part in parts(writes.fresh.iter(), ROWS_PER_STATEMENT) {
                    self.written[at].upserted += self.insert(at, part).await?;
                }
            } else {
                // In one statement, so that rows may refer to one another.
                let rows_max = if self.singly { 1 } else { ROWS_PER_STATEMENT };
                for part in parts(writes.arriving(), rows_max) {
                    self.written[at].upserted += self.put(at, part, segment).await?;
                }
            }
        }
        for writes in self.ranked(segment) {
            for group in &writes.patches {
                self.patch(writes.statement, group).await?;
            }
        }
        Ok(())
    }

    /// Inserts rows that are not there.
    async fn insert(&mut self, at: usize, rows: Vec<Row<'_>>) -> Result<u64> {
        if self.targets[at].copied {
            let rows = by_key(rows, &self.targets[at].key);
            let sql = statements::copy(&self.routes[at]);
            return self.copy(at, &sql, self.routes[at].columns.len(), rows).await;
        }
        let sql =
            statements::insert(&self.routes[at], &self.targets[at], self.staging(at).as_deref());
        self.run_with(&sql, at, &rows, &[]).await
    }

    /// Inserts rows, or overwrites those with the same key that belong to the same source row.
    async fn put(&mut self, at: usize, rows: Vec<Row<'_>>, segment: &Segment) -> Result<u64> {
        if self.targets[at].guarded {
            self.put_guarded(at, rows, segment).await
        } else {
            self.upsert(at, &rows, &Guard::None, &[]).await
        }
    }

    /// Upserts rows, with the parameters of the guard.
    pub(super) async fn upsert(
        &mut self,
        at: usize,
        rows: &[Row<'_>],
        guard: &Guard,
        parameters: &[RawArray],
    ) -> Result<u64> {
        self.remove_renumbered(at, rows, guard, parameters).await?;
        let (route, target, staging) = (&self.routes[at], &self.targets[at], self.staging(at));
        let first = 1 + if staging.is_some() { 0 } else { route.columns.len() };
        let guard = match guard {
            Guard::None => None,
            Guard::Own => Some(statements::own(route, target, |at| {
                format!("excluded.{}", quote(&route.columns[at].name))
            })),
            Guard::Freed(of) => Some(self.freed_conditions(of, first)),
        };
        let sql = statements::upsert(route, target, staging.as_deref(), guard.as_deref());
        self.run_with(&sql, at, rows, parameters).await
    }

    /// The staging table of a statement that needs one.
    fn staging(&self, at: usize) -> Option<String> {
        self.targets[at].staged.then(|| format!("pg_temp.regraft_staging_{at}"))
    }

    /// Runs a statement over whole rows, which come by a staging table where need be.
    async fn run_with(
        &mut self,
        sql: &str,
        at: usize,
        rows: &[Row<'_>],
        parameters: &[RawArray],
    ) -> Result<u64> {
        if !self.targets[at].staged {
            let all: Vec<_> = (0..self.routes[at].columns.len()).collect();
            let mut arrays = columns(rows.iter().copied(), &all);
            arrays.extend(parameters.iter().cloned());
            return self.run(sql, at, &arrays).await;
        }
        let columns = self.routes[at].columns.iter();
        let columns: Vec<_> = columns.map(|c| (quote(&c.name), c.sql_type.clone())).collect();
        self.stage(at, &format!("regraft_staging_{at}"), &columns, rows.to_vec()).await?;
        self.run(sql, at, parameters).await
    }

    /// Copies rows into a temporary table of the session: the way for arrays, which `unnest` flattens.
    async fn stage(
        &mut self,
        at: usize,
        name: &str,
        columns: &[(String, String)],
        rows: Vec<Row<'_>>,
    ) -> Result<()> {
        self.run(&statements::create_staging(name, columns), at, &[]).await?;
        self.run(&format!("DELETE FROM pg_temp.{name}"), at, &[]).await?;
        let copy = format!("COPY pg_temp.{name} FROM STDIN (FORMAT binary)");
        self.copy(at, &copy, columns.len(), rows).await.map(drop)
    }

    async fn copy(
        &mut self,
        at: usize,
        sql: &str,
        width: usize,
        rows: Vec<Row<'_>>,
    ) -> Result<u64> {
        let place = self.route_place(at);
        let statement = self.prepare(sql, &place).await?;
        let sink = self.client.copy_in::<_, Bytes>(&statement).await;
        let mut sink = std::pin::pin!(sink.map_err(|error| self.failed(&error, &place))?);
        let mut out = BytesMut::from(COPY_HEADER);
        let width = i16::try_from(width).unwrap_or(i16::MAX);
        for row in rows {
            out.put_i16(width);
            out.put_slice(row.0);
            if out.len() > 1 << 18 {
                let part = out.split().freeze();
                sink.feed(part).await.map_err(|error| self.failed(&error, &place))?;
            }
        }
        out.put_slice(COPY_END);
        sink.feed(out.freeze()).await.map_err(|error| self.failed(&error, &place))?;
        sink.finish().await.map_err(|error| self.failed(&error, &place))
    }

    async fn patch(&mut self, at: usize, group: &PatchGroup) -> Result<()> {
        let columns_of = statements::patch_columns(&self.routes[at], &group.columns);
        let staged = columns_of.iter().any(|(_, sql_type)| sql_type.ends_with("[]"));
        let set: Vec<_> = group.columns.iter().map(usize::to_string).collect();
        let name = format!("regraft_patch_{at}_{}", set.join("_"));
        let staging = staged.then(|| format!("pg_temp.{name}"));
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let sql = statements::patch(route, target, &group.columns, staging.as_deref());
        let renumbers = group.columns.iter().any(|column| target.identity.contains(column));
        let renumber = renumbers
            .then(|| statements::renumber(route, target, &group.columns, staging.as_deref()));
        // Rows that moved by it are not found again by their owner.
        let owned = route.owner.iter().flatten().any(|column| target.identity.contains(column));
        let all: Vec<_> = (0..columns_of.len()).collect();
        for part in parts(group.rows.iter(), ROWS_PER_STATEMENT) {
            let expected = part.len() as u64;
            let arrays = if staged {
                self.stage(at, &name, &columns_of, part).await?;
                Vec::new()
            } else {
                columns(part.into_iter(), &all)
            };
            let mut found = 0;
            if let Some(renumber) = &renumber {
                let moved = self.run(renumber, at, &arrays).await?;
                found += if owned { moved } else { 0 };
            }
            found += self.run(&sql, at, &arrays).await?;
            self.written[at].upserted += found;
            if group.expect_rows && found != expected {
                let what = format!(
                    "{} of {expected} rows that the stream changed in part are missing in the target",
                    expected.saturating_sub(found)
                );
                return Err(Error::new(Code::RowMissing, what)
                    .at(self.route_place(at))
                    .remedy("copy the source table anew: `regraft run --recopy TABLE`"));
            }
        }
        Ok(())
    }

    pub(super) async fn run(&mut self, sql: &str, at: usize, arrays: &[RawArray]) -> Result<u64> {
        let place = self.route_place(at);
        let statement = self.prepare(sql, &place).await?;
        let parameters = arrays.iter().map(|array| array as &(dyn ToSql + Sync));
        let done = self.client.execute_raw(&statement, parameters).await;
        done.map_err(|error| {
            // Two rows of one statement have one key.
            match Refused::of(&error) {
                Some(refused) if refused.sqlstate == "21000" => self.collision(at).because(refused),
                _ => self.failed(&error, &place),
            }
        })
    }

    /// Runs a statement that gives two texts per row.
    pub(super) async fn pairs(
        &mut self,
        sql: &str,
        at: usize,
        arrays: &[RawArray],
    ) -> Result<Vec<(String, String)>> {
        let place = self.route_place(at);
        let statement = self.prepare(sql, &place).await?;
        let parameters: Vec<_> = arrays.iter().map(|array| array as &(dyn ToSql + Sync)).collect();
        let rows = self.client.query(&statement, &parameters).await;
        let rows = rows.map_err(|error| self.failed(&error, &place))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    pub(super) fn route_place(&self, at: usize) -> String {
        let route = &self.routes[at];
        format!("{} (into {})", route.place, route.target)
    }
}

/// One array per wanted column.
pub(super) fn columns<'r>(rows: impl Iterator<Item = Row<'r>>, wanted: &[usize]) -> Vec<RawArray> {
    let mut arrays = vec![RawArray::default(); wanted.len()];
    let in_order = wanted.iter().enumerate().all(|(at, &column)| at == column);
    for row in rows {
        if in_order {
            arrays.iter_mut().zip(row.cells()).for_each(|(array, cell)| array.push(cell));
        } else {
            let cells: Vec<_> = row.cells().collect();
            for (array, &column) in arrays.iter_mut().zip(wanted) {
                array.push(cells.get(column).copied().flatten());
            }
        }
    }
    arrays
}

/// Rows in the order of their keys' bytes: neighbours in an index stay together.
fn by_key<'r>(mut rows: Vec<Row<'r>>, key: &[usize]) -> Vec<Row<'r>> {
    rows.sort_by_cached_key(|row| key.iter().map(|&at| row.cell(at)).collect::<Vec<_>>());
    rows
}

/// Cuts rows into parts for one statement each.
fn parts<'r>(rows: impl Iterator<Item = Row<'r>>, rows_max: usize) -> Vec<Vec<Row<'r>>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut bytes = 0;
    for row in rows {
        if !part.is_empty() && (part.len() >= rows_max || bytes + row.0.len() > BYTES_PER_STATEMENT)
        {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += row.0.len();
        part.push(row);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}
