//! Where a server is, and how it is called in messages.

use std::sync::Arc;

use regraft_core::{Error, Result};
use tokio_postgres::Client;

use crate::Endpoint;

/// Reads the address of a server anew, so that a changed secret is taken up at the next attempt.
pub type Address = Arc<dyn Fn() -> Result<Endpoint> + Send + Sync>;

/// How the sessions of a pipeline call themselves.
pub fn application(pipeline: &str) -> String {
    format!("regraft {pipeline}")
}

/// A connection, and how its server is called in messages.
pub(crate) async fn connect(
    role: &str,
    address: &Address,
    application: &str,
) -> Result<(Client, String)> {
    let endpoint = address()?;
    let client = endpoint.connect(application).await;
    Ok((client.map_err(|error| of_role(role, error))?, place(role, &endpoint)))
}

/// Puts the role of the server before the place of an error.
pub fn of_role(role: &str, error: Error) -> Error {
    match error.place() {
        Some(place) => {
            let place = format!("{role} ({place})");
            error.at(place)
        }
        None => error.at(role),
    }
}

/// How a server is called in messages.
pub fn place(role: &str, endpoint: &Endpoint) -> String {
    format!("{role} ({endpoint})")
}
