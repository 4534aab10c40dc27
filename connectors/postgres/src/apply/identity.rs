//! Columns that are `GENERATED ALWAYS AS IDENTITY` take a value when a row is inserted, and no other
//! one later: an UPDATE may not name them. So they are named only where rows are inserted, and a row in
//! which such a value is to change goes and comes anew.

use regraft_core::Result;
use regraft_core::row::Row;

use super::lane::Lane;
use super::statements::{self, Guard};
use super::write::columns;
use crate::raw::RawArray;

impl Lane {
    /// Before an upsert with this guard: rows whose identity values are to change go.
    pub(super) async fn remove_renumbered(
        &mut self,
        at: usize,
        rows: &[Row<'_>],
        guard: &Guard,
        parameters: &[RawArray],
    ) -> Result<()> {
        let (route, target) = (&self.routes[at], &self.targets[at]);
        if target.identity.iter().all(|column| target.key.contains(column)) {
            return Ok(());
        }
        let mut wanted = statements::old_row_columns(route, target);
        let others = target.identity.iter().filter(|column| !wanted.contains(column));
        let others: Vec<_> = others.copied().collect();
        wanted.extend(others);
        let place = |at: usize| wanted.iter().position(|&wanted| wanted == at).unwrap_or_default();
        let condition = match guard {
            Guard::None => None,
            Guard::Own => Some(statements::own(route, target, |at| format!("u.c{}", place(at)))),
            Guard::Freed(of) => Some(self.freed_conditions(of, wanted.len() + 1)),
        };
        let sql = statements::delete_renumbered(route, target, &wanted, condition.as_deref());
        let mut arrays = columns(rows.iter().copied(), &wanted);
        arrays.extend(parameters.iter().cloned());
        self.run(&sql, at, &arrays).await.map(drop)
    }
}
