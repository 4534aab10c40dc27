//! Tests a connector for what the pipeline relies on, see [`regraft_core::contract`]: against the servers that
//! it is for, one pipeline with one table, and without the pipeline.
//!
//! A connector's test gives a [`Bench`]; [`check`] tries every [`Rule`] with one of its own.

mod bench;
mod sink;
mod source;

use std::fmt;

pub use bench::{Bench, Entered, KEY, VALUE};

/// What a connector promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A stream that is opened again goes on without a gap, and what it repeats can be told.
    Restart,
    /// A read of the stream that is given up loses nothing.
    CancelledNext,
    /// What was not acknowledged comes again; what was is there, or refused.
    Acknowledged,
    /// A stream beside another one gives the same, and lets the source forget nothing.
    Beside,
    /// A watermark stands in the stream once, behind what was committed before it.
    Watermark,
    /// Chunks cover each row once, as of a snapshot.
    Chunk,
    /// A chunk that is read while the source is written to has what its snapshot sees, and nothing else.
    Snapshot,
    /// Rows, position, chunks and keys to read are committed together.
    OneCommit,
    /// What is called durable grows, is committed, and survives the machine.
    Durable,
    /// A sink that was opened before another one commits no more.
    Fenced,
    /// The ledger remembers what was planned.
    Ledger,
    /// A write that is given up is there as a whole, or not at all.
    CancelledWrite,
    /// A commit whose answer was lost is found when the pipeline is opened again.
    LostAnswer,
    /// A row that the target refuses is an error with a place, and leaves nothing.
    Refused,
    /// A log has each entry once it is committed, whole and in order.
    Log,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 15] = [
        Rule::Restart,
        Rule::CancelledNext,
        Rule::Acknowledged,
        Rule::Beside,
        Rule::Watermark,
        Rule::Chunk,
        Rule::Snapshot,
        Rule::OneCommit,
        Rule::Durable,
        Rule::Fenced,
        Rule::Ledger,
        Rule::CancelledWrite,
        Rule::LostAnswer,
        Rule::Refused,
        Rule::Log,
    ];
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It held.
    Holds,
    /// This kind of server cannot be asked for it, and why.
    NotApplicable(String),
    /// It is broken, and how.
    Broken(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Holds => write!(f, "holds"),
            Outcome::NotApplicable(why) => write!(f, "does not apply: {why}"),
            Outcome::Broken(how) => write!(f, "is broken: {how}"),
        }
    }
}

/// Why a rule did not hold.
pub(crate) enum Fault {
    NotApplicable(String),
    Broken(String),
}

impl From<regraft_core::Error> for Fault {
    fn from(error: regraft_core::Error) -> Self {
        Fault::Broken(format!("{error:#}"))
    }
}

pub(crate) type Held = Result<(), Fault>;

/// The rule is broken if not.
pub(crate) fn that(holds: bool, otherwise: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(Fault::Broken(otherwise())) }
}

/// Tries one rule on a bench that nothing was done with before.
pub async fn check<B: Bench>(rule: Rule, mut bench: B) -> Outcome {
    let bench = &mut bench;
    let held = match rule {
        Rule::Restart => source::restart(bench).await,
        Rule::CancelledNext => source::cancelled_next(bench).await,
        Rule::Acknowledged => source::acknowledged(bench).await,
        Rule::Beside => source::beside(bench).await,
        Rule::Watermark => source::watermark(bench).await,
        Rule::Chunk => source::chunk(bench).await,
        Rule::Snapshot => source::snapshot(bench).await,
        Rule::OneCommit => sink::one_commit(bench).await,
        Rule::Durable => sink::durable(bench).await,
        Rule::Fenced => sink::fenced(bench).await,
        Rule::Ledger => sink::ledger(bench).await,
        Rule::CancelledWrite => sink::cancelled_write(bench).await,
        Rule::LostAnswer => sink::lost_answer(bench).await,
        Rule::Refused => sink::refused(bench).await,
        Rule::Log => sink::log(bench).await,
    };
    match held {
        Ok(()) => Outcome::Holds,
        Err(Fault::NotApplicable(why)) => Outcome::NotApplicable(why),
        Err(Fault::Broken(how)) => Outcome::Broken(how),
    }
}
