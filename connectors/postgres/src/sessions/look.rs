//! What a server says of sessions that do not answer, and of who holds them up.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use regraft_core::Result;
use regraft_core::text::visible;
use tokio_postgres::{Client, Row};

use super::{Deadlines, Session, Sessions, Waiting};
use crate::{Endpoint, classify};

/// How often a session is looked at from here, and its server asked.
const TICK: Duration = Duration::from_secs(1);
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// What the server may take to answer that.
const ASK_TIME: Duration = Duration::from_secs(10);
/// The log tells of a silence that lasts so many times as long as one that is asked about.
const TELL_AFTER: u32 = 2;

/// A session as its server sees it.
#[derive(Clone)]
pub(super) struct Seen {
    active: bool,
    what: String,
    /// Processes that hold it up; 0 for a prepared transaction.
    holders: Vec<i32>,
}

type Answer = std::result::Result<HashMap<i32, Seen>, String>;

/// The last look at each server; one question at a time.
#[derive(Default)]
pub(super) struct Looks(tokio::sync::Mutex<HashMap<String, Look>>);

struct Look {
    at: Instant,
    /// The processes that were asked about.
    pids: Vec<i32>,
    answer: Answer,
}

/// Looks after a session until it ends: ends it when its server is silent for too long.
pub(crate) async fn guard(
    session: Weak<Session>,
    sessions: Sessions,
    endpoint: Endpoint,
    deadlines: Deadlines,
) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(session) = session.upgrade() else { return };
        let Some(since) = session.state().waits_since() else { continue };
        if since.elapsed() < deadlines.notice {
            continue;
        }
        let answer = ask(&sessions, &session, &endpoint).await;
        let mut holders = Vec::new();
        let (limit, what) = match answer.map(|seen| seen.get(&session.pid()).cloned()) {
            Ok(Some(seen)) => {
                holders = seen.holders;
                let limit = if seen.active { deadlines.statement } else { Some(deadlines.answer) };
                (limit, seen.what)
            }
            Ok(None) => (Some(deadlines.answer), "the server knows no such session".to_owned()),
            Err(error) => {
                (Some(deadlines.answer), format!("nor does it answer a new connection: {error}"))
            }
        };
        let silence = since.elapsed();
        {
            let mut state = session.state();
            // A stream counts anew with every question; what it was asked before is not answered either.
            if !state.sign && state.waits_since() != Some(since) {
                continue;
            }
            state.seen = Some(what.clone());
        }
        // One that ended may have made way for the next, which is news.
        if silence > deadlines.notice * TELL_AFTER
            && session.state().told.as_ref() != Some(&holders)
            && let Some(waiting) = session.waiting()
        {
            tracing::warn!("{waiting}");
            session.state().told = Some(holders);
        }
        if limit.is_some_and(|limit| silence >= limit) {
            let asked = session.state().awaited().to_owned();
            let reason = format!("no answer to {asked} within {} s: {what}", silence.as_secs());
            sessions.give_up(&session, reason);
            return;
        }
    }
}

async fn ask(sessions: &Sessions, session: &Arc<Session>, endpoint: &Endpoint) -> Answer {
    let place = &session.place;
    let mut looks = sessions.0.looks.0.lock().await;
    if let Some(Look { at, pids, answer }) = looks.get(place)
        && at.elapsed() < ASK_AGAIN
        && pids.contains(&session.pid())
    {
        return answer.clone();
    }
    let pids: Vec<_> = sessions
        .list()
        .iter()
        .filter(|session| session.place == *place)
        .map(|session| session.pid())
        .collect();
    let question = async {
        let client = endpoint.connect_unwatched("regraft looks").await?;
        look(&client, place, &pids).await
    };
    let answer = match tokio::time::timeout(ASK_TIME, question).await {
        Ok(Ok(seen)) => Ok(seen),
        Ok(Err(error)) => Err(error.what().to_owned()),
        Err(_) => Err(format!("no answer within {} s", ASK_TIME.as_secs())),
    };
    looks.insert(place.clone(), Look { at: Instant::now(), pids, answer: answer.clone() });
    answer
}

/// Of each process: whether it is at work, and what it waits for. Texts of queries hold values, and are not
/// asked for. A role that may not see what others do still sees who they are. A prepared transaction has no
/// process: it is told by what it holds. Where all is well a standby confirms a commit within a second.
const LOOK: &str = "
    SELECT a.pid, coalesce(a.state, '') = 'active', coalesce(a.wait_event_type = 'Lock', false),
           coalesce(a.wait_event_type || ' ' || a.wait_event, ''), coalesce(a.state, ''),
           coalesce(extract(epoch FROM clock_timestamp() - a.query_start), 0)::float8,
           ARRAY(SELECT CASE WHEN p.pid = 0 THEN coalesce(
                     (SELECT string_agg(DISTINCT format(
                          'prepared transaction %L (user %s, since %s UTC, %s ago)', x.gid, x.owner,
                          to_char(x.prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
                          date_trunc('second', clock_timestamp() - x.prepared)), ', ')
                      FROM pg_locks AS w JOIN pg_locks AS h ON h.pid IS NULL AND h.granted
                           AND (h.locktype, h.database, h.relation, h.transactionid, h.classid, h.objid)
                           IS NOT DISTINCT FROM
                               (w.locktype, w.database, w.relation, w.transactionid, w.classid, w.objid)
                      JOIN pg_locks AS t ON t.pid IS NULL AND t.locktype = 'transactionid'
                           AND t.virtualtransaction = h.virtualtransaction
                      JOIN pg_prepared_xacts AS x ON x.transaction = t.transactionid
                      WHERE w.pid = a.pid AND NOT w.granted), 'a prepared transaction')
                 ELSE format('process %s (%s%s%s%s%s%s%s)', p.pid,
                     coalesce(nullif(b.application_name, ''), b.backend_type, 'unknown'),
                     ', ' || b.state,
                     CASE WHEN b.wait_event = 'SyncRep' THEN ', with a commit ' || s.unconfirmed END,
                     ', in a transaction since ' || to_char(b.xact_start AT TIME ZONE 'UTC',
                                                            'YYYY-MM-DD HH24:MI:SS UTC')
                         || ', ' || date_trunc('second', clock_timestamp() - b.xact_start) || ' ago',
                     ', its last query began ' || to_char(b.query_start AT TIME ZONE 'UTC',
                                                          'YYYY-MM-DD HH24:MI:SS UTC'),
                     ', user ' || b.usename,
                     CASE WHEN b.backend_type IS NULL
                          THEN ', what it does is shown to members of pg_read_all_stats' END) END
                 FROM (SELECT DISTINCT unnest(CASE WHEN a.wait_event_type = 'Lock'
                                                   THEN pg_blocking_pids(a.pid) END) AS pid) AS p
                 LEFT JOIN pg_stat_activity AS b USING (pid) ORDER BY p.pid LIMIT 3),
           CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) ELSE '{}' END,
           CASE WHEN a.wait_event = 'SyncRep' AND a.query_start < clock_timestamp() - interval '1 s'
                THEN s.unconfirmed END
    FROM pg_stat_activity AS a, (SELECT 'that no synchronous standby confirms: synchronous_standby_names = '
         || quote_literal(current_setting('synchronous_standby_names'))) AS s(unconfirmed)";

async fn look(client: &Client, place: &str, pids: &[i32]) -> Result<HashMap<i32, Seen>> {
    let sql = format!("{LOOK} WHERE a.pid = ANY($1)");
    let rows = client.query(&sql, &[&pids]).await.map_err(|error| classify(&error, place))?;
    Ok(rows.iter().map(|row| (row.get(0), seen(row))).collect())
}

/// What a pipeline's sessions with this server wait for: the locks that others hold, and standbys that take longer than
/// they do where all is well.
///
/// # Errors
/// When the server cannot be asked.
pub async fn stalled(client: &Client, place: &str, application: &str) -> Result<Vec<Waiting>> {
    let sql = format!(
        "{LOOK} WHERE a.application_name = $1 AND a.datname = current_database() \
         AND (a.wait_event_type = 'Lock' OR a.wait_event = 'SyncRep' \
                  AND a.query_start < clock_timestamp() - interval '5 s') AND a.pid <> pg_backend_pid()"
    );
    let rows = client.query(&sql, &[&application]).await;
    let rows = rows.map_err(|error| classify(&error, place))?;
    let waiting = |row: &Row| {
        let silence = Duration::try_from_secs_f64(row.get(5)).ok()?;
        Waiting::now(place, "a statement", silence, Some(seen(row).what))
    };
    Ok(rows.iter().filter_map(waiting).collect())
}

/// What a process of a server does, and who holds it up; `None` when it is gone.
///
/// # Errors
/// When the server cannot be asked.
pub async fn process(client: &Client, place: &str, pid: i32) -> Result<Option<String>> {
    let sql = format!("{LOOK} WHERE a.pid = $1");
    let row = client.query_opt(&sql, &[&pid]).await;
    Ok(row.map_err(|error| classify(&error, place))?.map(|row| seen(&row).what))
}

/// What to do where a process waits for a synchronous standby; `what` is that which [`LOOK`] says of it.
pub(crate) fn standby_remedy(what: &str) -> Option<&'static str> {
    what.contains("that no synchronous standby confirms").then_some(
        "start a standby that it names; or have no commit of that server wait for one: ALTER SYSTEM SET \
         synchronous_standby_names = ''; SELECT pg_reload_conf()",
    )
}

/// From a row of [`LOOK`].
fn seen(row: &Row) -> Seen {
    let (pid, active, locked): (i32, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let (event, state): (String, String) = (row.get(3), row.get(4));
    let holders: Vec<String> = row.get(6);
    // Names of roles and prepared transactions are texts of others.
    let holders: Vec<_> = holders.iter().map(|holder| visible(holder)).collect();
    let what = match (active, locked) {
        (_, true) if holders.is_empty() => format!("process {pid} waits for a lock ({event})"),
        (_, true) => {
            format!("process {pid} waits for a lock ({event}), held by {}", holders.join(", "))
        }
        (true, _) if event.is_empty() => format!("process {pid} is at work"),
        (true, _) => format!("process {pid} is at work ({event})"),
        (false, _) => format!("process {pid} is {state} there: it has not got the request"),
    };
    let unconfirmed: Option<String> = row.get(8);
    let what = unconfirmed
        .map_or(what, |why| format!("process {pid} waits with a commit {}", visible(&why)));
    Seen { active, what, holders: row.get(7) }
}

impl Session {
    fn pid(self: &Arc<Self>) -> i32 {
        self.pid.load(Ordering::Relaxed)
    }
}
