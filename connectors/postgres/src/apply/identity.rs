//! Columns that are `GENERATED ALWAYS AS IDENTITY` take a value when a row is inserted, and no other
//! one later: an UPDATE may not name them. So they are named only where rows are inserted, and a row in
//! which such a value is to change goes and comes anew.

use regraft_core::Result;
use regraft_core::row::Row;

use super::lane::Lane;
use super::statements::{self, Guard};

impl Lane {
    /// Before an upsert with this guard: rows whose identity values are to change go.
    pub(super) async fn remove_renumbered(
        &mut self,
        at: usize,
        rows: &[Row<'_>],
        guard: &Guard,
    ) -> Result<()> {
        let (route, target) = (&self.routes[at], &self.targets[at]);
        if target.identity.iter().all(|column| target.key.contains(column)) {
            return Ok(());
        }
        let mut wanted = statements::old_row_columns(route, target);
        let others = target.identity.iter().filter(|column| !wanted.contains(column));
        let others: Vec<_> = others.copied().collect();
        wanted.extend(others);
        let mut given = self.give(at, "renumbered", &wanted, (rows.to_vec(), &wanted), 1).await?;
        let place = |at: usize| wanted.iter().position(|&wanted| wanted == at).unwrap_or_default();
        let condition = match guard {
            Guard::None => None,
            Guard::Own => {
                let (route, target) = (&self.routes[at], &self.targets[at]);
                Some(statements::own(route, target, |at| format!("u.c{}", place(at))))
            }
            Guard::Freed(of) => {
                let freed = self.give_freed(of, 1 + given.arrays.len()).await?;
                given.arrays.extend(freed.arrays);
                Some(freed.select)
            }
        };
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let sql = statements::delete_renumbered(
            route,
            target,
            &wanted,
            &given.select,
            condition.as_deref(),
        );
        self.run(&sql, at, &given.arrays).await.map(drop)
    }
}
