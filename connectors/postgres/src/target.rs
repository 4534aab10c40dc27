//! A PostgreSQL that rows go to.

use regraft_core::contract::{Ledger, Phase, Target};
use regraft_core::segment::Route;
use regraft_core::{Error, Result, Takes};
use tokio_postgres::Client;

use crate::address::{Address, connect};
use crate::apply::PgSink;
use crate::ledger::{Fence, PgLedger};
use crate::standing::{self, How, Policy, Resume};

/// The target of one pipeline.
pub struct PgTarget {
    /// Where it is.
    pub address: Address,
    /// Name of the pipeline.
    pub name: String,
    /// How its sessions call themselves.
    pub application: String,
    /// Statements.
    pub routes: Vec<Route>,
    /// Fingerprints of the statements, in order.
    pub fingerprints: Vec<String>,
    /// Neither foreign keys nor ordinary triggers fire.
    pub trusted: bool,
    /// Sessions that write side by side, at least 1.
    pub sessions: usize,
    /// What is done about a drift.
    pub policy: Policy,
    /// Of the ledger opened last.
    pub fence: Option<Fence>,
}

impl Target for PgTarget {
    type Ledger = PgLedger;
    type Sink = PgSink;

    fn takes(&self) -> Takes {
        PgSink::TAKES
    }

    async fn open(&mut self) -> Result<(PgLedger, PgSink)> {
        let ledger = self.ledger().await?;
        let (first, place) = self.connect().await?;
        let mut clients = vec![first];
        for _ in 1..self.sessions {
            clients.push(self.connect().await?.0);
        }
        let (routes, fence) = (self.routes.clone(), ledger.fence());
        let sink = PgSink::new(clients, &place, routes, fence, self.trusted).await?;
        Ok((ledger, sink))
    }

    async fn note(&mut self, error: Option<&Error>, phase: Phase) -> Result<()> {
        let mut ledger = self.ledger().await?;
        if error.is_some() {
            ledger.last_error(error).await?;
        }
        ledger.phase(phase).await
    }

    async fn answer(&mut self, error: &Error) -> Result<bool> {
        let (Some(drifted), Some(fence)) = (error.drift(), &self.fence) else { return Ok(false) };
        let policy = &self.policy;
        let (client, place) = self.connect().await?;
        let goes_on = policy.goes_on(drifted);
        if goes_on {
            let tables = drifted.tables.iter().map(ToString::to_string).collect();
            let resume = Resume { how: How::Mend, tables };
            standing::ask(&client, &place, &self.name, &resume).await?;
            tracing::warn!("{error:#}; [drift] says to go on");
        }
        if !policy.alone {
            return Ok(goes_on);
        }
        let tables = &drifted.tables;
        let held = standing::connected(&client, &place, &self.name, tables, policy.trusted).await?;
        let Some(held) = held else { return Ok(goes_on) };
        let pipeline = (self.name.as_str(), Some(fence.epoch()));
        standing::set_aside(&client, &place, pipeline, &held, error).await
    }
}

impl PgTarget {
    async fn connect(&self) -> Result<(Client, String)> {
        connect("target", &self.address, &self.application).await
    }

    async fn ledger(&mut self) -> Result<PgLedger> {
        let (client, place) = self.connect().await?;
        let ledger = PgLedger::open(client, &place, &self.name, &self.fingerprints).await?;
        self.fence = Some(ledger.fence());
        Ok(ledger)
    }
}
