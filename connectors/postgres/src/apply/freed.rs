//! Rows of the target that lose their owner: what comes may take their place, see [`super::guard`].

use regraft_core::row::Rows;
use regraft_core::{ChunkScope, Result, Segment};
use tokio_postgres::types::ToSql;

use super::give::{GivenRows, picked};
use super::lane::Lane;
use super::owed::Parked;
use super::statements;

impl Lane {
    /// What the segment takes away from statements of the same target, and what is read again: the
    /// statements, and for each the values of [`statements::identity`].
    pub(super) async fn freed(&self, at: usize, segment: &Segment) -> Result<Vec<(usize, Rows)>> {
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
            for writes in segment.net()?.iter().filter(|writes| writes.statement == statement) {
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
}

fn leading(columns: &[usize]) -> Vec<usize> {
    (0..columns.len()).collect()
}
