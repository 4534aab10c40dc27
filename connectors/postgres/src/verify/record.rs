//! What the ledger keeps of verification: evidence, owners to be looked at, findings, requests.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use regraft_core::sql::literal;
use regraft_core::verify::{
    Finding, Outcome, Recorded, Request, Settled, Sweep, Verified, VerifyState,
};
use regraft_core::{Key, Position, Result, TableName, fail_point};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::sql::numbered;
use super::{PgVerifier, VerifyColumn, VerifyStatement, arrays, parameters};
use crate::at::At;
use crate::fitting::{restored, storable};

/// Owners of open findings that a daemon looks at again; more are left to the sweep.
const OPEN_MAX: i64 = 100_000;

/// Owners whose rows are told at once with all of their values.
const OWNERS_WITH_VALUES: usize = 10;

/// Takes up a request that is not finished.
pub(super) const NEXT_REQUEST: &str = "UPDATE regraft.verifications SET started_at = now() WHERE id = \
                                       (SELECT id FROM regraft.verifications WHERE pipeline = $1 \
                                        AND finished_at IS NULL ORDER BY id LIMIT 1) \
                                       RETURNING id, request::text";

/// How many findings are open.
const OPEN: &str = "SELECT count(*) FROM regraft.findings WHERE pipeline = $1 AND state = 'open'";

impl PgVerifier {
    pub(super) async fn load_state(&self) -> Result<VerifyState> {
        let client = &self.target.client;
        let fail = |error: tokio_postgres::Error| self.at_target(&error);
        let mut state = VerifyState::default();
        let prints: Vec<_> = self.statements.iter().map(|s| s.fingerprint.as_str()).collect();
        // What another mapping left says nothing of this one.
        let sql = "WITH v AS (DELETE FROM regraft.verified WHERE pipeline = $1 AND fingerprint <> ALL ($2)), \
                   u AS (DELETE FROM regraft.unsettled WHERE pipeline = $1 AND fingerprint <> ALL ($2)) \
                   UPDATE regraft.findings SET state = 'gone', closed_at = now() \
                   WHERE pipeline = $1 AND fingerprint <> ALL ($2) AND state = 'open'";
        client.execute(sql, &[&self.name, &prints]).await.map_err(fail)?;
        let of: HashMap<_, _> = prints.iter().enumerate().map(|(at, print)| (*print, at)).collect();
        let at = |row: &Row| of.get(row.get::<_, &str>("fingerprint")).copied();
        state.sweeps = vec![Sweep::default(); prints.len()];
        let sql = "SELECT DISTINCT ON (fingerprint) fingerprint, sweep, upto, \
                   min(verified_at) OVER (PARTITION BY fingerprint) AS oldest \
                   FROM regraft.verified WHERE pipeline = $1 ORDER BY fingerprint, sweep DESC, id DESC";
        for row in client.query(sql, &[&self.name]).await.map_err(fail)? {
            let Some(at) = at(&row) else { continue };
            let upto = restored(row.get("upto"));
            state.sweeps[at] = Sweep {
                number: u64::try_from(row.get::<_, i64>("sweep")).unwrap_or_default(),
                done: upto.is_none(),
                upto,
                oldest: row.get::<_, Option<SystemTime>>("oldest"),
            };
        }
        let sql = "SELECT fingerprint, owner FROM regraft.unsettled WHERE pipeline = $1";
        for row in client.query(sql, &[&self.name]).await.map_err(fail)? {
            let Some(at) = at(&row) else { continue };
            state.unsettled.entry(at).or_default().push(owner(&row));
        }
        let sql = "SELECT DISTINCT fingerprint, owner FROM regraft.findings WHERE pipeline = $1 \
                   AND state = 'open' AND owner <> '' LIMIT $2";
        for row in client.query(sql, &[&self.name, &OPEN_MAX]).await.map_err(fail)? {
            let Some(at) = at(&row) else { continue };
            state.open.entry(at).or_default().push(owner(&row));
        }
        let row = client.query_one(OPEN, &[&self.name]).await.map_err(fail)?;
        state.findings = u64::try_from(row.get::<_, i64>(0)).unwrap_or_default();
        Ok(state)
    }

    pub(super) async fn note_range(&self, verified: &Verified, sweep: u64) -> Result<()> {
        let statement = self.statement(verified.statement)?;
        let (sweep, rows) = (number(sweep), number(verified.rows));
        let digest = verified.digest.as_slice();
        let position = At(verified.position.clone());
        let owners: Vec<_> = verified.unsettled.iter().map(|key| key.0.as_ref()).collect();
        let target = statement.target.to_string();
        let client = &self.target.client;
        let bound = async |key: &Option<Vec<String>>| {
            storable(client, key.as_ref()).await.map_err(|error| self.at_target(&error))
        };
        let (after, upto) = (bound(&verified.after).await?, bound(&verified.upto).await?);
        let sql = "WITH old AS (DELETE FROM regraft.verified WHERE $6::text[] IS NULL \
                       AND pipeline = $1 AND fingerprint = $2 AND sweep < $4), \
                   u AS (INSERT INTO regraft.unsettled (pipeline, fingerprint, owner) \
                       SELECT $1, $2, o FROM unnest($10::bytea[]) AS o ON CONFLICT DO NOTHING) \
                   INSERT INTO regraft.verified (pipeline, fingerprint, target, sweep, after, upto, rows, \
                       digest, position) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let parameters: [&(dyn ToSql + Sync); 10] = [
            &self.name,
            &statement.fingerprint,
            &target,
            &sweep,
            &after,
            &upto,
            &rows,
            &digest,
            &position,
            &owners,
        ];
        let done = client.execute(sql, &parameters).await;
        done.map(drop).map_err(|error| self.at_target(&error))
    }

    pub(super) async fn note_owners(
        &mut self,
        at: usize,
        settled: &[Settled],
        position: Option<Position>,
    ) -> Result<Recorded> {
        let statements = Arc::clone(&self.statements);
        let Some(statement) = statements.get(at) else {
            return self.statement(at).map(|_| Recorded::default());
        };
        self.begin_findings().await?;
        let mut recorded = Recorded::default();
        // Rows with their values are told in parts of a size that any server takes.
        let part = if self.values { OWNERS_WITH_VALUES } else { settled.len().max(1) };
        for settled in settled.chunks(part) {
            recorded.new += self.found(statement, settled, position.clone()).await?;
        }
        self.kept_by_target((at, statement), settled).await?;
        (recorded.gone, recorded.repaired) = self.over(statement, settled).await?;
        let owners: Vec<_> = settled.iter().map(|owner| owner.owner.0.as_ref()).collect();
        let sql = "DELETE FROM regraft.unsettled WHERE pipeline = $1 AND fingerprint = $2 AND owner = ANY($3)";
        let target = &self.target.client;
        let done = target.execute(sql, &[&self.name, &statement.fingerprint, &owners]).await;
        done.map_err(|error| self.at_target(&error))?;
        let row = self.target.client.query_one(OPEN, &[&self.name]).await;
        let row = row.map_err(|error| self.at_target(&error))?;
        recorded.open = u64::try_from(row.get::<_, i64>(0)).unwrap_or_default();
        fail_point!("findings.recorded");
        self.end_target().await?;
        Ok(recorded)
    }

    /// Notes findings; gives how many are new.
    async fn found(
        &self,
        statement: &VerifyStatement,
        settled: &[Settled],
        position: Option<Position>,
    ) -> Result<u64> {
        let found =
            settled.iter().flat_map(|of| of.found.iter().map(|finding| (&of.owner, finding)));
        // A row may be missing from one owner, and be surplus at another.
        let found: BTreeMap<&Key, _> =
            found.map(|(owner, found)| (&found.key, (owner, found))).collect();
        if found.is_empty() {
            return Ok(0);
        }
        let keys = self.texts(statement, &statement.target_key, found.keys().copied()).await?;
        let mut of = Vec::with_capacity(found.len());
        for (owner, finding) in found.into_values() {
            let rows = match self.values {
                true => [&finding.rows.0, &finding.rows.1],
                false => [&None, &None],
            };
            let all: Vec<_> = (0..statement.columns.len()).collect();
            let mut texts = [None, None];
            for (row, text) in rows.into_iter().zip(&mut texts) {
                let Some(row) = row else { continue };
                let row = Key(row.as_ref().into());
                *text = self.texts(statement, &all, [&row].into_iter()).await?.pop();
            }
            of.push((owner, finding, texts));
        }
        let columns = |finding: &Finding| {
            let names = finding.columns.iter().map(|&at| statement.columns[at].name.as_str());
            serde_json::Value::from_iter(names).to_string()
        };
        let (source, target) = (statement.source.to_string(), statement.target.to_string());
        let position = position.map(At);
        let differences: Vec<_> =
            of.iter().map(|(_, found, _)| found.difference.as_str()).collect();
        let columns: Vec<_> = of.iter().map(|(_, found, _)| columns(found)).collect();
        let digests = |digest: fn(&Finding) -> Option<&[u8]>| -> Vec<_> {
            of.iter().map(|(_, found, _)| digest(found)).collect()
        };
        let of_source = digests(|found| found.source.as_ref().map(|digest| digest.as_slice()));
        let of_target = digests(|found| found.target.as_ref().map(|digest| digest.as_slice()));
        let owners: Vec<_> = of.iter().map(|(owner, ..)| owner.0.as_ref()).collect();
        let row_keys: Vec<_> = of.iter().map(|(_, found, _)| found.key.0.as_ref()).collect();
        let source_rows: Vec<_> = of.iter().map(|(.., [row, _])| row.as_deref()).collect();
        let target_rows: Vec<_> = of.iter().map(|(.., [_, row])| row.as_deref()).collect();
        let sql = "INSERT INTO regraft.findings AS f (pipeline, fingerprint, source, target, position, difference, key, \
                       columns, source_digest, target_digest, owner, row_key, source_row, target_row) \
                   SELECT $1, $2, $3, $4, coalesce($5, (SELECT position FROM regraft.pipelines WHERE name = $1)), \
                       n.difference, n.key::jsonb, \
                       ARRAY(SELECT jsonb_array_elements_text(n.columns::jsonb)), n.source_digest, \
                       n.target_digest, n.owner, n.row_key, n.source_row::jsonb, n.target_row::jsonb \
                   FROM unnest($6::text[], $7::text[], $8::text[], $9::bytea[], $10::bytea[], $11::bytea[], \
                       $12::bytea[], $13::text[], $14::text[]) AS n(difference, key, columns, source_digest, \
                       target_digest, owner, row_key, source_row, target_row) \
                   ON CONFLICT (pipeline, fingerprint, row_key) WHERE state = 'open' DO UPDATE SET \
                       difference = excluded.difference, columns = excluded.columns, last_seen = now(), \
                       position = excluded.position, source_digest = excluded.source_digest, \
                       target_digest = excluded.target_digest, owner = excluded.owner, \
                       source_row = excluded.source_row, target_row = excluded.target_row, \
                       repair_at = CASE WHEN f.repair_at = 'infinity' \
                           AND (f.source_digest, f.target_digest) \
                               IS DISTINCT FROM (excluded.source_digest, excluded.target_digest) \
                           THEN NULL ELSE f.repair_at END \
                   RETURNING (xmax = 0)";
        let parameters: [&(dyn ToSql + Sync); 14] = [
            &self.name,
            &statement.fingerprint,
            &source,
            &target,
            &position,
            &differences,
            &keys,
            &columns,
            &of_source,
            &of_target,
            &owners,
            &row_keys,
            &source_rows,
            &target_rows,
        ];
        let rows = self.target.client.query(sql, &parameters).await;
        let rows = rows.map_err(|error| self.at_target(&error))?;
        Ok(rows.iter().filter(|row| row.get::<_, bool>(0)).count() as u64)
    }

    /// Rows that were written by a repair, and differ as before whenever they are looked at: the target
    /// itself changes them, and no further repair is asked for.
    async fn kept_by_target(
        &mut self,
        (at, statement): (usize, &VerifyStatement),
        settled: &[Settled],
    ) -> Result<()> {
        let found = || settled.iter().flat_map(|owner| &owner.found);
        let keys: Vec<_> = found().map(|finding| finding.key.0.as_ref()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let sql = "SELECT row_key FROM regraft.findings WHERE pipeline = $1 AND fingerprint = $2 \
                   AND state = 'open' AND repair_at < 'infinity' AND row_key = ANY($3) \
                   AND NOT EXISTS (SELECT FROM regraft.chunks c WHERE c.pipeline = $1 \
                       AND (c.source_schema, c.source_table) = ($4, $5) \
                       AND c.keys IS NOT NULL AND c.done_at IS NULL)";
        let TableName { schema, name } = &statement.source;
        let parameters: [&(dyn ToSql + Sync); 5] =
            [&self.name, &statement.fingerprint, &keys, schema, name];
        let written = self.target.client.query(sql, &parameters).await;
        let written = written.map_err(|error| self.at_target(&error))?;
        let written: HashSet<&[u8]> = written.iter().map(|row| row.get(0)).collect();
        let mut kept = Vec::new();
        for finding in found().filter(|finding| written.contains(finding.key.0.as_ref())) {
            // What is seen once may have been read before the repair was written.
            let digests = [finding.source, finding.target];
            let before = self.repaired.insert((at, finding.key.clone()), digests);
            if before == Some(digests) {
                self.repaired.remove(&(at, finding.key.clone()));
                kept.push(finding.key.0.as_ref());
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE regraft.findings SET repair_at = 'infinity' WHERE pipeline = $1 \
                   AND fingerprint = $2 AND state = 'open' AND row_key = ANY($3)";
        let done =
            self.target.client.execute(sql, &[&self.name, &statement.fingerprint, &kept]).await;
        done.map_err(|error| self.at_target(&error))?;
        let key = statement.target_key.iter().map(|&at| statement.columns[at].name.as_str());
        tracing::warn!(
            target_table = %statement.target,
            key = key.collect::<Vec<_>>().join(", "),
            rows = kept.len(),
            "the target changes or suppresses by itself what is written to it: rows differ as before after \
             their repair, which is not tried again; `regraft repair` names the triggers that are enabled"
        );
        Ok(())
    }

    /// Closes open findings of owners that were looked at and not found again: how many are gone by
    /// themselves, and how many were repaired.
    async fn over(&self, statement: &VerifyStatement, settled: &[Settled]) -> Result<(u64, u64)> {
        let owners: Vec<_> = settled.iter().map(|owner| owner.owner.0.as_ref()).collect();
        let found = settled.iter().flat_map(|owner| &owner.found);
        let found: Vec<_> = found.map(|finding| finding.key.0.as_ref()).collect();
        let equal = settled.iter().flat_map(|owner| &owner.equal);
        let (keys, digests): (Vec<_>, Vec<_>) =
            equal.map(|(key, digest)| (key.0.as_ref(), digest.as_slice())).unzip();
        let sql = "UPDATE regraft.findings f SET closed_at = now(), \
                       state = CASE WHEN repair_at IS NULL THEN 'gone' ELSE 'repaired' END, \
                       after_digest = (SELECT e.d FROM unnest($5::bytea[], $6::bytea[]) AS e(k, d) \
                                       WHERE e.k = f.row_key LIMIT 1) \
                   WHERE pipeline = $1 AND fingerprint = $2 AND state = 'open' AND owner = ANY($3) \
                       AND row_key <> ALL($4) RETURNING state = 'gone'";
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&self.name, &statement.fingerprint, &owners, &found, &keys, &digests];
        let closed = self.target.client.query(sql, &parameters).await;
        let closed = closed.map_err(|error| self.at_target(&error))?;
        let gone = closed.iter().filter(|row| row.get::<_, bool>(0)).count();
        Ok((gone as u64, (closed.len() - gone) as u64))
    }

    /// Values of some columns of each row as a JSON object of texts; they are in the form of the target.
    async fn texts(
        &self,
        statement: &VerifyStatement,
        columns: &[usize],
        rows: impl Iterator<Item = &Key>,
    ) -> Result<Vec<String>> {
        let columns: Vec<_> = columns.iter().map(|&at| &statement.columns[at]).collect();
        let rows: Vec<Key> = rows.cloned().collect();
        if columns.is_empty() {
            return Ok(vec!["{}".to_owned(); rows.len()]);
        }
        let names: Vec<_> = columns.iter().map(|column| literal(&column.name)).collect();
        let of = |text: fn(usize, &VerifyColumn) -> String| {
            let texts = columns.iter().enumerate().map(|(at, column)| text(at, column));
            texts.collect::<Vec<_>>().join(", ")
        };
        let sql = format!(
            "SELECT jsonb_object(ARRAY[{}]::text[], ARRAY[{}]::text[])::text \
             FROM unnest({}) WITH ORDINALITY AS v({}, n) ORDER BY n",
            names.join(", "),
            of(|at, _| format!("v.v{at}::text")),
            of(|at, column| format!("${}::{}[]", at + 1, column.form)),
            numbered("v", columns.len()),
        );
        let arrays = arrays(&rows, columns.len());
        let texts = self.target.client.query(&sql, &parameters(&arrays)).await;
        let texts = texts.map_err(|error| self.at_target(&error))?;
        Ok(texts.iter().map(|row| row.get(0)).collect())
    }

    pub(super) async fn next_request(&self) -> Result<Option<(i64, Request)>> {
        let asked = async {
            let statement = self.next_request.on(&self.target.client).await?;
            self.target.client.query_opt(&statement, &[&self.name]).await
        };
        let row = asked.await.map_err(|error| self.at_target(&error))?;
        Ok(row.map(|row| (row.get(0), serde_json::from_str(row.get(1)).unwrap_or_default())))
    }

    pub(super) async fn report_outcomes(
        &self,
        request: i64,
        outcomes: &[Outcome],
        finished: bool,
    ) -> Result<()> {
        let outcomes = serde_json::to_string(outcomes).unwrap_or_else(|_| "[]".to_owned());
        let sql = "UPDATE regraft.verifications SET outcomes = $2::text::jsonb, \
                   finished_at = CASE WHEN $3 THEN now() END WHERE id = $1";
        let done = self.target.client.execute(sql, &[&request, &outcomes, &finished]).await;
        done.map(drop).map_err(|error| self.at_target(&error))
    }
}

fn owner(row: &Row) -> Key {
    Key(row.get::<_, Vec<u8>>("owner").into_boxed_slice())
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
