//! Reads the rows of both sides at once.

use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use regraft_core::verify::Compare;
use regraft_core::{Code, Error, Result, row};
use tokio_postgres::{Client, Row};

use super::sql::Scope;
use super::{PgVerifier, arrays, parameters};
use crate::replication::copy::copied_row;

/// Rows that are taken from a connection before the other one is looked at.
const RUN: usize = 512;

/// Reads both sides; gives the time until the source was through.
pub(super) async fn both<C: Compare>(
    verifier: &PgVerifier,
    (source_sql, source_scope): (&str, &Scope),
    (target_sql, target_scope): (&str, &Scope),
    into: &mut C,
) -> Result<Option<Duration>> {
    let started = Instant::now();
    let source = rows(&verifier.source.client, source_sql, source_scope);
    let target = rows(&verifier.target.client, target_sql, target_scope);
    let (source, target) = tokio::join!(source, target);
    let source = source.map_err(|error| verifier.at_source(&error))?;
    let target = target.map_err(|error| verifier.at_target(&error))?;
    let mut source = pin!(source.ready_chunks(RUN).fuse());
    let mut target = pin!(target.ready_chunks(RUN).fuse());
    let (mut source_ended, mut target_ended) = (None, false);
    while source_ended.is_none() || !target_ended {
        if into.is_full() {
            return Err(full());
        }
        tokio::select! {
            rows = source.next(), if source_ended.is_none() => match rows {
                None => source_ended = Some(started.elapsed()),
                Some(rows) => for row in rows {
                    let row = row.map_err(|error| verifier.at_source(&error))?;
                    tuple(row)?.into_iter().for_each(|row| into.source(row));
                },
            },
            rows = target.next(), if !target_ended => match rows {
                None => target_ended = true,
                Some(rows) => for row in rows {
                    let row = row.map_err(|error| verifier.at_target(&error))?;
                    tuple(row)?.into_iter().for_each(|row| into.target(row));
                },
            },
        }
    }
    Ok(source_ended)
}

/// A comparison is given up.
pub(super) fn full() -> Error {
    let what = "too many rows without their like for one comparison";
    Error::new(Code::ChunkTooLarge, what)
}

/// Reads the target alone.
pub(super) async fn of_target<C: Compare>(
    verifier: &PgVerifier,
    (sql, scope): (&str, &Scope),
    into: &mut C,
) -> Result<()> {
    let rows = rows(&verifier.target.client, sql, scope).await;
    let mut rows = pin!(rows.map_err(|error| verifier.at_target(&error))?);
    while let Some(row) = rows.try_next().await.map_err(|error| verifier.at_target(&error))? {
        if into.is_full() {
            return Err(full());
        }
        tuple(row)?.into_iter().for_each(|row| into.target(row));
    }
    Ok(())
}

/// A row as it came.
pub(super) enum Came {
    /// A message of COPY, which may begin with the header.
    Copied(Bytes),
    Queried(Row),
}

pub(super) async fn rows<'a>(
    client: &'a Client,
    sql: &str,
    scope: &Scope,
) -> Result<BoxStream<'a, Result<Came, tokio_postgres::Error>>, tokio_postgres::Error> {
    let Scope::Owners(owners) = scope else {
        let copy = format!("COPY ({sql}) TO STDOUT (FORMAT binary)");
        return Ok(client.copy_out(&copy).await?.map_ok(Came::Copied).boxed());
    };
    let columns = owners.first().map_or(0, |owner| owner.row().cells().count());
    if columns == 0 {
        return Ok(futures_util::stream::empty().boxed());
    }
    let arrays = arrays(owners, columns);
    let rows = client.query_raw(sql, parameters(&arrays)).await?;
    Ok(rows.map_ok(Came::Queried).boxed())
}

pub(super) fn tuple(came: Came) -> Result<Option<Bytes>> {
    match came {
        Came::Queried(row) => bytes(&row).map(Some),
        Came::Copied(message) => copied_row(message),
    }
}

/// A row of a query, as COPY gives it.
pub(super) fn bytes(from: &Row) -> Result<Bytes> {
    let mut out = Vec::new();
    for at in 0..from.len() {
        row::put(&mut out, crate::chunks::cell(from, at)?);
    }
    Ok(out.into())
}
