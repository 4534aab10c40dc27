//! The replication slot and the publication: made by regraft, or used when they are there.

use regraft_core::sql::{literal, quote};
use regraft_core::{Code, Error, Lsn, Oid, Position, Result, TableName};
use tokio_postgres::types::PgLsn;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::classify;
use crate::endpoint::{AS_REGRAFT, AS_ROLE};

/// Oldest and newest major version that is supported.
pub const MAJORS: (u32, u32) = (14, 18);

/// What a publication of new rows has behind the name of the one that it stands beside.
const APPENDED: &str = "_append";
/// Bytes of a name (`NAMEDATALEN`, less the zero).
const NAME_MAX: usize = 63;

/// The ways on when the stream has lost something.
pub const START_OVER: &str = "`regraft run --resync all` makes what is missing, goes on from now, compares \
                              everything and mends what differs; `--recopy all` copies everything anew";

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
    pub wal_end: Position,
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
    /// Schemas in which the role searches for names, in order.
    pub path: Path,
}

/// Where a role searches for names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// The schemas that it names.
    pub named: Vec<String>,
    /// With those that are searched whether they are named or not.
    pub all: Vec<String>,
}

impl Path {
    /// Asks what the session's role would search.
    ///
    /// # Errors
    /// When the server cannot be asked.
    async fn ask(client: &Client, place: &str) -> Result<Path> {
        let sql = format!(
            "{AS_ROLE}; SELECT pg_catalog.to_json(pg_catalog.current_schemas(false)), \
             pg_catalog.to_json(pg_catalog.current_schemas(true)); {AS_REGRAFT}"
        );
        let answer = client.simple_query(&sql).await.map_err(|error| classify(&error, place))?;
        let rows = answer.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = rows.last();
        let names = |at| {
            let text = row.and_then(|row| row.try_get(at).ok().flatten()).unwrap_or("[]");
            serde_json::from_str(text).unwrap_or_default()
        };
        Ok(Path { named: names(0), all: names(1) })
    }
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
            wal_end: Lsn(wal_end.map_or(0, Into::into)).into(),
            replication: row.get("replication"),
            superuser: row.get("superuser"),
            standby: row.get("standby"),
            free_slots: row.get("free_slots"),
            encoding: row.get("encoding"),
            collation_is_c: row.get("collation_is_c"),
            ctype_is_c: row.get("ctype_is_c"),
            path: Path::ask(client, place).await?,
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

/// Whether a walsender of this name counts as a synchronous standby, by `synchronous_standby_names`:
/// commits of the source then wait until it has confirmed them.
pub fn names_standby(standbys: &str, application: &str) -> bool {
    // `FIRST 1 (a, "b")`, `ANY 2 (*)`, `a, b`.
    let list = standbys
        .split_once('(')
        .map_or(standbys, |(_, list)| list.trim_end().trim_end_matches(')'));
    list.split(',')
        .map(|name| name.trim().trim_matches('"'))
        .any(|name| name == "*" || (!name.is_empty() && name.eq_ignore_ascii_case(application)))
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

    /// What it has confirmed, as a position.
    pub fn position(&self) -> Option<Position> {
        self.confirmed.map(Position::from)
    }

    /// Makes a slot; gives the position from which it has everything. It waits for the transactions
    /// that are open at the source.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create(client: &Client, place: &str, name: &str) -> Result<Position> {
        // A server does not look after its client while it waits, and would hold the slot of a daemon
        // that is gone. Where the system cannot tell it refuses the setting, and it stays like that.
        drop(client.batch_execute("SET client_connection_check_interval = '1s'").await);
        // However long that takes: whoever waits is told for whom.
        let patient = client.batch_execute("SET lock_timeout = 0").await;
        patient.map_err(|error| classify(&error, place))?;
        let sql = "SELECT lsn FROM pg_create_logical_replication_slot($1, 'pgoutput')";
        let row = client.query_one(sql, &[&name]).await.map_err(|e| classify(&e, place))?;
        Ok(Lsn(row.get::<_, PgLsn>(0).into()).into())
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
            return Err(Error::new(Code::SlotLost, what).at(place).remedy(format!(
                "{START_OVER}; raise max_slot_wal_keep_size so that it does not happen again"
            )));
        }
        let (Some(confirmed), Some(position)) = (self.confirmed, position) else { return Ok(()) };
        if confirmed > position {
            return Err(Self::gap(name, place, confirmed, position));
        }
        Ok(())
    }

    /// What lies between the position and what the slot has confirmed does not come any more.
    pub(crate) fn gap(name: &str, place: &str, confirmed: Lsn, position: Lsn) -> Error {
        let what = format!(
            "the slot {name} was confirmed up to {confirmed}, but the target has only everything up to {position}: \
             what lies between is lost to the stream"
        );
        Error::new(Code::PositionGap, what).at(place).remedy(format!(
            "find out who moved the slot or restored the target; then {START_OVER}"
        ))
    }
}

/// A publication.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Its `pg_publication.oid` and the transaction that altered it last: another publication, or other
    /// operations, even if they were brought back, have another one.
    pub id: String,
    /// Operations: insert, update, delete, truncate.
    pub operations: [bool; 4],
    /// Changes of partitions come as changes of the partitioned table.
    pub via_root: bool,
    /// Stored generated columns are carried (since version 18).
    pub generated: bool,
    /// Its owner: to change it alters the publication, and means nothing.
    pub owner: Oid,
    /// The pipeline that it was made for, where regraft made it.
    pub made_for: Option<String>,
    /// The tables.
    pub tables: Vec<Published>,
}

/// A table of a publication.
#[derive(Clone, Debug)]
pub struct Published {
    /// Schema and name.
    pub table: TableName,
    /// `pg_class.oid`.
    pub oid: Oid,
    /// A row filter or a column list restricts it.
    pub restricted: bool,
    /// By what it is in the publication: a table that is taken out and added again has another one.
    pub member: Option<Oid>,
}

/// Of a publication that carries all changes, the name of the one beside it that carries new rows only.
///
/// # Errors
/// [`Code::ConfigInvalid`] when that would be too long.
pub fn of_appended(publication: &str) -> Result<String> {
    let name = format!("{publication}{APPENDED}");
    if name.len() <= NAME_MAX {
        return Ok(name);
    }
    let what = format!("{name}, the name of a second publication, is too long");
    Err(Error::new(Code::ConfigInvalid, what)
        .at("source.publication")
        .remedy(format!("name the publication by at most {} bytes", NAME_MAX - APPENDED.len())))
}

/// How the comment on a publication begins that regraft made.
const MADE_FOR: &str = "made by regraft for ";

/// The operations of a publication that carries every change, and of one that carries new rows only.
const ALL: &str = "insert, update, delete, truncate";
const NEW: &str = "insert, truncate";

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
        // Row filters and column lists came with version 15, generated columns with 18.
        let restricted = if server.major() >= 15 {
            "coalesce(r.prqual IS NOT NULL OR r.prattrs IS NOT NULL, false)"
        } else {
            "false"
        };
        let generated = if server.major() >= 18 { "p.pubgencols = 's'" } else { "false" };
        // By a table of its own, or by a schema, which came with version 15.
        let (member, schemas) = if server.major() >= 15 {
            let join =
                "LEFT JOIN pg_publication_namespace s ON s.pnpubid = p.oid AND s.pnnspid = n.oid";
            ("coalesce(r.oid, s.oid)", join)
        } else {
            ("r.oid", "")
        };
        let sql = format!(
            "SELECT p.oid || ':' || p.xmin AS id, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, \
                 {generated} AS generated, t.schemaname::text AS schema, t.tablename::text AS name, \
                 {restricted} AS restricted, {member} AS member, c.oid AS table_oid, p.pubowner AS owner, \
                 pg_catalog.obj_description(p.oid, 'pg_publication') AS comment \
             FROM pg_publication p \
             LEFT JOIN pg_publication_tables t ON t.pubname = p.pubname \
             LEFT JOIN pg_namespace n ON n.nspname = t.schemaname \
             LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename \
             LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid {schemas} \
             WHERE p.pubname = $1 ORDER BY t.schemaname, t.tablename"
        );
        let rows = client.query(&sql, &[&name]).await.map_err(fail)?;
        let Some(first) = rows.first() else { return Ok(None) };
        let table = |row: &tokio_postgres::Row| {
            let (schema, name): (Option<String>, Option<String>) =
                (row.get("schema"), row.get("name"));
            Some(Published {
                table: TableName::new(schema?, name?),
                oid: row.get::<_, Option<Oid>>("table_oid")?,
                restricted: row.get("restricted"),
                member: row.get("member"),
            })
        };
        Ok(Some(Self {
            id: first.get("id"),
            operations: [first.get(1), first.get(2), first.get(3), first.get(4)],
            via_root: first.get("pubviaroot"),
            generated: first.get("generated"),
            owner: first.get("owner"),
            made_for: first
                .get::<_, Option<&str>>("comment")
                .and_then(|comment| comment.strip_prefix(MADE_FOR))
                .map(str::to_owned),
            tables: rows.iter().filter_map(table).collect(),
        }))
    }

    /// Makes a publication for these tables, with their stored generated columns where the server would
    /// refuse writes without. Its comment says what pipeline it is for.
    ///
    /// # Errors
    /// When the server refuses: the role needs CREATE on the database, and has to own the tables.
    pub async fn create(
        client: &Client,
        place: &str,
        (name, made_for): (&str, &str),
        tables: &[TableName],
        generated: bool,
    ) -> Result<()> {
        let generated = if generated { ", publish_generated_columns = stored" } else { "" };
        let sql = creation(name, tables, ALL, generated);
        let sql = format!("{sql}; {}", comment(name, made_for));
        client.batch_execute(&sql).await.map_err(|error| classify(&error, place))
    }

    /// What a user runs to make one for these tables.
    pub fn sql(name: &str, tables: &[TableName]) -> String {
        let tables: Vec<_> = tables.iter().map(TableName::quoted).collect();
        format!(
            "CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)",
            quote(name),
            tables.join(", ")
        )
    }

    /// Makes a publication of new rows of these tables: the server has nothing against other changes of theirs.
    ///
    /// # Errors
    /// As for [`Publication::create`].
    pub async fn create_appended(
        client: &Client,
        place: &str,
        name: &str,
        tables: &[TableName],
    ) -> Result<()> {
        let sql = Self::appended_sql(name, tables);
        client.batch_execute(&sql).await.map_err(|error| classify(&error, place))
    }

    /// What makes it.
    pub fn appended_sql(name: &str, tables: &[TableName]) -> String {
        creation(name, tables, NEW, "")
    }

    /// What keeps a publication of new rows from being one.
    ///
    /// # Errors
    /// [`Code::PublicationUnfit`], [`Code::WritesRefused`] where it would keep the application from writing.
    pub fn fit_appended(&self, name: &str, place: &str, tables: &[TableName]) -> Result<()> {
        let [insert, update, delete, truncate] = self.operations;
        let set = format!("ALTER PUBLICATION {} SET (publish = 'insert, truncate')", quote(name));
        if update || delete {
            let what = format!(
                "the publication {name} is of tables without a key, and carries more than new rows: the server \
                 refuses the application's UPDATE and DELETE of them"
            );
            return Err(Error::new(Code::WritesRefused, what).at(place).remedy(set));
        }
        if !insert || !truncate {
            let what = format!("the publication {name} leaves out operations");
            return Err(Error::new(Code::PublicationUnfit, what).at(place).remedy(set));
        }
        Self { operations: [true; 4], ..self.clone() }.fit(name, place, tables)
    }

    /// Takes tables out of a publication that regraft made. Waits for a lock of theirs only briefly.
    ///
    /// # Errors
    /// When the server refuses: the publication is as it was.
    pub async fn remove(
        client: &Client,
        place: &str,
        name: &str,
        tables: &[TableName],
    ) -> Result<()> {
        let sql = format!(
            "BEGIN; SET LOCAL lock_timeout = '1s'; ALTER PUBLICATION {} DROP TABLE {}; COMMIT",
            quote(name),
            only(tables)
        );
        let Err(error) = client.batch_execute(&sql).await else { return Ok(()) };
        drop(client.batch_execute("ROLLBACK").await);
        Err(classify(&error, place))
    }

    /// Has a publication that regraft made carry inserts only: that waits for no lock of a table, and has
    /// the server take the application's UPDATE and DELETE. What it does not carry is a gap.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn silence(client: &Client, place: &str, name: &str) -> Result<()> {
        let sql = format!("ALTER PUBLICATION {} SET (publish = {})", quote(name), literal(NEW));
        client.batch_execute(&sql).await.map_err(|error| classify(&error, place))
    }

    /// Says of a publication what pipeline it is for. Nothing depends on it but the next pipeline of that name.
    pub async fn mark(client: &Client, name: &str, made_for: &str) {
        if let Err(error) = client.batch_execute(&comment(name, made_for)).await {
            tracing::debug!("no comment on the publication {name}: {error}");
        }
    }

    /// Every change of its tables is carried, as one of the published table.
    pub fn carries_all(&self) -> bool {
        self.operations == [true; 4] && self.via_root
    }

    /// Has a publication that regraft made carry every change of its tables: the server refuses those of the
    /// application from then on that it cannot tell of.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn carry_all(client: &Client, place: &str, name: &str) -> Result<()> {
        let sql = format!(
            "ALTER PUBLICATION {} SET (publish = {}, publish_via_partition_root = true)",
            quote(name),
            literal(ALL)
        );
        client.batch_execute(&sql).await.map_err(|error| classify(&error, place))
    }

    /// Has a publication that regraft made carry stored generated columns.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn add_generated(client: &Client, place: &str, name: &str) -> Result<()> {
        let sql =
            format!("ALTER PUBLICATION {} SET (publish_generated_columns = stored)", quote(name));
        client.batch_execute(&sql).await.map_err(|error| classify(&error, place))
    }

    /// Adds tables to a publication that regraft made.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn add(client: &Client, place: &str, name: &str, tables: &[TableName]) -> Result<()> {
        let sql = format!("ALTER PUBLICATION {} ADD TABLE {}", quote(name), only(tables));
        client.batch_execute(&sql).await.map_err(|error| classify(&error, place))
    }

    /// Tables that are not published.
    pub fn missing(&self, tables: &[TableName]) -> Vec<TableName> {
        let published = |table: &&TableName| self.tables.iter().any(|found| found.table == **table);
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
        let restricted = self.tables.iter().find(|t| t.restricted && tables.contains(&t.table));
        if let Some(Published { table, .. }) = restricted {
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

fn comment(name: &str, made_for: &str) -> String {
    let text = format!("{MADE_FOR}{made_for}");
    format!("COMMENT ON PUBLICATION {} IS {}", quote(name), literal(&text))
}

fn creation(name: &str, tables: &[TableName], publish: &str, options: &str) -> String {
    let tables = match tables {
        [] => String::new(),
        tables => format!(" FOR TABLE {}", only(tables)),
    };
    format!(
        "CREATE PUBLICATION {}{tables} WITH (publish = {}, publish_via_partition_root = true{options})",
        quote(name),
        literal(publish),
    )
}

/// Tables of a publication, without those that inherit from them: each is published for itself.
fn only(tables: &[TableName]) -> String {
    let tables = tables.iter().map(|table| format!("ONLY {}", table.quoted()));
    tables.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::names_standby;

    #[test]
    fn a_list_of_standbys_names_ours_or_everybody() {
        for standbys in
            ["*", "FIRST 1 (*)", "ANY 2 (a, *)", "a, \"Regraft shop\"", "2 (\"regraft shop\")"]
        {
            assert!(names_standby(standbys, "regraft shop"), "{standbys}");
        }
        for standbys in ["", "a", "FIRST 1 (a, b)", "\"regraft other\""] {
            assert!(!names_standby(standbys, "regraft shop"), "{standbys}");
        }
    }
}
