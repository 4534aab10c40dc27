//! Puts whole rows into a table of the target.

use regraft_core::row::Row;
use regraft_core::sql::quote;
use regraft_core::{Code, Error, Result};

use super::give::GivenRows;
use super::lane::Lane;
use super::statements::{self, Guard};

impl Lane {
    /// Inserts rows that are not there.
    pub(super) async fn insert(&mut self, at: usize, rows: Vec<Row<'_>>) -> Result<u64> {
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
}

/// Rows in the order of their keys' bytes: neighbours in an index stay together.
fn by_key<'r>(mut rows: Vec<Row<'r>>, key: &[usize]) -> Vec<Row<'r>> {
    rows.sort_by_cached_key(|row| key.iter().map(|&at| row.cell(at)).collect::<Vec<_>>());
    rows
}
