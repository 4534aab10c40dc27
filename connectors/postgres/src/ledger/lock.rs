//! The lock of a pipeline: who holds it may change what its daemon works on.

use std::time::Duration;

use regraft_core::{Code, Error, Result};
use tokio_postgres::Client;

use super::PgLedger;
use crate::classify;
use crate::sessions::{process, standby_remedy};

/// How often, and how far apart, the pipeline's lock is asked for.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// Between looks at a lock that a daemon may hold, and how many.
const LOCK_LOOKS: (Duration, u32) = (Duration::from_millis(200), 5);

const TRY_LOCK: &str = "SELECT pg_try_advisory_lock(hashtextextended('regraft:' || $1, 0))";

impl PgLedger {
    /// Takes the pipeline's lock for the session. A session that has just ended may still hold it for
    /// a moment.
    ///
    /// # Errors
    /// [`Code::PipelineRunning`] when another session keeps it, [`Code::TargetUnavailable`] when that one waits for a
    /// standby.
    pub async fn lock(client: &Client, place: &str, name: &str) -> Result<()> {
        let fail = |error: tokio_postgres::Error| classify(&error, &format!("{place}, ledger"));
        // A machine that vanishes holds it only until the server notices.
        client.batch_execute("SET tcp_user_timeout = 60000").await.map_err(fail)?;
        for _ in 0..LOCK_ATTEMPTS {
            if client.query_one(TRY_LOCK, &[&name]).await.map_err(fail)?.get(0) {
                return Ok(());
            }
            tokio::time::sleep(LOCK_WAIT).await;
        }
        let holder = Self::holder(client, place, name).await?;
        // A session that was given up lives on at the server as long as its commit waits there.
        if let Some(pid) = holder
            && let Some(seen) = process(client, place, pid).await?
            && let Some(remedy) = standby_remedy(&seen)
        {
            let what = format!("the lock of the pipeline {name} is held: {seen}");
            return Err(Error::new(Code::TargetUnavailable, what).at(place).remedy(remedy));
        }
        let holder = holder.map_or(String::new(), |pid| format!(": process {pid} holds its lock"));
        let what = format!("another daemon runs the pipeline {name}{holder}");
        Err(Error::new(Code::PipelineRunning, what)
            .at(place)
            .remedy("stop the other one; a daemon that is running already waits and takes over"))
    }

    /// Whether some daemon runs the pipeline.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn is_running(client: &Client, place: &str, name: &str) -> Result<bool> {
        Ok(Self::holder(client, place, name).await?.is_some())
    }

    /// The process of the target that holds the pipeline's lock. Looked up rather than tried: a daemon
    /// that starts now must find its lock free.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn holder(client: &Client, place: &str, name: &str) -> Result<Option<i32>> {
        let sql = "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
            AND d.datname = current_database()
            AND (l.classid::bigint << 32 | l.objid::bigint)
                = hashtextextended('regraft:' || $1, 0)";
        let row = client.query_opt(sql, &[&name]).await;
        Ok(row.map_err(|error| classify(&error, place))?.map(|row| row.get(0)))
    }

    /// Takes the pipeline's lock for this session; false when a daemon holds it. The server may need a
    /// moment to notice that a process that held it has ended.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub async fn lock_if_free(client: &Client, place: &str, name: &str) -> Result<bool> {
        for look in 0..LOCK_LOOKS.1 {
            if look > 0 {
                tokio::time::sleep(LOCK_LOOKS.0).await;
            }
            let row = client.query_one(TRY_LOCK, &[&name]).await;
            if row.map_err(|error| classify(&error, place))?.get(0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub async fn unlock(client: &Client, place: &str, name: &str) -> Result<()> {
        let sql = "SELECT pg_advisory_unlock(hashtextextended('regraft:' || $1, 0))";
        let unlocked = client.execute(sql, &[&name]).await;
        unlocked.map(drop).map_err(|error| classify(&error, place))
    }
}
