//! A row of the target is overwritten only by the source row that it belongs to.
//!
//! Where different source rows can mean the same target key ([`Target::guarded`]), an upsert passes
//! over rows of another owner, and the number of rows written tells whether there were any. Only then
//! it is looked at why:
//!
//! 1. rows of owners whose contributions the segment takes away, or that wait to be read again, are
//!    free: the key moves from one source row to the other, and the row is overwritten in place;
//! 2. rows of owners that let go of the key later in the same target transaction are put aside under
//!    a made-up key, and the commit makes sure that none is left there;
//! 3. what then is still different belongs to another row, and nothing of it is written.

use regraft_core::row::{Row, Rows};
use regraft_core::segment::Route;
use regraft_core::{ChunkScope, Code, Error, Result, Segment};
use tokio_postgres::types::ToSql;

use super::lane::Lane;
use super::recover::{Parked, parking};
use super::statements::{self, Guard};
use super::target::Target;
use super::write::{GivenRows, picked};

impl Lane {
    /// Upserts rows that may meet rows of other owners.
    pub(super) async fn put_guarded(
        &mut self,
        at: usize,
        rows: Vec<Row<'_>>,
        segment: &Segment,
    ) -> Result<u64> {
        let whole = rows.len() as u64;
        let mut written = self.upsert(at, &rows, &Guard::Own).await?;
        if written == whole {
            return Ok(written);
        }
        let freed = self.freed(at, segment).await?;
        if !freed.is_empty() {
            written += self.upsert(at, &rows, &Guard::Freed(freed)).await?;
        }
        if written < whole && self.may_move_later(at, segment) && self.put_aside(at, &rows).await? {
            written += self.upsert(at, &rows, &Guard::Own).await?;
        }
        // The rest is the same as in the target, or belongs to others.
        if written < whole && self.upsert(at, &rows, &Guard::None).await? > 0 {
            return Err(self.collision(at));
        }
        Ok(written)
    }

    /// What the segment takes away from statements of the same target, and what is read again: the
    /// statements, and for each the values of [`statements::identity`].
    async fn freed(&self, at: usize, segment: &Segment) -> Result<Vec<(usize, Rows)>> {
        let mut freed = Vec::new();
        for (statement, route) in self.routes.iter().enumerate() {
            if route.target != self.routes[at].target {
                continue;
            }
            let identity = statements::identity(route, &self.targets[statement]);
            let mut values = Rows::new();
            let mut add = |rows: &Rows, columns: &[usize]| {
                picked(rows.iter(), columns).iter().for_each(|row| values.push(row));
            };
            for writes in segment.writes.iter().filter(|writes| writes.statement == statement) {
                add(&writes.withdrawn, &identity);
                if route.owner.is_some() {
                    add(&writes.replaced, &leading(&identity));
                }
            }
            if let Some(owner) = &route.owner {
                let mut keys = Rows::new();
                for to_read in segment.to_read.iter().filter(|r| r.table == route.source) {
                    if let ChunkScope::Keys(read) = &to_read.scope {
                        read.iter().for_each(|key| keys.push(key.row()));
                    }
                }
                let pending = self.fence.keys_to_read(&self.client, &route.source).await?;
                pending.iter().for_each(|key| keys.push(key.row()));
                add(&keys, &leading(owner));
            }
            if !values.is_empty() {
                freed.push((statement, values));
            }
        }
        Ok(freed)
    }

    /// Rows that were put aside and wait to be read again go: they come with what is read.
    pub(super) async fn drop_pending(&mut self, parked: &Parked) -> Result<()> {
        let at = parked.statement;
        let freed = self.freed(at, &Segment::default()).await?;
        if freed.is_empty() {
            return Ok(());
        }
        let freed = self.give_freed(&freed, 2).await?;
        let sql = statements::drop_pending(
            &self.routes[at],
            &self.targets[at],
            parked.column,
            &freed.select,
        );
        let place = self.route_place(at);
        let statement = self.prepare(&sql, &place).await?;
        let made_up: Vec<_> = parked.values.iter().map(|(made_up, _)| made_up).collect();
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&made_up];
        parameters.extend(freed.arrays.iter().map(|array| array as &(dyn ToSql + Sync)));
        let done = self.client.execute(&statement, &parameters).await;
        done.map(drop).map_err(|error| self.failed(&error, &place))
    }

    /// The condition that the row of the target is freed by one of the statements, with its parameters.
    pub(super) async fn give_freed(
        &mut self,
        of: &[(usize, Rows)],
        first: usize,
    ) -> Result<GivenRows> {
        let (mut conditions, mut arrays) = (Vec::new(), Vec::new());
        for (at, rows) in of {
            let identity = statements::identity(&self.routes[*at], &self.targets[*at]);
            let rows = (rows.iter().collect(), &*leading(&identity));
            let given = self.give(*at, "freed", &identity, rows, first + arrays.len()).await?;
            let (route, target) = (&self.routes[*at], &self.targets[*at]);
            conditions.push(format!("({})", statements::freed(route, target, &given.select)));
            arrays.extend(given.arrays);
        }
        Ok(GivenRows { select: conditions.join(" OR "), arrays })
    }

    /// The target transaction goes on, or changes keys in place after the rows have come.
    fn may_move_later(&self, at: usize, segment: &Segment) -> bool {
        let moves = |column: &usize| self.targets[at].key.contains(column);
        let mut patches = segment.writes.iter().filter(|writes| writes.statement == at);
        segment.commit.is_none()
            || patches.any(|w| w.patches.iter().any(|group| group.columns.iter().any(moves)))
    }

    /// Gives rows of other owners a made-up key. False when there is none, or none can be made up.
    async fn put_aside(&mut self, at: usize, rows: &[Row<'_>]) -> Result<bool> {
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let free = |column: &&usize| parking(target, **column).is_some() && !route.tells(**column);
        let Some(&column) = target.key.iter().find(free) else { return Ok(false) };
        let value = parking(target, column).unwrap_or_default();
        if route.owner.is_none() {
            return Ok(false);
        }
        let wanted = statements::old_row_columns(route, target);
        let given = self.give(at, "aside", &wanted, (rows.to_vec(), &wanted), 1).await?;
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let sql = statements::put_aside(route, target, (column, &value), &wanted, &given.select);
        let values = self.pairs(&sql, at, &given.arrays).await?;
        let any = !values.is_empty();
        self.parked.push(Parked { statement: at, column, values, key: true });
        Ok(any)
    }

    /// The error about a target key that two source rows have.
    pub(super) fn collision(&self, at: usize) -> Error {
        collision(&self.routes[at], &self.targets[at]).at(self.route_place(at))
    }
}

fn leading(columns: &[usize]) -> Vec<usize> {
    (0..columns.len()).collect()
}

fn collision(route: &Route, target: &Target) -> Error {
    let names = |columns: &[usize]| {
        let names = columns.iter().map(|&at| route.columns[at].name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let key = names(&target.key);
    let owners = match &route.owner {
        Some(owner) => format!(" (there by {})", names(owner)),
        None => String::new(),
    };
    let what = format!(
        "two source rows give one target key: a row of {}, told by its key ({}){owners}, gives a key \
         ({key}) of {} at which the target holds the row of another one",
        route.source,
        route.source_key.join(", "),
        route.target,
    );
    Error::new(Code::DuplicateTargetKey, what).remedy(format!(
        "find them at the source by SELECT {key} FROM (the SELECT) GROUP BY {key} HAVING count(*) > 1 \
         and mend the source's rows: the pipeline then goes on by itself, and nothing is skipped; if \
         they are right, widen the target's key; a row of the target that no source row gives has to \
         be removed there",
    ))
}
