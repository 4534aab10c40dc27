//! A row of the target is overwritten only by the source row that it belongs to.
//!
//! Where different source rows can mean the same target key ([`super::target::Target::guarded`]), an upsert passes
//! over rows of another owner, and the number of rows written tells whether there were any. Only then
//! it is looked at why:
//!
//! 1. rows of owners whose contributions the segment takes away, or that wait to be read again, are
//!    free: the key moves from one source row to the other, and the row is overwritten in place;
//! 2. rows of owners that let go of the key later in the same target transaction are put aside under
//!    a made-up key, and the commit makes sure that none is left there;
//! 3. what then is still different belongs to another row, and nothing of it is written.

use regraft_core::row::Row;
use regraft_core::{Result, Segment};

use super::lane::Lane;
use super::owed::{Parked, made_up};
use super::statements::{self, Guard};

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

    /// The target transaction goes on, or changes keys in place after the rows have come.
    fn may_move_later(&self, at: usize, segment: &Segment) -> bool {
        let moves = |column: &usize| self.targets[at].key.contains(column);
        let writes = segment.net().into_iter().flatten();
        let mut patches = writes.filter(|writes| writes.statement == at);
        segment.commit.is_none()
            || patches.any(|w| w.patches.iter().any(|group| group.columns.iter().any(moves)))
    }

    /// Gives rows of other owners a made-up key. False when there is none, or none can be made up.
    async fn put_aside(&mut self, at: usize, rows: &[Row<'_>]) -> Result<bool> {
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let free = |column: &&usize| made_up(target, **column).is_some() && !route.tells(**column);
        let Some(&column) = target.key.iter().find(free) else { return Ok(false) };
        let value = made_up(target, column).unwrap_or_default();
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
}
