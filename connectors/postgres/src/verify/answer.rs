//! What a query of the user gives, as `COPY` has it in its text format.

use std::pin::pin;

use futures_util::TryStreamExt;
use regraft_core::{Code, Error};
use tokio_postgres::Client;
use tokio_postgres::error::ErrorPosition;

use crate::classify;
use crate::endpoint::{AS_REGRAFT, AS_ROLE};

/// Why a query has no answer.
pub enum Unanswered {
    /// The query is at fault.
    Query {
        /// Why.
        what: String,
        /// The character of it that this is about, counted from 1.
        position: Option<u32>,
    },
    /// The connection is.
    Server(Error),
}

/// Evaluates a query at a place in the open transaction, which survives its errors: gives the number of its rows,
/// of which there may be so many, after it has shown each.
///
/// # Errors
/// When the query is refused, or the server cannot be asked.
pub async fn answer(
    client: &Client,
    (sql, place): (&str, &str),
    most: u64,
    each: impl FnMut(&[u8]),
) -> Result<u64, Unanswered> {
    let failed = |error| Unanswered::Server(classify(&error, place));
    // In a rule, names mean what they mean for the role.
    client.batch_execute(&format!("SAVEPOINT rule; {AS_ROLE}")).await.map_err(failed)?;
    let answered = rows(client, (sql, place), most, each).await;
    let end = if answered.is_ok() { "RELEASE rule" } else { "ROLLBACK TO rule" };
    client.batch_execute(&format!("{end}; {AS_REGRAFT}")).await.map_err(failed)?;
    answered
}

async fn rows(
    client: &Client,
    (sql, place): (&str, &str),
    most: u64,
    mut each: impl FnMut(&[u8]),
) -> Result<u64, Unanswered> {
    let failed = |error: tokio_postgres::Error| refused(place, &error, 0);
    // By itself first: that it is one statement, and where it is wrong.
    let prepared = client.prepare(sql).await.map_err(failed)?;
    if prepared.columns().is_empty() || !prepared.params().is_empty() {
        let what = "not a query that gives rows, without parameters".to_owned();
        return Err(Unanswered::Query { what, position: None });
    }
    const BEFORE: &str = "COPY (\n";
    let copy = format!("{BEFORE}{sql}\n) TO STDOUT");
    let failed = |error: tokio_postgres::Error| refused(place, &error, BEFORE.len());
    let mut lines = pin!(client.copy_out(&copy).await.map_err(failed)?);
    let mut rows = 0;
    while let Some(line) = lines.try_next().await.map_err(failed)? {
        rows += 1;
        // The rest of them has to be read, or the connection is of no use.
        if rows <= most {
            each(&line);
        }
    }
    if rows > most {
        let what = format!("it gives {rows} rows, more than {most}: aggregate them");
        return Err(Unanswered::Query { what, position: None });
    }
    Ok(rows)
}

/// Why a query was refused that stands behind so many characters.
fn refused(place: &str, error: &tokio_postgres::Error, before: usize) -> Unanswered {
    let told = classify(error, "");
    let Some(refusal) = error.as_db_error() else {
        return Unanswered::Server(Error::new(told.code(), told.what()).at(place));
    };
    // A server that goes away is not the rule's fault.
    if matches!(told.code(), Code::Unreachable) {
        return Unanswered::Server(told.at(place));
    }
    let position = match refusal.position() {
        Some(ErrorPosition::Original(position)) => {
            u32::try_from(before).ok().and_then(|before| position.checked_sub(before))
        }
        _ => None,
    };
    Unanswered::Query { what: told.what().to_owned(), position }
}
