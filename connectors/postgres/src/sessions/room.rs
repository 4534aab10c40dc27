//! How many sessions a pipeline needs, and whether a server has room for them.

use regraft_core::{Error, Result};
use tokio_postgres::Client;

use crate::classify;

/// Sessions of one pipeline with one server, at most at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// So many.
    pub sessions: usize,
    /// How that is computed, from the settings.
    pub formula: &'static str,
    /// What there can be less of.
    pub fewer: &'static str,
}

impl Needed {
    /// At the source: the stream, which tells of the log; one that asks where the log ends and writes watermarks;
    /// one that looks after the catalogue; three that verify, of which one is not there while another plans
    /// chunks; the readers of chunks; and one for a short time, when another is silent. For each of the targets
    /// that share a slot.
    pub fn at_source(readers: usize, targets: usize) -> Self {
        let formula = match targets {
            1 => "backfill.readers + 7",
            _ => "backfill.readers + 7 for each target",
        };
        Self { sessions: (readers + 7) * targets, formula, fewer: "backfill.readers" }
    }

    /// At the target: the ledger; those that write; one that looks after the catalogue; two that verify; and one
    /// for a short time, when another is silent.
    pub fn at_target(writers: usize) -> Self {
        let formula = "target.sessions + 5";
        Self { sessions: writers + 5, formula, fewer: "target.sessions" }
    }

    fn text(&self, role: &str) -> String {
        format!("a pipeline needs {} sessions at the {role} ({})", self.sessions, self.formula)
    }

    /// What to do when the server has no room.
    pub(super) fn remedy(&self, role: &str) -> String {
        format!(
            "{}: raise max_connections, or the CONNECTION LIMIT of the role or the database, or end sessions that \
             nobody needs; fewer {} need less",
            self.text(role),
            self.fewer
        )
    }

    /// Limits of the server that leave too little room: what, and what to do. Sessions of this pipeline, which go
    /// by this name, may be there already.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn lacking(
        &self,
        (client, place): (&Client, &str),
        role: &str,
        application: &str,
    ) -> Result<Vec<(String, String)>> {
        let row = client.query_one(ROOM, &[&application]).await;
        let row = row.map_err(|error| classify(&error, place))?;
        let names: (String, String) = (row.get(0), row.get(1));
        let limits = [
            (
                2,
                "max_connections, without what is reserved,",
                "ALTER SYSTEM SET max_connections = …, and restart".to_owned(),
            ),
            (
                4,
                "the CONNECTION LIMIT of the role",
                format!("ALTER ROLE {} CONNECTION LIMIT …", names.0),
            ),
            (
                6,
                "the CONNECTION LIMIT of the database",
                format!("ALTER DATABASE {} CONNECTION LIMIT …", names.1),
            ),
        ];
        let mut lacking = Vec::new();
        for (at, limit, remedy) in limits {
            let (max, used): (Option<i64>, i64) = (row.get(at), row.get(at + 1));
            let Some(max) = max else { continue };
            let free = (max - used).max(0);
            if free < i64::try_from(self.sessions).unwrap_or(i64::MAX) {
                let what =
                    format!("{}, and {limit} is {max}, of which {used} are used", self.text(role));
                lacking.push((what, format!("{remedy}; fewer {} need less", self.fewer)));
            }
        }
        Ok(lacking)
    }
}

/// An error that says that no session is free.
pub(super) fn is_full(error: &Error) -> bool {
    error.what().contains("(SQLSTATE 53300")
}

// Of sessions of others not everything can be seen; that they are there, can. Those of this pipeline go by its name.
const ROOM: &str = "
WITH s AS (
    SELECT usesysid, datid FROM pg_stat_activity
    WHERE usesysid IS NOT NULL AND application_name <> $1 AND NOT starts_with(application_name, $1 || '.')
    AND coalesce(backend_type, 'client backend') = 'client backend')
SELECT quote_ident(r.rolname), quote_ident(d.datname),
    current_setting('max_connections')::bigint - CASE WHEN r.rolsuper THEN 0 ELSE
        current_setting('superuser_reserved_connections')::bigint
        + coalesce(current_setting('reserved_connections', true)::bigint, 0) END,
    (SELECT count(*) FROM s),
    CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit::bigint END,
    (SELECT count(*) FROM s WHERE s.usesysid = r.oid),
    CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN d.datconnlimit::bigint END,
    (SELECT count(*) FROM s WHERE s.datid = d.oid)
FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()";
