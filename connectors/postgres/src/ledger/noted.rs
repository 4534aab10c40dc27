//! What a daemon notes of itself, for `regraft status`.

use std::time::{Duration, SystemTime};

use regraft_core::{Position, Result};
use tokio_postgres::Client;

use super::PgLedger;
use crate::at;
use crate::classify;

/// What a daemon has noted of itself.
#[derive(Clone, Debug)]
pub struct Noted {
    /// Everything up to here is in the target.
    pub position: Position,
    /// Commit time of the last applied source transaction.
    pub commit_time: Option<SystemTime>,
    /// Its phase, as [`regraft_core::contract::Phase::as_str`] has it.
    pub phase: String,
    /// The error that holds or ended it, with its time in seconds since 1970; null where there is none.
    pub last_error: serde_json::Value,
    /// Since it noted anything, on the target's clock.
    pub quiet: Duration,
}

impl PgLedger {
    /// What the daemon of a pipeline has noted; `None` for a pipeline that the ledger does not know.
    ///
    /// # Errors
    /// When the server refuses. The ledger has to exist.
    pub async fn noted(client: &Client, place: &str, name: &str) -> Result<Option<Noted>> {
        let sql = "SELECT position, commit_time, phase, (last_error || jsonb_build_object('at', \
                       coalesce(extract(epoch FROM (last_error ->> 'at')::timestamptz)::bigint, 0)))::text, \
                   greatest(extract(epoch FROM clock_timestamp() - updated_at), 0)::float8 \
                   FROM regraft.pipelines WHERE name = $1";
        let row = client.query_opt(sql, &[&name]).await;
        let row = row.map_err(|error| classify(&error, place))?;
        let Some(row) = row else { return Ok(None) };
        let last_error: Option<String> = row.get(3);
        Ok(Some(Noted {
            position: at::position(&row, 0)?,
            commit_time: row.get(1),
            phase: row.get(2),
            last_error: last_error
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
            quiet: Duration::from_secs_f64(row.get(4)),
        }))
    }
}
