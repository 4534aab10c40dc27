//! Statistics of the columns of a statement, at the source and at the target: figures that are the same
//! wherever the same values are.
//!
//! So floating point numbers are added as `numeric`, whose sums do not depend on the order, quantiles are
//! values of the column (`percentile_disc`), and texts are ordered by their bytes.

use regraft_core::Result;
use regraft_core::sql::quote;
use tokio_postgres::Row;

use super::sql::Scope;
use super::{Audit, VerifyStatement};
use crate::catalog::tree;

/// Tables that seem to have more rows get an estimate of distinct values.
const EXACT_ROWS: f32 = 5_000_000.0;
/// The estimate counts the values of one in so many places of a hash.
const ESTIMATE_SHARE: u32 = 64;
/// Texts beyond this many bytes are told apart by a digest.
const SHORT: usize = 64;
/// Characters of a minimum or maximum that are given.
const SHOWN: usize = 100;

/// A figure of a column on both sides, as texts; `None` is NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// `count`, `nulls`, `distinct`, `min`, `max`, `mean`, `stddev`, `p25`, `p50`, `p75`, `p99`,
    /// `length_min`, `length_max`, `length_mean`.
    pub name: &'static str,
    /// It may be a value of a row, or lead to one.
    pub reveals: bool,
    /// Of what the SELECT gives.
    pub source: Option<String>,
    /// Of the target.
    pub target: Option<String>,
}

/// The figures of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnStatistics {
    /// Target column.
    pub column: String,
    /// SQL name of the type whose values are counted.
    pub sql_type: String,
    /// `distinct` is an estimate, by the same values on both sides.
    pub estimated: bool,
    /// The figures.
    pub figures: Vec<Figure>,
}

/// What can be asked of a type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Number,
    /// Has order and quantiles.
    Time,
    /// The same, and a mean.
    Span,
    Text,
    Bytes,
    /// Only how long its text is.
    Other,
}

/// A figure, its SQL, and whether it reveals values.
type Asked = (&'static str, String, bool);

fn class(form: &str) -> Class {
    match form {
        "smallint" | "integer" | "bigint" | "numeric" | "money" | "real" | "double precision"
        | "boolean" => Class::Number,
        "date"
        | "timestamp without time zone"
        | "timestamp with time zone"
        | "time with time zone" => Class::Time,
        "interval" | "time without time zone" => Class::Span,
        "text" | "character varying" | "character" | "uuid" | "name" | "\"char\"" => Class::Text,
        "bytea" => Class::Bytes,
        _ => Class::Other,
    }
}

/// The figures of the value `v` of the type `form`.
fn asked(v: &str, form: &str, estimate: bool) -> Vec<Asked> {
    let class = class(form);
    // One representation for values that are equal.
    let value = match form {
        "real" | "double precision" => format!("trim_scale({v}::text::numeric)"),
        "boolean" => format!("{v}::int::numeric"),
        _ if class == Class::Number => format!("trim_scale({v}::numeric)"),
        "interval" => format!("justify_interval({v})"),
        _ if matches!(class, Class::Text | Class::Other) => format!("({v}::text COLLATE \"C\")"),
        _ => v.to_owned(),
    };
    let told_apart = match class {
        Class::Text | Class::Other => {
            format!("CASE WHEN octet_length({value}) > {SHORT} THEN md5({value}) ELSE {value} END")
        }
        Class::Bytes => {
            format!("CASE WHEN octet_length({v}) > {SHORT} THEN sha256({v}) ELSE {v} END")
        }
        _ => value.clone(),
    };
    let mut distinct = format!("count(DISTINCT {told_apart})");
    if estimate {
        let bytes = if class == Class::Bytes {
            v.to_owned()
        } else {
            format!("convert_to({value}::text, 'UTF8')")
        };
        let part = 256 / ESTIMATE_SHARE;
        distinct = format!(
            "({distinct} FILTER (WHERE get_byte(decode(md5({bytes}), 'hex'), 0) < {part}) * {ESTIMATE_SHARE})"
        );
    }
    let mut asked: Vec<Asked> = vec![
        ("count", "count(*)".to_owned(), false),
        ("nulls", format!("count(*) - count({v})"), false),
        ("distinct", distinct, false),
    ];
    if matches!(class, Class::Number | Class::Time | Class::Span | Class::Text) {
        for name in ["min", "max"] {
            let of = format!("{name}({value})");
            let shown = format!(
                "CASE WHEN octet_length({of}::text) > {SHOWN} THEN \
                 left({of}::text, {SHOWN}) || '… md5 ' || md5({of}::text) ELSE {of}::text END"
            );
            asked.push((name, shown, true));
        }
    }
    if matches!(class, Class::Number | Class::Span) {
        asked.push(("mean", format!("avg({value})"), true));
    }
    if class == Class::Number {
        asked.push(("stddev", format!("stddev_samp({value})"), true));
    }
    if matches!(class, Class::Number | Class::Time | Class::Span) {
        // PostgreSQL evaluates the four as one.
        let all = format!(
            "percentile_disc(ARRAY[0.25, 0.5, 0.75, 0.99]) WITHIN GROUP (ORDER BY {value})"
        );
        for (at, name) in ["p25", "p50", "p75", "p99"].into_iter().enumerate() {
            asked.push((name, format!("({all})[{}]", at + 1), true));
        }
    }
    let length = match class {
        Class::Text | Class::Other => Some(format!("length({value})")),
        Class::Bytes => Some(format!("octet_length({v})")),
        _ => None,
    };
    for (name, function) in [("length_min", "min"), ("length_max", "max"), ("length_mean", "avg")] {
        asked.extend(length.iter().map(|length| (name, format!("{function}({length})"), false)));
    }
    asked
}

impl Audit {
    /// Figures of all columns of a statement, at the moment that has begun. `None` where a mapper of the
    /// program makes the rows: no server can evaluate it.
    ///
    /// # Errors
    /// When a server refuses a query.
    pub async fn statistics(
        &self,
        statement: &VerifyStatement,
    ) -> Result<Option<Vec<ColumnStatistics>>> {
        if statement.read.mapper.is_some() {
            return Ok(None);
        }
        let sql = format!(
            "SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::real FROM pg_class c \
             WHERE c.relkind <> 'p' AND c.oid IN ({})",
            tree("$1::text::regclass")
        );
        let row = self.target().query_one(&sql, &[&statement.target.quoted()]).await;
        let rows: f32 = row.map_err(|error| self.at_target(&error))?.get(0);
        let estimate = rows > EXACT_ROWS;
        let columns = statement.columns.iter().enumerate();
        let asked: Vec<Vec<Asked>> = columns
            .map(|(at, column)| asked(&format!("v.c{at}"), &column.form, estimate))
            .collect();
        let lists = asked.iter().map(|figures| {
            let texts: Vec<_> =
                figures.iter().map(|(_, sql, _)| format!("({sql})::text")).collect();
            format!("ARRAY[{}]", texts.join(", "))
        });
        let lists = lists.collect::<Vec<_>>().join(",\n");
        let names: Vec<_> = (0..asked.len()).map(|at| quote(&format!("c{at}"))).collect();
        let of =
            |rows: &str| format!("SELECT {lists} FROM (\n{rows}\n) AS v({})", names.join(", "));
        let whole = Scope::Whole;
        let (of_source, of_target) =
            (of(&statement.source_sql(&whole, false)?), of(&statement.target_sql(&whole, false)));
        let (source, target) = tokio::join!(
            self.source().query_one(&of_source, &[]),
            self.target().query_one(&of_target, &[])
        );
        let source = source.map_err(|error| self.at_source(&error))?;
        let target = target.map_err(|error| self.at_target(&error))?;
        let columns = statement.columns.iter().zip(asked).enumerate();
        let columns = columns.map(|(at, (column, asked))| {
            let texts = |row: &Row| row.get::<_, Vec<Option<String>>>(at);
            let values = texts(&source).into_iter().zip(texts(&target));
            let figures = asked.into_iter().zip(values);
            ColumnStatistics {
                column: column.name.clone(),
                sql_type: column.form.clone(),
                estimated: estimate,
                figures: figures
                    .map(|((name, _, reveals), (source, target))| Figure {
                        name,
                        reveals,
                        source,
                        target,
                    })
                    .collect(),
            }
        });
        Ok(Some(columns.collect()))
    }
}
