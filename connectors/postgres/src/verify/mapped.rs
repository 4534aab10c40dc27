//! Statements that a mapper of the program evaluates: source rows are put through it, and the source
//! converts what is not in the form of the target yet.

use std::pin::pin;

use futures_util::TryStreamExt;
use regraft_core::chunk::StatementRows;
use regraft_core::verify::Compare;
use regraft_core::{Mapper, Result, Row};
use tokio_postgres::types::ToSql;

use super::rows::{bytes, full};
use super::sql::Scope;
use super::{PgVerifier, VerifyStatement, arrays, parameters};
use crate::raw::RawParameter;

impl PgVerifier {
    /// Gives what the mapper makes of the source rows in `scope`, as the open transaction of the source
    /// sees them.
    pub(super) async fn mapped<C: Compare>(
        &self,
        (statement, mapper): (&VerifyStatement, &dyn Mapper),
        scope: &Scope,
        large: bool,
        into: &mut C,
    ) -> Result<()> {
        let failed = |error| self.at_source(&error);
        let arrays = match scope {
            Scope::Owners(owners) => arrays(owners, statement.owner.as_ref().map_or(0, Vec::len)),
            _ => Vec::new(),
        };
        let sql = (statement.read.select)(&statement.restriction(scope))?;
        let rows = self.source.client.query_raw(&sql, parameters(&arrays)).await.map_err(failed)?;
        let mut rows = pin!(rows);
        // The connection is busy until the last of them is read.
        let mut unconverted = StatementRows::default();
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            if into.is_full() {
                return Err(full());
            }
            let mut made = StatementRows::default();
            let texts = statement.read.texts.as_slice();
            crate::chunks::map(&mut made, &row, (statement.key.len(), texts), mapper)?;
            for row in made.rows.iter() {
                let mut cells = statement.columns.iter().zip(row.cells());
                if cells.all(|(column, cell)| column.is_form(cell, large)) {
                    into.source(row.0.to_vec().into());
                } else {
                    unconverted.rows.push(row);
                }
            }
        }
        if unconverted.rows.is_empty() {
            return Ok(());
        }
        let columns = statement.columns.iter().zip(&statement.types).enumerate();
        let columns = columns.map(|(at, (column, sql_type))| {
            column.of_source(&format!("${}::{sql_type}", at + 1), large)
        });
        let sql = format!("SELECT {}", columns.collect::<Vec<_>>().join(", "));
        let convert = self.source.client.prepare(&sql).await.map_err(failed)?;
        for row in unconverted.rows.iter() {
            let cells = cells(row);
            let cells: Vec<_> = cells.iter().map(|cell| cell as &(dyn ToSql + Sync)).collect();
            let converted = self.source.client.query_one(&convert, &cells).await.map_err(failed)?;
            into.source(bytes(&converted)?);
        }
        Ok(())
    }
}

fn cells(row: Row<'_>) -> Vec<RawParameter<'_>> {
    row.cells().map(RawParameter).collect()
}
