//! Repair: rows that differ are read from the source again, as chunks of keys that the pipeline joins to
//! its stream: at one position, missing, surplus and different rows alike.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use regraft_core::sql::quote;
use regraft_core::verify::Difference;
use regraft_core::{Key, Result, fail_point};
use tokio_postgres::types::ToSql;

use super::sql::{found_at, numbered, owner_arrays};
use super::{OwnerColumn, PgVerifier, VerifyStatement, arrays, parameters};

/// Source rows per chunk.
const CHUNK: usize = 1_000;

impl PgVerifier {
    /// Asks the pipeline to repair the open findings for which it was not asked yet, or which were found
    /// again since, of the targets named, or of all without names. Gives their number. Those of statements
    /// without owner columns are left alone: their rows cannot be told apart by key. Rows that were the same
    /// after a repair are left alone, too, save `again`.
    ///
    /// # Errors
    /// When a server cannot be asked.
    pub async fn repair(&self, targets: &[String], again: bool) -> Result<u64> {
        let mut asked = 0;
        self.begin_findings().await?;
        let mut chunks = Vec::new();
        for statement in self.statements.iter() {
            let names = [statement.target.to_string(), statement.target.name.clone()];
            let named = targets.is_empty() || targets.iter().any(|name| names.contains(name));
            if statement.owner.is_none() || !named {
                continue;
            }
            let sql = "UPDATE regraft.findings SET repair_at = now() WHERE pipeline = $1 \
                       AND fingerprint = $2 AND state = 'open' \
                           AND (repair_at IS NULL OR last_seen > repair_at OR $3 AND repair_at = 'infinity') \
                       RETURNING owner, row_key, difference";
            let rows =
                self.target.client.query(sql, &[&self.name, &statement.fingerprint, &again]).await;
            let rows = rows.map_err(|error| self.at_target(&error))?;
            fail_point!("repair.asked");
            asked += rows.len() as u64;
            let key =
                |row: &tokio_postgres::Row, at| Key(row.get::<_, Vec<u8>>(at).into_boxed_slice());
            let mut owners: Vec<_> = rows.iter().map(|row| key(row, 0)).collect();
            owners.sort_unstable();
            owners.dedup();
            let strays = rows.iter().filter(|row| row.get::<_, &[u8]>(0).is_empty());
            let strays: Vec<_> = strays.map(|row| key(row, 1)).collect();
            self.remove(statement, &strays).await?;
            owners.retain(|owner| !owner.0.is_empty());
            let surplus = Difference::Surplus.as_str();
            let comes = rows.iter().filter(|row| row.get::<_, &str>(2) != surplus);
            let comes: HashSet<&[u8]> = comes.map(|row| row.get(0)).collect();
            let (come, go): (Vec<_>, Vec<_>) =
                owners.into_iter().partition(|owner| comes.contains(owner.0.as_ref()));
            for (goes, owners) in [(false, come), (true, go)] {
                let (keys, impossible) = self.source_keys(statement, owners).await?;
                self.remove_of(statement, &impossible).await?;
                if !keys.is_empty() {
                    chunks.push((statement, goes, keys));
                }
            }
        }
        self.in_order(&mut chunks).await?;
        for (statement, _, keys) in &chunks {
            for keys in keys.chunks(CHUNK) {
                let keys: Vec<_> = keys.iter().map(|key| key.0.as_ref()).collect();
                let sql = "INSERT INTO regraft.chunks (pipeline, source_schema, source_table, keys) \
                           VALUES ($1, $2, $3, $4)";
                let source = &statement.source;
                let parameters: [&(dyn ToSql + Sync); 4] =
                    [&self.name, &source.schema, &source.name, &keys];
                let done = self.target.client.execute(sql, &parameters).await;
                done.map_err(|error| self.at_target(&error))?;
                fail_point!("repair.written");
            }
        }
        self.end_target().await?;
        Ok(asked)
    }

    /// Chunks are commits of their own, and foreign keys of the target may connect what is in them: rows come
    /// to parents before they come to children, and then they go from children before they go from parents.
    /// So no two chunks wait for each other, and one that is refused because it came too early is written
    /// when it is tried again.
    async fn in_order(&self, chunks: &mut [(&VerifyStatement, bool, Vec<Key>)]) -> Result<()> {
        let targets: BTreeSet<_> = chunks.iter().map(|(s, ..)| s.target.to_string()).collect();
        if targets.len() < 2 {
            return Ok(());
        }
        let sql = "SELECT c.ns || '.' || c.name, p.ns || '.' || p.name FROM pg_constraint k, \
                   LATERAL (SELECT n.nspname, r.relname FROM pg_class r JOIN pg_namespace n \
                       ON n.oid = r.relnamespace \
                       WHERE r.oid = coalesce(pg_partition_root(k.conrelid), k.conrelid)) AS c(ns, name), \
                   LATERAL (SELECT n.nspname, r.relname FROM pg_class r JOIN pg_namespace n \
                       ON n.oid = r.relnamespace \
                       WHERE r.oid = coalesce(pg_partition_root(k.confrelid), k.confrelid)) AS p(ns, name) \
                   WHERE k.contype = 'f'";
        let rows = self.target.client.query(sql, &[]).await;
        let rows = rows.map_err(|error| self.at_target(&error))?;
        let keys: Vec<(String, String)> =
            rows.iter().map(|row| (row.get(0), row.get(1))).filter(|(c, p)| c != p).collect();
        let ranks = ranks(&keys);
        let rank = |target: &str| i64::from(ranks.get(target).copied().unwrap_or_default());
        chunks.sort_by_key(|(statement, goes, _)| {
            let rank = rank(&statement.target.to_string());
            (*goes, if *goes { -rank } else { rank })
        });
        Ok(())
    }

    /// Deletes rows that no statement can have made, as long as they are such rows.
    async fn remove(&self, statement: &VerifyStatement, keys: &[Key]) -> Result<()> {
        let Some(stray) = statement.stray.as_ref().filter(|_| !keys.is_empty()) else {
            return Ok(());
        };
        let columns = statement.target_key.iter().map(|&at| &statement.columns[at]);
        let columns: Vec<_> = columns.collect();
        let names: Vec<_> = columns
            .iter()
            .map(|column| column.of_target(&format!("t.{}", quote(&column.name)), false))
            .collect();
        let types = columns.iter().enumerate();
        let types: Vec<_> =
            types.map(|(at, column)| format!("${}::{}[]", at + 1, column.form)).collect();
        let sql = format!(
            "DELETE FROM {} AS t WHERE {stray} AND ({}) IN (SELECT * FROM unnest({}))",
            statement.target.quoted(),
            names.join(", "),
            types.join(", ")
        );
        let arrays = arrays(keys, columns.len());
        let done = self.target.client.execute(&sql, &parameters(&arrays)).await;
        done.map(drop).map_err(|error| self.at_target(&error))
    }

    /// Deletes the rows of owners that no source key can be.
    async fn remove_of(&self, statement: &VerifyStatement, owners: &[Key]) -> Result<()> {
        if owners.is_empty() {
            return Ok(());
        }
        let (table, own) = (statement.target.quoted(), statement.own());
        let sql = format!("DELETE FROM {table} AS t WHERE {}{own}", statement.of_owners());
        let arrays = arrays(owners, statement.owner().len());
        let done = self.target.client.execute(&sql, &parameters(&arrays)).await;
        done.map(drop).map_err(|error| self.at_target(&error))
    }

    /// The source keys of owners in the form of the target, and the owners that the types of the
    /// source's key cannot hold.
    async fn source_keys(
        &self,
        statement: &VerifyStatement,
        owners: Vec<Key>,
    ) -> Result<(Vec<Key>, Vec<Key>)> {
        if owners.is_empty() || statement.owner().iter().all(|column| column.same) {
            return Ok((owners, Vec::new()));
        }
        if let Some(keys) = self.converted(statement, &owners).await? {
            return Ok((keys, Vec::new()));
        }
        let (mut keys, mut impossible) = (Vec::new(), Vec::new());
        for owner in owners {
            match self.converted(statement, std::slice::from_ref(&owner)).await? {
                Some(key) => keys.extend(key),
                None => impossible.push(owner),
            }
        }
        Ok((keys, impossible))
    }

    /// `None` when a value cannot be converted.
    async fn converted(
        &self,
        statement: &VerifyStatement,
        owners: &[Key],
    ) -> Result<Option<Vec<Key>>> {
        let owner = statement.owner();
        // Where the source has the row it tells its key; where not, the value is converted back.
        let (found, values) = found_at(owner, "s");
        let key = |column: &OwnerColumn| format!("s.{}", quote(&column.key.name));
        let keys: Vec<_> = owner.iter().map(key).collect();
        let back = owner.iter().enumerate();
        let back: Vec<_> = back
            .map(|(at, column)| {
                let key = format!("coalesce({}, v.v{at}::{})", keys[at], column.key.sql_type);
                if column.key.text { format!("{key}::text") } else { key }
            })
            .collect();
        let sql = format!(
            "SELECT {} FROM unnest({}) AS v({}) LEFT JOIN {} AS s ON ({}) = ({})",
            back.join(", "),
            owner_arrays(owner),
            numbered("v", owner.len()),
            statement.source.quoted(),
            found,
            values,
        );
        let arrays = arrays(owners, owner.len());
        match self.source.client.query(&sql, &parameters(&arrays)).await {
            Err(error) if error.code().is_some_and(|code| code.code().starts_with("22")) => {
                Ok(None)
            }
            rows => {
                let rows = rows.map_err(|error| self.at_source(&error))?;
                let keys = rows.iter().map(|row| crate::chunks::key(row, owner.len()));
                keys.collect::<Result<_>>().map(Some)
            }
        }
    }

    /// Owners of open findings, by statement; with `under_repair`, of those whose repair was asked for and is
    /// not seen yet.
    pub(super) async fn open(&self, under_repair: bool) -> Result<Vec<(usize, Key)>> {
        let sql = "SELECT DISTINCT fingerprint, owner FROM regraft.findings WHERE pipeline = $1 \
                   AND state = 'open' AND (repair_at < 'infinity' OR NOT $2) LIMIT 10000";
        let rows = self.target.client.query(sql, &[&self.name, &under_repair]).await;
        let rows = rows.map_err(|error| self.at_target(&error))?;
        let of = |row: &tokio_postgres::Row| {
            let print: &str = row.get(0);
            let at = self.statements.iter().position(|s| s.fingerprint == print)?;
            Some((at, Key(row.get::<_, Vec<u8>>(1).into_boxed_slice())))
        };
        Ok(rows.iter().filter_map(of).collect())
    }
}

/// How many parents stand above a table, by pairs of child and parent. A cycle is broken anywhere.
fn ranks(keys: &[(String, String)]) -> BTreeMap<&str, u32> {
    let mut ranks: BTreeMap<&str, u32> = BTreeMap::new();
    let most = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    // Once for each step of the longest way up; more only where there is a cycle.
    for _ in 0..keys.len() {
        let mut changed = false;
        for (child, parent) in keys {
            let above = ranks.get(parent.as_str()).copied().unwrap_or_default();
            let rank = ranks.entry(child.as_str()).or_default();
            let wanted = above.saturating_add(1).min(most);
            changed |= wanted > *rank;
            *rank = wanted.max(*rank);
        }
        if !changed {
            break;
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_stand_above_their_children() {
        let key = |child: &str, parent: &str| (child.to_owned(), parent.to_owned());
        let keys = [key("c", "b"), key("c", "a"), key("b", "a"), key("x", "y"), key("y", "x")];
        let ranks = ranks(&keys);
        assert_eq!((ranks.get("a"), ranks["b"], ranks["c"]), (None, 1, 2));
        assert!(ranks["x"] <= 5 && ranks["y"] <= 5);
    }
}
