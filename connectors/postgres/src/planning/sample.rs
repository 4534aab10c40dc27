//! Rows of source tables, as they are and as the source evaluates a SELECT over them.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use regraft_core::sql::quote;
use regraft_core::{Cell, Column, Oid, Result, Tuple, TupleBuilder};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Row, Statement};

use super::described::fix_names;
use crate::chunks::{KeyColumn, ReadStatement, ReadTable};
use crate::classify;
use crate::standing::{Asked, Standing};

/// Tables with more rows than this many times the sample are read in random places.
const SPARSE: f64 = 20.0;

/// A value in its binary format, of any type.
#[derive(Debug)]
pub struct Raw(pub Option<Vec<u8>>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Raw(Some(raw.to_vec())))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Raw {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match &self.0 {
            None => Ok(IsNull::Yes),
            Some(bytes) => {
                out.put_slice(bytes);
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A row of the source.
pub struct SampledRow {
    /// Its image.
    pub image: Tuple,
    key: Vec<Raw>,
    /// `id = 7`
    pub named: String,
}

/// The cells of a row, in binary format.
pub type Cells = Vec<Option<Vec<u8>>>;

/// The rows of one source row, or the SQLSTATE that it fails with.
pub type Outcome = std::result::Result<Vec<Cells>, String>;

/// Begins a snapshot of the source, in which names mean what they mean for the daemon.
///
/// # Errors
/// When the source cannot be asked.
pub async fn begin_sample(
    client: &Client,
    place: &str,
    standing: &Standing,
    asked: &Asked,
) -> Result<()> {
    fix_names(client, place, standing, asked).await?;
    run(client, place, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
}

/// Ends it.
///
/// # Errors
/// When the source cannot be asked.
pub async fn end_sample(client: &Client, place: &str) -> Result<()> {
    run(client, place, "ROLLBACK").await
}

async fn run(client: &Client, place: &str, sql: &str) -> Result<()> {
    client.batch_execute(sql).await.map_err(|error| classify(&error, place))
}

/// About `count` rows of a table: any that come first, or of random places in a large one. `columns` are those of
/// its images.
///
/// # Errors
/// When the source cannot be asked.
pub async fn sample_rows(
    client: &Client,
    place: &str,
    (table, oid): (&ReadTable, Oid),
    columns: &[Column],
    count: u32,
) -> Result<Vec<SampledRow>> {
    let failed = |error| classify(&error, place);
    let key = located(table);
    let keys = key.iter().map(|key| key.given("s"));
    let keys: Vec<String> = keys.collect();
    let texts: Vec<_> = keys.iter().map(|key| format!("{key}::text")).collect();
    let is_text: Vec<_> = columns.iter().map(|c| table.texts.contains(&c.name)).collect();
    let list = columns.iter().zip(&is_text).map(|(column, &text)| {
        format!("s.{}{}", quote(&column.name), if text { "::text" } else { "" })
    });
    let list = list.collect::<Vec<_>>().join(", ");
    let select = |places: &str| {
        let (keys, texts, name) = (keys.join(", "), texts.join(", "), table.table.quoted());
        format!("SELECT {list}, {keys}, {texts} FROM {name} AS s {places} LIMIT {count}")
    };
    let sql = "SELECT reltuples::float8 FROM pg_class WHERE oid = $1";
    let known = client.query_one(sql, &[&oid]).await.map_err(failed)?;
    let (total, wanted): (f64, f64) = (known.get(0), count.into());
    let mut found = Vec::new();
    if total > wanted * SPARSE {
        let percent = 100.0 * 4.0 * wanted / total;
        let sql = select(&format!("TABLESAMPLE SYSTEM ({percent})"));
        found = client.query(&sql, &[]).await.map_err(failed)?;
    }
    if found.len() < count as usize {
        found = client.query(&select(""), &[]).await.map_err(failed)?;
    }
    let sample = |row: &Row| {
        let raw = |at: usize| row.get::<_, Raw>(columns.len() + at);
        let text = |at: usize| row.get::<_, Option<String>>(columns.len() + keys.len() + at);
        let named = |at: usize| {
            format!("{} = {}", key[at].name, text(at).unwrap_or_else(|| "NULL".to_owned()))
        };
        SampledRow {
            image: image(row, &is_text),
            key: (0..keys.len()).map(raw).collect(),
            named: (0..keys.len()).map(named).collect::<Vec<_>>().join(", "),
        }
    };
    Ok(found.iter().map(sample).collect())
}

/// The image of a row that was read: its first columns, and which of them come as texts.
pub fn image(row: &Row, texts: &[bool]) -> Tuple {
    let mut image = TupleBuilder::with_capacity(texts.len(), 256);
    for (at, text) in texts.iter().enumerate() {
        match row.get::<_, Raw>(at).0 {
            None => image.push(Cell::Null),
            Some(bytes) if *text => image.push(Cell::Text(&bytes)),
            Some(bytes) => image.push(Cell::Binary(&bytes)),
        }
    }
    image.finish()
}

/// A SELECT that the source evaluates for one row at a time.
pub struct SampledSelect<'a> {
    client: &'a Client,
    place: &'a str,
    select: Statement,
    /// Columns of a key before those of the statement.
    keys: usize,
}

impl<'a> SampledSelect<'a> {
    /// That of a statement over the table.
    ///
    /// # Errors
    /// When the source cannot be asked, or does not take it.
    pub async fn of(
        client: &'a Client,
        place: &'a str,
        table: &ReadTable,
        read: &ReadStatement,
    ) -> Result<Self> {
        let key = located(table);
        let keys = key.iter().enumerate();
        let equal = keys.map(|(i, k)| {
            // Else the server takes a domain over a row type for a row without a type, and reads none.
            let carried = if k.text { "::text" } else { "" };
            format!("{}.{} = ${}{carried}::{}", read.source_ref, quote(&k.name), i + 1, k.sql_type)
        });
        let restriction = equal.collect::<Vec<_>>().join(" AND ");
        let select = client.prepare(&(read.select)(&restriction)?).await;
        let select = select.map_err(|error| classify(&error, place))?;
        Ok(Self { client, place, select, keys: table.key.len() })
    }

    /// What it gives for a row, in the open transaction, which survives its errors.
    ///
    /// # Errors
    /// When the source cannot be asked.
    pub async fn outcome(&self, row: &SampledRow) -> Result<Outcome> {
        let Self { client, place, select, keys } = self;
        let given: Vec<&(dyn ToSql + Sync)> =
            row.key.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        // Both go out at once, in this order.
        let (begun, found) =
            tokio::join!(run(client, place, "SAVEPOINT sample"), client.query(select, &given));
        begun?;
        let wanted: Outcome = match found {
            Ok(rows) => Ok(rows.iter().map(|row| cells(row, *keys)).collect()),
            Err(error) => match error.code() {
                Some(state) => Err(state.code().to_owned()),
                None => return Err(classify(&error, place)),
            },
        };
        let end = if wanted.is_err() { "ROLLBACK TO sample" } else { "RELEASE sample" };
        run(client, place, end).await?;
        Ok(wanted)
    }
}

/// The columns by which a sampled row is found again: its key, or its place, which is the same throughout one
/// snapshot.
fn located(table: &ReadTable) -> Vec<KeyColumn> {
    if !table.key.is_empty() {
        return table.key.clone();
    }
    let column = |name: &str, sql_type: &str| KeyColumn {
        name: name.to_owned(),
        sql_type: sql_type.to_owned(),
        text: true,
    };
    vec![column("tableoid", "oid"), column("ctid", "tid")]
}

fn cells(row: &Row, keys: usize) -> Cells {
    (keys..row.len()).map(|at| row.get::<_, Raw>(at).0).collect()
}
