//! The schema `regraft` itself: its versions, and whether the role may keep one.

use regraft_core::sql::quote;
use regraft_core::{Code, Error, Result};
use tokio_postgres::Client;

use super::PgLedger;
use crate::classify;

/// The versions of the schema, in order. Each is applied once, in a transaction of its own.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../../schemas/ledger/001_initial.sql"),
    include_str!("../../../../schemas/ledger/002_traces.sql"),
    include_str!("../../../../schemas/ledger/003_verification.sql"),
    include_str!("../../../../schemas/ledger/004_standing.sql"),
    include_str!("../../../../schemas/ledger/005_held.sql"),
    include_str!("../../../../schemas/ledger/006_last_commit.sql"),
    include_str!("../../../../schemas/ledger/007_positions.sql"),
];

impl PgLedger {
    /// Makes or migrates the schema.
    ///
    /// # Errors
    /// [`Code::LedgerNewer`] when a newer regraft made it; refusals of the server.
    pub async fn migrate(client: &Client, place: &str) -> Result<()> {
        let fail = |error: tokio_postgres::Error| classify(&error, &format!("{place}, ledger"));
        let version = "SELECT CASE WHEN to_regclass('regraft.versions') IS NULL THEN 0 ELSE 1 END";
        // Two daemons may start at once.
        client
            .batch_execute("BEGIN; SELECT pg_advisory_xact_lock(7374656726)")
            .await
            .map_err(fail)?;
        let exists: i32 = client.query_one(version, &[]).await.map_err(fail)?.get(0);
        let current: i32 = if exists == 0 {
            let sql = "CREATE SCHEMA IF NOT EXISTS regraft";
            client.batch_execute(sql).await.map_err(fail)?;
            0
        } else {
            let sql = "SELECT coalesce(max(version), 0) FROM regraft.versions";
            client.query_one(sql, &[]).await.map_err(fail)?.get(0)
        };
        let known = MIGRATIONS.len();
        let done = usize::try_from(current).unwrap_or(0);
        if done > known {
            let what = format!("the ledger has version {done}, this regraft knows {known}");
            return Err(Error::new(Code::LedgerNewer, what)
                .at(format!("{place}, schema regraft"))
                .remedy("run the newer regraft; an older one must not write this ledger"));
        }
        for (at, sql) in MIGRATIONS.iter().enumerate().skip(done) {
            client.batch_execute(sql).await.map_err(fail)?;
            let number = i32::try_from(at + 1).unwrap_or(i32::MAX);
            let sql = "INSERT INTO regraft.versions (version) VALUES ($1)";
            client.execute(sql, &[&number]).await.map_err(fail)?;
        }
        client.batch_execute("COMMIT").await.map_err(fail)
    }

    /// Refuses a ledger of a newer regraft, and migrates one of an older. False when there is none.
    ///
    /// # Errors
    /// [`Code::LedgerNewer`], and when the target cannot be asked.
    pub async fn migrate_existing(client: &Client, place: &str) -> Result<bool> {
        let sql = "SELECT to_regclass('regraft.versions') IS NOT NULL";
        let row = client.query_one(sql, &[]).await;
        let exists = row.map_err(|error| classify(&error, place))?.get(0);
        if exists {
            Self::migrate(client, place).await?;
        }
        Ok(exists)
    }

    /// Whether the target has a ledger, of whatever version.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub async fn exists(client: &Client, place: &str) -> Result<bool> {
        let sql = "SELECT to_regclass('regraft.pipelines') IS NOT NULL";
        let row = client.query_one(sql, &[]).await;
        Ok(row.map_err(|error| classify(&error, place))?.get(0))
    }

    /// Why the role may not keep a ledger in the target.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub async fn may_keep(client: &Client, place: &str) -> Result<Option<Error>> {
        let sql = "SELECT coalesce((SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace \
                   WHERE nspname = 'regraft'), has_database_privilege(current_database(), 'CREATE')), \
                   current_database()::text";
        let row = client.query_one(sql, &[]).await;
        let row = row.map_err(|error| classify(&error, place))?;
        if row.get(0) {
            return Ok(None);
        }
        let what = "the role may neither use nor make the schema regraft, where the ledger lives";
        let remedy = format!("GRANT CREATE ON DATABASE {} TO …", quote(row.get(1)));
        Ok(Some(Error::new(Code::PrivilegeMissing, what).at(place).remedy(remedy)))
    }

    /// Begins a transaction of several notes.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn begin(client: &Client, place: &str) -> Result<()> {
        let begun = client.batch_execute("BEGIN").await;
        begun.map_err(|error| classify(&error, &format!("{place}, ledger")))
    }

    /// Commits it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn commit(client: &Client, place: &str) -> Result<()> {
        let committed = client.batch_execute("COMMIT").await;
        committed.map_err(|error| classify(&error, &format!("{place}, ledger")))
    }
}
