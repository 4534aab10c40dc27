//! Reads the catalog: shapes of tables, keys, constraints and types, in few queries.

use std::collections::BTreeMap;
use std::sync::Arc;

use regraft_core::segment::Route;
use regraft_core::{Code, Column, Error, Oid, ReplicaIdentity, Result, TableName};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use crate::classify;
use crate::known::{Known, Named};

/// A table as the catalog has it now.
#[derive(Clone, Debug)]
pub struct Table {
    /// `pg_class.oid`.
    pub oid: Oid,
    /// Schema and name.
    pub name: TableName,
    /// `pg_class.relkind`: `r` table, `p` partitioned table, `v` view, ...
    pub kind: char,
    /// Replica identity.
    pub identity: ReplicaIdentity,
    /// Columns in order, without dropped ones.
    pub columns: Vec<TableColumn>,
    /// Unique indexes, the primary key first.
    pub unique: Vec<UniqueIndex>,
    /// Foreign keys of this table.
    pub foreign_keys: Vec<ForeignKey>,
    /// Enabled user triggers of the table and its partitions, by name.
    pub triggers: Vec<Trigger>,
    /// Columns that each index starts with, in index order (valid, non-partial ones that find equal values).
    pub indexes: Vec<Vec<String>>,
    /// Row-level security applies to the current user.
    pub row_security: bool,
    /// Privileges of the current user on the table: select, insert, update, delete.
    pub privileges: [bool; 4],
    /// Estimated rows; negative when never analysed.
    pub estimated_rows: f32,
    /// The current user owns the table, by itself or by a role.
    pub owned: bool,
    /// Number of foreign keys, of whatever tables, that reference the table.
    pub references_to: i64,
    /// How it is partitioned (`LIST (region)`), and its partitions in turn; empty where it is not.
    pub partitioned_by: Vec<String>,
    /// The columns that they reference.
    pub referenced: Vec<String>,
    /// Other tables inherit from it, or are partitions of it.
    pub has_children: bool,
    /// The table has exclusion constraints.
    pub has_exclusions: bool,
    /// Exclusion constraints, and keys WITHOUT OVERLAPS, that are checked at each row.
    pub exclusions: Vec<String>,
    /// The same that may be checked at the commit.
    pub late_exclusions: Vec<String>,
    /// The table and those of its partitions that a crash of the server empties.
    pub unlogged: Vec<String>,
    /// Partitions that are on other servers.
    pub foreign_partitions: Vec<String>,
    /// Rewrite rules (`CREATE RULE`) stand on the table, or once did.
    pub has_rules: bool,
    /// Those that stand there, each with what it is for, by name. One ON UPDATE counts even when it is disabled: the
    /// server takes no upsert of its table.
    pub rules: Vec<Trigger>,
    /// The table itself, or partitions of it, whose changes are not in the log: unlogged and foreign ones,
    /// quoted and qualified.
    pub not_logged: Vec<String>,
}

/// A column of a [`Table`].
#[derive(Clone, Debug)]
pub struct TableColumn {
    /// Name.
    pub name: String,
    /// `pg_attribute.attnum`, from 1.
    pub number: i16,
    /// Type.
    pub type_oid: Oid,
    /// Type modifier, -1 without.
    pub type_modifier: i32,
    /// SQL name of the type without its modifier, quoted and qualified as needed: of any length,
    /// where `character` and `bit` would mean a length of one.
    pub sql_type: String,
    /// SQL name with modifier, for people.
    pub full_type: String,
    /// NULL is refused.
    pub not_null: bool,
    /// A default, or an identity, fills the column when it is left out.
    pub has_default: bool,
    /// `GENERATED ALWAYS AS (…) STORED`.
    pub generated: bool,
    /// `GENERATED ALWAYS AS IDENTITY`.
    pub identity_always: bool,
    /// The column has a collation other than the database's default.
    pub collated: bool,
    /// Its type, its collation or that of a unique index over it takes texts for equal that are not the same:
    /// `ON CONFLICT` asks each index over the key.
    pub folded: bool,
    /// How its values can travel.
    pub binary: BinaryForm,
}

/// What a server does with values of a type in binary form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BinaryForm {
    /// It has none: the stream carries texts.
    pub missing: bool,
    /// It fails to write it, because of a type inside that has none: so does the stream.
    pub broken: bool,
    /// It does not read it, or not all that it writes.
    pub unread: bool,
}

impl BinaryForm {
    /// Values have to travel as their texts.
    pub fn is_text(self) -> bool {
        self.missing || self.broken || self.unread
    }
}

/// Types whose values are equal only when their bytes are, as far as no collation says otherwise.
const EXACT: &[&str] = &[
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "oid",
    "text",
    "character varying",
    "uuid",
    "bytea",
    "date",
    "time without time zone",
    "timestamp without time zone",
    "timestamp with time zone",
];

impl TableColumn {
    /// Values are equal only when their bytes are.
    pub(crate) fn is_exact(&self) -> bool {
        EXACT.contains(&self.sql_type.as_str()) && !self.folded
    }
}

/// A type whose object id is not the same on every server (`pg_type`).
#[derive(Clone, Debug)]
pub struct UserType {
    /// `pg_type.oid`.
    pub oid: Oid,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// `typtype`: `e` enum, `d` domain, `c` composite, ...
    pub kind: char,
    /// Labels of an enum, in their order.
    pub labels: Vec<String>,
    /// Base type of a domain, else 0.
    pub base: Oid,
    /// Type modifier of a domain, else -1.
    pub modifier: i32,
    /// Element type of a true array, else 0.
    pub element: Oid,
}

/// A trigger that is enabled in some sessions.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// Its name; one of a partition says so.
    pub name: String,
    /// It can change or suppress a row before it is written.
    pub before_row: bool,
    /// When it is enabled (`tgenabled`).
    enabled: char,
}

impl Trigger {
    /// From `b` or `a` for whether it is one before a row, `tgenabled`, and the name.
    fn read(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let before_row = chars.next()? == 'b';
        let enabled = chars.next()?;
        Some(Self { name: chars.collect(), before_row, enabled })
    }

    /// It fires for what the pipeline writes. With `trusted`, its sessions are those of a replica.
    pub fn fires(&self, trusted: bool) -> bool {
        self.enabled == 'A' || self.enabled == if trusted { 'R' } else { 'O' }
    }
}

/// A unique index.
#[derive(Clone, Debug)]
pub struct UniqueIndex {
    /// Name of the index, which is that of the constraint if there is one.
    pub name: String,
    /// Its columns; `None` for an expression.
    pub columns: Vec<Option<String>>,
    /// With an expression: all columns that the index reads.
    pub reads: Vec<String>,
    /// It is the primary key.
    pub primary: bool,
    /// It is the replica identity.
    pub identity: bool,
    /// It covers only some rows.
    pub partial: bool,
    /// Its constraint is deferrable; it can be no ON CONFLICT arbiter then.
    pub deferrable: bool,
    /// It keeps ranges apart (WITHOUT OVERLAPS); it can be no arbiter either.
    pub exclusion: bool,
}

/// A foreign key.
#[derive(Clone, Debug)]
pub struct ForeignKey {
    /// Name of the constraint.
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// Table that is referenced.
    pub references: TableName,
    /// The columns there.
    pub referenced_columns: Vec<String>,
    /// Deferrable.
    pub deferrable: bool,
    /// What happens to the referencing row on delete (`confdeltype`).
    pub on_delete: char,
}

impl ForeignKey {
    /// Both ends come from one source row: each is its key, in whatever order the constraint lists the
    /// columns.
    pub fn within_owner(&self, child: &Route, parent: &Route) -> bool {
        let owner = |route: &Route| -> Option<Vec<String>> {
            Some(route.owner.as_ref()?.iter().map(|&at| route.columns[at].name.clone()).collect())
        };
        let (Some(child_owner), Some(parent_owner)) = (owner(child), owner(parent)) else {
            return false;
        };
        let at = |owner: &[String], name: &String| owner.iter().position(|column| column == name);
        let mut pairs = self.columns.iter().zip(&self.referenced_columns);
        child.source == parent.source
            && self.columns.len() == child_owner.len()
            && pairs.all(|(column, referenced)| {
                let place = at(&child_owner, column);
                place.is_some() && place == at(&parent_owner, referenced)
            })
    }
}

impl Table {
    /// A table, partitioned or not, that takes rows itself: no view, and no rule instead.
    pub fn is_plain(&self) -> bool {
        matches!(self.kind, 'r' | 'p') && !self.has_rules
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Columns of the primary key.
    pub fn primary_key(&self) -> Option<Vec<String>> {
        self.unique.iter().find(|index| index.primary).and_then(UniqueIndex::plain)
    }

    /// The primary key is DEFERRABLE.
    pub fn deferrable_key(&self) -> bool {
        self.unique.iter().any(|index| index.primary && index.deferrable)
    }

    /// Columns that identify a row in the change stream: the replica identity's, and under
    /// `REPLICA IDENTITY FULL` those of the primary key or of a unique index over NOT NULL columns.
    pub fn stream_key(&self) -> Option<Vec<String>> {
        match self.identity {
            // The server takes no key that may be violated until the end of a transaction.
            ReplicaIdentity::Default => self.primary_key().filter(|_| !self.deferrable_key()),
            ReplicaIdentity::Index => {
                self.unique.iter().find(|index| index.identity).and_then(UniqueIndex::plain)
            }
            ReplicaIdentity::Full => {
                // Rows that are kept apart by their ranges are not equal either.
                let apart = self.not_null_keys(true);
                let mut keys =
                    self.not_null_keys(false).chain(apart).filter_map(UniqueIndex::plain);
                keys.find(|key| self.generated_among(key).is_none()).or_else(|| self.target_key())
            }
            ReplicaIdentity::Nothing => None,
        }
    }

    /// A generated column among these: the stream does not carry it.
    pub fn generated_among(&self, columns: &[String]) -> Option<&TableColumn> {
        let found = columns.iter().filter_map(|name| self.column(name));
        found.into_iter().find(|column| column.generated)
    }

    /// Columns that tell the rows of a target apart: the primary key, or else a unique index over NOT NULL
    /// columns. `ON CONFLICT` can arbitrate by them, save by a key WITHOUT OVERLAPS, which comes last.
    pub fn target_key(&self) -> Option<Vec<String>> {
        self.key_index().and_then(UniqueIndex::plain)
    }

    /// The index over the columns of [`Table::target_key`].
    pub fn key_index(&self) -> Option<&UniqueIndex> {
        self.not_null_keys(false).chain(self.not_null_keys(true)).next()
    }

    /// The statement can write by the key: where no upsert can arbitrate by it, each of its rows has to be of
    /// another source row, and its own.
    pub fn writable_by_key(&self, route: &Route) -> bool {
        self.key_index().is_some_and(|index| {
            let key = index.plain().unwrap_or_default();
            let own = route.single && route.key_is_owner && !route.guarded(&key);
            !index.exclusion || own && self.references_to == 0
        })
    }

    /// Of the keys WITHOUT OVERLAPS, or of the others.
    fn not_null_keys(&self, exclusion: bool) -> impl Iterator<Item = &UniqueIndex> {
        let not_null = |name: &String| self.column(name).is_some_and(|column| column.not_null);
        self.unique
            .iter()
            .filter(|index| !(index.partial || index.deferrable))
            .filter(move |index| index.exclusion == exclusion)
            .filter(move |index| index.plain().is_some_and(|columns| columns.iter().all(not_null)))
    }

    /// The columns as the stream describes them.
    pub fn stream_columns(&self) -> Vec<Column> {
        let key = self.stream_key().unwrap_or_default();
        let column = |column: &TableColumn| Column {
            name: column.name.clone(),
            type_oid: column.type_oid,
            type_modifier: column.type_modifier,
            key: key.contains(&column.name),
        };
        self.columns.iter().filter(|column| !column.generated).map(column).collect()
    }
}

impl UniqueIndex {
    /// The columns, when none is an expression.
    pub fn plain(&self) -> Option<Vec<String>> {
        self.columns.iter().cloned().collect()
    }
}

/// Reads the catalog of one database, and remembers what it was told: for as long as a mapping is resolved
/// nothing is asked twice. See [`Catalog::learn`].
pub struct Catalog<'a> {
    client: &'a Client,
    place: &'a str,
    /// Schemas in which a name without one is looked for.
    path: &'a [String],
    pub(crate) known: Arc<Known>,
}

impl<'a> Catalog<'a> {
    /// `place` names the server in errors; `path` are schemas in which a name without one is looked for.
    pub fn new(client: &'a Client, place: &'a str, path: &'a [String]) -> Self {
        Self { client, place, path, known: Arc::default() }
    }

    /// With what was told before.
    #[must_use]
    pub fn knowing(self, known: &Arc<Known>) -> Self {
        Self { known: Arc::clone(known), ..self }
    }

    /// Finds tables as unqualified or qualified names do in SQL; `None` for one that does not exist.
    pub(crate) async fn ask_ids(&self, names: &[&Named]) -> Result<Vec<Option<Oid>>> {
        let schemas: Vec<_> = names.iter().map(|(schema, _)| schema.as_deref()).collect();
        let tables: Vec<_> = names.iter().map(|(_, name)| name.as_str()).collect();
        let sql = "SELECT (SELECT c.oid FROM unnest(CASE WHEN w.schema IS NULL THEN $3::text[] \
                          ELSE ARRAY[w.schema] END) WITH ORDINALITY AS path(schema, at) \
                          JOIN pg_namespace n ON n.nspname = path.schema \
                          JOIN pg_class c ON c.relnamespace = n.oid \
                          WHERE c.relname = w.name AND c.relkind IN ('r','p','v','m','f') \
                          ORDER BY path.at LIMIT 1) \
                   FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(schema, name, at) ORDER BY w.at";
        let rows = self.query(sql, &[&schemas, &tables, &self.path]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// User types that the path gives for these names.
    pub(crate) async fn ask_meant(&self, names: &[&str]) -> Result<Vec<(String, Oid)>> {
        let sql = "SELECT DISTINCT ON (t.typname) t.typname::text, t.oid \
                   FROM unnest($2::text[]) WITH ORDINALITY AS path(schema, at) \
                   JOIN pg_namespace n ON n.nspname = path.schema \
                   JOIN pg_type t ON t.typnamespace = n.oid \
                   WHERE t.typname = ANY ($1::text[]) ORDER BY t.typname, path.at";
        let rows = self.query(sql, &[&names, &self.path]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Whether types of these SQL names exist.
    pub(crate) async fn ask_types(&self, names: &[&str]) -> Result<Vec<(String, bool)>> {
        let sql = "SELECT name, to_regtype(name) IS NOT NULL FROM unnest($1::text[]) AS name";
        let rows = self.query(sql, &[&names]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Reads tables.
    pub(crate) async fn ask_tables(&self, oids: &[Oid]) -> Result<BTreeMap<Oid, Table>> {
        let mut tables = BTreeMap::new();
        for row in self.query(&TABLES.replace("{tree}", &tree("c.oid")), &[&oids]).await? {
            let table = Table {
                oid: row.get("oid"),
                name: TableName::new(row.get::<_, String>("schema"), row.get::<_, String>("name")),
                kind: char_of(&row, "kind"),
                identity: match char_of(&row, "identity") {
                    'f' => ReplicaIdentity::Full,
                    'i' => ReplicaIdentity::Index,
                    'n' => ReplicaIdentity::Nothing,
                    _ => ReplicaIdentity::Default,
                },
                columns: Vec::new(),
                unique: Vec::new(),
                foreign_keys: Vec::new(),
                triggers: triggers(&row, "triggers"),
                indexes: Vec::new(),
                row_security: row.get("row_security"),
                privileges: [
                    row.get("may_select"),
                    row.get("may_insert"),
                    row.get("may_update"),
                    row.get("may_delete"),
                ],
                estimated_rows: row.get("rows"),
                owned: row.get("owned"),
                references_to: row.get("references_to"),
                referenced: row.get("referenced"),
                partitioned_by: row.get("partitioned_by"),
                has_exclusions: row.get("has_exclusions"),
                exclusions: Vec::new(),
                late_exclusions: Vec::new(),
                unlogged: row.get("unlogged"),
                foreign_partitions: row.get("foreign_partitions"),
                has_children: row.get("has_children"),
                has_rules: row.get("has_rules"),
                rules: triggers(&row, "rules"),
                not_logged: row.get("not_logged"),
            };
            tables.insert(table.oid, table);
        }
        for row in self.query(&COLUMNS.replace("BINARY", BINARY), &[&oids]).await? {
            let column = TableColumn {
                name: row.get("name"),
                number: row.get("number"),
                type_oid: row.get("type"),
                type_modifier: row.get("modifier"),
                sql_type: row.get("sql_type"),
                full_type: row.get("full_type"),
                not_null: row.get("not_null"),
                has_default: row.get("has_default"),
                generated: char_of(&row, "generated") != '\0',
                identity_always: char_of(&row, "identity") == 'a',
                collated: row.get("collated"),
                folded: row.get("folded"),
                binary: BinaryForm {
                    missing: row.get("missing"),
                    broken: row.get("broken"),
                    unread: row.get("unread"),
                },
            };
            push(&mut tables, &row, |table| table.columns.push(column));
        }
        for row in self.query(INDEXES, &[&oids]).await? {
            let index = UniqueIndex {
                name: row.get("name"),
                columns: row.get("columns"),
                reads: row.get("reads"),
                primary: row.get("primary"),
                identity: row.get("identity"),
                partial: row.get("partial"),
                deferrable: row.get("deferrable"),
                exclusion: row.get("exclusion"),
            };
            let (unique, btree): (bool, bool) = (row.get("unique"), row.get("btree"));
            push(&mut tables, &row, |table| {
                match index.exclusion {
                    true if index.deferrable => table.late_exclusions.push(index.name.clone()),
                    true => table.exclusions.push(index.name.clone()),
                    false => {}
                }
                // A key WITHOUT OVERLAPS finds equal values, too.
                let equal = btree || unique && index.exclusion;
                if equal && !index.partial {
                    table.indexes.push(index.columns.iter().map_while(Clone::clone).collect());
                }
                if unique {
                    table.unique.push(index);
                }
            });
        }
        for row in self.query(FOREIGN_KEYS, &[&oids]).await? {
            let key = ForeignKey {
                name: row.get("name"),
                references: TableName::new(
                    row.get::<_, String>("schema"),
                    row.get::<_, String>("references"),
                ),
                columns: row.get("columns"),
                referenced_columns: row.get("referenced_columns"),
                deferrable: row.get("deferrable"),
                on_delete: char_of(&row, "on_delete"),
            };
            push(&mut tables, &row, |table| table.foreign_keys.push(key));
        }
        Ok(tables)
    }

    /// SQL names of types, without modifiers, as this server prints them.
    pub(crate) async fn ask_type_names(&self, oids: &[Oid]) -> Result<Vec<(Oid, String)>> {
        let sql = "SELECT t.oid, CASE WHEN n.nspname = 'pg_catalog' THEN format_type(t.oid, -1) \
                   WHEN t.typelem <> 0 AND t.typlen = -1 AND e.oid IS NOT NULL \
                   THEN format('%I.%I[]', en.nspname, e.typname) \
                   ELSE format('%I.%I', n.nspname, t.typname) END \
                   FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
                   LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid \
                   LEFT JOIN pg_namespace en ON en.oid = e.typnamespace \
                   WHERE t.oid = ANY($1)";
        let rows = self.query(sql, &[&oids]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// How values of types can travel.
    pub(crate) async fn ask_binary_forms(&self, oids: &[Oid]) -> Result<Vec<(Oid, BinaryForm)>> {
        let sql = format!(
            "SELECT t.oid, b.missing, b.broken, b.unread FROM pg_type t \
             CROSS JOIN LATERAL ({BINARY}) AS b WHERE t.oid = ANY($1)"
        );
        let form = |row: &tokio_postgres::Row| BinaryForm {
            missing: row.get(1),
            broken: row.get(2),
            unread: row.get(3),
        };
        let rows = self.query(&sql, &[&oids]).await?;
        Ok(rows.iter().map(|row| (row.get(0), form(row))).collect())
    }

    /// Those of these types whose ids are not the same on every server, with those that they refer to; each with
    /// the type of its elements.
    pub(crate) async fn ask_user_types(&self, oids: &[Oid]) -> Result<Vec<(UserType, Oid)>> {
        let user_type = |row: &tokio_postgres::Row| {
            let found = UserType {
                oid: row.get(0),
                schema: row.get(1),
                name: row.get(2),
                kind: char_of(row, "kind"),
                labels: row.get(4),
                base: row.get(5),
                modifier: row.get(6),
                element: row.get(7),
            };
            (found, row.get(8))
        };
        Ok(self.query(USER_TYPES, &[&oids]).await?.iter().map(user_type).collect())
    }

    /// That a table is not there, of the name that a statement gives.
    pub(crate) fn absent(&self, (schema, name): &Named, missing: Code) -> Error {
        let written =
            schema.as_ref().map_or_else(|| name.clone(), |schema| format!("{schema}.{name}"));
        Error::new(missing, format!("the table {written} does not exist"))
            .at(self.place)
            .remedy("check the name, its schema and the role's search_path")
    }

    async fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>> {
        self.client.query(sql, parameters).await.map_err(|error| classify(&error, self.place))
    }
}

fn char_of(row: &tokio_postgres::Row, column: &str) -> char {
    let byte: i8 = row.get(column);
    char::from(byte.cast_unsigned())
}

/// Of an array of texts as [`Trigger::read`] takes them.
fn triggers(row: &tokio_postgres::Row, column: &str) -> Vec<Trigger> {
    let texts: Vec<String> = row.get(column);
    texts.iter().filter_map(|text| Trigger::read(text)).collect()
}

fn push(
    tables: &mut BTreeMap<Oid, Table>,
    row: &tokio_postgres::Row,
    add: impl FnOnce(&mut Table),
) {
    if let Some(table) = tables.get_mut(&row.get::<_, Oid>("table")) {
        add(table);
    }
}

/// A select of the OIDs of a table, which SQL gives, and of its partitions. `pg_partition_tree` locks them, and
/// not the table: whoever asks for anything of the table then is half of a deadlock with who truncates it.
pub fn tree(of: &str) -> String {
    format!(
        "WITH RECURSIVE tree (oid) AS (SELECT {of}::oid UNION ALL SELECT i.inhrelid FROM tree \
         JOIN pg_inherits i ON i.inhparent = tree.oid JOIN pg_class p ON p.oid = i.inhrelid AND p.relispartition) \
         SELECT oid FROM tree"
    )
}

const TABLES: &str = "
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind AS kind,
       c.relreplident AS identity, c.reltuples AS rows,
       ARRAY(SELECT CASE WHEN t.tgtype & 3 = 3 THEN 'b' ELSE 'a' END || t.tgenabled::text || t.tgname::text
                 || CASE WHEN t.tgrelid <> c.oid THEN ' of ' || t.tgrelid::regclass::text ELSE '' END
             FROM pg_trigger t
             WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgparentid = 0
                 AND t.tgrelid = ANY (parts.tree)
             ORDER BY t.tgname, t.tgrelid) AS triggers,
       row_security_active(c.oid) AS row_security,
       has_table_privilege(c.oid, 'SELECT') AS may_select,
       has_table_privilege(c.oid, 'INSERT') AS may_insert,
       has_table_privilege(c.oid, 'UPDATE') AS may_update,
       has_table_privilege(c.oid, 'DELETE') AS may_delete,
       pg_has_role(c.relowner, 'USAGE') AS owned,
       (SELECT count(*) FROM pg_constraint k
        WHERE k.confrelid = c.oid AND k.contype = 'f') AS references_to,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum IN
                 (SELECT unnest(k.confkey) FROM pg_constraint k
                  WHERE k.confrelid = c.oid AND k.contype = 'f')
             ORDER BY a.attnum) AS referenced,
       ARRAY(SELECT DISTINCT pg_get_partkeydef(p.oid) FROM pg_class p
             WHERE p.relkind = 'p' AND p.oid = ANY (parts.tree) ORDER BY 1) AS partitioned_by,
       EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'x')
           AS has_exclusions,
       EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) AS has_children,
       c.relhasrules AS has_rules,
       ARRAY(SELECT CASE WHEN r.ev_type = '2' THEN 'aA' ELSE 'a' || r.ev_enabled::text END || r.rulename::text
                 || CASE r.ev_type WHEN '2' THEN ' ON UPDATE' WHEN '3' THEN ' ON INSERT' ELSE ' ON DELETE' END
             FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type <> '1' AND (r.ev_type = '2' OR r.ev_enabled <> 'D')
             ORDER BY r.rulename) AS rules,
       ARRAY(SELECT format('%I.%I', pn.nspname, p.relname)
             FROM pg_class p JOIN pg_namespace pn ON pn.oid = p.relnamespace
             WHERE p.oid = ANY (parts.tree) AND (p.relkind = 'f' OR p.relpersistence <> 'p') ORDER BY 1) AS not_logged,
       ARRAY(SELECT p.oid::regclass::text FROM pg_class p
             WHERE p.relpersistence = 'u' AND p.oid = ANY (parts.tree)) AS unlogged,
       ARRAY(SELECT p.oid::regclass::text FROM pg_class p
             WHERE p.relkind = 'f' AND p.relispartition AND p.oid = ANY (parts.tree)) AS foreign_partitions
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL (SELECT ARRAY({tree}) AS tree) AS parts
WHERE c.oid = ANY($1)";

const COLUMNS: &str = "
SELECT a.attrelid AS table, a.attname::text AS name, a.attnum AS number, a.atttypid AS type, a.atttypmod AS modifier,
       CASE WHEN tn.nspname = 'pg_catalog' THEN format_type(a.atttypid, -1)
            WHEN e.oid IS NOT NULL THEN format('%I.%I[]', en.nspname, e.typname)
            ELSE format('%I.%I', tn.nspname, t.typname) END AS sql_type,
       format_type(a.atttypid, a.atttypmod) AS full_type,
       a.attnotnull AS not_null, a.atthasdef OR a.attidentity <> '' AS has_default,
       a.attgenerated AS generated, a.attidentity AS identity,
       a.attcollation NOT IN (0, 100) AS collated,
       coalesce(bt.typname, t.typname) = 'citext'
           OR a.attcollation IN (SELECT oid FROM pg_collation WHERE NOT collisdeterministic)
           OR EXISTS (SELECT FROM pg_index i, unnest(i.indkey::int2[], i.indcollation::oid[]) AS k(number, folding)
               WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND k.number = a.attnum
               AND k.folding IN (SELECT oid FROM pg_collation WHERE NOT collisdeterministic))
           AS folded,
       b.missing, b.broken, b.unread
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_namespace tn ON tn.oid = t.typnamespace
LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
LEFT JOIN pg_namespace en ON en.oid = e.typnamespace
LEFT JOIN pg_type bt ON bt.oid = t.typbasetype
CROSS JOIN LATERAL (BINARY) AS b
WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum";

// Of the type t: a type is written and read by way of those inside. What is in an empty tsquery (3615) is
// written, and refused as it is read.
const BINARY: &str = "
WITH RECURSIVE inside AS (
    SELECT t.oid
    UNION
    SELECT x.oid FROM inside JOIN pg_type i ON i.oid = inside.oid
    LEFT JOIN pg_range r ON i.oid IN (r.rngtypid, r.rngmultitypid)
    CROSS JOIN LATERAL (
        SELECT i.typbasetype UNION ALL SELECT r.rngsubtype
        UNION ALL SELECT i.typelem WHERE i.typsubscript = 'array_subscript_handler'::regproc
        UNION ALL SELECT p.atttypid FROM pg_attribute p
            WHERE i.typtype = 'c' AND p.attrelid = i.typrelid AND p.attnum > 0 AND NOT p.attisdropped) AS x(oid)
    WHERE x.oid <> 0)
SELECT t.typsend = 0 AS missing,
       t.typsend <> 0 AND bool_or(i.typsend = 0) AS broken,
       bool_or(i.typreceive = 0 OR i.oid = 3615) AS unread
FROM inside JOIN pg_type i ON i.oid = inside.oid";

const INDEXES: &str = "
SELECT i.indrelid AS table, c.relname::text AS name, i.indisunique AS unique,
       i.indisprimary AS primary, i.indisreplident AS identity, i.indpred IS NOT NULL AS partial,
       NOT i.indimmediate AS deferrable, i.indisexclusion AS exclusion, am.amname = 'btree' AS btree,
       ARRAY(SELECT a.attname::text
             FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, at)
             LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                                     AND k.attnum > 0
             WHERE k.at <= i.indnkeyatts ORDER BY k.at) AS columns,
       CASE WHEN i.indexprs IS NOT NULL THEN
           ARRAY(SELECT DISTINCT a.attname::text FROM pg_depend d
                 JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                 WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                   AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
                   AND d.refobjsubid > 0)
       ELSE '{}' END AS reads
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am am ON am.oid = c.relam
WHERE i.indrelid = ANY($1) AND i.indisvalid AND i.indislive
ORDER BY i.indisprimary DESC, c.relname";

const FOREIGN_KEYS: &str = "
SELECT k.conrelid AS table, k.conname::text AS name, n.nspname::text AS schema,
       c.relname::text AS references, k.condeferrable AS deferrable, k.confdeltype AS on_delete,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS n(attnum, at)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.attnum
             ORDER BY n.at) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS n(attnum, at)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = n.attnum
             ORDER BY n.at) AS referenced_columns
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.confrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conrelid = ANY($1)
ORDER BY k.conname";

// Object ids from 10000 on are given out when a cluster is made (`FirstGenbkiObjectId`): those of the
// domains of information_schema too are not the same on every server.
const USER_TYPES: &str = "
WITH RECURSIVE used AS (
    SELECT unnest($1::oid[]) AS oid
    UNION
    SELECT x.oid FROM used JOIN pg_type t ON t.oid = used.oid,
         LATERAL (VALUES (t.typbasetype), (t.typelem)) AS x(oid)
    WHERE x.oid <> 0)
SELECT t.oid, n.nspname::text, t.typname::text, t.typtype AS kind,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid
             ORDER BY e.enumsortorder),
       t.typbasetype, t.typtypmod,
       CASE WHEN t.typsubscript = 'array_subscript_handler'::regproc THEN t.typelem ELSE 0 END, t.typelem
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.oid IN (SELECT oid FROM used) AND t.oid >= 10000";
