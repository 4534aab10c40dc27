//! Which tables are held while the others go on, and what somebody has said of how they go on.

use regraft_core::{Code, Drifted, Error, Kind, Result, Subject, TableName};
use regraft_pipeline::HeldTable;
use regraft_postgres::ledger::{PgLedger, Registered};
use regraft_postgres::standing::{self, Held, Policy, Resume, aside, resumption};
use regraft_settings::Settings;

use crate::args::RunArgs;
use crate::resolve::standing::policy;
use crate::resolve::{Refused, Side, is_text_of};

/// What the ledger says when a plan is made.
pub(crate) struct Holding<'a> {
    settings: &'a Settings,
    target: &'a Side,
    registered: Option<Registered>,
    policy: Policy,
    /// Tables may be held by themselves: somebody looks after the daemon.
    alone: bool,
    /// The tables without which the plan is made.
    pub(crate) held: Vec<Held>,
    /// Those that were held and are in the plan again.
    pub(crate) resumed: Vec<Held>,
    /// How they, and what else has drifted, go on.
    pub(crate) resume: Option<Resume>,
}

impl<'a> Holding<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// When the target cannot be asked; that of a held table when the run is to end by itself.
    pub(crate) async fn read(
        settings: &'a Settings,
        args: &RunArgs,
        target: &'a Side,
    ) -> Result<Self> {
        let (client, place, name) = (&target.client, target.place.as_str(), &settings.name);
        // That of a newer regraft may be of any form.
        PgLedger::migrate_existing(client, place).await?;
        let registered = PgLedger::registered(client, place, name).await?;
        let (mut held, mut resume) = (Vec::new(), None);
        if registered.is_some() {
            held = aside(client, place, name).await?;
            resume = resumption(client, place, name).await?;
        }
        let of = |tables: &[String], table: &TableName| {
            tables.iter().any(|t| t == "all" || *t == table.name || *t == table.to_string())
        };
        let asked = |table: &TableName| {
            let said = resume
                .as_ref()
                .is_some_and(|resume| resume.tables.is_empty() || of(&resume.tables, table));
            said || of(&args.recopy, table) || of(&args.resync, table)
        };
        let policy = policy(settings);
        let asked: Vec<_> =
            held.iter().map(|held| held.table.clone()).filter(|table| asked(table)).collect();
        let mut resumed = Vec::new();
        if !asked.is_empty() {
            // A child does not come back without its parent.
            let all = standing::closure(client, place, name, &asked, policy.trusted).await?;
            (resumed, held) =
                held.into_iter().partition(|held| all.contains(&held.table.to_string()));
        }
        let alone = policy.alone && !args.until_caught_up;
        let this = Self { settings, target, registered, policy, alone, held, resumed, resume };
        match this.held.first() {
            Some(held) if args.until_caught_up => Err(this.error(held)),
            _ => Ok(this),
        }
    }

    fn error(&self, held: &Held) -> Error {
        let code = Code::ALL.iter().find(|code| code.as_str() == held.code);
        Error::new(
            *code.unwrap_or(&Code::StandsOnOther),
            format!("the table is held: {}", held.what),
        )
        .at(held.table.to_string())
        .remedy(format!("`regraft run --recopy {}`, or {}", held.table, held.remedy))
    }

    /// Holds the tables of statements that are not in order any more, though their text was accepted; false
    /// when the rest of the mapping cannot go on without them, or is not in order either.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub(crate) async fn refused(&mut self, refused: &[Refused]) -> Result<bool> {
        let mut found = Vec::new();
        for refused in refused {
            let Some(table) = self.table(refused) else { return Ok(false) };
            found.push((table, &refused.error));
        }
        let mut held = false;
        for (table, error) in found {
            let error = Error::new(error.code(), error.what())
                .at(error.place().unwrap_or_default())
                .drifted(Drifted::of(Subject::Columns, vec![table]));
            if !self.hold(&error).await? {
                return Ok(held);
            }
            held = true;
        }
        Ok(held)
    }

    /// The source table of a statement: as it was registered, or held until now.
    fn table(&self, refused: &Refused) -> Option<TableName> {
        let mut statements = self.registered.iter().flat_map(|known| &known.statements);
        let known = statements.find(|(.., known)| is_text_of(known, &refused.fingerprint));
        let shapes = self.registered.iter().flat_map(|known| &known.shapes);
        let mut shapes = shapes.map(|(table, _)| table);
        let known =
            known.and_then(|(source, ..)| shapes.find(|table| *source == table.to_string()));
        let resumed = || {
            let is_of = |held: &&Held| refused.is_of(held);
            self.resumed.iter().find(is_of).map(|held| &held.table)
        };
        known.or_else(resumed).cloned()
    }

    /// What was to go on again cannot, for whatever reason: it is held as before, and the rest goes on without
    /// it. False when nothing was to.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub(crate) async fn not_resumed(&mut self, error: &Error) -> Result<bool> {
        if self.resumed.is_empty() || error.kind() == Kind::Unavailable {
            return Ok(false);
        }
        let tables = self.resumed.iter().map(|held| held.table.clone()).collect();
        let error = Error::new(error.code(), error.what())
            .at(error.place().unwrap_or_default())
            .drifted(Drifted::of(Subject::Tables, tables));
        let held = self.hold(&error).await?;
        if held && let Some(resume) = self.resume.take() {
            let (client, place) = (&self.target.client, self.target.place.as_str());
            standing::answered(client, place, &self.settings.name, &resume).await?;
        }
        Ok(held)
    }

    /// Holds what drifted, without the rest; false when the rest cannot go on without it.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub(crate) async fn hold(&mut self, error: &Error) -> Result<bool> {
        let (Some(drifted), true) = (error.drift(), self.alone) else { return Ok(false) };
        let (client, place) = (&self.target.client, self.target.place.as_str());
        let (name, tables) = (self.settings.name.as_str(), &drifted.tables);
        let trusted = self.policy.trusted;
        if !PgLedger::lock_if_free(client, place, name).await? {
            return Ok(false);
        }
        PgLedger::migrate_existing(client, place).await?;
        // Those that were to go on are held in the ledger to this moment.
        let mut held = standing::connected(client, place, name, tables, trusted).await?;
        let again = self.resumed.iter().map(|held| held.table.clone());
        let again: Vec<_> = again.filter(|table| tables.contains(table)).collect();
        if !again.is_empty() {
            held.get_or_insert_default().extend(again);
        }
        let held = held.unwrap_or_default();
        let done = standing::set_aside(client, place, (name, None), &held, error).await;
        PgLedger::unlock(client, place, name).await?;
        if !done? {
            return Ok(false);
        }
        self.resumed.retain(|resumed| !held.contains(&resumed.table));
        let goes_on = |held: &Held| self.resumed.iter().any(|other| other.table == held.table);
        let known = aside(client, place, name).await?;
        self.held = known.into_iter().filter(|held| !goes_on(held)).collect();
        Ok(true)
    }

    /// For the status.
    pub(crate) fn shown(&self) -> Vec<HeldTable> {
        self.held.iter().map(shown).collect()
    }
}

/// A held table, for the status.
pub(crate) fn shown(held: &Held) -> HeldTable {
    let Held { table, since, position, code, what, remedy, .. } = held;
    HeldTable {
        table: table.to_string(),
        since: *since,
        position: position.to_string(),
        code: code.clone(),
        what: what.clone(),
        remedy: remedy.clone(),
    }
}
