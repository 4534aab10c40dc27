//! `regraft verify --checksum`: digests of the values of a column, which both servers compute.

use std::fmt::Write as _;

use regraft_core::verify::{Difference, Digest};
use regraft_core::{Code, Error, Result};
use regraft_postgres::verify::{Algorithm, Audit, Moment, VerifyStatement};
use regraft_reconcile::{Sum, row_digest};
use serde::Serialize;
use serde_json::{Map, Value};

use super::audit::{Verdict, print_table};
use crate::args::ChecksumAlgorithm;
use crate::out::outln;

/// Keys in a JSON report.
const REPORTED: usize = 10_000;
/// Keys that are printed for people.
const PRINTED: usize = 20;

/// What the digests of a column are.
#[derive(Serialize)]
pub(super) struct ChecksumReport {
    target: String,
    source: String,
    column: String,
    algorithm: &'static str,
    #[serde(flatten)]
    moment: Moment,
    pub(super) verdict: Verdict,
    rows: Sides<u64>,
    /// Of the rows' key and digest, in any order.
    sums: Sides<String>,
    missing: u64,
    surplus: u64,
    different: u64,
    /// The first of those that differ.
    keys: Vec<KeyReport>,
}

#[derive(Serialize)]
struct Sides<T> {
    source: T,
    target: T,
}

#[derive(Serialize)]
struct KeyReport {
    difference: Difference,
    key: Map<String, Value>,
}

/// The columns that `TABLE.COLUMN` name, each with its statement.
pub(super) fn columns<'a>(
    statements: &'a [VerifyStatement],
    written: &[String],
) -> Result<Vec<(&'a VerifyStatement, usize)>> {
    let mut found = Vec::new();
    for name in written {
        let before = found.len();
        let (table, column) = name.rsplit_once('.').unwrap_or(("", name));
        for statement in statements {
            let target = &statement.target;
            let at = statement.columns.iter().position(|known| known.name == column);
            if table == target.name || table == target.to_string() {
                found.extend(at.map(|at| (statement, at)));
            }
        }
        if found.len() == before {
            return Err(Error::new(
                Code::VerificationRefused,
                format!("the mapping fills no column {name}"),
            )
            .at("--column")
            .remedy(
                "write TABLE.COLUMN or SCHEMA.TABLE.COLUMN, of a column that a statement lists",
            ));
        }
    }
    Ok(found)
}

/// Compares the digests of these columns, each at a moment of its own.
pub(super) async fn compare(
    audit: &Audit,
    algorithm: ChecksumAlgorithm,
    columns: &[(&VerifyStatement, usize)],
) -> Result<Vec<ChecksumReport>> {
    let (algorithm, name) = match algorithm {
        ChecksumAlgorithm::Sha256 => (Algorithm::Sha256, "sha256"),
        ChecksumAlgorithm::Md5 => (Algorithm::Md5, "md5"),
    };
    let mut reports = Vec::new();
    for &(statement, column) in columns {
        let moment = audit.begin().await?;
        let mut sides = [(0, Sum::default()), (0, Sum::default())];
        let mut counts = [0_u64; 3];
        let mut keys = Vec::new();
        let row = |side: usize, row: &bytes::Bytes| {
            sides[side].0 += 1;
            sides[side].1.add(row_digest(row));
        };
        let names: Vec<_> =
            statement.target_key.iter().map(|&at| statement.columns[at].name.clone()).collect();
        let different = |difference: Difference, key: Vec<String>| {
            counts[difference as usize] += 1;
            if keys.len() < REPORTED {
                let key = names.iter().cloned().zip(key.into_iter().map(Value::from)).collect();
                keys.push(KeyReport { difference, key });
            }
        };
        audit.digests(statement, column, algorithm, row, different).await?;
        audit.end().await?;
        let [missing, surplus, different] = counts;
        let [source, target] = sides;
        reports.push(ChecksumReport {
            target: statement.target.to_string(),
            source: statement.source.to_string(),
            column: statement.columns[column].name.clone(),
            algorithm: name,
            verdict: Verdict::of(missing + surplus + different == 0, &moment),
            moment,
            rows: Sides { source: source.0, target: target.0 },
            sums: Sides { source: hex(source.1.digest()), target: hex(target.1.digest()) },
            missing,
            surplus,
            different,
            keys,
        });
    }
    Ok(reports)
}

fn hex(digest: Digest) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

pub(super) fn print(reports: &[ChecksumReport]) {
    let rows = reports.iter().map(|report| {
        let numbers = [
            report.rows.source,
            report.rows.target,
            report.missing,
            report.surplus,
            report.different,
        ];
        let mut cells =
            vec![format!("{}.{}", report.target, report.column), report.algorithm.to_owned()];
        cells.extend(numbers.map(|number| number.to_string()));
        cells.extend([
            report.moment.exact.to_string(),
            report.verdict.told(&report.moment),
            report.sums.source.clone(),
            report.sums.target.clone(),
        ]);
        cells
    });
    let head = [
        "column",
        "algorithm",
        "source rows",
        "target rows",
        "missing",
        "surplus",
        "different",
        "exact",
        "verdict",
        "source sum",
        "target sum",
    ];
    print_table("checksums", &head, &rows.collect::<Vec<_>>());
    for report in reports {
        for KeyReport { difference, key } in report.keys.iter().take(PRINTED) {
            let key = Value::from(key.clone());
            outln!("{} {}.{} {key}", difference.as_str(), report.target, report.column);
        }
    }
}
