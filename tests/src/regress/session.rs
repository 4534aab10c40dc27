//! The server's side: runs a script's statements as psql does, fills the table of a SELECT, and
//! says what the SELECT gives for each of its rows.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use regraft::resolve::source_table;
use regraft::sample::{Cells, Outcome, Raw, image};
use regraft_core::{Code, Tuple};
use regraft_mapping::{Settings, SourceTable};
use regraft_postgres::catalog::Catalog;
use regraft_postgres::endpoint::SESSION;
use regraft_throwaway::Cluster;
use tokio_postgres::{Client, Error, SimpleQueryMessage, Statement};

use super::constants::Constant;
use super::script::literal;
use super::select::{Block, KEY, TABLE};

/// Rows of a table that are looked at.
const ROWS_MAX: usize = 1_000;
/// Further rows that a table of constants gets.
const OTHERS_MAX: usize = 30;
/// Rows that are evaluated one by one when the SELECT fails for some.
const ALONE_MAX: usize = 100;
/// What one statement may take; the tests have some that wait.
const STATEMENT: &str = "20s";
/// What one statement may take when its timeout does not end it.
const STUCK: Duration = Duration::from_secs(60);

/// The rows that a SELECT is evaluated over.
pub(crate) struct Source {
    pub(crate) table: SourceTable,
    /// Images by key.
    pub(crate) rows: Vec<(i64, Tuple)>,
}

/// Strings of the scripts by the type that they are cast to: each such cast is tried with those of
/// the others, too.
#[derive(Debug, Default)]
pub(crate) struct Pool(HashMap<String, Vec<String>>);

impl Pool {
    /// Takes the strings of a SELECT.
    pub(crate) fn take(&mut self, constants: &[Constant]) {
        for constant in constants {
            let Some(cast) = &constant.cast else { continue };
            let known = self.0.entry(cast.to_ascii_lowercase()).or_default();
            if !known.contains(&constant.sql) {
                known.push(constant.sql.clone());
            }
        }
    }

    /// Further rows of the table, the last with NULLs.
    fn rows(&self, constants: &[&Constant]) -> Option<String> {
        let of = |constant: &Constant| self.0.get(&constant.cast.as_ref()?.to_ascii_lowercase());
        let total = constants.iter().filter_map(|constant| Some(of(constant)?.len())).max()?;
        let count = total.min(OTHERS_MAX);
        let row = |number: usize| {
            let cell = |(at, constant): (usize, &&Constant)| match of(constant) {
                Some(_) if number == count => "NULL::text".to_owned(),
                // Strides that have no factor in common, so that pairs do not repeat soon.
                Some(list) => {
                    list[(number * (2 * at + 1) + total / count * number) % list.len()].clone()
                }
                None => constant.name.clone(),
            };
            let cells = constants.iter().enumerate().map(cell).collect::<Vec<_>>().join(", ");
            format!("SELECT {}, {cells} FROM {TABLE} WHERE {KEY} = 1", number + 2)
        };
        let rows: Vec<String> = (0..=count).map(row).collect();
        Some(format!("INSERT INTO {TABLE} {}", rows.join(" UNION ALL ")))
    }
}

/// A session of the server.
pub(crate) struct Session<'a> {
    cluster: &'a Cluster,
    database: &'a str,
    pub(crate) client: Client,
    pub(crate) settings: Settings,
}

impl<'a> Session<'a> {
    pub(crate) async fn open(cluster: &'a Cluster, database: &'a str) -> Self {
        let client = cluster.client(database).await.expect("the throwaway server takes a session");
        let setup = format!("SET statement_timeout = '{STATEMENT}'");
        client.batch_execute(&setup).await.expect("a timeout can be set");
        let shown = client.query_one("SHOW server_version_num", &[]).await;
        let version: String = shown.expect("the server tells its version").get(0);
        let settings = Settings {
            c_collation: true,
            c_ctype: true,
            utf8: true,
            utc_iso: true,
            server_version: version.parse().expect("a version is a number"),
        };
        Self { cluster, database, client, settings }
    }

    /// Starts again, as `\c` does, or after a statement that does not end.
    pub(crate) async fn reopen(&mut self) {
        *self = Self::open(self.cluster, self.database).await;
    }

    /// Runs a statement as it is. Failures are passed over, as psql does it.
    pub(crate) async fn run(&mut self, sql: &str, data: Option<&str>) {
        let ends = tokio::time::timeout(STUCK, async {
            match data {
                None => self.client.batch_execute(sql).await.is_ok(),
                Some(data) => self.copy(sql, data).await.is_ok(),
            }
        });
        if ends.await.is_err() || self.client.is_closed() {
            self.reopen().await;
        }
    }

    async fn copy(&self, sql: &str, data: &str) -> Result<(), Error> {
        use futures_util::SinkExt;
        let sink = self.client.copy_in::<_, bytes::Bytes>(sql).await?;
        let mut sink = std::pin::pin!(sink);
        sink.send(bytes::Bytes::copy_from_slice(data.as_bytes())).await?;
        sink.close().await
    }

    /// The rows of a query as text, for `\gset` and `\gexec`: names and values.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<Vec<(String, Option<String>)>> {
        let found = self.client.simple_query(sql).await.unwrap_or_default();
        let row = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                let cells = row.columns().iter().enumerate();
                let cell = |(at, column): (usize, &tokio_postgres::SimpleColumn)| {
                    (column.name().to_owned(), row.get(at).map(str::to_owned))
                };
                Some(cells.map(cell).collect())
            }
            _ => None,
        };
        found.iter().filter_map(row).collect()
    }

    /// Begins what [`Self::leave`] undoes, in regraft's settings; `None` where a script's
    /// transaction has failed, else whether it has one open.
    pub(crate) async fn enter(&self) -> Option<bool> {
        let open = match self.client.batch_execute("SAVEPOINT regraft_regress").await {
            Ok(()) => true,
            Err(_) => {
                self.client.batch_execute("BEGIN; SAVEPOINT regraft_regress").await.ok()?;
                false
            }
        };
        let values =
            SESSION.iter().filter(|(name, _)| !name.contains("time") || *name == "TimeZone");
        let values = values.filter(|(name, _)| !name.starts_with("default_"));
        let mut sql: String =
            values.map(|(name, value)| format!("SET LOCAL {name} = {};", literal(value))).collect();
        sql.push_str(&format!("SET LOCAL statement_timeout = '{STATEMENT}'"));
        self.client.batch_execute(&sql).await.ok()?;
        Some(open)
    }

    /// Undoes everything since [`Self::enter`].
    pub(crate) async fn leave(&mut self, open: bool) {
        let sql = match open {
            true => "ROLLBACK TO regraft_regress; RELEASE regraft_regress",
            false => "ROLLBACK",
        };
        if self.client.batch_execute(sql).await.is_err() {
            self.reopen().await;
        }
    }

    async fn attempt(&self, sql: &str) -> bool {
        let begun = self.client.batch_execute("SAVEPOINT regraft_attempt").await.is_ok();
        let done = begun && self.client.batch_execute(sql).await.is_ok();
        let end = if done { "RELEASE regraft_attempt" } else { "ROLLBACK TO regraft_attempt" };
        self.client.batch_execute(end).await.is_ok() && done
    }

    /// Makes the table of a SELECT; `None` when its FROM fails or has columns that a table cannot
    /// have. Constants that are wrong are left out.
    pub(crate) async fn source(&self, block: &Block, pool: &Pool) -> Option<Source> {
        let create = |constants: &[&Constant]| {
            let star = if !block.from.is_empty() && !block.joined { ", *" } else { "" };
            let list: String =
                constants.iter().map(|c| format!(", {} AS {}", c.sql, c.name)).collect();
            let from = if block.from.is_empty() { "" } else { " FROM " };
            format!(
                "CREATE TEMP TABLE {TABLE} AS SELECT row_number() OVER () AS {KEY}{star}{list}{from}{} LIMIT {ROWS_MAX}",
                block.from
            )
        };
        let mut constants: Vec<&Constant> = block.constants.iter().collect();
        if !self.attempt(&create(&constants)).await {
            // Those that are wrong are left out.
            let (mut right, all) = (Vec::new(), constants);
            for constant in all {
                let from = match block.joined {
                    true => format!(" FROM {} LIMIT 1", block.from),
                    false => String::new(),
                };
                if self.attempt(&format!("SELECT {}{from}", constant.sql)).await {
                    right.push(constant);
                }
            }
            constants = right;
            if !self.attempt(&create(&constants)).await {
                return None;
            }
        }
        if block.from.is_empty()
            && let Some(sql) = pool.rows(&constants)
        {
            self.attempt(&sql).await;
        }
        let path = self.path().await?;
        let catalog = Catalog::new(&self.client, "source", &path);
        let table = catalog.table(None, TABLE, Code::Internal).await.ok()?;
        let table = source_table(&catalog, &table, &[KEY.to_owned()]).await.ok()?;
        let found = self.client.query(&format!("SELECT * FROM {TABLE} ORDER BY {KEY}"), &[]).await;
        let keyed = |row: &tokio_postgres::Row| (row.get(0), image(row, &vec![false; row.len()]));
        Some(Source { table, rows: found.ok()?.iter().map(keyed).collect() })
    }

    /// Schemas in which the session finds names.
    pub(crate) async fn path(&self) -> Option<Vec<String>> {
        let row = self.client.query_one("SELECT current_schemas(true)::text[]", &[]).await;
        row.ok().map(|row| row.get(0))
    }

    /// A SELECT as the server takes it.
    pub(crate) async fn prepare(&self, sql: &str) -> Option<Statement> {
        let begun = self.client.batch_execute("SAVEPOINT regraft_attempt").await.is_ok();
        let statement = self.client.prepare(sql).await.ok();
        let end = if statement.is_some() { "RELEASE" } else { "ROLLBACK TO" };
        let ended = self.client.batch_execute(&format!("{end} regraft_attempt")).await.is_ok();
        statement.filter(|_| begun && ended)
    }

    /// What the server gives for each key: all at once, or one by one by the SELECT that `alone`
    /// makes for a key. `None` when the session is lost.
    pub(crate) async fn outcomes(
        &self,
        statement: &Statement,
        alone: impl Fn(i64) -> String,
        keys: &[i64],
    ) -> Option<BTreeMap<i64, Outcome>> {
        let mut found: BTreeMap<i64, Outcome> = BTreeMap::new();
        self.client.batch_execute("SAVEPOINT regraft_attempt").await.ok()?;
        if let Ok(rows) = self.client.query(statement, &[]).await {
            self.client.batch_execute("RELEASE regraft_attempt").await.ok()?;
            found.extend(keys.iter().map(|key| (*key, Ok(Vec::new()))));
            for row in &rows {
                if let Some(Ok(list)) = found.get_mut(&row.get(0)) {
                    list.push(cells(row));
                }
            }
            return Some(found);
        }
        for key in keys.iter().take(ALONE_MAX) {
            self.client.batch_execute("ROLLBACK TO regraft_attempt").await.ok()?;
            let outcome = match self.client.query(&alone(*key), &[]).await {
                Ok(rows) => Some(Ok(rows.iter().map(cells).collect())),
                // A timeout is no answer.
                Err(error) => {
                    let state = error.code().map(|state| state.code().to_owned());
                    state.filter(|state| state != "57014").map(Err)
                }
            };
            found.extend(outcome.map(|outcome| (*key, outcome)));
        }
        self.client.batch_execute("ROLLBACK TO regraft_attempt").await.ok()?;
        Some(found)
    }
}

/// The cells of a row without its key.
fn cells(row: &tokio_postgres::Row) -> Cells {
    (1..row.len()).map(|at| row.get::<_, Raw>(at).0).collect()
}
