//! Digests of one column, row by row: both servers compute them, and give them in the order of the
//! target's key, so that values of any size and any number of rows take no memory here.

use std::cmp::Ordering;
use std::pin::pin;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use regraft_core::verify::Difference;
use regraft_core::{Code, Error, Result, Row};

use super::sql::Scope;
use super::{Audit, VerifyStatement, rows};

/// Which digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `sha256()`
    Sha256,
    /// `md5()`
    Md5,
}

/// A row of one of the two sides: columns of the target's key as texts in UTF-8, in whose order the rows come
/// whatever the encodings of the databases are, then the digest; in the layout of
/// [`Row`].
pub type KeyDigest = Bytes;

impl Algorithm {
    /// Of the value `v` of the type `form`: bytea as it is, all else as its text in UTF-8.
    fn sql(self, v: &str, form: &str) -> String {
        let bytes = match form {
            "bytea" => v.to_owned(),
            _ => format!("convert_to({v}::text, 'UTF8')"),
        };
        match self {
            Self::Sha256 => format!("sha256({bytes})"),
            Self::Md5 => format!("decode(md5({bytes}), 'hex')"),
        }
    }
}

impl Audit {
    /// Reads the digests of an output column, at the moment that has begun. `row` is given every row of the
    /// source and of the target, and `different` the keys that differ, as texts.
    ///
    /// # Errors
    /// When the statement's rows have no key, or cannot be evaluated by a server; when a server refuses a
    /// query.
    pub async fn digests(
        &self,
        statement: &VerifyStatement,
        column: usize,
        algorithm: Algorithm,
        mut row: impl FnMut(usize, &KeyDigest) + Send,
        mut different: impl FnMut(Difference, Vec<String>) + Send,
    ) -> Result<()> {
        let what = match (&statement.read.mapper, statement.target_key.is_empty()) {
            (Some(_), _) => {
                Some("a mapper of the program makes the rows, which no server can evaluate")
            }
            (None, true) => Some("the target has no key by which its rows could be told apart"),
            _ => None,
        };
        if let Some(what) = what {
            return Err(Error::new(Code::VerificationRefused, what)
                .at(statement.target.to_string())
                .remedy("leave this column out"));
        }
        let of = |select: &str| -> String {
            let count = statement.columns.len();
            let names: Vec<_> = (0..count).map(|at| format!("c{at}")).collect();
            let keys = statement.target_key.iter();
            let keys: Vec<_> =
                keys.map(|at| format!("convert_to(v.c{at}::text, 'UTF8')")).collect();
            let digest = algorithm.sql(&format!("v.c{column}"), &statement.columns[column].form);
            let order: Vec<_> = (1..=keys.len()).map(|at| format!("{at} NULLS FIRST")).collect();
            // The values are to be gone before the rows are sorted.
            format!(
                "SELECT * FROM (SELECT {}, {digest} FROM (\n{select}\n) AS v({}) OFFSET 0) AS d ORDER BY {}",
                keys.join(", "),
                names.join(", "),
                order.join(", ")
            )
        };
        let whole = Scope::Whole;
        let sql =
            [of(&statement.source_sql(&whole, false)?), of(&statement.target_sql(&whole, false))];
        let (source, target) = tokio::join!(
            rows::rows(self.source(), &sql[0], &whole),
            rows::rows(self.target(), &sql[1], &whole)
        );
        let source = source.map_err(|error| self.at_source(&error))?;
        let target = target.map_err(|error| self.at_target(&error))?;
        let mut source = pin!(lined(source.map_err(|error| self.at_source(&error)).boxed()));
        let mut target = pin!(lined(target.map_err(|error| self.at_target(&error)).boxed()));
        let (mut left, mut right) = tokio::try_join!(source.try_next(), target.try_next())?;
        loop {
            let order = match (&left, &right) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(left), Some(right)) => key(left, statement).cmp(&key(right, statement)),
            };
            if order == Ordering::Equal && left != right {
                left.iter().for_each(|row| different(Difference::Different, texts(row, statement)));
            } else if order == Ordering::Less {
                left.iter().for_each(|row| different(Difference::Missing, texts(row, statement)));
            } else if order == Ordering::Greater {
                right.iter().for_each(|row| different(Difference::Surplus, texts(row, statement)));
            }
            if order != Ordering::Greater {
                left.iter().for_each(|read| row(0, read));
                left = source.try_next().await?;
            }
            if order != Ordering::Less {
                right.iter().for_each(|read| row(1, read));
                right = target.try_next().await?;
            }
        }
    }
}

/// The rows of what came.
fn lined(
    came: BoxStream<'_, Result<rows::Came>>,
) -> impl futures_util::Stream<Item = Result<Bytes>> + '_ {
    came.try_filter_map(|came| async move { rows::tuple(came) })
}

fn key<'a>(row: &'a Bytes, statement: &VerifyStatement) -> Vec<Option<&'a [u8]>> {
    Row(row).cells().take(statement.target_key.len()).collect()
}

fn texts(row: &Bytes, statement: &VerifyStatement) -> Vec<String> {
    let text = |cell: Option<&[u8]>| String::from_utf8_lossy(cell.unwrap_or(b"NULL")).into_owned();
    key(row, statement).into_iter().map(text).collect()
}
