//! Writes one segment.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use regraft_core::row::Row;
use regraft_core::segment::{PatchGroup, TableWrites};
use regraft_core::sql::quote;
use regraft_core::{Code, Error, Result, Segment};
use tokio_postgres::types::ToSql;

use super::lane::Lane;
use super::recover::Parking;
use super::statements;
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
        for part in parts(gone.iter()) {
            let (sql, mut arrays) = if by_owner {
                let width = self.routes[at].owner.as_ref().map_or(0, Vec::len);
                let all: Vec<_> = (0..width).collect();
                let sql = statements::delete_by_owner(&self.routes[at], &self.targets[at], keep);
                (sql, columns(part.into_iter(), &all))
            } else {
                let (route, target) = (&self.routes[at], &self.targets[at]);
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
                for part in parts(writes.upserts.iter()) {
                    self.written[at].upserted += self.put(at, part, false).await?;
                }
                for part in parts(writes.fresh.iter()) {
                    self.written[at].upserted += self.put(at, part, true).await?;
                }
            } else {
                // In one statement, so that rows may refer to one another.
                for part in parts(writes.arriving()) {
                    self.written[at].upserted += self.put(at, part, false).await?;
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

    /// Inserts rows, or upserts them.
    async fn put(&mut self, at: usize, rows: Vec<Row<'_>>, insert: bool) -> Result<u64> {
        if insert && self.targets[at].copied {
            let rows = by_key(rows, &self.targets[at].key);
            let sql = statements::copy(&self.routes[at]);
            return self.copy(at, &sql, self.routes[at].columns.len(), rows).await;
        }
        if self.targets[at].staged {
            return self.put_staged(at, rows, insert).await;
        }
        let sql = self.put_statement(at, insert, None);
        let all: Vec<_> = (0..self.routes[at].columns.len()).collect();
        self.run(&sql, at, &columns(rows.into_iter(), &all)).await
    }

    fn put_statement(&self, at: usize, insert: bool, staging: Option<&str>) -> String {
        let (route, target) = (&self.routes[at], &self.targets[at]);
        if insert {
            statements::insert(route, target, staging)
        } else {
            statements::upsert(route, target, staging)
        }
    }

    async fn put_staged(&mut self, at: usize, rows: Vec<Row<'_>>, insert: bool) -> Result<u64> {
        let columns = self.routes[at].columns.iter();
        let columns: Vec<_> = columns.map(|c| (quote(&c.name), c.sql_type.clone())).collect();
        let name = format!("regraft_staging_{at}");
        self.stage(at, &name, &columns, rows).await?;
        let sql = self.put_statement(at, insert, Some(&format!("pg_temp.{name}")));
        self.run(&sql, at, &[]).await
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
        let all: Vec<_> = (0..columns_of.len()).collect();
        for part in parts(group.rows.iter()) {
            let expected = part.len() as u64;
            let found = if staged {
                self.stage(at, &name, &columns_of, part).await?;
                self.run(&sql, at, &[]).await?
            } else {
                self.run(&sql, at, &columns(part.into_iter(), &all)).await?
            };
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
        done.map_err(|error| self.failed(&error, &place))
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
fn parts<'r>(rows: impl Iterator<Item = Row<'r>>) -> Vec<Vec<Row<'r>>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut bytes = 0;
    for row in rows {
        if !part.is_empty()
            && (part.len() >= ROWS_PER_STATEMENT || bytes + row.0.len() > BYTES_PER_STATEMENT)
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
