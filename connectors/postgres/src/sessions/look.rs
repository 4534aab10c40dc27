//! What a server says of sessions that do not answer, and of who holds them up.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use regraft_core::Result;
use tokio_postgres::{Client, Row};

use super::{ASK_AFTER, Deadlines, Session, Sessions, Waiting};
use crate::{Endpoint, classify};

/// How often a session is looked at from here, and its server asked.
const TICK: Duration = Duration::from_secs(1);
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// What the server may take to answer that.
const ASK_TIME: Duration = Duration::from_secs(10);
/// The log tells of a silence that lasts longer.
const TELL_AFTER: Duration = Duration::from_secs(10);

/// A session as its server sees it.
#[derive(Clone)]
pub(super) struct Seen {
    active: bool,
    what: String,
}

type Answer = std::result::Result<HashMap<i32, Seen>, String>;

/// The last answer of each server; one question at a time.
#[derive(Default)]
pub(super) struct Looks(tokio::sync::Mutex<HashMap<String, (Instant, Answer)>>);

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
        if since.elapsed() < ASK_AFTER {
            continue;
        }
        let answer = ask(&sessions, &session.place, &endpoint).await;
        let (limit, what) = match answer.map(|seen| seen.get(&session.pid()).cloned()) {
            Ok(Some(Seen { active: true, what })) => (deadlines.statement, what),
            Ok(Some(Seen { active: false, what })) => (Some(deadlines.answer), what),
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
        if silence > TELL_AFTER
            && !std::mem::replace(&mut session.state().told, true)
            && let Some(waiting) = session.waiting()
        {
            tracing::warn!("{waiting}");
        }
        if limit.is_some_and(|limit| silence >= limit) {
            let asked = session.state().awaited().to_owned();
            let reason = format!("no answer to {asked} within {} s: {what}", silence.as_secs());
            sessions.give_up(&session, reason);
            return;
        }
    }
}

async fn ask(sessions: &Sessions, place: &str, endpoint: &Endpoint) -> Answer {
    let mut looks = sessions.0.looks.0.lock().await;
    if let Some((at, answer)) = looks.get(place)
        && at.elapsed() < ASK_AGAIN
    {
        return answer.clone();
    }
    let pids: Vec<_> = sessions
        .list()
        .iter()
        .filter(|session| session.place == place)
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
    looks.insert(place.to_owned(), (Instant::now(), answer.clone()));
    answer
}

/// Of each process: whether it is at work, and what it waits for.
const LOOK: &str = "
    SELECT a.pid, coalesce(a.state, '') = 'active', coalesce(a.wait_event_type = 'Lock', false),
           coalesce(a.wait_event_type || ' ' || a.wait_event, ''), coalesce(a.state, ''),
           coalesce(extract(epoch FROM clock_timestamp() - a.query_start), 0)::float8,
           ARRAY(SELECT format('process %s (%s%s%s%s)', p.pid,
                     coalesce(nullif(b.application_name, ''), b.backend_type, 'unknown'),
                     ', ' || b.state,
                     ', in a transaction since ' || to_char(b.xact_start AT TIME ZONE 'UTC',
                                                            'YYYY-MM-DD HH24:MI:SS UTC'),
                     ', its last query began ' || to_char(b.query_start AT TIME ZONE 'UTC',
                                                          'YYYY-MM-DD HH24:MI:SS UTC'))
                 FROM (SELECT DISTINCT unnest(CASE WHEN a.wait_event_type = 'Lock'
                                                   THEN pg_blocking_pids(a.pid) END) AS pid) AS p
                 LEFT JOIN pg_stat_activity AS b USING (pid) ORDER BY p.pid LIMIT 3)
    FROM pg_stat_activity AS a";

async fn look(client: &Client, place: &str, pids: &[i32]) -> Result<HashMap<i32, Seen>> {
    let sql = format!("{LOOK} WHERE a.pid = ANY($1)");
    let rows = client.query(&sql, &[&pids]).await.map_err(|error| classify(&error, place))?;
    Ok(rows.iter().map(|row| (row.get(0), seen(row))).collect())
}

/// What a pipeline's sessions with this server wait for: the locks that others hold.
///
/// # Errors
/// When the server cannot be asked.
pub async fn stalled(client: &Client, place: &str, application: &str) -> Result<Vec<Waiting>> {
    let sql = format!(
        "{LOOK} WHERE a.application_name = $1 AND a.datname = current_database() \
         AND a.wait_event_type = 'Lock' AND a.pid <> pg_backend_pid()"
    );
    let rows = client.query(&sql, &[&application]).await;
    let rows = rows.map_err(|error| classify(&error, place))?;
    let waiting = |row: &Row| {
        let seconds: f64 = row.get(5);
        let since = SystemTime::now().checked_sub(Duration::try_from_secs_f64(seconds).ok()?)?;
        Some(Waiting {
            server: place.to_owned(),
            request: "a statement".to_owned(),
            since: since.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            seconds,
            seen: Some(seen(row).what),
        })
    };
    Ok(rows.iter().filter_map(waiting).collect())
}

/// From a row of [`LOOK`].
fn seen(row: &Row) -> Seen {
    let (pid, active, locked): (i32, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let (event, state): (String, String) = (row.get(3), row.get(4));
    let holders: Vec<String> = row.get(6);
    let what = match (active, locked) {
        (_, true) if holders.is_empty() => format!("process {pid} waits for a lock ({event})"),
        (_, true) => {
            format!("process {pid} waits for a lock ({event}), held by {}", holders.join(", "))
        }
        (true, _) if event.is_empty() => format!("process {pid} is at work"),
        (true, _) => format!("process {pid} is at work ({event})"),
        (false, _) => format!("process {pid} is {state} there: it has not got the request"),
    };
    Seen { active, what }
}

impl Session {
    fn pid(self: &Arc<Self>) -> i32 {
        self.pid.load(Ordering::Relaxed)
    }
}
