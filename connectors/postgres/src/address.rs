//! One of the two servers of a pipeline: how its address is had, and how it is called in messages.

use std::sync::Arc;

use regraft_core::{Error, Result};

use crate::Endpoint;

/// Reads the address of a server anew, so that a changed secret is taken up at the next attempt.
pub type Address = Arc<dyn Fn() -> Result<Endpoint> + Send + Sync>;

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
