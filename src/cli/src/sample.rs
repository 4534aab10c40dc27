//! `regraft check --sample`: rows of the source, evaluated by the mapper and by PostgreSQL.
//!
//! Both see the rows of one snapshot: the mapper their images, PostgreSQL the user's SELECT
//! restricted to the same keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use regraft_core::sql::quote;
use regraft_core::{Code, Error, Mapped, Mapper, Result, Rows, Tuple};
use regraft_postgres::chunks::{ReadStatement, ReadTable};
pub use regraft_postgres::planning::{Cells, Outcome, Raw, image};
use regraft_postgres::planning::{
    SampledRow, SampledSelect, begin_sample, end_sample, sample_rows,
};
use serde::Serialize;

use crate::finding::Finding;
use crate::resolve::{Resolved, Side, StatementReport};

/// Findings of one statement; what is wrong more often is counted.
const SHOWN_MAX: usize = 10;
/// Characters of a value.
const VALUE_MAX: usize = 200;
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
    let (client, place) = (&side.client, side.place.as_str());
    begin_sample(client, place, &resolved.standing, &resolved.asked).await?;
    for (number, table) in resolved.read.iter().enumerate() {
        let (planned, images) = (&resolved.plan.tables[number], &resolved.images[number]);
        let samples = sample_rows(client, place, (table, planned.oid), images, count).await?;
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
    end_sample(client, place).await?;
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

/// What differs between the two, one sentence per source row, and the rows for which both fail, by SQLSTATE.
#[allow(clippy::too_many_arguments, reason = "one step of a loop, with what the loop has at hand")]
async fn statement(
    side: &Side,
    table: &ReadTable,
    read: &ReadStatement,
    mapper: &dyn Mapper,
    samples: &[SampledRow],
    names: &[&str],
    show: bool,
    report: &mut SampleReport,
) -> Result<(Vec<String>, BTreeMap<String, Vec<String>>)> {
    let select = SampledSelect::of(&side.client, &side.place, table, read).await?;
    let mut differences = Vec::new();
    let mut failing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for sample in samples {
        let own = mapped(mapper, &sample.image);
        let wanted = select.outcome(sample).await?;
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
