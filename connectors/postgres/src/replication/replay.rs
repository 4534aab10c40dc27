//! Proof that a log is the one in which a position was given out: the last commit that the target has is
//! asked for once more, and has to come, with nothing between it and the position.
//!
//! A source that was put back from a copy of its disk has the same identity, and its log ends beyond the
//! position once it has written enough. But its slot is as old as the copy, and so it can send that commit
//! again; at that place its log has another one.

use std::collections::HashMap;
use std::sync::Arc;

use regraft_core::{Change, Event, Lsn, Oid, Position, Relation, Result, Transaction};

use crate::at::lsn;
use crate::history::rewound;

/// What comes before the position. Nothing of it is given to the consumer.
pub(crate) struct Replay {
    /// The position.
    until: Position,
    /// It has to come first.
    expected: Option<Transaction>,
    proved: bool,
    /// Shapes that the server told before the position, and tells no more: the consumer hears of those that
    /// a change needs. The others may be of a past that its mapping does not fit any more.
    untold: HashMap<Oid, Arc<Relation>>,
}

impl Replay {
    /// Where to start so that the log is proved, given what the slot has confirmed.
    pub(crate) fn start(last: &Transaction, confirmed: Lsn, until: Lsn) -> Result<Lsn> {
        Ok(confirmed.max(lsn(&last.at)?).min(until))
    }

    /// `confirmed` is what the slot has confirmed by the time when nobody else can move it.
    pub(crate) fn new(last: Transaction, confirmed: Lsn, until: Lsn) -> Self {
        // What is confirmed does not come again.
        let expected = (last.at >= confirmed.into()).then_some(last);
        let until = until.into();
        Self { until, expected, proved: false, untold: HashMap::new() }
    }

    /// The log is the right one. Until then nothing may be acknowledged.
    pub(crate) fn is_proved(&self) -> bool {
        self.proved
    }

    /// Nothing is left to be done.
    pub(crate) fn is_over(&self) -> bool {
        self.proved && self.untold.is_empty()
    }

    /// Takes an event of the server; what is for the consumer is put into `events`.
    ///
    /// # Errors
    /// [`regraft_core::Code::SourceRewound`]
    pub(crate) fn event(
        &mut self,
        event: Event,
        events: &mut Vec<Event>,
        place: &str,
    ) -> Result<()> {
        if self.proved {
            self.tell(&event, events);
            events.push(event);
            return Ok(());
        }
        match event {
            Event::Begin(transaction) if self.until.has(&transaction.at) => {
                return self.replayed(&transaction, place);
            }
            Event::Begin(transaction) => {
                self.reached(&transaction.at, place)?;
                events.push(Event::Begin(transaction));
            }
            Event::Relation(relation) => {
                self.untold.insert(relation.oid, relation);
            }
            _ => {}
        }
        Ok(())
    }

    /// Everything before `position` has come. Between two transactions.
    ///
    /// # Errors
    /// [`regraft_core::Code::SourceRewound`]
    pub(crate) fn reached(&mut self, position: &Position, place: &str) -> Result<()> {
        if self.proved || !position.covers(&self.until) {
            return Ok(());
        }
        if let Some(expected) = &self.expected {
            return Err(rewound(format!("{}, is not in the source's log", known(expected)), place));
        }
        self.proved = true;
        Ok(())
    }

    fn replayed(&mut self, transaction: &Transaction, place: &str) -> Result<()> {
        let what = match &self.expected {
            Some(expected) if same(transaction, expected) => {
                self.expected = None;
                return Ok(());
            }
            Some(expected) if transaction.at < expected.at => return Ok(()),
            Some(expected) => format!(
                "{}, is not in the source's log: transaction {} at {} is",
                known(expected),
                xid(transaction),
                transaction.at
            ),
            None => format!(
                "the source's log has a commit at {}, by transaction {}, that it did not have when the target got \
                 to the position {}",
                transaction.at,
                xid(transaction),
                self.until
            ),
        };
        Err(rewound(what, place))
    }

    /// Tells of the shapes that an event needs.
    fn tell(&mut self, event: &Event, events: &mut Vec<Event>) {
        let mut needs = |relation: &Relation| {
            events.extend(self.untold.remove(&relation.oid).map(Event::Relation));
        };
        match event {
            // Another one came in its place.
            Event::Relation(relation) => drop(self.untold.remove(&relation.oid)),
            Event::Change(
                Change::Insert { relation, .. }
                | Change::Update { relation, .. }
                | Change::Delete { relation, .. },
            ) => needs(relation),
            Event::Change(Change::Truncate { relations }) => {
                relations.iter().for_each(|relation| needs(relation));
            }
            _ => {}
        }
    }
}

fn same(a: &Transaction, b: &Transaction) -> bool {
    (&a.at, a.xid, a.commit_time) == (&b.at, b.xid, b.commit_time)
}

fn known(last: &Transaction) -> String {
    format!("the last commit that the target has, of transaction {} at {}", xid(last), last.at)
}

fn xid(transaction: &Transaction) -> String {
    transaction.xid.map_or_else(|| "of unknown id".to_owned(), |xid| xid.to_string())
}
