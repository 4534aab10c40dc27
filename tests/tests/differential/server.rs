//! The two that are compared: PostgreSQL, and the compiled mapper.

use std::collections::HashMap;

use rand::Rng;
use rand::rngs::StdRng;
use regraft_core::{Cell, Column, Mapped, Mapper, Rows, TableName, Tuple, TupleBuilder};
use regraft_mapping::{
    CompiledMapper, Covered, Form, Settings, SourceTable, TypeKind, TypeNames, UserType, compile,
    parse,
};
use regraft_testkit::{Binaries, Cluster, ClusterOptions};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, Statement};

use crate::grammar::{Grammar, Oid};
use crate::values;

/// What an expression gives for one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Null,
    Value(Vec<u8>),
    Error(String),
    /// regraft leaves it to PostgreSQL; PostgreSQL takes longer than it is given.
    Undecided,
}

struct Raw(Option<Vec<u8>>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(
        _: &Type,
        bytes: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(Some(bytes.to_vec())))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

const OUTCOMES: &str = "
    CREATE FUNCTION outcomes(expression text, send text)
    RETURNS TABLE (row_id int, value bytea, state text) LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE format('PREPARE one (int) AS SELECT %s(%s) FROM s WHERE id = $1', send, expression);
        FOR row_id IN SELECT s.id FROM s ORDER BY s.id LOOP
            value := NULL;
            state := NULL;
            BEGIN
                EXECUTE format('EXECUTE one (%s)', row_id) INTO value;
            EXCEPTION WHEN OTHERS THEN
                state := SQLSTATE;
            END;
            RETURN NEXT;
        END LOOP;
        DEALLOCATE one;
    END $$";

/// Columns with a modifier or a domain, beside those of the plain types.
const FURTHER: &[(&str, &str, Oid)] = &[
    ("v5", "varchar(5)", 1043),
    ("char6", "char(6)", 1042),
    ("n12_3", "numeric(12,3)", 1700),
    ("ts3", "timestamp(3)", 1114),
    ("dom", "small", 23),
];

pub(crate) struct Server {
    _cluster: Cluster,
    pub(crate) client: Client,
    pub(crate) table: SourceTable,
    pub(crate) settings: Settings,
    /// Names of types, as casts name them.
    pub(crate) names: HashMap<Oid, String>,
    pub(crate) sends: HashMap<Oid, String>,
    pub(crate) labels: Oid,
    /// Columns and the types that expressions see.
    pub(crate) columns: Vec<(String, Oid)>,
    all: Option<Statement>,
    pub(crate) rows: Vec<Tuple>,
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Server {
    pub(crate) async fn start(binaries: Binaries) -> Self {
        let options =
            ClusterOptions { binaries: Some(binaries), fsync: false, ..ClusterOptions::default() };
        let cluster = Cluster::start(options).await.unwrap();
        cluster.create_database("differential").await.unwrap();
        let client = cluster.client("differential").await.unwrap();
        let labels: Vec<_> = values::LABELS.iter().map(|label| quoted(label)).collect();
        let setup = format!(
            "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET statement_timeout = '20s';
             CREATE TYPE mood AS ENUM ({}); CREATE DOMAIN small AS integer CHECK (VALUE < 1000)",
            labels.join(", ")
        );
        client.batch_execute(&setup).await.unwrap();
        client.batch_execute(OUTCOMES).await.unwrap();
        let version = client.query_one("SHOW server_version_num", &[]).await.unwrap();
        let settings = Settings {
            c_collation: true,
            c_ctype: true,
            utf8: true,
            utc_iso: true,
            server_version: version.get::<_, String>(0).parse().unwrap(),
        };
        let mut names = HashMap::new();
        let mut sends = HashMap::new();
        let types = "SELECT oid, format_type(oid, -1), typsend::oid::regproc::text FROM pg_type WHERE typsend <> 0";
        for row in client.query(types, &[]).await.unwrap() {
            names.insert(row.get(0), row.get(1));
            sends.insert(row.get(0), row.get(2));
        }
        let oid = |name: &str| *names.iter().find(|(_, own)| *own == name).unwrap().0;
        let (labels, domain) = (oid("mood"), oid("small"));
        let user = |name: &str, kind| UserType { schema: "public".into(), name: name.into(), kind };
        let own = values::LABELS.iter().map(|label| (*label).to_owned()).collect();
        let types = TypeNames(HashMap::from([
            (labels, user("mood", TypeKind::Enum(own))),
            (domain, user("small", TypeKind::Domain { base: 23, modifier: -1 })),
        ]));
        let table = SourceTable {
            name: TableName::new("public", "s"),
            columns: Vec::new(),
            key: vec!["id".into()],
            types,
            collated: Vec::new(),
            meant: Default::default(),
        };
        Self {
            _cluster: cluster,
            client,
            table,
            settings,
            names,
            sends,
            labels,
            columns: Vec::new(),
            all: None,
            rows: Vec::new(),
        }
    }

    /// Makes the table: two columns of each type, and some with modifiers.
    pub(crate) async fn create(&mut self, kinds: &[Oid]) {
        let mut list = vec!["id int PRIMARY KEY".to_owned()];
        self.columns = vec![("id".to_owned(), 23)];
        for oid in kinds {
            for letter in ["a", "b"] {
                list.push(format!("{letter}{oid} {}", self.names[oid]));
                self.columns.push((format!("{letter}{oid}"), *oid));
            }
        }
        for (name, kind, oid) in FURTHER {
            list.push(format!("{name} {kind}"));
            self.columns.push(((*name).to_owned(), *oid));
        }
        self.client.batch_execute(&format!("CREATE TABLE s ({})", list.join(", "))).await.unwrap();
        let described = "SELECT attname::text, atttypid, atttypmod FROM pg_attribute
            WHERE attrelid = 's'::regclass AND attnum > 0 ORDER BY attnum";
        for row in self.client.query(described, &[]).await.unwrap() {
            let name: String = row.get(0);
            self.table.columns.push(Column {
                key: name == "id",
                name,
                type_oid: row.get(1),
                type_modifier: row.get(2),
            });
        }
        self.all = Some(self.client.prepare("SELECT * FROM s ORDER BY id").await.unwrap());
    }

    /// PostgreSQL's functions over the types of the columns that compile.
    pub(crate) async fn functions(&self) -> Vec<Covered> {
        let sql = "SELECT proname::text, string_to_array(proargtypes::text, ' ')::oid[], prorettype
            FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f'
            AND NOT proretset AND pronargs > 0 AND provolatile <> 'v' ORDER BY proname, oid";
        let mut found = Vec::new();
        for row in self.client.query(sql, &[]).await.unwrap() {
            let (name, arguments): (String, Vec<Oid>) = (row.get(0), row.get(1));
            let column = |oid: &Oid| self.columns.iter().find(|(_, own)| own == oid);
            let columns: Option<Vec<_>> = arguments.iter().map(column).collect();
            let Some(columns) = columns else { continue };
            let list: Vec<_> = columns.into_iter().map(|(name, _)| name.as_str()).collect();
            let quoted = regraft_core::sql::quote(&name);
            let mapper = self.compile(&format!("pg_catalog.{quoted}({})", list.join(", ")));
            let result = row.get(2);
            if mapper.is_some_and(|mapper| mapper.output_types()[0] == result) {
                found.push(Covered { form: Form::Function, name, arguments, result });
            }
        }
        found
    }

    /// Other rows.
    pub(crate) async fn fill(&mut self, random: &mut StdRng, grammar: &Grammar, count: usize) {
        let mut rows = Vec::new();
        for id in 1..=count {
            let mut cells = vec![id.to_string()];
            for (name, oid) in &self.columns[1..] {
                let null = random.random_range(0..100) < 7;
                let text = match name.as_str() {
                    "n12_3" => {
                        format!("{}.{}", random.random_range(-99..999), random.random_range(0..999))
                    }
                    "dom" => random.random_range(-9..12).to_string(),
                    _ => grammar.value(random, *oid),
                };
                let further = FURTHER.iter().find(|(own, ..)| own == name);
                cells.push(match further {
                    _ if null => "NULL".to_owned(),
                    // Cut, as an explicit cast does it.
                    Some((_, kind, 1042 | 1043)) => format!("{}::text::{kind}", quoted(&text)),
                    Some((_, kind, _)) => format!("{}::{kind}", quoted(&text)),
                    None => quoted(&text),
                });
            }
            rows.push(format!("({})", cells.join(", ")));
        }
        let text = format!("TRUNCATE s; INSERT INTO s VALUES {}", rows.join(",\n"));
        self.client.batch_execute(&text).await.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        let image = |row: &tokio_postgres::Row| {
            let mut builder = TupleBuilder::with_capacity(row.len(), 4096);
            for i in 0..row.len() {
                match row.get::<_, Raw>(i).0 {
                    None => builder.push(Cell::Null),
                    Some(bytes) => builder.push(Cell::Binary(&bytes)),
                }
            }
            builder.finish()
        };
        let found = self.client.query(self.all.as_ref().unwrap(), &[]).await.unwrap();
        self.rows = found.iter().map(image).collect();
    }

    /// The mapper of an expression, `None` when it is refused.
    pub(crate) fn compile(&self, sql: &str) -> Option<CompiledMapper> {
        let statements = parse("e.sql", &format!("INSERT INTO x SELECT {sql} FROM s"));
        let statements = statements.unwrap_or_else(|errors| panic!("{errors:?}: {sql}"));
        compile(&statements[0], &self.table, &self.settings).ok()
    }

    /// What regraft gives for one row.
    pub(crate) fn mapped(&self, mapper: &CompiledMapper, row: &Tuple) -> Outcome {
        let mut out = Rows::new();
        match mapper.map(row, &mut out) {
            Ok(Mapped::Rows(_)) => match out.iter().next().and_then(|row| row.cells().next()) {
                Some(Some(bytes)) => Outcome::Value(bytes.to_vec()),
                _ => Outcome::Null,
            },
            Ok(_) => Outcome::Undecided,
            Err(error) => {
                // `… (22003)`
                let what = error.what();
                let state = what.strip_suffix(')').and_then(|text| text.rsplit('(').next());
                Outcome::Error(state.unwrap_or(what).to_owned())
            }
        }
    }

    /// What PostgreSQL gives for all rows, for several expressions; an error when any fails.
    pub(crate) async fn batch(
        &self,
        sql: &[String],
    ) -> Result<(Vec<(Oid, i32)>, Vec<Vec<Outcome>>), tokio_postgres::Error> {
        let list = sql.join(", ");
        let statement = self.client.prepare(&format!("SELECT {list} FROM s ORDER BY s.id")).await?;
        let rows = self.client.query(&statement, &[]).await?;
        let column = |i: usize| {
            let cell = |row: &tokio_postgres::Row| match row.get::<_, Raw>(i).0 {
                None => Outcome::Null,
                Some(bytes) => Outcome::Value(bytes),
            };
            rows.iter().map(cell).collect()
        };
        let types = statement.columns().iter().map(|c| (c.type_().oid(), c.type_modifier()));
        Ok((types.collect(), (0..sql.len()).map(column).collect()))
    }

    /// The same for one expression, errors told row by row. `None` when PostgreSQL does not take
    /// the expression at all.
    pub(crate) async fn each(&self, sql: &str) -> Option<((Oid, i32), Vec<Outcome>)> {
        let text = format!("SELECT {sql} FROM s");
        let statement = self.client.prepare(&text).await.ok()?;
        let column = &statement.columns()[0];
        let kind = (column.type_().oid(), column.type_modifier());
        let send = self.sends.get(&kind.0)?;
        let outcomes = "SELECT value, state FROM outcomes($1, $2) ORDER BY row_id";
        let found = self.client.query(outcomes, &[&sql, send]).await;
        let found = found.unwrap_or_else(|error| panic!("{error:?}: {sql}"));
        let outcome =
            |row: &tokio_postgres::Row| match (row.get(0), row.get::<_, Option<String>>(1)) {
                (_, Some(state)) if state == "57014" => Outcome::Undecided,
                (_, Some(state)) => Outcome::Error(state),
                (Some(bytes), None) => Outcome::Value(bytes),
                (None, None) => Outcome::Null,
            };
        Some((kind, found.iter().map(outcome).collect()))
    }
}
