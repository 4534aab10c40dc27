//! Rows that go, but not yet: something still references them, and follows later in the same target
//! transaction.
//!
//! Such a row is *leaving*: it lets go of its unique values and of its owner, and stays under its key until
//! the commit. A row that changes what is referenced, and that the stream does not carry whole, comes to be
//! as a copy of the old one, which is leaving then. Keys may be used again meanwhile, or be exchanged: a row
//! that comes where one is leaving takes its place.

use std::collections::{BTreeMap, BTreeSet};

use regraft_core::Result;
use regraft_core::row::Row;
use regraft_core::segment::PatchGroup;
use regraft_core::sql::{quote, quote_list};
use tokio_postgres::types::ToSql;

use super::lane::Lane;
use super::owed::{Leaving, made_up};
use super::statements::{self, Gone};
use crate::raw::RawArray;

impl Lane {
    /// Rows go before the commit, and are let alone until then.
    pub(super) async fn leave(
        &mut self,
        at: usize,
        gone: &Gone,
        arrays: &[RawArray],
    ) -> Result<u64> {
        let table = self.routes[at].target.quoted();
        let (keys, let_go) = (self.key_texts(at, "t"), self.let_go(at));
        let Gone { with, conditions } = gone;
        let sql = if let_go.is_empty() {
            let with = with.iter().map(|with| format!(", {with}")).collect::<String>();
            format!("SELECT {keys} FROM {table} AS t{with} WHERE {conditions} FOR UPDATE OF t")
        } else {
            let from = with.iter().map(|with| format!(" FROM {with}")).collect::<String>();
            let set = let_go.join(", ");
            format!("UPDATE {table} AS t SET {set}{from} WHERE {conditions} RETURNING {keys}")
        };
        let parameters: Vec<_> = arrays.iter().map(|array| array as &(dyn ToSql + Sync)).collect();
        let keys = self.keys(&sql, at, &parameters).await?;
        let rows = keys.len() as u64;
        if rows > 0 {
            self.leaving.push(Leaving { statement: at, keys });
        }
        Ok(rows)
    }

    /// Assignments by which a leaving row lets go of what other rows need.
    fn let_go(&self, at: usize) -> Vec<String> {
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let free = |column: &&usize| !target.referenced.contains(column);
        let value = |&column: &usize| match target.not_null[column] {
            true => made_up(target, column),
            false => Some("NULL".to_owned()),
        };
        let indexes = target.unique.iter().chain([&target.key_index]);
        let indexes = indexes.map(|index| index.columns.iter().chain(&index.reads).collect());
        let owner = route.owner.iter().flatten().collect();
        let mut let_go: Vec<(usize, String)> = Vec::new();
        for columns in indexes.chain([owner]) {
            let columns: Vec<&usize> = columns;
            let done = columns.iter().any(|column| let_go.iter().any(|(gone, _)| gone == *column));
            if !done {
                let mut values = columns.into_iter().filter(free);
                let_go.extend(values.find_map(|column| Some((*column, value(column)?))));
            }
        }
        let set = |(column, value): &(usize, String)| {
            format!("{} = {value}", quote(&route.columns[*column].name))
        };
        let_go.iter().map(set).collect()
    }

    /// Rows of a patch whose referenced values change come as new ones, the old ones are leaving. `first` is
    /// said for the first ones of a statement.
    pub(super) async fn move_rows(
        &mut self,
        at: usize,
        group: &PatchGroup,
        rows: Vec<Row<'_>>,
        first: bool,
    ) -> Result<u64> {
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let (table, moving) = (route.target.quoted(), moving(at));
        let stored = quote_list(&target.stored);
        if first {
            let sql = format!(
                "CREATE TEMPORARY TABLE IF NOT EXISTS {moving} ON COMMIT DELETE ROWS AS \
                 SELECT {stored} FROM {table} WITH NO DATA; DELETE FROM pg_temp.{moving}"
            );
            self.execute_text(&sql).await?;
        }
        let Some(changes) = self.changes(at, &group.columns) else { return Ok(0) };
        let given = self.give_patch(at, group, rows).await?;
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let place = |name: &String| {
            let mut places = statements::patch_places(route, &group.columns);
            places.find(|&(_, column)| &route.columns[column].name == name)
        };
        let values = target.stored.iter().map(|name| match place(name) {
            Some((at, _)) => format!("u.c{at}"),
            None => format!("t.{}", quote(name)),
        });
        let old = Gone {
            with: Some(format!("({}) AS u", given.select)),
            conditions: statements::patched(route, target, Some(changes)),
        };
        let take = format!(
            "INSERT INTO pg_temp.{moving} SELECT {} FROM {table} AS t, ({}) AS u WHERE {}",
            values.collect::<Vec<_>>().join(", "),
            given.select,
            old.conditions,
        );
        let taken = self.run(&take, at, &given.arrays).await?;
        if taken > 0 {
            self.leave(at, &old, &given.arrays).await?;
            if self.come_anew(at).await? != taken {
                return Err(self.collision(at));
            }
        }
        Ok(taken)
    }

    /// Inserts the rows of [`moving`] that are not there yet, also in the place of leaving rows: so many.
    async fn come_anew(&mut self, at: usize) -> Result<u64> {
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let name = |&at: &usize| &route.columns[at].name;
        let key: Vec<_> = target.key.iter().map(name).collect();
        let rest: Vec<_> = target.stored.iter().filter(|name| !key.contains(name)).collect();
        // Values of identity columns are not set in place.
        let settable = !target.identity.iter().any(|at| rest.contains(&name(at)));
        let leaving = self.leaving_keys(at);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::new();
        let on_conflict = if settable && !rest.is_empty() {
            parameters.extend(leaving.iter().map(|texts| texts as &(dyn ToSql + Sync)));
            let set = rest.iter().map(|name| quote(name)).map(|n| format!("{n} = excluded.{n}"));
            let set = set.collect::<Vec<_>>().join(", ");
            format!("DO UPDATE SET {set} WHERE {}", self.is_leaving(at, 1))
        } else {
            "DO NOTHING".to_owned()
        };
        let (stored, by) = (quote_list(&target.stored), quote_list(key));
        let sql = format!(
            "INSERT INTO {table} AS t ({stored}) OVERRIDING SYSTEM VALUE \
             SELECT {stored} FROM pg_temp.{moving} ORDER BY {by} ON CONFLICT ({by}) {on_conflict} \
             RETURNING {keys}",
            table = route.target.quoted(),
            moving = moving(at),
            keys = self.key_texts(at, "t"),
        );
        let come = self.keys(&sql, at, &parameters).await?;
        self.stay_after_all(at, &come);
        Ok(come.len() as u64)
    }

    /// Rows of these keys come: where one is leaving, it is theirs from now on.
    pub(super) async fn adopt(&mut self, at: usize, rows: &[Row<'_>]) -> Result<()> {
        let leaving = self.leaving_keys(at);
        if leaving.first().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let wanted = statements::old_row_columns(route, target);
        let given = self.give(at, "adopted", &wanted, (rows.to_vec(), &wanted), 1).await?;
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let name = |column: &usize| quote(&route.columns[*column].name);
        let columns = wanted.iter().enumerate();
        let (key, owner): (Vec<_>, Vec<_>) =
            columns.partition(|(_, column)| target.key.contains(column));
        let owner = owner.iter().filter(|(_, column)| !target.identity.contains(column));
        let set = owner.map(|(n, column)| format!("{} = u.c{n}", name(column)));
        let set: Vec<_> = set.collect();
        let conditions = key.iter().map(|(n, column)| format!("t.{} = u.c{n}", name(column)));
        let conditions = conditions.chain([self.is_leaving(at, 1 + given.arrays.len())]);
        let conditions = conditions.collect::<Vec<_>>().join(" AND ");
        let rows = statements::cast(target, &wanted, &given.select);
        let (table, keys) = (route.target.quoted(), self.key_texts(at, "t"));
        let adopt = if set.is_empty() {
            format!(
                "SELECT {keys} FROM {table} AS t, ({rows}) AS u WHERE {conditions} FOR UPDATE OF t"
            )
        } else {
            let set = set.join(", ");
            format!(
                "UPDATE {table} AS t SET {set} FROM ({rows}) AS u WHERE {conditions} RETURNING {keys}"
            )
        };
        let come = key.iter().map(|(n, _)| format!("u.c{n}::text")).collect::<Vec<_>>().join(", ");
        let come = format!("SELECT {come} FROM ({rows}) AS u");
        let arrays: Vec<_> =
            given.arrays.iter().map(|array| array as &(dyn ToSql + Sync)).collect();
        let leaving = leaving.iter().map(|texts| texts as &(dyn ToSql + Sync));
        let parameters: Vec<_> = arrays.iter().copied().chain(leaving).collect();
        // A key may be equal to that of a leaving row, and yet not the same.
        let mut here = self.keys(&adopt, at, &parameters).await?;
        here.extend(self.keys(&come, at, &arrays).await?);
        self.stay_after_all(at, &here);
        Ok(())
    }

    /// All rows of the statement are gone.
    pub(super) fn forget_leaving(&mut self, at: usize) {
        self.leaving.retain(|leaving| leaving.statement != at);
    }

    /// Before the commit: leaving rows go, those that reference others first.
    pub(super) async fn settle_leaving(&mut self) -> Result<()> {
        // Those of one table in one statement: they may reference one another.
        let mut by_table: BTreeMap<_, Leaving> = BTreeMap::new();
        for mut leaving in std::mem::take(&mut self.leaving) {
            let at = leaving.statement;
            let table = (self.targets[at].rank, self.routes[at].target.clone());
            let of_table =
                by_table.entry(table).or_insert(Leaving { statement: at, keys: BTreeSet::new() });
            of_table.keys.append(&mut leaving.keys);
        }
        for Leaving { statement: at, keys } in by_table.into_values().rev() {
            let (route, target) = (&self.routes[at], &self.targets[at]);
            let key = target.key.iter().enumerate();
            let same = key.clone().map(|(n, &column)| {
                let name = quote(&route.columns[column].name);
                format!("t.{name} = v.k{n}::{}", target.types[column])
            });
            let names = key.map(|(n, _)| format!("k{n}"));
            let sql = format!(
                "DELETE FROM {} AS t USING unnest({}) AS v ({}) WHERE {} RETURNING {}",
                route.target.quoted(),
                text_arrays(target.key.len(), 1),
                names.collect::<Vec<_>>().join(", "),
                same.collect::<Vec<_>>().join(" AND "),
                self.key_texts(at, "t"),
            );
            let texts = by_column(target.key.len(), keys.iter());
            let parameters: Vec<_> =
                texts.iter().map(|texts| texts as &(dyn ToSql + Sync)).collect();
            let gone = self.keys(&sql, at, &parameters).await?;
            // One that was put aside would come back with its own key.
            let mut aside = self.parked.iter().filter(|parked| parked.key);
            if gone.len() < keys.len()
                && aside.any(|parked| self.shares_target(parked.statement, at))
            {
                return Err(self.collision(at));
            }
        }
        Ok(())
    }

    /// Some value that is referenced changes by a patch of these columns; `None` when none can.
    fn changes(&self, at: usize, columns: &[usize]) -> Option<String> {
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let places = statements::patch_places(route, columns);
        let referenced = places.filter(|(_, column)| target.referenced.contains(column));
        let changes = referenced.map(|(n, column)| {
            let (name, sql_type) = (quote(&route.columns[column].name), &target.types[column]);
            format!("t.{name} IS DISTINCT FROM u.c{n}::{sql_type}")
        });
        let changes: Vec<_> = changes.collect();
        (!changes.is_empty()).then(|| format!("({})", changes.join(" OR ")))
    }

    /// For a patch of these columns: the row neither moves, nor has moved.
    pub(super) fn stay(&self, at: usize, columns: &[usize]) -> String {
        let key = self.targets[at].key.iter();
        let same = key
            .map(|&at_column| quote(&self.routes[at].columns[at_column].name))
            .map(|name| format!("m.{name} = t.{name}"))
            .collect::<Vec<_>>()
            .join(" AND ");
        let moved = format!("EXISTS (SELECT FROM pg_temp.{} AS m WHERE {same})", moving(at));
        let changes = self.changes(at, columns).map(|changes| format!(" OR {changes}"));
        format!("NOT ({moved}{})", changes.unwrap_or_default())
    }

    /// Runs a statement that gives target keys as texts.
    async fn keys(
        &mut self,
        sql: &str,
        at: usize,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<BTreeSet<Vec<String>>> {
        let rows = self.rows(sql, at, parameters).await?;
        Ok(rows.iter().map(|row| (0..row.len()).map(|n| row.get(n)).collect()).collect())
    }

    fn key_texts(&self, at: usize, alias: &str) -> String {
        let key = self.targets[at].key.iter();
        let name = |&column: &usize| quote(&self.routes[at].columns[column].name);
        key.map(name).map(|name| format!("{alias}.{name}::text")).collect::<Vec<_>>().join(", ")
    }

    /// A condition on `t`; the keys of [`Lane::leaving_keys`] are the parameters from `first` on.
    fn is_leaving(&self, at: usize, first: usize) -> String {
        let arrays = text_arrays(self.targets[at].key.len(), first);
        format!("({}) IN (SELECT * FROM unnest({arrays}))", self.key_texts(at, "t"))
    }

    /// Keys of rows that are leaving the target of a statement, by column.
    fn leaving_keys(&self, at: usize) -> Vec<Vec<String>> {
        let keys = self.leaving.iter().filter(|leaving| self.shares_target(leaving.statement, at));
        by_column(self.targets[at].key.len(), keys.flat_map(|leaving| &leaving.keys))
    }

    fn stay_after_all(&mut self, at: usize, keys: &BTreeSet<Vec<String>>) {
        let mut leaving = std::mem::take(&mut self.leaving);
        for leaving in &mut leaving {
            if self.shares_target(leaving.statement, at) {
                leaving.keys.retain(|key| !keys.contains(key));
            }
        }
        self.leaving = leaving;
    }

    fn shares_target(&self, one: usize, other: usize) -> bool {
        self.routes[one].target == self.routes[other].target
    }
}

/// The temporary table of a statement's rows that moved in the segment, as they are now.
fn moving(at: usize) -> String {
    format!("regraft_moving_{at}")
}

fn text_arrays(count: usize, first: usize) -> String {
    let arrays = (first..first + count).map(|n| format!("${n}::text[]"));
    arrays.collect::<Vec<_>>().join(", ")
}

fn by_column<'k>(columns: usize, keys: impl Iterator<Item = &'k Vec<String>>) -> Vec<Vec<String>> {
    let mut by_column = vec![Vec::new(); columns];
    for key in keys {
        by_column.iter_mut().zip(key).for_each(|(texts, text)| texts.push(text.clone()));
    }
    by_column
}
