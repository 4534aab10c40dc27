//! What publishing a table does to the application: the server refuses its UPDATE and DELETE on each
//! published table, or partition of one, whose rows nothing identifies (`CheckCmdReplicaIdentity` in
//! PostgreSQL's `execReplication.c`). It judges the table that takes the row, not the one that is named.
//!
//! <https://www.postgresql.org/docs/current/logical-replication-publication.html#LOGICAL-REPLICATION-PUBLICATION-REPLICA-IDENTITY>

use regraft_core::sql::quote;
use regraft_core::{Code, Error, Oid, ReplicaIdentity, Result, TableName};
use tokio_postgres::{Client, Row};

use crate::classify;
use crate::slot::{Publication, Published, Server};

/// A table that takes rows: a published table itself, or a partition below it.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The published table, by its `pg_class.oid`.
    pub root: Oid,
    /// Schema and name.
    pub name: TableName,
    /// Replica identity.
    pub identity: ReplicaIdentity,
    /// Columns of the index that the identity means; `None` when there is none that the server takes.
    pub key: Option<Vec<String>>,
    /// The primary key is deferrable: it identifies no row for the server.
    pub deferrable: bool,
    /// Generated columns that are stored.
    pub stored: Vec<String>,
    /// Generated columns that are not (since version 18).
    pub computed: Vec<String>,
}

/// What keeps the application from changing rows, once the table is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Objection {
    Nothing,
    Deferrable,
    NoKey,
    /// Generated columns belong to the identity, and cannot be published.
    Computed,
    /// They could be published, and the publication does not.
    Unpublished,
}

impl Leaf {
    /// The tables that take the rows of these published tables.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn of(client: &Client, place: &str, roots: &[Oid]) -> Result<Vec<Leaf>> {
        let rows = client.query(LEAVES, &[&roots]).await;
        Ok(rows.map_err(|error| classify(&error, place))?.iter().map(leaf).collect())
    }

    /// Why the server would refuse the application's UPDATE and DELETE, if it would; with a publication
    /// that carries stored generated columns or does not.
    ///
    /// # Errors
    /// [`Code::WritesRefused`]: this is the error, and not how to ask.
    pub fn accepts_writes(&self, server: &Server, generated: bool, place: &str) -> Result<()> {
        let Some(objection) = self.objection(server, generated) else { return Ok(()) };
        let quoted = self.name.quoted();
        let identify = format!(
            "ALTER TABLE {quoted} REPLICA IDENTITY USING INDEX … with a unique index over NOT NULL columns \
             that is not deferrable, or ALTER TABLE {quoted} REPLICA IDENTITY FULL"
        );
        let (why, remedy) = match objection {
            Objection::Nothing => (
                "it has REPLICA IDENTITY NOTHING".to_owned(),
                format!(
                    "ALTER TABLE {quoted} REPLICA IDENTITY DEFAULT, if it has a primary key; else {identify}"
                ),
            ),
            Objection::Deferrable => ("its primary key is DEFERRABLE".to_owned(), identify),
            Objection::NoKey if self.identity == ReplicaIdentity::Index => {
                ("the index that was its replica identity is gone".to_owned(), identify)
            }
            Objection::NoKey => ("it has no primary key".to_owned(), identify),
            Objection::Computed => (
                format!(
                    "its replica identity holds the generated column {}, which no publication carries",
                    quote(self.computed.first().map_or("", String::as_str))
                ),
                format!(
                    "ALTER TABLE {quoted} REPLICA IDENTITY DEFAULT, with a primary key without it"
                ),
            ),
            Objection::Unpublished => (
                format!(
                    "its replica identity holds the generated column {}, which the publication does not carry",
                    quote(self.stored.first().map_or("", String::as_str))
                ),
                "ALTER PUBLICATION … SET (publish_generated_columns = stored)".to_owned(),
            ),
        };
        let what = format!(
            "while {} is published the server refuses every UPDATE and DELETE of it, also those of the \
             application: {why}",
            self.name
        );
        Err(Error::new(Code::WritesRefused, what).at(place).remedy(remedy))
    }

    fn objection(&self, server: &Server, generated: bool) -> Option<Objection> {
        let full = self.identity == ReplicaIdentity::Full;
        if self.identity == ReplicaIdentity::Nothing {
            return Some(Objection::Nothing);
        }
        if !full && self.key.is_none() {
            let default = self.identity == ReplicaIdentity::Default;
            return Some(if default && self.deferrable {
                Objection::Deferrable
            } else {
                Objection::NoKey
            });
        }
        // Before version 18 they were never published, and the server did not mind.
        if server.major() < 18 {
            return None;
        }
        let within = |columns: &[String]| {
            let key = self.key.as_deref().unwrap_or_default();
            if full { !columns.is_empty() } else { columns.iter().any(|name| key.contains(name)) }
        };
        if within(&self.computed) {
            Some(Objection::Computed)
        } else {
            (within(&self.stored) && !generated).then_some(Objection::Unpublished)
        }
    }

    /// A publication has to carry stored generated columns, or the server refuses writes.
    pub fn needs_generated(&self, server: &Server) -> bool {
        self.objection(server, false) == Some(Objection::Unpublished)
    }

    /// Whether old images of rows in this partition hold what those of the published table promise. The
    /// stream marks them by the identity of the published table, and fills them by that of the partition.
    ///
    /// # Errors
    /// [`Code::SourceKeyMissing`], with the ALTER TABLE to run.
    pub fn identifies_as(
        &self,
        root: &TableName,
        identity: ReplicaIdentity,
        key: &[String],
        place: &str,
    ) -> Result<()> {
        let same =
            |own: &Vec<String>| own.len() == key.len() && own.iter().all(|name| key.contains(name));
        let whole = identity == ReplicaIdentity::Full;
        if self.identity == ReplicaIdentity::Full || (!whole && self.key.as_ref().is_some_and(same))
        {
            return Ok(());
        }
        let wanted = if identity == ReplicaIdentity::Default { "DEFAULT" } else { "FULL" };
        let what = format!(
            "the partition {} has another replica identity than {root}, and the server fills old images by \
             that of the partition",
            self.name
        );
        let remedy = format!("ALTER TABLE {} REPLICA IDENTITY {wanted}", self.name.quoted());
        Err(Error::new(Code::SourceKeyMissing, what).at(place).remedy(remedy))
    }
}

/// Takes tables out of a publication that regraft made, as soon as the server refuses the application's
/// writes because of it: every table of it, and those of `wanted` that are out already.
///
/// # Errors
/// [`Code::WritesRefused`] when there was one: it has been taken out, or could not be.
pub async fn withdraw(
    client: &Client,
    server: &Server,
    place: &str,
    publication: &str,
    wanted: &[Oid],
) -> Result<()> {
    let Some(found) = Publication::find(client, server, place, publication).await? else {
        return Ok(());
    };
    let mut roots: Vec<_> = found.tables.iter().map(|published| published.oid).collect();
    roots.extend(wanted);
    roots.sort_unstable();
    roots.dedup();
    let leaves = Leaf::of(client, place, &roots).await?;
    let generated = found.generated;
    let harmed: Vec<_> =
        leaves.iter().filter(|leaf| leaf.objection(server, generated).is_some()).collect();
    let Some(first) = harmed.first() else { return Ok(()) };
    let harmful = |published: &&Published| harmed.iter().any(|leaf| leaf.root == published.oid);
    let out: Vec<_> =
        found.tables.iter().filter(harmful).map(|published| published.table.clone()).collect();
    let removed = match out.is_empty() {
        true => Ok(()),
        false => Publication::remove(client, place, publication, &out).await,
    };
    let silenced = match &removed {
        Ok(()) => Ok(()),
        Err(_) => Publication::silence(client, place, publication).await,
    };
    let Err(error) = first.accepts_writes(server, generated, place) else { return Ok(()) };
    let (outcome, missing) = match (&removed, &silenced) {
        (Ok(()), _) => (
            format!("it was taken out of the publication {publication} at once"),
            "its changes are missing from here on: then `regraft run --resync TABLE`, or --recopy TABLE, with the \
             source table",
        ),
        (_, Ok(())) => (
            format!(
                "somebody has a lock on it, so the publication {publication} carries new rows only, of all its \
                 tables, and the application may write"
            ),
            "changes of all tables are missing from here on: then `regraft run --resync all`, which has it carry \
             everything again",
        ),
        _ => (
            format!("it could not be taken out of the publication {publication}: do it now"),
            "its changes are missing from there on: then `regraft run --resync TABLE`, or --recopy TABLE, with the \
             source table",
        ),
    };
    let remedy = format!("{}; {missing}", error.remedy_text().unwrap_or_default());
    let error = Error::new(Code::WritesRefused, format!("{}; {outcome}", error.what()));
    let error = error.at(place).remedy(remedy);
    if !out.is_empty() {
        tracing::error!("{error:#}");
    }
    Err(match silenced {
        Ok(()) => error,
        Err(below) => error.because(below),
    })
}

/// Has a publication of new rows that regraft made carry nothing else, as soon as it does: its tables have no
/// key, and the server would refuse the application's writes.
///
/// # Errors
/// [`Code::WritesRefused`] when that could not be done.
pub async fn withdraw_appended(
    client: &Client,
    server: &Server,
    place: &str,
    publication: &str,
) -> Result<()> {
    let Some(found) = Publication::find(client, server, place, publication).await? else {
        return Ok(());
    };
    let [_, update, delete, _] = found.operations;
    if !update && !delete {
        return Ok(());
    }
    let silenced = Publication::silence(client, place, publication).await;
    match (silenced, found.fit_appended(publication, place, &[])) {
        (Err(below), Err(error)) => Err(error.because(below)),
        (Err(below), Ok(())) => Err(below),
        (Ok(()), _) => {
            tracing::error!(
                "the publication {publication} carried more than new rows, and the server refused the \
                 application's UPDATE and DELETE of its tables: it carries new rows only again"
            );
            Ok(())
        }
    }
}

fn leaf(row: &Row) -> Leaf {
    let identity: i8 = row.get("identity");
    Leaf {
        root: row.get("root"),
        name: TableName::new(row.get::<_, String>("schema"), row.get::<_, String>("name")),
        identity: match identity.cast_unsigned() {
            b'f' => ReplicaIdentity::Full,
            b'i' => ReplicaIdentity::Index,
            b'n' => ReplicaIdentity::Nothing,
            _ => ReplicaIdentity::Default,
        },
        key: row.get("key"),
        deferrable: row.get("deferrable"),
        stored: row.get("stored"),
        computed: row.get("computed"),
    }
}

// The functions about partitions lock each of them, and would wait, with locks of others, for whoever has one.
const LEAVES: &str = "
WITH RECURSIVE tree AS (
    SELECT DISTINCT root, root AS oid FROM unnest($1::oid[]) AS root
    UNION ALL
    SELECT tree.root, i.inhrelid FROM tree JOIN pg_class p ON p.oid = tree.oid AND p.relkind = 'p'
    JOIN pg_inherits i ON i.inhparent = tree.oid)
SELECT r.root, n.nspname::text AS schema, c.relname::text AS name, c.relreplident AS identity,
       (SELECT array_agg(a.attname::text ORDER BY k.at)
        FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, at)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate AND k.at <= i.indnkeyatts
          AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END) AS key,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND NOT i.indimmediate)
           AS deferrable,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
             AND NOT a.attisdropped AND a.attgenerated = 's') AS stored,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
             AND NOT a.attisdropped AND a.attgenerated = 'v') AS computed
FROM tree AS r
JOIN pg_class c ON c.oid = r.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r'
ORDER BY 1, 2, 3";
