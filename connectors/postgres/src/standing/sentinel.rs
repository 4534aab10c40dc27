//! Looks from time to time whether what the mapping stands on is the same.

use std::sync::Arc;

use regraft_core::contract::Sentinel;
use regraft_core::{Error, Kind, Result};
use tokio_postgres::Client;

use super::drift::{Reply, When};
use super::record::{accept_mending, known, mended};
use super::{Asked, Drift, Standing};
use crate::connectors::{Address, of_role, place};
use crate::slot::Server;
use crate::writes;

/// See the module.
pub struct PgSentinel {
    source: Address,
    target: Address,
    name: String,
    asked: Arc<Asked>,
    sessions: Option<Sessions>,
    /// What was accepted; of the ledger.
    known: Option<Standing>,
}

struct Sessions {
    source: (Client, String),
    target: (Client, String),
    server: Server,
}

impl PgSentinel {
    /// Connects at the first look.
    pub fn new(source: Address, target: Address, name: &str, asked: Arc<Asked>) -> Self {
        Self { source, target, name: name.to_owned(), asked, sessions: None, known: None }
    }

    async fn connect(&self) -> Result<Sessions> {
        let application = format!("regraft {}", self.name);
        let open = async |role: &str, address: &Address| {
            let endpoint = address()?;
            let client =
                endpoint.connect(&application).await.map_err(|error| of_role(role, error))?;
            Ok::<_, Error>((client, place(role, &endpoint)))
        };
        let source = open("source", &self.source).await?;
        let target = open("target", &self.target).await?;
        let server = Server::ask(&source.0, &source.1).await?;
        Ok(Sessions { source, target, server })
    }

    async fn look_once(&mut self) -> Result<Vec<String>> {
        let sessions = match self.sessions.take() {
            Some(sessions) => sessions,
            None => self.connect().await?,
        };
        let Sessions { source: (source, at_source), target: (target, at_target), server } =
            &sessions;
        let asked = Arc::clone(&self.asked);
        if asked.own_publication {
            let oids: Vec<_> = asked.sources.iter().map(|table| table.oid).collect();
            writes::withdraw(source, server, at_source, &asked.publication, &oids).await?;
        }
        let now = Standing::take((source, at_source), server, (target, at_target), &asked).await?;
        let known = match self.known.take() {
            Some(known) => Some(known),
            None => known(target, at_target, &self.name).await?,
        };
        // Of a pipeline that an earlier regraft made: what is now is all that is known.
        let known = known.unwrap_or_else(|| now.clone());
        let drift = known.drift(&now, &asked, When::Running);
        if let Some(held) = held(&drift, at_source) {
            return Err(held);
        }
        // What means nothing today must not add up with what comes later; but what is left to the stream
        // is to be seen by the next start.
        let meaningless = || known != now && known.drift(&now, &asked, When::Start).is_empty();
        let targets = mended(&drift);
        if !drift.is_empty() || meaningless() {
            accept_mending(target, at_target, &self.name, &now, &drift).await?;
            self.known = Some(now);
        } else {
            self.known = Some(known);
        }
        self.sessions = Some(sessions);
        Ok(targets)
    }
}

/// All that holds the pipeline, as one error.
pub fn held(drift: &[Drift], place: &str) -> Option<Error> {
    let mut held = drift.iter().filter(|drift| drift.reply == Reply::Hold);
    let first = held.next()?;
    let rest: Vec<_> = held.map(|drift| drift.what.as_str()).collect();
    if rest.is_empty() {
        return Some(first.error(place));
    }
    let what = format!("{}; also: {}", first.what, rest.join("; "));
    Some(Drift { what, ..first.clone() }.error(place))
}

impl Sentinel for PgSentinel {
    async fn look(&mut self) -> Result<Vec<String>> {
        match self.look_once().await {
            // The connections of the pipeline itself tell whether a server is there.
            Err(error) if error.kind() == Kind::Unavailable => {
                tracing::debug!("the catalogues were not looked at: {error}");
                Ok(Vec::new())
            }
            result => result,
        }
    }
}
