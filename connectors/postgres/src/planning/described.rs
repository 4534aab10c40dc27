//! What a server makes of a text of the user, or why it refuses it.

use futures_util::future::join_all;
use regraft_core::{Error, Oid, Result};
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::{Client, Column, Statement};

use crate::classify;
use crate::endpoint::{AS_REGRAFT, AS_ROLE};
use crate::standing::{Asked, Standing};

/// A query, as the server describes it.
#[derive(Clone, Debug)]
pub struct Described {
    /// What it gives.
    pub columns: Vec<DescribedColumn>,
}

/// A column that a query gives.
#[derive(Clone, Debug)]
pub struct DescribedColumn {
    /// Name.
    pub name: String,
    /// Its type, by `pg_type.oid`.
    pub type_oid: Oid,
    /// Name of the type, without a schema.
    pub type_name: String,
    /// Modifier of the type, -1 for none.
    pub type_modifier: i32,
    /// The table whose column it is, by `pg_class.oid`, if it is one.
    pub table_oid: Option<Oid>,
    /// Number of that column.
    pub number: Option<i16>,
}

/// Why a server does not take a text.
#[derive(Debug)]
pub struct Refusal {
    /// As any other error.
    pub error: Error,
    /// What the server says; `None` where it could not be asked.
    pub said: Option<Said>,
}

/// What a server says of a text that it refuses.
#[derive(Clone, Debug)]
pub struct Said {
    /// SQLSTATE.
    pub state: String,
    /// Its message, in its own words.
    pub message: String,
    /// What it advises.
    pub hint: Option<String>,
    /// The character of the text that it is about, counted from 1.
    pub position: Option<u32>,
}

impl Refusal {
    pub(super) fn of(error: &tokio_postgres::Error, place: &str) -> Self {
        let said = error.as_db_error().map(|said| Said {
            state: said.code().code().to_owned(),
            message: said.message().to_owned(),
            hint: said.hint().map(str::to_owned),
            position: match said.position() {
                Some(ErrorPosition::Original(position)) => Some(*position),
                _ => None,
            },
        });
        Self { error: classify(error, place), said }
    }
}

impl Described {
    fn of(statement: &Statement) -> Self {
        let column = |column: &Column| DescribedColumn {
            name: column.name().to_owned(),
            type_oid: column.type_().oid(),
            type_name: column.type_().name().to_owned(),
            type_modifier: column.type_modifier(),
            table_oid: column.table_oid(),
            number: column.column_id(),
        };
        Self { columns: statement.columns().iter().map(column).collect() }
    }
}

/// Whether the server takes a text of the user, in which names mean what they mean for the role.
pub async fn takes(client: &Client, sql: &str) -> bool {
    // Sent at once, in this order.
    let (as_role, prepared, as_regraft) = tokio::join!(
        client.batch_execute(AS_ROLE),
        client.prepare(sql),
        client.batch_execute(AS_REGRAFT),
    );
    as_role.is_ok() && as_regraft.is_ok() && prepared.is_ok()
}

/// Has the server describe texts of the user, in which names mean what they mean for the role.
///
/// # Errors
/// When the server cannot be asked; what it says of each text is its own.
pub async fn describe_all(
    client: &Client,
    place: &str,
    texts: &[&str],
) -> Result<Vec<Result<Described, Refusal>>> {
    let fail = |error: tokio_postgres::Error| classify(&error, place);
    client.batch_execute(AS_ROLE).await.map_err(fail)?;
    let prepared = join_all(texts.iter().map(|text| client.prepare(text))).await;
    client.batch_execute(AS_REGRAFT).await.map_err(fail)?;
    let described = prepared.into_iter().map(|prepared| match prepared {
        Ok(statement) => Ok(Described::of(&statement)),
        Err(error) => Err(Refusal::of(&error, place)),
    });
    Ok(described.collect())
}

/// Why the server does not take a text, with names as the session has them.
pub async fn refusal(client: &Client, place: &str, sql: &str) -> Option<Error> {
    client.prepare(sql).await.err().map(|error| classify(&error, place))
}

/// Has names in the session mean what they mean for a daemon that stands on this.
///
/// # Errors
/// When the server cannot be asked.
pub async fn fix_names(
    client: &Client,
    place: &str,
    standing: &Standing,
    asked: &Asked,
) -> Result<()> {
    let set = client.batch_execute(&standing.source_path(&asked.path)).await;
    set.map_err(|error| classify(&error, place))
}

/// Undoes it.
///
/// # Errors
/// When the server cannot be asked.
pub async fn free_names(client: &Client, place: &str) -> Result<()> {
    client.batch_execute(AS_REGRAFT).await.map_err(|error| classify(&error, place))
}
