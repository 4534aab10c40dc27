//! Is the source's log the one in which a position was given out? A server that was restored, or promoted
//! before it had received everything, has another past beyond some point: a position there means other
//! transactions, or none.

use regraft_core::{Code, Error, Lsn, Result};
use tokio_postgres::Client;

use crate::slot::START_OVER;
use crate::{WireConnection, classify};

/// The timeline that the server writes.
///
/// # Errors
/// When it cannot be asked.
pub async fn timeline(client: &Client, place: &str) -> Result<u32> {
    // The first eight digits of a log file's name. A standby follows the timeline of its last restart point.
    let sql = "SELECT CASE WHEN pg_is_in_recovery() \
                   THEN (SELECT timeline_id::bigint FROM pg_control_checkpoint()) \
                   ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint END";
    let row = client.query_one(sql, &[]).await.map_err(|error| classify(&error, place))?;
    Ok(u32::try_from(row.get::<_, i64>(0)).unwrap_or_default())
}

/// Proves that the log of `now`, the timeline that the server writes, holds what `known` had up to
/// `position`. `connection` is one for replication.
///
/// <https://www.postgresql.org/docs/current/protocol-replication.html>, `TIMELINE_HISTORY`
///
/// # Errors
/// [`Code::SourceRewound`] when it left `known` before `position`, or does not come from it.
pub async fn continues(
    connection: &mut WireConnection,
    known: u32,
    now: u32,
    position: Lsn,
) -> Result<()> {
    let rows = connection.simple_query(&format!("TIMELINE_HISTORY {now}")).await?;
    let history = rows.first().and_then(|row| row.get(1)?.clone()).unwrap_or_default();
    let left = left_at(&history, known);
    if left.is_some_and(|left| position <= left) {
        return Ok(());
    }
    let what = match left {
        Some(left) => format!(
            "the source left timeline {known} at {left}, before the position {position} that the target has, and \
             writes timeline {now}: what the target has from there on is not in its log"
        ),
        None => {
            format!("the source writes timeline {now}, which does not come from timeline {known}")
        }
    };
    Err(rewound(what, connection.place()))
}

/// What the source's log cannot be followed from any more.
pub fn rewound(what: String, place: &str) -> Error {
    Error::new(Code::SourceRewound, what).at(place).remedy(format!(
        "if another server has the log, point [source] at it; if this one was restored or promoted for good: \
         {START_OVER}"
    ))
}

/// Where the timeline was left, by the history of a later one: lines of a timeline, the position at
/// which it was left, and a reason.
fn left_at(history: &str, timeline: u32) -> Option<Lsn> {
    history.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let of: u32 = words.next()?.parse().ok()?;
        (of == timeline).then_some(())?;
        words.next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_tells_where_each_timeline_was_left() {
        let history =
            "1\t0/3000148\tno recovery target specified\n\n2\t0/50000A0\tbefore 2026-01-01\n";
        assert_eq!(left_at(history, 1), Some(Lsn(0x300_0148)));
        assert_eq!(left_at(history, 2), Some(Lsn(0x500_00A0)));
        assert_eq!(left_at(history, 3), None);
        assert_eq!(left_at("damaged", 1), None);
    }
}
