//! The replication slot and the publication: made by regraft, or used when they are there.

use regraft_core::sql::{literal, quote};
use regraft_core::{Code, Error, Lsn, Result, TableName};
use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;

use crate::classify;

/// Oldest and newest major version that is supported.
pub const MAJORS: (u32, u32) = (14, 18);

/// What a server says of itself.
#[derive(Clone, Debug)]
pub struct Server {
    /// `server_version_num`, such as 150012.
    pub version: u32,
    /// System identifier of the cluster.
    pub system: String,
    /// Database of the connection.
    pub database: String,
    /// `wal_level`.
    pub wal_level: String,
    /// End of the log.
    pub wal_end: Lsn,
    /// The role may use replication.
    pub replication: bool,
    /// The role is a superuser.
    pub superuser: bool,
    /// The server is a standby.
    pub standby: bool,
    /// Slots that are free, by `max_replication_slots`.
    pub free_slots: i64,
    /// `server_encoding`.
    pub encoding: String,
    /// The database's default collation orders by bytes.
    pub collation_is_c: bool,
    /// The database knows only ASCII letters.
    pub ctype_is_c: bool,
}

impl Server {
    /// The major version.
    pub fn major(&self) -> u32 {
        self.version / 10_000
    }

    /// Asks a server.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn ask(client: &Client, place: &str) -> Result<Server> {
        let sql = "
            SELECT current_setting('server_version_num')::int AS version,
                   (SELECT system_identifier::text FROM pg_control_system()) AS system,
                   current_database()::text AS database,
                   current_setting('wal_level') AS wal_level,
                   CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                        ELSE pg_current_wal_insert_lsn() END AS wal_end,
                   pg_is_in_recovery() AS standby,
                   r.rolreplication AS replication, r.rolsuper AS superuser,
                   current_setting('max_replication_slots')::bigint
                       - (SELECT count(*) FROM pg_replication_slots) AS free_slots,
                   current_setting('server_encoding') AS encoding,
                   coalesce(l.own, d.datcollate IN ('C', 'POSIX')) AS collation_is_c,
                   coalesce(l.own, d.datctype IN ('C', 'POSIX')) AS ctype_is_c
            FROM pg_roles r, pg_database d
            -- Since versions 15 and 17 ICU, or PostgreSQL itself, may decide in place of these two.
            CROSS JOIN LATERAL (SELECT CASE to_jsonb(d) ->> 'datlocprovider'
                WHEN 'i' THEN false
                WHEN 'b' THEN to_jsonb(d) ->> 'datlocale' IN ('C', 'POSIX') END AS own) AS l
            WHERE r.rolname = current_user AND d.datname = current_database()";
        let row = client.query_one(sql, &[]).await.map_err(|error| classify(&error, place))?;
        let version: i32 = row.get("version");
        let wal_end: Option<PgLsn> = row.get("wal_end");
        Ok(Server {
            version: u32::try_from(version).unwrap_or(0),
            system: row.get("system"),
            database: row.get("database"),
            wal_level: row.get("wal_level"),
            wal_end: Lsn(wal_end.map_or(0, Into::into)),
            replication: row.get("replication"),
            superuser: row.get("superuser"),
            standby: row.get("standby"),
            free_slots: row.get("free_slots"),
            encoding: row.get("encoding"),
            collation_is_c: row.get("collation_is_c"),
            ctype_is_c: row.get("ctype_is_c"),
        })
    }

    /// What keeps this server from being a source, the first thing found.
    ///
    /// # Errors
    /// Each with the setting to change.
    pub fn fit_as_source(&self, place: &str) -> Result<()> {
        self.fit(place)?;
        self.fit_as_primary(place, "the publication and watermarks are written there")?;
        if self.wal_level != "logical" {
            let what = format!("wal_level is {}, and has to be logical", self.wal_level);
            return Err(Error::new(Code::WalLevel, what)
                .at(place)
                .remedy("ALTER SYSTEM SET wal_level = logical, and restart the server"));
        }
        if !self.replication && !self.superuser {
            let what = "the role may not use replication";
            return Err(Error::new(Code::PrivilegeMissing, what)
                .at(place)
                .remedy("ALTER ROLE … REPLICATION, by a superuser"));
        }
        Ok(())
    }

    /// Whether the server can be a target.
    ///
    /// # Errors
    /// As for a source.
    pub fn fit_as_target(&self, place: &str) -> Result<()> {
        self.fit(place)?;
        self.fit_as_primary(place, "nothing can be written there")
    }

    fn fit_as_primary(&self, place: &str, why: &str) -> Result<()> {
        if !self.standby {
            return Ok(());
        }
        let what = format!("the server is a standby: {why}");
        Err(Error::new(Code::ServerRefused, what).at(place).remedy(
            "name the primary in the address; with several hosts in it, target_session_attrs=read-write finds it",
        ))
    }

    /// Whether the version is supported.
    ///
    /// # Errors
    /// [`Code::VersionUnsupported`].
    pub fn fit(&self, place: &str) -> Result<()> {
        if (MAJORS.0..=MAJORS.1).contains(&self.major()) {
            return Ok(());
        }
        let what = format!("PostgreSQL {} is not supported", self.major());
        Err(Error::new(Code::VersionUnsupported, what)
            .at(place)
            .remedy(format!("use a version from {} to {}", MAJORS.0, MAJORS.1)))
    }
}

/// A logical replication slot.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Output plugin; `None` for a physical slot.
    pub plugin: Option<String>,
    /// Database that it decodes.
    pub database: Option<String>,
    /// Process that uses it.
    pub active_pid: Option<i32>,
    /// What the consumer confirmed.
    pub confirmed: Option<Lsn>,
    /// `lost` when the server gave it up.
    pub wal_status: Option<String>,
}

impl Slot {
    /// Looks for a slot.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn find(client: &Client, place: &str, name: &str) -> Result<Option<Slot>> {
        let sql = "SELECT plugin::text, database::text, active_pid, confirmed_flush_lsn, wal_status \
                   FROM pg_replication_slots WHERE slot_name = $1";
        let row = client.query_opt(sql, &[&name]).await.map_err(|e| classify(&e, place))?;
        Ok(row.map(|row| Slot {
            plugin: row.get(0),
            database: row.get(1),
            active_pid: row.get(2),
            confirmed: row.get::<_, Option<PgLsn>>(3).map(|lsn| Lsn(lsn.into())),
            wal_status: row.get(4),
        }))
    }

    /// Makes a slot; gives the position from which it has everything. It waits for the transactions
    /// that are open at the source.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create(client: &Client, place: &str, name: &str) -> Result<Lsn> {
        // A server does not look after its client while it waits, and would hold the slot of a daemon
        // that is gone. Where the system cannot tell it refuses the setting, and it stays like that.
        drop(client.batch_execute("SET client_connection_check_interval = '1s'").await);
        let sql = "SELECT lsn FROM pg_create_logical_replication_slot($1, 'pgoutput')";
        let row = client.query_one(sql, &[&name]).await.map_err(|e| classify(&e, place))?;
        Ok(Lsn(row.get::<_, PgLsn>(0).into()))
    }

    /// Whether a stream can go on from `position` without a gap.
    ///
    /// # Errors
    /// [`Code::SlotLost`], [`Code::SlotUnfit`], [`Code::PositionGap`].
    pub fn fit(
        &self,
        name: &str,
        place: &str,
        database: &str,
        position: Option<Lsn>,
    ) -> Result<()> {
        if self.plugin.as_deref() != Some("pgoutput") || self.database.as_deref() != Some(database)
        {
            let what = format!(
                "the slot {name} is for {} in database {}",
                self.plugin.as_deref().unwrap_or("physical replication"),
                self.database.as_deref().unwrap_or("none"),
            );
            return Err(Error::new(Code::SlotUnfit, what)
                .at(place)
                .remedy("name another slot in [source], or drop this one"));
        }
        if self.wal_status.as_deref() == Some("lost") {
            let what = format!("the server gave up the slot {name}: log that it needs is removed");
            return Err(Error::new(Code::SlotLost, what).at(place).remedy(
                "drop the slot and start with `regraft run --recopy all`; raise \
                 max_slot_wal_keep_size so that it does not happen again",
            ));
        }
        let (Some(confirmed), Some(position)) = (self.confirmed, position) else { return Ok(()) };
        if confirmed > position {
            let what = format!(
                "the slot {name} was confirmed up to {confirmed}, but the target has only \
                 everything up to {position}: what lies between is lost to the stream"
            );
            return Err(Error::new(Code::PositionGap, what).at(place).remedy(
                "find out who moved the slot or restored the target; then copy anew: \
                 `regraft run --recopy all`",
            ));
        }
        Ok(())
    }
}

/// A publication.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Operations: insert, update, delete, truncate.
    pub operations: [bool; 4],
    /// Changes of partitions come as changes of the partitioned table.
    pub via_root: bool,
    /// Tables, with whether a row filter or a column list restricts them.
    pub tables: Vec<(TableName, bool)>,
}

impl Publication {
    /// Looks for a publication.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn find(
        client: &Client,
        server: &Server,
        place: &str,
        name: &str,
    ) -> Result<Option<Self>> {
        let fail = |error: tokio_postgres::Error| classify(&error, place);
        let sql = "SELECT pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot \
                   FROM pg_publication WHERE pubname = $1";
        let Some(row) = client.query_opt(sql, &[&name]).await.map_err(fail)? else {
            return Ok(None);
        };
        // Row filters and column lists came with version 15.
        let restricted = if server.major() >= 15 {
            "EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid \
             WHERE p.pubname = t.pubname AND r.prrelid = format('%I.%I', t.schemaname, \
             t.tablename)::regclass AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL))"
        } else {
            "false"
        };
        let sql = format!(
            "SELECT t.schemaname::text, t.tablename::text, {restricted} \
             FROM pg_publication_tables t WHERE t.pubname = $1"
        );
        let tables = client.query(&sql, &[&name]).await.map_err(fail)?;
        let table = |row: &tokio_postgres::Row| {
            (TableName::new(row.get::<_, String>(0), row.get::<_, String>(1)), row.get(2))
        };
        Ok(Some(Self {
            operations: [row.get(0), row.get(1), row.get(2), row.get(3)],
            via_root: row.get(4),
            tables: tables.iter().map(table).collect(),
        }))
    }

    /// Makes a publication for these tables.
    ///
    /// # Errors
    /// When the server refuses: the role needs CREATE on the database, and has to own the tables.
    pub async fn create(
        client: &Client,
        place: &str,
        name: &str,
        tables: &[TableName],
    ) -> Result<()> {
        let list = tables.iter().map(TableName::quoted).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "CREATE PUBLICATION {} FOR TABLE {list} WITH (publish = {}, \
             publish_via_partition_root = true)",
            quote(name),
            literal("insert, update, delete, truncate"),
        );
        client.batch_execute(&sql).await.map_err(|error| classify(&error, place))
    }

    /// Adds tables to a publication that regraft made.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn add(client: &Client, place: &str, name: &str, tables: &[TableName]) -> Result<()> {
        let list = tables.iter().map(TableName::quoted).collect::<Vec<_>>().join(", ");
        let sql = format!("ALTER PUBLICATION {} ADD TABLE {list}", quote(name));
        client.batch_execute(&sql).await.map_err(|error| classify(&error, place))
    }

    /// Tables that are not published.
    pub fn missing(&self, tables: &[TableName]) -> Vec<TableName> {
        let published = |table: &&TableName| self.tables.iter().any(|(name, _)| name == *table);
        tables.iter().filter(|table| !published(table)).cloned().collect()
    }

    /// What keeps the publication from carrying every change of these tables.
    ///
    /// # Errors
    /// [`Code::PublicationUnfit`], with the ALTER PUBLICATION to run.
    pub fn fit(&self, name: &str, place: &str, tables: &[TableName]) -> Result<()> {
        let unfit = |what: String, remedy: String| {
            Err(Error::new(Code::PublicationUnfit, what).at(place).remedy(remedy))
        };
        if self.operations != [true; 4] {
            return unfit(
                format!("the publication {name} leaves out operations"),
                format!(
                    "ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate')",
                    quote(name)
                ),
            );
        }
        let missing = self.missing(tables);
        if !missing.is_empty() {
            let list = missing.iter().map(TableName::quoted).collect::<Vec<_>>().join(", ");
            return unfit(
                format!("the publication {name} does not publish {list}"),
                format!(
                    "ALTER PUBLICATION {} ADD TABLE {list}; for a partitioned table, also \
                     SET (publish_via_partition_root = true)",
                    quote(name)
                ),
            );
        }
        let restricted =
            self.tables.iter().find(|(t, restricted)| *restricted && tables.contains(t));
        if let Some((table, _)) = restricted {
            return unfit(
                format!("the publication {name} filters rows or columns of {table}"),
                format!(
                    "publish the whole table, and filter in mapping.sql: ALTER PUBLICATION {} \
                     SET TABLE …",
                    quote(name)
                ),
            );
        }
        Ok(())
    }
}
