//! Writes one segment.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use regraft_core::row::{self, Row};
use regraft_core::segment::{PatchGroup, Route, TableWrites};
use regraft_core::sql::quote;
use regraft_core::{Code, Error, Result, Rows, Segment, WIDE};
use tokio_postgres::types::ToSql;

use super::lane::{Lane, Refused};
use super::recover::Parking;
use super::statements::{self, Guard};
use crate::given::{Carried, unnested};
use crate::raw::RawArray;

/// Rows per statement: more gain nothing, and keep locks and memory longer.
const ROWS_PER_STATEMENT: usize = 5_000;
/// Bytes per statement; a single larger row passes.
const BYTES_PER_STATEMENT: usize = 16 << 20;
/// The header and end of a binary COPY: signature, flags, extension length; -1 columns.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_END: &[u8] = &[0xff, 0xff];
/// A message of a COPY is about so long.
const COPY_PART: usize = 1 << 18;

/// In which order removals and arrivals take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Rows go before rows come, and fresh rows are inserted as such.
    InsertFresh,
    /// Rows go before rows come: unique values become free first.
    RemoveFirst,
    /// Rows come before rows go: references move away first.
    ArriveFirst,
    /// Rows that go are marked, and go before the commit: references move away later.
    RemoveLast,
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
            if order == Order::RemoveLast {
                self.arrive_by_table(segment).await?;
            } else {
                self.arrive(segment, order).await?;
            }
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

    pub(super) fn ranked<'s>(&self, segment: &'s Segment) -> Vec<&'s TableWrites> {
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
                self.forget_leaving(at);
            }
            self.remove_rows(writes, true, order).await?;
            self.remove_rows(writes, false, order).await?;
            self.uncount(writes).await?;
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
        let kept: Vec<_> = match order {
            Order::InsertFresh => writes.upserts.iter().collect(),
            _ => writes.arriving().collect(),
        };
        let owner: Vec<_> = self.routes[at].owner.iter().flatten().copied().collect();
        // A row that was put aside has another key now.
        let aside = self.parked.iter().any(|parked| parked.statement == at && parked.key);
        let (name, by, wanted) = if by_owner {
            let wanted = (0..owner.len()).collect();
            ("owners", owner, wanted)
        } else if aside && !owner.is_empty() {
            ("old", owner.clone(), owner)
        } else {
            let by = statements::old_row_columns(&self.routes[at], &self.targets[at]);
            ("old", by.clone(), by)
        };
        for part in parts(gone.iter(), ROWS_PER_STATEMENT) {
            let mut given = self.give(at, name, &by, (part, &wanted), 1).await?;
            let after = 1 + given.arrays.len();
            let kept = match kept.is_empty() {
                true => None,
                false => Some(self.give(at, "kept", &key, (kept.clone(), &key), after).await?),
            };
            let (route, target) = (&self.routes[at], &self.targets[at]);
            let keep = kept.as_ref().map(|kept| kept.select.as_str());
            let gone = statements::gone(route, target, &by, &given.select, keep);
            given.arrays.extend(kept.into_iter().flat_map(|kept| kept.arrays));
            let last = order == Order::RemoveLast && !target.referenced.is_empty();
            self.written[at].deleted += if last {
                self.leave(at, &gone, &given.arrays).await?
            } else {
                self.run(&statements::delete(route, &gone), at, &given.arrays).await?
            };
        }
        Ok(())
    }

    /// Of rows without a key, as many go as are told.
    async fn uncount(&mut self, writes: &TableWrites) -> Result<()> {
        let at = writes.statement;
        for part in parts(writes.uncounted.iter(), ROWS_PER_STATEMENT) {
            let wanted = part.len() as u64;
            let given = self.give_whole(at, part).await?;
            let sql = statements::uncount(&self.routes[at], &self.targets[at], &given.select);
            if self.by_index {
                self.execute_text("SET LOCAL enable_hashjoin = on; SET LOCAL enable_seqscan = on")
                    .await?;
            }
            let found = self.run(&sql, at, &given.arrays).await?;
            if self.by_index {
                self.execute_text(
                    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_seqscan = off",
                )
                .await?;
            }
            self.written[at].deleted += found;
            if found != wanted {
                let what = format!(
                    "{} of {wanted} rows without a key that went at the source are missing in the target",
                    wanted.saturating_sub(found)
                );
                return Err(Error::new(Code::RowMissing, what).at(self.route_place(at)).remedy(
                    format!(
                        "find out who else writes to the target, and copy the table anew: `regraft run --recopy {}`",
                        self.routes[at].source
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Upserts, parents before children, and then patches.
    async fn arrive(&mut self, segment: &Segment, order: Order) -> Result<()> {
        for writes in self.ranked(segment) {
            let at = writes.statement;
            if order == Order::InsertFresh || self.routes[at].keyless {
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
                for part in parts(group.rows.iter(), ROWS_PER_STATEMENT) {
                    self.patch(writes.statement, group, part, None).await?;
                }
            }
        }
        Ok(())
    }

    /// The same, all of a table before what references it. Rows whose referenced values change come first:
    /// others may refer to them already.
    async fn arrive_by_table(&mut self, segment: &Segment) -> Result<()> {
        for writes in self.ranked(segment) {
            let at = writes.statement;
            let mut moved = Vec::new();
            for group in &writes.patches {
                for part in parts(group.rows.iter(), ROWS_PER_STATEMENT) {
                    let rows = self.move_rows(at, group, part.clone(), moved.is_empty()).await?;
                    moved.push((group, part, rows));
                }
            }
            let rows_max = if self.singly { 1 } else { ROWS_PER_STATEMENT };
            for part in parts(writes.arriving(), rows_max) {
                self.written[at].upserted += self.put(at, part, segment).await?;
            }
            for (group, part, moved) in moved {
                self.patch(at, group, part, Some(moved)).await?;
            }
        }
        Ok(())
    }

    /// Inserts rows that are not there.
    async fn insert(&mut self, at: usize, rows: Vec<Row<'_>>) -> Result<u64> {
        self.fit(at, &rows)?;
        if self.targets[at].copied {
            let rows = by_key(rows, &self.targets[at].key);
            let sql = statements::copy(&self.routes[at]);
            return self.copy(at, &sql, self.routes[at].columns.len(), rows).await;
        }
        let given = self.give_whole(at, rows).await?;
        let sql = statements::insert(&self.routes[at], &self.targets[at], &given.select);
        self.run(&sql, at, &given.arrays).await
    }

    /// Inserts rows, or overwrites those with the same key that belong to the same source row.
    async fn put(&mut self, at: usize, rows: Vec<Row<'_>>, segment: &Segment) -> Result<u64> {
        self.adopt(at, &rows).await?;
        if self.targets[at].guarded {
            self.put_guarded(at, rows, segment).await
        } else {
            self.upsert(at, &rows, &Guard::None).await
        }
    }

    /// Upserts rows.
    pub(super) async fn upsert(
        &mut self,
        at: usize,
        rows: &[Row<'_>],
        guard: &Guard,
    ) -> Result<u64> {
        self.fit(at, rows)?;
        self.remove_renumbered(at, rows, guard).await?;
        let mut given = self.give_whole(at, rows.to_vec()).await?;
        if self.targets[at].overlaps {
            return self.put_apart(at, &given).await;
        }
        let guard = match guard {
            Guard::None => None,
            Guard::Own => {
                let (route, target) = (&self.routes[at], &self.targets[at]);
                let excluded = |at: usize| format!("excluded.{}", quote(&route.columns[at].name));
                Some(statements::own(route, target, excluded))
            }
            Guard::Freed(of) => {
                let freed = self.give_freed(of, 1 + given.arrays.len()).await?;
                given.arrays.extend(freed.arrays);
                Some(freed.select)
            }
        };
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let sql = statements::upsert(route, target, &given.select, guard.as_deref());
        self.run(&sql, at, &given.arrays).await
    }

    /// Owner columns hold their values whole. Too long ones the server refuses only where more than blanks would
    /// be cut off, and with those cut off different rows are one.
    fn fit(&self, at: usize, rows: &[Row<'_>]) -> Result<()> {
        let (route, target) = (&self.routes[at], &self.targets[at]);
        for &(column, limit) in &target.limits {
            let is_long = |row: &&Row<'_>| {
                let text = row.cell(column).flatten().unwrap_or_default();
                // The first byte of each character.
                text.len() > limit
                    && text.iter().filter(|byte| **byte & 0xc0 != 0x80).count() > limit
            };
            let long = rows.iter().filter(is_long).count();
            if long > 0 {
                let name = quote(&route.columns[column].name);
                let what = format!(
                    "{long} rows have a key that is longer than {name} of {}",
                    route.target
                );
                return Err(Error::new(Code::RowRefused, what).at(self.route_place(at)).remedy(format!(
                    "blanks at its end would be cut off, and with them what tells rows apart: make {name} as wide \
                     as the source's key; the pipeline then goes on from its position by itself"
                )));
            }
        }
        Ok(())
    }

    /// Overwrites the rows that are there, and inserts the others. Each row is of another source row
    /// ([`regraft_core::segment::Route::key_is_owner`]): no two have one key.
    async fn put_apart(&mut self, at: usize, given: &GivenRows) -> Result<u64> {
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let insert = statements::insert_missing(route, target, &given.select);
        let mut written = 0;
        if let Some(overwrite) = statements::overwrite(route, target, &given.select) {
            written += self.run(&overwrite, at, &given.arrays).await?;
        }
        Ok(written + self.run(&insert, at, &given.arrays).await?)
    }

    async fn give_whole(&mut self, at: usize, rows: Vec<Row<'_>>) -> Result<GivenRows> {
        let all: Vec<_> = (0..self.routes[at].columns.len()).collect();
        self.give(at, "new", &all, (rows, &all), 1).await
    }

    /// Gives rows to a statement: as one array per column, or in a temporary table of the session, where `unnest`
    /// would take the values apart, and where arrays would be copies of wide rows. `of` are the output columns that the `wanted` ones of the rows are, and
    /// `name` tells sets of rows of one statement from each other.
    pub(super) async fn give(
        &mut self,
        at: usize,
        name: &str,
        of: &[usize],
        (rows, wanted): (Vec<Row<'_>>, &[usize]),
        first: usize,
    ) -> Result<GivenRows> {
        let carried = of.iter().map(|&column| Carried::from(&self.routes[at].columns[column]));
        let staged = carried.clone().any(Carried::is_array)
            || self.stages && rows.iter().any(|row| is_wide(*row, wanted));
        if !staged {
            let select = unnested(carried, first);
            return Ok(GivenRows { select, arrays: columns(rows.into_iter(), wanted) });
        }
        // Names of the server are short, lists of columns may be long.
        let mut shape = DefaultHasher::new();
        of.hash(&mut shape);
        let table = format!("regraft_{name}_{at}_{:x}", shape.finish());
        let create = statements::create_staging(&table, carried.clone());
        self.run(&create, at, &[]).await?;
        self.run(&format!("DELETE FROM pg_temp.{table}"), at, &[]).await?;
        let copy = format!("COPY pg_temp.{table} FROM STDIN (FORMAT binary)");
        let whole = rows.first().is_none_or(|row| row.cells().count() == of.len());
        if whole && wanted.iter().copied().eq(0..of.len()) {
            self.copy(at, &copy, of.len(), rows).await?;
        } else {
            let picked = picked(rows.into_iter(), wanted);
            self.copy(at, &copy, of.len(), picked.iter().collect()).await?;
        }
        let carried = of.iter().map(|&column| Carried::from(&self.routes[at].columns[column]));
        let typed = carried.enumerate().map(|(n, column)| column.cast(&format!("c{n}")));
        let typed: Vec<_> =
            typed.enumerate().map(|(n, value)| format!("{value} AS c{n}")).collect();
        let select = format!("SELECT {} FROM pg_temp.{table}", typed.join(", "));
        Ok(GivenRows { select, arrays: Vec::new() })
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
        let mut sink = std::pin::pin!(sink.map_err(|error| self.refused(at, &error))?);
        let mut out = BytesMut::from(COPY_HEADER);
        let width = i16::try_from(width).unwrap_or(i16::MAX);
        for row in rows {
            out.put_i16(width);
            // A wide row is not had twice: the server takes its parts as they come.
            for part in row.0.chunks(COPY_PART) {
                out.put_slice(part);
                if out.len() > COPY_PART {
                    let part = out.split().freeze();
                    sink.feed(part).await.map_err(|error| self.refused(at, &error))?;
                }
            }
        }
        out.put_slice(COPY_END);
        sink.feed(out.freeze()).await.map_err(|error| self.refused(at, &error))?;
        sink.finish().await.map_err(|error| self.refused(at, &error))
    }

    /// Changes rows in place, save those that were `moved` already: so many.
    async fn patch(
        &mut self,
        at: usize,
        group: &PatchGroup,
        rows: Vec<Row<'_>>,
        moved: Option<u64>,
    ) -> Result<()> {
        let identity = &self.targets[at].identity;
        let renumbers = group.columns.iter().any(|column| identity.contains(column));
        // Rows that moved by it are not found again by their owner.
        let moves = self.routes[at].owner.iter().flatten().any(|column| identity.contains(column));
        let expected = rows.len() as u64;
        let given = self.give_patch(at, group, rows).await?;
        let stay = moved.map(|_| self.stay(at, &group.columns));
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let patched = statements::patched(route, target, stay);
        let sql = statements::patch(route, target, &group.columns, &given.select, &patched);
        let renumber = renumbers
            .then(|| statements::renumber(route, target, &group.columns, &given.select, &patched));
        let mut found = moved.unwrap_or_default();
        if let Some(renumber) = renumber {
            let moved = self.run(&renumber, at, &given.arrays).await?;
            found += if moves { moved } else { 0 };
        }
        found += self.run(&sql, at, &given.arrays).await?;
        self.written[at].upserted += found;
        if group.expect_rows && found != expected {
            let (route, target) = (&self.routes[at], &self.targets[at]);
            if !target.suppressing.is_empty() {
                let sql =
                    statements::unpatched(route, target, &group.columns, &given.select, &patched);
                let parameters = given.arrays.iter().map(|array| array as &(dyn ToSql + Sync));
                let rows = self.rows(&sql, at, &parameters.collect::<Vec<_>>()).await?;
                let suppressed = rows.first().map_or(0, |row| row.get::<_, i64>(0));
                if suppressed > 0 {
                    return Err(self.suppressed(at, suppressed));
                }
            }
            let what = format!(
                "{} of {expected} rows that the stream changed in part are missing in the target",
                expected.saturating_sub(found)
            );
            let anew = format!(
                "copy the source table anew: `regraft run --recopy {}`",
                self.routes[at].source
            );
            let triggers = self.targets[at].suppressing.join(", ");
            let remedy = match triggers.is_empty() {
                true => anew,
                false => format!(
                    "a trigger may have suppressed them when they came, one of {triggers}: disable it until the \
                     migration is over, then {anew}"
                ),
            };
            return Err(Error::new(Code::RowMissing, what).at(self.route_place(at)).remedy(remedy));
        }
        Ok(())
    }

    /// The error about rows that a trigger of the target does not let through.
    fn suppressed(&self, at: usize, rows: i64) -> Error {
        let (target, triggers) = (&self.routes[at].target, self.targets[at].suppressing.join(", "));
        let what = format!("a trigger of {target} suppresses {rows} rows: one of {triggers}");
        Error::new(Code::RowRefused, what).at(self.route_place(at)).remedy(
            "disable it until the migration is over (ALTER TABLE … DISABLE TRIGGER …): the pipeline then \
             goes on by itself, and nothing is skipped",
        )
    }

    /// The rows of a patch: the owner, then the columns that are set.
    pub(super) async fn give_patch(
        &mut self,
        at: usize,
        group: &PatchGroup,
        rows: Vec<Row<'_>>,
    ) -> Result<GivenRows> {
        let owner = self.routes[at].owner.iter().flatten();
        let of: Vec<_> = owner.chain(&group.columns).copied().collect();
        let all: Vec<_> = (0..of.len()).collect();
        self.give(at, "patch", &of, (rows, &all), 1).await
    }

    pub(super) async fn run(&mut self, sql: &str, at: usize, arrays: &[RawArray]) -> Result<u64> {
        let place = self.route_place(at);
        let statement = self.prepare(sql, &place).await?;
        let parameters = arrays.iter().map(|array| array as &(dyn ToSql + Sync));
        let done = self.client.execute_raw(&statement, parameters).await;
        done.map_err(|error| {
            let failed = self.refused(at, &error);
            match Refused::of(&error) {
                // Two rows of one statement have one key.
                Some(refused) if failed.code() == Code::DuplicateTargetKey => {
                    self.collision(at).because(refused)
                }
                _ => failed,
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
        let parameters: Vec<_> = arrays.iter().map(|array| array as &(dyn ToSql + Sync)).collect();
        let rows = self.rows(sql, at, &parameters).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Runs a statement that gives rows.
    pub(super) async fn rows(
        &mut self,
        sql: &str,
        at: usize,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>> {
        let place = self.route_place(at);
        let statement = self.prepare(sql, &place).await?;
        let rows = self.client.query(&statement, parameters).await;
        rows.map_err(|error| self.refused(at, &error))
    }

    /// The error of a statement that wrote rows.
    fn refused(&self, at: usize, error: &tokio_postgres::Error) -> Error {
        let failed = self.failed(error, &self.route_place(at));
        let by = &self.targets[at].partitioned_by;
        let no_partition = Refused::of(error)
            .is_some_and(|refused| refused.sqlstate == "23514" && refused.constraint.is_none());
        if failed.code() != Code::RowRefused || !no_partition || by.is_empty() {
            return failed;
        }
        failed.remedy(format!(
            "make a partition of {} that takes the row, or a DEFAULT partition: it is partitioned by {by}; the \
             pipeline then goes on from its position by itself, and nothing is skipped",
            self.routes[at].target
        ))
    }

    pub(super) fn route_place(&self, at: usize) -> String {
        let route = &self.routes[at];
        let Route { place, target, source, source_key, .. } = route;
        let by = if route.keyless {
            String::new()
        } else {
            format!(" by key {}", source_key.join(", "))
        };
        format!("{place} (into {target}, rows of {source}{by})")
    }
}

/// Rows that are given to a statement.
pub(super) struct GivenRows {
    /// A subselect that gives them, as columns `c0, c1, …`.
    pub(super) select: String,
    /// Its parameters.
    pub(super) arrays: Vec<RawArray>,
}

/// Some columns of rows.
pub(super) fn picked<'r>(rows: impl Iterator<Item = Row<'r>>, wanted: &[usize]) -> Rows {
    let mut picked = Rows::new();
    for row in rows {
        let cells: Vec<_> = row.cells().collect();
        for &column in wanted {
            row::put(picked.buffer(), cells.get(column).copied().flatten());
        }
        picked.end_row();
    }
    picked
}

/// The wanted columns of the row alone make it wide.
fn is_wide(row: Row<'_>, wanted: &[usize]) -> bool {
    let size = |cell: Option<Option<&[u8]>>| cell.flatten().map_or(0, <[u8]>::len);
    row.0.len() >= WIDE && wanted.iter().map(|&at| size(row.cell(at))).sum::<usize>() >= WIDE
}

/// One array per wanted column.
fn columns<'r>(rows: impl Iterator<Item = Row<'r>>, wanted: &[usize]) -> Vec<RawArray> {
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
