//! The compiled mapper alone, on one core, beside one backend of PostgreSQL that evaluates the same
//! SELECT over the same rows and writes its rows in binary to /dev/null.

use std::path::Path;
use std::time::Instant;

use regraft_core::{Cell, Code, Column, Error, Mapped, Mapper, Result, Rows, TableName, Tuple};
use regraft_core::{Oid, TupleBuilder};
use regraft_mapping::{CompiledMapper, Settings, SourceTable, TypeNames, compile, parse};
use regraft_postgres::classify;
use regraft_throwaway::{Binaries, Cluster, ClusterOptions};
use tokio_postgres::Client;
use tokio_postgres::types::{FromSql, Type};

use crate::drain::{one, sql};
use crate::report::{Group, Measured, Report, Way};

const DATABASE: &str = "mapper";
/// A row of many applications: key, references, names, states, amounts, times, a document.
const TABLE: &str = "
    CREATE TABLE s (id bigint PRIMARY KEY, customer uuid NOT NULL, reference text, title text NOT NULL,
        state text NOT NULL, amount numeric(12, 2), pieces int, active boolean, due date,
        created_at timestamptz NOT NULL, updated_at timestamptz, document jsonb);
    INSERT INTO s SELECT n, md5('c' || n % 5000)::uuid, CASE WHEN n % 4 > 0 THEN ' R-' || n || ' ' END,
        'title of number ' || n, (ARRAY['open', 'paid', 'sent', 'closed'])[1 + n % 4], (n % 100000) / 100.0,
        n % 50, n % 3 = 0, date '2026-01-01' + (n % 365)::int, timestamptz '2026-01-01' + n * interval '7 s',
        CASE WHEN n % 2 = 0 THEN timestamptz '2026-06-01' + n * interval '3 s' END,
        jsonb_build_object('city', 'city ' || n % 900, 'zip', 10000 + n % 80000, 'rate', n % 97 / 8.0, 'vip', n % 9 = 0,
            'channel', 'web', 'note', 'a note of some length, number ' || n, 'visits', n % 400, 'score', n % 1000 / 10.0)";
const SELECTS: [(&str, &str); 3] = [
    (
        "12 columns passed through",
        "SELECT id, customer, reference, title, state, amount, pieces, active, due, created_at, updated_at, document FROM s",
    ),
    (
        "12 expressions: casts, COALESCE, CASE, text functions, jsonb ->>",
        "SELECT id, customer::text, coalesce(trim(reference), 'none'), upper(title), \
         CASE state WHEN 'open' THEN 1 WHEN 'paid' THEN 2 WHEN 'sent' THEN 3 ELSE 9 END, amount * pieces, \
         pieces::text || ' x', CASE WHEN active AND due > date '2026-06-01' THEN 'late' ELSE 'fine' END, \
         due::timestamp, coalesce(updated_at, created_at), document ->> 'city', (document ->> 'zip')::int FROM s",
    ),
    (
        "8 rows out of a document: jsonb_each_text",
        "SELECT id, d.key, d.value, updated_at FROM s CROSS JOIN LATERAL jsonb_each_text(document) AS d",
    ),
];
/// Images whose rows are kept before they are let go, as in a batch.
const KEPT: usize = 1000;

struct Bytes(Vec<u8>);

impl<'a> FromSql<'a> for Bytes {
    fn from_sql(
        _: &Type,
        raw: &'a [u8],
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Measures.
pub(crate) async fn run(rows: u64, rounds: usize, pg_bin: Option<&Path>) -> Result<Report> {
    let options = ClusterOptions {
        binaries: Some(Binaries::find(pg_bin)?),
        shared_buffers: "512MB".to_owned(),
        settings: vec![
            ("max_parallel_workers_per_gather".to_owned(), "0".to_owned()),
            ("jit".to_owned(), "off".to_owned()),
            ("synchronize_seqscans".to_owned(), "off".to_owned()),
        ],
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await?;
    cluster.create_database(DATABASE).await?;
    let client = cluster.client(DATABASE).await?;
    eprintln!("making {rows} rows");
    sql(&client, &format!("{TABLE} FROM generate_series(1, {rows}) AS n")).await?;
    sql(&client, "VACUUM ANALYZE s").await?;
    let (table, settings) = described(&client).await?;
    let images = images(&client).await?;
    let mut groups = Vec::new();
    for (title, select) in SELECTS {
        eprintln!("{title}");
        let mapper = compiled(select, &table, &settings)?;
        same(&client, select, &mapper, &images).await?;
        let mut ways = [Way::new("PostgreSQL, one backend"), Way::new("the mapper, one core")];
        for _ in 0..rounds {
            let started = Instant::now();
            sql(&client, &format!("COPY ({select}) TO '/dev/null' (FORMAT binary)")).await?;
            ways[0].seconds.push(started.elapsed().as_secs_f64());
            let started = Instant::now();
            map(&mapper, &images, |_| Ok(()))?;
            ways[1].seconds.push(started.elapsed().as_secs_f64());
        }
        groups.push(Group { title, measured: Measured::Work, ways: ways.into() });
    }
    Ok(Report { unit: "rows", count: rows, groups })
}

fn failed(what: impl Into<String>) -> Error {
    Error::new(Code::Internal, what)
}

async fn described(client: &Client) -> Result<(SourceTable, Settings)> {
    let described = "SELECT attname::text, atttypid, atttypmod FROM pg_attribute \
                     WHERE attrelid = 's'::regclass AND attnum > 0 ORDER BY attnum";
    let found = client.query(described, &[]).await.map_err(|error| classify(&error, "bench"))?;
    let column = |row: &tokio_postgres::Row| {
        let name: String = row.get(0);
        let (type_oid, type_modifier): (Oid, i32) = (row.get(1), row.get(2));
        Column { key: name == "id", name, type_oid, type_modifier }
    };
    let table = SourceTable {
        name: TableName::new("public", "s"),
        columns: found.iter().map(column).collect(),
        key: vec!["id".to_owned()],
        types: TypeNames::default(),
        collated: Vec::new(),
        meant: Default::default(),
    };
    let version = one(client, "SHOW server_version_num").await?;
    let settings = Settings {
        c_collation: true,
        c_ctype: true,
        utf8: true,
        utc_iso: true,
        server_version: version.parse().map_err(|_| failed("no version"))?,
    };
    Ok((table, settings))
}

fn compiled(select: &str, table: &SourceTable, settings: &Settings) -> Result<CompiledMapper> {
    let statements = parse("mapping.sql", &format!("INSERT INTO t {select}"));
    let statements = statements.map_err(|refusals| failed(format!("{refusals:?}")))?;
    let statement = statements.first().ok_or_else(|| failed("no statement"))?;
    compile(statement, table, settings).map_err(|refusal| failed(format!("{refusal:?}")))
}

/// The rows as the stream would bring them: binary values.
async fn images(client: &Client) -> Result<Vec<Tuple>> {
    let found = client.query("SELECT * FROM s", &[]).await;
    let found = found.map_err(|error| classify(&error, "bench"))?;
    let image = |row: &tokio_postgres::Row| {
        let mut builder = TupleBuilder::with_capacity(row.len(), 512);
        for i in 0..row.len() {
            match row.get::<_, Option<Bytes>>(i) {
                None => builder.push(Cell::Null),
                Some(Bytes(bytes)) => builder.push(Cell::Binary(&bytes)),
            }
        }
        builder.finish()
    };
    Ok(found.iter().map(image).collect())
}

fn map(
    mapper: &CompiledMapper,
    images: &[Tuple],
    mut take: impl FnMut(&Rows) -> Result<()>,
) -> Result<()> {
    let mut out = Rows::new();
    for some in images.chunks(KEPT) {
        for image in some {
            if !matches!(mapper.map(image, &mut out)?, Mapped::Rows(_)) {
                return Err(failed("the mapper leaves a row to the source"));
            }
        }
        take(&out)?;
        out.truncate(0);
    }
    Ok(())
}

/// What is measured is the same work: the mapper gives PostgreSQL's rows to the byte.
async fn same(
    client: &Client,
    select: &str,
    mapper: &CompiledMapper,
    images: &[Tuple],
) -> Result<()> {
    let wanted = client.query(select, &[]).await.map_err(|error| classify(&error, "bench"))?;
    let mut wanted = wanted.iter();
    map(mapper, images, |rows| {
        for row in rows.iter() {
            let other = wanted.next().ok_or_else(|| failed("too many rows"))?;
            for (at, cell) in row.cells().enumerate() {
                let value = other.get::<_, Option<Bytes>>(at);
                if value.as_ref().map(|value| value.0.as_slice()) != cell {
                    return Err(failed(format!("output {} differs", at + 1)));
                }
            }
        }
        Ok(())
    })?;
    if wanted.next().is_some() { Err(failed("too few rows")) } else { Ok(()) }
}
