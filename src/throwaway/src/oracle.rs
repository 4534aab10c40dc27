//! The judge: what the user's SELECT gives on the source, against what the target table holds.
//!
//! PostgreSQL evaluates both sides and prints every row as text; the rows are compared as multisets.
//! Nothing of regraft takes part, so an error of the mapper, the applier or the verifier shows here.

use std::collections::HashMap;
use std::pin::pin;

use futures_util::TryStreamExt;
use regraft_core::{Code, Error, Result};
use tokio_postgres::Client;

/// Without these, the same value has more than one text.
const SESSION: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
    SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'; \
    SET LOCAL intervalstyle = 'postgres'; SET LOCAL extra_float_digits = 1; \
    SET LOCAL bytea_output = 'hex'; SET LOCAL xmloption = 'content'; \
    SET LOCAL standard_conforming_strings = on; SET LOCAL transform_null_equals = off; \
    SET LOCAL array_nulls = on";

/// The first object id that is not PostgreSQL's own (`FirstNormalObjectId`).
const FIRST_USER_TYPE: u32 = 16_384;

/// The outcome of one comparison, as a full outer join would count it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Rows that the SELECT gives.
    pub rows: u64,
    /// Rows that the SELECT gives and the target does not hold.
    pub missing: u64,
    /// Rows that the target holds and the SELECT does not give.
    pub surplus: u64,
    /// Up to ten fingerprints of missing rows, then of surplus ones, for [`sample`].
    differing: (Vec<Fingerprint>, Vec<Fingerprint>),
}

impl Comparison {
    /// Whether both sides hold the same rows, each the same number of times.
    pub fn is_equal(&self) -> bool {
        self.differences() == 0
    }

    /// Missing and surplus rows; a changed row counts as both.
    pub fn differences(&self) -> u64 {
        self.missing + self.surplus
    }
}

/// Which rows [`sample`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Given by the SELECT, not in the target.
    Missing,
    /// In the target, not given by the SELECT.
    Surplus,
}

/// 128 bits of a row's SHA-256: a million rows collide by chance once in 10^26.
type Fingerprint = u128;

/// Compares the rows of `select` on the source with those of `table` on the target, for `columns`
/// (all of them, in the order of the table, if empty). Values of the SELECT are cast to the type of
/// their column first, as INSERT does.
///
/// Each side is read in one snapshot of its own: let both come to rest before.
///
/// # Errors
/// [`Code::SelectRefused`] or [`Code::TargetUnavailable`] with the server's message.
pub async fn compare(
    source: &Client,
    select: &str,
    target: &Client,
    table: &str,
    columns: &[String],
) -> Result<Comparison> {
    let queries = Queries::plan(source, select, target, table, columns).await?;
    let mut counts: HashMap<Fingerprint, i64> = HashMap::new();
    let mut rows = 0;
    read(source, &queries.source, |print| {
        rows += 1;
        *counts.entry(print).or_default() += 1;
    })
    .await
    .map_err(|error| refused(Code::SelectRefused, select, error))?;
    read(target, &queries.target, |print| *counts.entry(print).or_default() -= 1)
        .await
        .map_err(|error| refused(Code::TargetUnavailable, table, error))?;
    let mut comparison = Comparison { rows, ..Comparison::default() };
    for (print, count) in counts {
        let (number, prints) = match count {
            0 => continue,
            1.. => (&mut comparison.missing, &mut comparison.differing.0),
            _ => (&mut comparison.surplus, &mut comparison.differing.1),
        };
        *number += count.unsigned_abs();
        if prints.len() < 10 {
            prints.push(print);
        }
    }
    Ok(comparison)
}

/// The texts of up to ten differing rows that [`compare`] found, read again. They hold row values:
/// for tests, never for a log.
///
/// # Errors
/// As [`compare`].
pub async fn sample(
    comparison: &Comparison,
    side: Side,
    (source, select): (&Client, &str),
    (target, table): (&Client, &str),
    columns: &[String],
) -> Result<Vec<String>> {
    let queries = Queries::plan(source, select, target, table, columns).await?;
    let (client, query, prints) = match side {
        Side::Missing => (source, queries.source, &comparison.differing.0),
        Side::Surplus => (target, queries.target, &comparison.differing.1),
    };
    let prints: Vec<_> = prints.iter().map(|print| print.to_be_bytes().to_vec()).collect();
    let sql = format!(
        "SELECT shown FROM ({query}) AS rows (shown) WHERE {HASH} = ANY ($1::bytea[]) LIMIT 10",
    );
    let found = in_session(client, async {
        let rows = client.query(&sql, &[&prints]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    });
    found.await.map_err(|error| refused(Code::SelectRefused, table, error))
}

/// The fingerprint of the text `shown`.
const HASH: &str = "substr(sha256(convert_to(shown, 'UTF8')), 1, 16)";

/// One query per side; each gives one text per row.
struct Queries {
    source: String,
    target: String,
}

impl Queries {
    async fn plan(
        source: &Client,
        select: &str,
        target: &Client,
        table: &str,
        columns: &[String],
    ) -> Result<Self> {
        let given = source
            .prepare(select)
            .await
            .map_err(|error| refused(Code::SelectRefused, select, error))?
            .columns()
            .len();
        let types = column_types(target, table, columns)
            .await
            .map_err(|error| refused(Code::TargetUnavailable, table, error))?;
        // INSERT without a column list fills the first columns.
        let types = if columns.is_empty() { types.get(..given).unwrap_or(&types) } else { &types };
        if types.len() != given {
            let what = format!("the SELECT gives {given} columns for {}", types.len());
            return Err(Error::new(Code::SelectRefused, what).at(table));
        }
        let names: Vec<_> = (0..given).map(|index| format!("c{index}")).collect();
        let casts: Vec<_> = names
            .iter()
            .zip(types)
            .map(|(name, column)| match &column.builtin_type {
                Some(name_of_type) => format!("{name}::{name_of_type}"),
                None => name.clone(),
            })
            .collect();
        let stored: Vec<_> = types.iter().map(|column| column.quoted.as_str()).collect();
        Ok(Self {
            source: format!(
                "SELECT ROW({})::text FROM ({select}\n) AS s ({})",
                casts.join(", "),
                names.join(", ")
            ),
            target: format!("SELECT ROW({})::text FROM {table}", stored.join(", ")),
        })
    }
}

struct Column {
    quoted: String,
    /// The type with its modifier, if every server knows it.
    builtin_type: Option<String>,
}

async fn column_types(
    target: &Client,
    table: &str,
    columns: &[String],
) -> Result<Vec<Column>, tokio_postgres::Error> {
    let rows = target
        .query(
            "SELECT quote_ident(attname), format_type(atttypid, atttypmod), atttypid \
             FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 \
             AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            &[&table],
        )
        .await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: u32 = row.try_get(2)?;
        let name_of_type = (id < FIRST_USER_TYPE).then(|| row.try_get(1)).transpose()?;
        all.push(Column { quoted: row.try_get(0)?, builtin_type: name_of_type });
    }
    if columns.is_empty() {
        return Ok(all);
    }
    let wanted = columns.iter().map(|name| quoted_as_catalog(name));
    Ok(wanted
        .filter_map(|name| {
            let index = all.iter().position(|column| column.quoted.trim_matches('"') == name)?;
            Some(all.swap_remove(index))
        })
        .collect())
}

/// A column name as the catalog knows it, still with its inner quotes doubled.
fn quoted_as_catalog(name: &str) -> String {
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(inner) => inner.to_owned(),
        None => name.to_lowercase(),
    }
}

async fn read(
    client: &Client,
    query: &str,
    mut each: impl FnMut(Fingerprint),
) -> Result<(), tokio_postgres::Error> {
    let sql = format!("SELECT {HASH} FROM ({query}) AS rows (shown)");
    in_session(client, async {
        let none: [&str; 0] = [];
        let mut stream = pin!(client.query_raw(&sql, none).await?);
        while let Some(row) = stream.try_next().await? {
            let bytes: &[u8] = row.try_get(0)?;
            each(bytes.iter().fold(0, |print, byte| (print << 8) | Fingerprint::from(*byte)));
        }
        Ok(())
    })
    .await
}

/// Runs the work in a transaction with fixed output settings, and leaves none of them behind.
async fn in_session<T>(
    client: &Client,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    client.batch_execute(SESSION).await?;
    let result = work.await;
    client.batch_execute("ROLLBACK").await?;
    result
}

fn refused(code: Code, place: &str, error: tokio_postgres::Error) -> Error {
    let place = place.lines().next().unwrap_or_default();
    // Only the message: the detail of the server's error can hold values.
    let what = match error.as_db_error() {
        Some(error) => {
            format!("the comparison failed: {} ({})", error.message(), error.code().code())
        }
        None => "the comparison failed".to_owned(),
    };
    let below = if error.as_db_error().is_some() { None } else { Some(error) };
    let made = Error::new(code, what).at(place);
    match below {
        Some(error) => made.because(error),
        None => made,
    }
}
