//! `regraft verify --rules`: queries of the user, whose results have to be equal, or empty.
//!
//! Results are compared as `COPY` gives them, in its text format: in the order of the rows where both queries
//! have an ORDER BY, and else as multisets.

use std::collections::HashMap;

use regraft_core::verify::Digest;
use regraft_core::{Error, Result};
use regraft_postgres::Client;
use regraft_postgres::verify::{self, Audit, Moment, Unanswered};
use regraft_reconcile::row_digest;
use serde::Serialize;

use super::audit::print_table;
use super::rule_file::{Expected, Query, Rule};
use crate::out::outln;

/// A pair that differs at moments that are not exact is tried so often.
const TRIES: u32 = 3;
/// Rows of one result.
const ROWS_MAX: u64 = 1_000_000;
/// Rows that are shown, and characters of each.
const SHOWN: usize = 20;
const WIDTH: usize = 500;

/// What came of a rule.
#[derive(Serialize)]
pub(super) struct RuleReport {
    file: String,
    result: Outcome,
    #[serde(flatten)]
    moment: Moment,
    /// Rows that the queries give; absent where none ran.
    rows: Counts,
    /// Rows that one side has and the other has not, or that should not be there.
    differ: u64,
    /// The rows are the same, in another order.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    order_differs: bool,
    /// Some of them, where they are asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    examples: Vec<Example>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Refused>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Passed,
    Failed,
    /// The results differ, and the source was written to between the moments at which they were read.
    Unsettled,
    Error,
}

#[derive(Default, Serialize)]
struct Counts {
    source: Option<u64>,
    target: Option<u64>,
}

#[derive(Serialize)]
struct Example {
    /// The side that has the row.
    side: &'static str,
    /// Its values, with tabs between them.
    row: String,
}

#[derive(Serialize)]
struct Refused {
    /// `file:line:column`
    place: String,
    what: String,
}

/// Rows of both sides.
#[derive(Default)]
struct Bag {
    /// By digest: how many more of them the source has, and the row if it may be shown.
    rows: HashMap<Digest, (i64, Option<Box<str>>)>,
    show: bool,
}

/// The result of a query.
struct Answer {
    rows: u64,
    /// Of the rows in their order.
    sequence: Digest,
}

/// Why there is none.
enum Failure {
    /// The rule is at fault.
    Rule(Refused),
    /// The connection is.
    Server(Error),
}

/// Tries the rules, all at one moment; those that differ at one that is not exact again at others.
pub(super) async fn run(audit: &Audit, rules: &[Rule], show: bool) -> Result<Vec<RuleReport>> {
    let mut reports: Vec<Option<RuleReport>> = rules.iter().map(|_| None).collect();
    for _ in 0..TRIES {
        let open = |report: &Option<RuleReport>| {
            report.as_ref().is_none_or(|report| report.result == Outcome::Unsettled)
        };
        if !reports.iter().any(open) {
            break;
        }
        let moment = audit.begin().await?;
        for (rule, report) in rules.iter().zip(&mut reports).filter(|(_, report)| open(report)) {
            *report = Some(one(audit, rule, &moment, show).await?);
        }
        audit.end().await?;
    }
    Ok(reports.into_iter().flatten().collect())
}

async fn one(audit: &Audit, rule: &Rule, moment: &Moment, show: bool) -> Result<RuleReport> {
    let mut report = RuleReport {
        file: rule.file.clone(),
        result: Outcome::Passed,
        moment: moment.clone(),
        rows: Counts::default(),
        differ: 0,
        order_differs: false,
        examples: Vec::new(),
        error: None,
    };
    match evaluate(audit, rule, show, &mut report).await {
        Ok(()) => {}
        Err(Failure::Rule(refused)) => {
            report.result = Outcome::Error;
            report.error = Some(refused);
            return Ok(report);
        }
        Err(Failure::Server(error)) => return Err(error),
    }
    if report.differ > 0 || report.order_differs {
        // What one query says of one side needs no second moment.
        let certain = moment.exact || matches!(rule.expected, Expected::NoRows(..));
        report.result = if certain { Outcome::Failed } else { Outcome::Unsettled };
    }
    Ok(report)
}

async fn evaluate(
    audit: &Audit,
    rule: &Rule,
    show: bool,
    report: &mut RuleReport,
) -> Result<(), Failure> {
    let mut bag = Bag { show, ..Bag::default() };
    match &rule.expected {
        Expected::Same(source, target) => {
            let first = answer(audit.source(), source, 1, &mut bag).await?;
            let second = answer(audit.target(), target, -1, &mut bag).await?;
            report.rows = Counts { source: Some(first.rows), target: Some(second.rows) };
            report.differ = bag.rows.values().map(|(more, _)| more.unsigned_abs()).sum();
            report.order_differs = report.differ == 0
                && source.ordered
                && target.ordered
                && first.sequence != second.sequence;
        }
        Expected::NoRows(query, at_source, at_target) => {
            if *at_source {
                report.rows.source = Some(answer(audit.source(), query, 1, &mut bag).await?.rows);
            }
            if *at_target {
                // Rows of the two sides do not make up for each other.
                let mut other = Bag { show, ..Bag::default() };
                report.rows.target =
                    Some(answer(audit.target(), query, -1, &mut other).await?.rows);
                report.examples.extend(other.examples());
            }
            report.differ = report.rows.source.unwrap_or(0) + report.rows.target.unwrap_or(0);
        }
    }
    report.examples.extend(bag.examples());
    report.examples.truncate(SHOWN);
    Ok(())
}

/// Evaluates a query in the open transaction, which survives its errors.
async fn answer(
    client: &Client,
    query: &Query,
    sign: i64,
    into: &mut Bag,
) -> Result<Answer, Failure> {
    let mut sequence = [0; 32];
    let each = |line: &[u8]| {
        let digest = row_digest(line);
        sequence = row_digest(&[sequence, digest].concat());
        into.add(digest, sign, line);
    };
    let answered = verify::answer(client, (&query.sql, &query.place(None)), ROWS_MAX, each).await;
    match answered {
        Ok(rows) => Ok(Answer { rows, sequence }),
        Err(Unanswered::Query { what, position }) => {
            Err(Failure::Rule(Refused { place: query.place(position), what }))
        }
        Err(Unanswered::Server(error)) => Err(Failure::Server(error)),
    }
}

impl Bag {
    fn add(&mut self, digest: Digest, sign: i64, line: &[u8]) {
        let entry = self.rows.entry(digest).or_insert_with(|| {
            let text = || {
                let text = String::from_utf8_lossy(line);
                text.trim_end_matches('\n').chars().take(WIDTH).collect::<String>().into()
            };
            (0, self.show.then(text))
        });
        entry.0 += sign;
        if entry.0 == 0 {
            self.rows.remove(&digest);
        }
    }

    fn examples(self) -> Vec<Example> {
        let rows = self.rows.into_values();
        let examples = rows.filter_map(|(more, row)| {
            let side = if more > 0 { "source" } else { "target" };
            Some(Example { side, row: row?.into() })
        });
        let mut examples: Vec<_> = examples.collect();
        examples.sort_by(|a, b| (&a.row, a.side).cmp(&(&b.row, b.side)));
        examples
    }
}

impl RuleReport {
    /// The rule does not hold, or cannot be tried.
    pub(super) fn differs(&self) -> bool {
        matches!(self.result, Outcome::Failed | Outcome::Error)
    }
}

pub(super) fn print(reports: &[RuleReport]) {
    let rows = reports.iter().map(|report| {
        let result = match report.result {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed => "failed".to_owned(),
            Outcome::Error => "error".to_owned(),
            Outcome::Unsettled => {
                format!("unsettled: differs; {} transactions meanwhile", report.moment.meanwhile)
            }
        };
        let differ = if report.order_differs { "order".into() } else { report.differ.to_string() };
        vec![report.file.clone(), result, differ, report.moment.exact.to_string()]
    });
    print_table(
        "rules",
        &["file", "result", "rows that differ", "exact"],
        &rows.collect::<Vec<_>>(),
    );
    for report in reports {
        if let Some(Refused { place, what }) = &report.error {
            outln!("{place}: {what}");
        }
        for Example { side, row } in &report.examples {
            outln!("{}: only at the {side}: {row}", report.file);
        }
    }
}
