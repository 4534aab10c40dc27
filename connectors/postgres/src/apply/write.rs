//! Writes one segment in a given order: what goes, what comes, and what changes in part.

use regraft_core::row::Row;
use regraft_core::segment::{PatchGroup, TableWrites};
use regraft_core::{Code, Error, Result, Segment};
use tokio_postgres::types::ToSql;

use super::lane::Lane;
use super::park::Parking;
use super::statements::{self, Guard};

/// Rows per statement: more gain nothing, and keep locks and memory longer.
const ROWS_PER_STATEMENT: usize = 5_000;
/// Bytes per statement; a single larger row passes.
const BYTES_PER_STATEMENT: usize = 16 << 20;

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

    fn ranked<'s>(&self, segment: &'s Segment) -> Result<Vec<&'s TableWrites>> {
        let mut writes: Vec<_> = segment.net()?.iter().collect();
        writes.sort_by_key(|writes| self.targets[writes.statement].rank);
        Ok(writes)
    }

    /// Removals, children before parents.
    async fn remove(&mut self, segment: &Segment, order: Order) -> Result<()> {
        for writes in self.ranked(segment)?.into_iter().rev() {
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
        for writes in self.ranked(segment)? {
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
        for writes in self.ranked(segment)? {
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
        for writes in self.ranked(segment)? {
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

    /// Inserts rows, or overwrites those with the same key that belong to the same source row.
    async fn put(&mut self, at: usize, rows: Vec<Row<'_>>, segment: &Segment) -> Result<u64> {
        self.adopt(at, &rows).await?;
        if self.targets[at].guarded {
            self.put_guarded(at, rows, segment).await
        } else {
            self.upsert(at, &rows, &Guard::None).await
        }
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
