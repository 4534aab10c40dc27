//! Statements that a session executes again and again.

use tokio::sync::OnceCell;
use tokio_postgres::{Client, Error, Statement};

/// A statement of one session, prepared when it is executed first: parsing and planning a short one costs
/// the server more than executing it.
pub(crate) struct Often {
    sql: &'static str,
    prepared: OnceCell<Statement>,
}

impl Often {
    pub(crate) const fn new(sql: &'static str) -> Self {
        Self { sql, prepared: OnceCell::const_new() }
    }

    pub(crate) async fn on(&self, client: &Client) -> Result<Statement, Error> {
        self.prepared.get_or_try_init(|| client.prepare(self.sql)).await.cloned()
    }
}
