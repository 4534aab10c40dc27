//! `regraft verify --statistics`: figures of each column on both sides.

use regraft_core::Result;
use regraft_postgres::verify::{Audit, Figure, Moment, VerifyStatement};
use serde::Serialize;

use super::audit::{Verdict, print_table};
use crate::out::outln;

/// What the columns of the target are like.
#[derive(Serialize)]
pub(super) struct StatisticsReport {
    #[serde(flatten)]
    moment: Moment,
    tables: Vec<TableReport>,
}

#[derive(Serialize)]
struct TableReport {
    target: String,
    source: String,
    verdict: Verdict,
    /// Why it is skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    columns: Vec<ColumnReport>,
}

#[derive(Serialize)]
struct ColumnReport {
    column: String,
    #[serde(rename = "type")]
    sql_type: String,
    /// The number of distinct values is one, not an estimate.
    distinct_exact: bool,
    figures: Vec<FigureReport>,
}

#[derive(Serialize)]
struct FigureReport {
    figure: &'static str,
    equal: bool,
    /// Of both sides, where they may be told.
    #[serde(flatten)]
    values: Option<Values>,
}

#[derive(Serialize)]
struct Values {
    source: Option<String>,
    target: Option<String>,
}

/// Compares the columns of the statements at one moment.
pub(super) async fn compare(
    audit: &Audit,
    statements: &[&VerifyStatement],
    show: bool,
) -> Result<StatisticsReport> {
    let moment = audit.begin().await?;
    let mut tables = Vec::new();
    for statement in statements {
        let found = audit.statistics(statement).await?;
        let skipped = "a mapper of the program makes the rows, which no server can evaluate";
        let reason = found.is_none().then_some(skipped);
        let columns = found.into_iter().flatten().map(|column| ColumnReport {
            column: column.column,
            sql_type: column.sql_type,
            distinct_exact: !column.estimated,
            figures: column.figures.into_iter().map(|figure| report(figure, show)).collect(),
        });
        let columns: Vec<_> = columns.collect();
        let equal = columns.iter().flat_map(|column| &column.figures).all(|figure| figure.equal);
        tables.push(TableReport {
            target: statement.target.to_string(),
            source: statement.source.to_string(),
            verdict: if reason.is_some() { Verdict::Skipped } else { Verdict::of(equal, &moment) },
            reason,
            columns,
        });
    }
    audit.end().await?;
    Ok(StatisticsReport { moment, tables })
}

fn report(figure: Figure, show: bool) -> FigureReport {
    let Figure { name, reveals, source, target } = figure;
    let equal = source == target;
    let values = (show || !reveals).then_some(Values { source, target });
    FigureReport { figure: name, equal, values }
}

impl StatisticsReport {
    pub(super) fn differs(&self) -> bool {
        self.tables.iter().any(|table| table.verdict == Verdict::Differs)
    }

    pub(super) fn print(&self) {
        let mut rows = Vec::new();
        for table in &self.tables {
            let column = |column: &ColumnReport| {
                let differ = column.figures.iter().filter(|figure| !figure.equal);
                let differ: Vec<_> = differ.map(FigureReport::told).collect();
                let equal = column.figures.len() - differ.len();
                let estimate = if column.distinct_exact { "" } else { " (distinct estimated)" };
                let differ = if differ.is_empty() { "-".to_owned() } else { differ.join(", ") };
                vec![
                    table.target.clone(),
                    column.column.clone(),
                    format!("{equal}{estimate}"),
                    differ,
                ]
            };
            rows.extend(table.columns.iter().map(column));
        }
        let heading =
            format!("statistics at {}, exact: {}", self.moment.position, self.moment.exact);
        print_table(&heading, &["target", "column", "equal figures", "differ"], &rows);
        for table in self.tables.iter().filter(|table| table.verdict != Verdict::Equal) {
            let why = table.reason.map(|why| format!(": {why}")).unwrap_or_default();
            outln!("{} {}{why}", table.target, table.verdict.told(&self.moment));
        }
    }
}

impl FigureReport {
    fn told(&self) -> String {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".to_owned());
        match &self.values {
            Some(values) => {
                format!("{} {} / {}", self.figure, text(&values.source), text(&values.target))
            }
            None => self.figure.to_owned(),
        }
    }
}
