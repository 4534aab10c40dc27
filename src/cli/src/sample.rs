//! `regraft check --sample`: rows of the source, evaluated by the mapper and by PostgreSQL.
//!
//! Both see the rows of one snapshot: the mapper their images, PostgreSQL the user's SELECT
//! restricted to the same keys.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};
use regraft_core::sql::quote;
use regraft_core::{Cell, Code, Error, Mapped, Mapper, Result, Rows, Tuple, TupleBuilder};
use regraft_postgres::chunks::{KeyColumn, ReadStatement, ReadTable};
use regraft_postgres::classify;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::finding::Finding;
use crate::resolve::{Resolved, Side, StatementReport};

/// Findings of one statement; what is wrong more often is counted.
const SHOWN_MAX: usize = 10;
/// Characters of a value.
const VALUE_MAX: usize = 200;
/// Tables with more rows than this many times the sample are read in random places.
const SPARSE: f64 = 20.0;

/// What came of a sample.
#[derive(Debug, Default, Serialize)]
pub struct SampleReport {
    /// Source rows that both gave an answer for, counted once per statement.
    pub compared: u64,
    /// Those that regraft leaves to PostgreSQL, once per statement.
    pub left: u64,
    /// Those that differ, once per statement.
    pub different: u64,
    /// Those for which the SELECT fails, once per statement.
    pub failing: u64,
}

impl SampleReport {
    /// Both together.
    pub(crate) fn and(&self, more: &SampleReport) -> SampleReport {
        SampleReport {
            compared: self.compared + more.compared,
            left: self.left + more.left,
            different: self.different + more.different,
            failing: self.failing + more.failing,
        }
    }
}

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
struct Sample {
    image: Tuple,
    key: Vec<Raw>,
    /// `id = 7`
    named: String,
}

/// The cells of a row, in binary format.
pub type Cells = Vec<Option<Vec<u8>>>;

/// The rows of one source row, or the SQLSTATE that it fails with.
pub type Outcome = std::result::Result<Vec<Cells>, String>;

/// Compares about `count` rows of each source table.
///
/// # Errors
/// When the source cannot be asked.
pub async fn sample(
    side: &Side,
    resolved: &Resolved,
    reports: &[StatementReport],
    (count, show): (u32, bool),
) -> Result<(SampleReport, Vec<Finding>)> {
    let mut report = SampleReport::default();
    let mut findings = Vec::new();
    // As the daemon evaluates them.
    run(side, &resolved.standing.source_path(&resolved.asked.path)).await?;
    run(side, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    for (number, table) in resolved.read.iter().enumerate() {
        let samples = rows(side, resolved, number, table, count).await?;
        let planned = &resolved.plan.tables[number];
        for (at, read) in planned.statements.iter().zip(&table.statements) {
            // PostgreSQL has no second opinion on what a mapper of the program gives.
            if read.mapper.is_some() {
                continue;
            }
            let mapper = &resolved.plan.mappers[*at];
            let columns = resolved.plan.routes[*at].columns.iter();
            let names: Vec<_> = columns.map(|column| column.name.as_str()).collect();
            let place = reports.get(*at).map_or_else(String::new, |report| {
                format!("{}:{} ({})", report.file, report.line, report.target)
            });
            let (differences, failing) =
                statement(side, table, read, mapper.as_ref(), &samples, &names, show, &mut report)
                    .await?;
            for (state, rows) in failing {
                report.failing += rows.len() as u64;
                findings.push(fails(table, &state, &rows, show, &place));
            }
            report.different += differences.len() as u64;
            let more = differences.len().saturating_sub(SHOWN_MAX);
            for what in differences.into_iter().take(SHOWN_MAX) {
                findings.push(finding(what, &place));
            }
            if more > 0 {
                findings.push(finding(format!("{more} more rows differ"), &place));
            }
        }
    }
    run(side, "ROLLBACK").await?;
    Ok((report, findings))
}

fn finding(what: String, place: &str) -> Finding {
    let error = Error::new(Code::SampleDiffers, what).at(place);
    Finding::from(&error.remedy(
        "do not run this mapping; look whether a built-in function of the source was changed, and \
         report it as a defect if none was",
    ))
}

/// Rows that the pipeline cannot evaluate.
fn fails(table: &ReadTable, state: &str, rows: &[String], show: bool, place: &str) -> Finding {
    let key: Vec<_> = table.key.iter().map(|key| key.name.as_str()).collect();
    let mut what = format!(
        "the SELECT fails for {} of the sampled rows of {}, told by their key ({}): SQLSTATE {state}",
        rows.len(),
        table.table,
        key.join(", ")
    );
    let remedy = if show {
        let shown = rows[..rows.len().min(SHOWN_MAX)].join("; ");
        write!(what, ": {shown}").unwrap_or_default();
        "correct these rows at the source, or guard the expression: each of them holds the pipeline"
    } else {
        "correct these rows at the source, or guard the expression: each of them holds the pipeline; \
         --show-values shows their keys"
    };
    Finding::from(&Error::new(Code::ExpressionFailed, what).at(place).remedy(remedy))
}

async fn run(side: &Side, sql: &str) -> Result<()> {
    side.client.batch_execute(sql).await.map_err(|error| classify(&error, &side.place))
}

/// Rows of a table: any that come first, or of random places in a large one.
async fn rows(
    side: &Side,
    resolved: &Resolved,
    number: usize,
    table: &ReadTable,
    count: u32,
) -> Result<Vec<Sample>> {
    let failed = |error| classify(&error, &side.place);
    let columns = &resolved.images[number];
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
    let oid = resolved.plan.tables[number].oid;
    let sql = "SELECT reltuples::float8 FROM pg_class WHERE oid = $1";
    let known = side.client.query_one(sql, &[&oid]).await.map_err(failed)?;
    let (total, wanted): (f64, f64) = (known.get(0), count.into());
    let mut found = Vec::new();
    if total > wanted * SPARSE {
        let percent = 100.0 * 4.0 * wanted / total;
        let sql = select(&format!("TABLESAMPLE SYSTEM ({percent})"));
        found = side.client.query(&sql, &[]).await.map_err(failed)?;
    }
    if found.len() < count as usize {
        found = side.client.query(&select(""), &[]).await.map_err(failed)?;
    }
    let sample = |row: &Row| {
        let raw = |at: usize| row.get::<_, Raw>(columns.len() + at);
        let text = |at: usize| row.get::<_, Option<String>>(columns.len() + keys.len() + at);
        let named = |at: usize| {
            format!("{} = {}", key[at].name, text(at).unwrap_or_else(|| "NULL".to_owned()))
        };
        Sample {
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

/// What differs between the two, one sentence per source row, and the rows for which both fail, by SQLSTATE.
#[allow(clippy::too_many_arguments, reason = "one step of a loop, with what the loop has at hand")]
async fn statement(
    side: &Side,
    table: &ReadTable,
    read: &ReadStatement,
    mapper: &dyn Mapper,
    samples: &[Sample],
    names: &[&str],
    show: bool,
    report: &mut SampleReport,
) -> Result<(Vec<String>, BTreeMap<String, Vec<String>>)> {
    let failed = |error| classify(&error, &side.place);
    let key = located(table);
    let keys = key.iter().enumerate();
    let equal = keys.map(|(i, k)| {
        // Else the server takes a domain over a row type for a row without a type, and reads none.
        let carried = if k.text { "::text" } else { "" };
        format!("{}.{} = ${}{carried}::{}", read.source_ref, quote(&k.name), i + 1, k.sql_type)
    });
    let restriction = equal.collect::<Vec<_>>().join(" AND ");
    let select = side.client.prepare(&(read.select)(&restriction)?).await.map_err(failed)?;
    let mut differences = Vec::new();
    let mut failing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for sample in samples {
        let own = mapped(mapper, &sample.image);
        let given: Vec<&(dyn ToSql + Sync)> =
            sample.key.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        // Both go out at once, in this order.
        let (begun, found) =
            tokio::join!(run(side, "SAVEPOINT sample"), side.client.query(&select, &given));
        begun?;
        let wanted: Outcome = match found {
            Ok(rows) => Ok(rows.iter().map(|row| cells(row, table.key.len())).collect()),
            Err(error) => match error.code() {
                Some(state) => Err(state.code().to_owned()),
                None => return Err(failed(error)),
            },
        };
        let end = if wanted.is_err() { "ROLLBACK TO sample" } else { "RELEASE sample" };
        run(side, end).await?;
        if let (Err(state), None | Some(Err(_))) = (&wanted, &own) {
            failing.entry(state.clone()).or_default().push(sample.named.clone());
        }
        let Some(own) = own else {
            report.left += 1;
            continue;
        };
        report.compared += 1;
        if let Some(what) = difference(own, wanted, names, show) {
            differences.push(format!("the row {}: {what}", sample.named));
        }
    }
    Ok((differences, failing))
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

/// What the mapper gives; `None` when it leaves the row to PostgreSQL.
pub fn mapped(mapper: &dyn Mapper, image: &Tuple) -> Option<Outcome> {
    let mut out = Rows::new();
    match mapper.map(image, &mut out) {
        Ok(Mapped::Rows(_)) => {
            let cell = |cell: Option<&[u8]>| cell.map(<[u8]>::to_vec);
            Some(Ok(out.iter().map(|row| row.cells().map(cell).collect()).collect()))
        }
        Ok(_) => None,
        Err(error) => {
            // `… (22003)`
            let what = error.what();
            let state = what.strip_suffix(')').and_then(|text| text.rsplit('(').next());
            Some(Err(state.unwrap_or(what).to_owned()))
        }
    }
}

/// What differs between regraft's answer and PostgreSQL's for one source row; with the values if
/// `show`. `names` are those of the columns, which else have numbers.
pub fn difference(own: Outcome, wanted: Outcome, names: &[&str], show: bool) -> Option<String> {
    let (mut own, mut wanted) = match (own, wanted) {
        (Ok(own), Ok(wanted)) => (own, wanted),
        (Err(own), Err(wanted)) if own == wanted => return None,
        (own, wanted) => {
            let what = |outcome: &Outcome| match outcome {
                Ok(rows) => format!("gives {} rows", rows.len()),
                Err(state) => format!("fails with {state}"),
            };
            return Some(format!("PostgreSQL {}, regraft {}", what(&wanted), what(&own)));
        }
    };
    // The order of the rows of one source row means nothing.
    own.sort();
    wanted.sort();
    if own == wanted {
        return None;
    }
    if own.len() != wanted.len() {
        let (own, wanted) = (own.len(), wanted.len());
        return Some(format!("PostgreSQL gives {wanted} rows, regraft {own}"));
    }
    let mut columns: Vec<String> = Vec::new();
    for (own, wanted) in own.iter().zip(&wanted) {
        for (at, (own, wanted)) in own.iter().zip(wanted).enumerate() {
            let name = names.get(at).map_or_else(|| format!("number {}", at + 1), |n| quote(n));
            if own == wanted || columns.iter().any(|known| known.starts_with(&name)) {
                continue;
            }
            columns.push(match show {
                false => name,
                true => format!("{name} (PostgreSQL {}, regraft {})", shown(wanted), shown(own)),
            });
        }
    }
    Some(format!("column {} differs", columns.join(", ")))
}

/// A value as text if it is one, else in hexadecimal.
fn shown(value: &Option<Vec<u8>>) -> String {
    let Some(bytes) = value else { return "NULL".to_owned() };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(|c: char| c.is_control()) => {
            let cut: String = text.chars().take(VALUE_MAX).collect();
            format!("'{cut}'")
        }
        _ => bytes.iter().take(VALUE_MAX / 2).fold("\\x".to_owned(), |mut text, byte| {
            // Writing to a String cannot fail.
            write!(text, "{byte:02x}").unwrap_or_default();
            text
        }),
    }
}
