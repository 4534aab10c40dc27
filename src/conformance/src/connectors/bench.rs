//! What the suite needs of a kind of server, and how it opens a pipeline there.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use regraft_core::contract::{ChangeStream, Ledger, LedgerState, Opened, Sink, Source, Target};
use regraft_core::row::put_value;
use regraft_core::segment::Commit;
use regraft_core::{
    Cause, Cell, Change, Code, Entry, EntryKind, Error, Event, Form, Key, Kind, Payload, Position,
    Result, Row, Rows, Segment, TableWrites, Takes, Transaction, Tuple,
};
use tokio::time::Instant;

/// The key column of the source table, an `int4`.
pub const KEY: &str = "id";
/// Its other column, an `int4`.
pub const VALUE: &str = "value";

const PAUSE: Duration = Duration::from_millis(20);

/// One pipeline at the servers of a connector: a source table with the columns [`KEY`] and [`VALUE`], empty, and
/// one statement that copies both columns to the target, whose key is [`KEY`].
pub trait Bench: Send {
    /// The source.
    type Source: Source;
    /// The target.
    type Target: Target;

    /// Both ends, as a daemon that starts has them.
    fn ends(&mut self) -> impl Future<Output = (Self::Source, Self::Target)> + Send;

    /// The source table, as the reader knows it.
    fn table(&self) -> regraft_core::TableName;

    /// One transaction of the source: rows get these values, or go.
    fn change(&mut self, rows: &[(i32, Option<i32>)]) -> impl Future<Output = ()> + Send;

    /// The rows of the target; of a log, those that follow from it.
    fn rows(&mut self) -> impl Future<Output = BTreeMap<i32, i32>> + Send;

    /// What the target has, if it takes a log ([`regraft_core::Form::Log`]), in order.
    fn log(&mut self) -> impl Future<Output = Vec<Entered>> + Send {
        async { Vec::new() }
    }

    /// The target's machine stops, and starts with what was on its disk; false where that cannot be done.
    fn crash_target(&mut self) -> impl Future<Output = bool> + Send;

    /// The answer to the next commit of the target is lost: it is an error, although it was done. False where
    /// that cannot be had.
    fn lose_answer(&mut self) -> impl Future<Output = bool> + Send;

    /// A value that the target refuses; `None` where it takes any.
    fn refused(&self) -> Option<i32>;

    /// A server that has not answered by then will not.
    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }
}

/// A pipeline that is open.
pub(crate) struct Open<B: Bench> {
    pub(crate) source: B::Source,
    pub(crate) ledger: <B::Target as Target>::Ledger,
    pub(crate) sink: <B::Target as Target>::Sink,
    pub(crate) stream: <B::Source as Source>::Stream,
    pub(crate) state: LedgerState,
    pub(crate) transactions: bool,
    pub(crate) form: Form,
    patience: Duration,
}

impl<B: Bench> Open<B> {
    /// See [`collect`].
    pub(crate) async fn collect(&mut self, from: &Position, count: usize) -> Result<Taker> {
        collect(&mut self.stream, (from, count), self.patience).await
    }

    /// Waits until a position is durable; gives each that was told on the way.
    pub(crate) async fn until_durable(&mut self, position: &Position) -> Result<Vec<Position>> {
        let mut told = Vec::new();
        let until = Instant::now() + self.patience;
        loop {
            told.extend(self.sink.durable().await?);
            if told.last().is_some_and(|durable| durable.covers(position)) {
                return Ok(told);
            }
            if Instant::now() >= until {
                let what = format!("{position} is committed, and never durable");
                return Err(Error::new(Code::Internal, what));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Opens the pipeline as an attempt does. What was open before may still be going.
pub(crate) async fn open<B: Bench>(bench: &mut B) -> Result<Open<B>> {
    let (mut source, mut target) = bench.ends().await;
    let (mut ledger, sink) = patiently(bench.patience(), async || target.open().await).await?;
    let state = ledger.load().await?;
    let opened = patiently(bench.patience(), async || source.stream(&state.past).await).await?;
    let Opened { stream, history } = opened;
    if let Some(history) = history {
        ledger.note_history(&history).await?;
    }
    let Takes { transactions, form, .. } = target.takes();
    let patience = bench.patience();
    Ok(Open { source, ledger, sink, stream, state, transactions, form, patience })
}

/// Calls again as long as the server is busy with the connection before.
pub(crate) async fn patiently<T>(
    patience: Duration,
    mut call: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let until = Instant::now() + patience;
    loop {
        match call().await {
            Err(error) if error.kind() == Kind::Unavailable && Instant::now() < until => {
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

/// A transaction of the stream that changes rows of the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) begin: Transaction,
    pub(crate) rows: Vec<(i32, Option<i32>)>,
    pub(crate) end: Position,
}

/// Takes transactions from events.
#[derive(Default)]
pub(crate) struct Taker {
    open: Option<Transaction>,
    rows: Vec<(i32, Option<i32>)>,
    pub(crate) seen: Vec<Seen>,
    /// Contents of messages, with how many transactions were complete before each, and whether it stood in one.
    pub(crate) messages: Vec<(Vec<u8>, usize, bool)>,
    /// What is wrong with the order of the events.
    pub(crate) wrong: Option<String>,
}

impl Taker {
    pub(crate) fn take(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Begin(begin) => {
                    if self.open.replace(begin).is_some() {
                        self.wrong = Some("a transaction begins inside another one".to_owned());
                    }
                }
                Event::Commit { end } => {
                    let rows = std::mem::take(&mut self.rows);
                    match self.open.take() {
                        Some(begin) if !rows.is_empty() => {
                            self.seen.push(Seen { begin, rows, end });
                        }
                        Some(_) => {}
                        None => self.wrong = Some("a commit without a begin".to_owned()),
                    }
                }
                Event::Change(change) => {
                    if self.open.is_none() {
                        self.wrong = Some("a change outside a transaction".to_owned());
                    }
                    self.change(&change);
                }
                Event::Message { content, transactional, .. } => {
                    let inside = transactional && self.open.is_some();
                    self.messages.push((content.to_vec(), self.seen.len(), inside));
                }
                Event::Relation(_) | Event::Type { .. } | Event::Progress { .. } => {}
            }
        }
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Insert { new, .. } => self.rows.extend(pair(new)),
            Change::Update { old, new, .. } => {
                let old = old.as_ref().and_then(|old| int(old.tuple(), 0));
                let moved = old.filter(|old| Some(*old) != int(new, 0));
                self.rows.extend(moved.map(|old| (old, None)));
                self.rows.extend(pair(new));
            }
            Change::Delete { old, .. } => self.rows.extend(int(old.tuple(), 0).map(|k| (k, None))),
            Change::Truncate { .. } => self.wrong = Some("a TRUNCATE from nowhere".to_owned()),
        }
    }
}

fn pair(row: &Tuple) -> Option<(i32, Option<i32>)> {
    Some((int(row, 0)?, Some(int(row, 1)?)))
}

fn int(row: &Tuple, column: usize) -> Option<i32> {
    match row.get(column)? {
        Cell::Binary(bytes) => Some(i32::from_be_bytes(bytes.try_into().ok()?)),
        Cell::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        Cell::Null | Cell::Unchanged => None,
    }
}

/// Reads the stream until it has given so many transactions that the position does not have.
pub(crate) async fn collect<S: ChangeStream>(
    stream: &mut S,
    (from, count): (&Position, usize),
    patience: Duration,
) -> Result<Taker> {
    let mut taker = Taker::default();
    let until = Instant::now() + patience;
    while taker.seen.iter().filter(|seen| !from.has(&seen.begin.at)).count() < count {
        let events = tokio::time::timeout_at(until, stream.next()).await;
        let events = events.map_err(|_| {
            let what = format!("the stream gives {} of {count} transactions", taker.seen.len());
            Error::new(Code::Internal, what)
        })?;
        taker.take(events?);
        if let Some(wrong) = &taker.wrong {
            return Err(Error::new(Code::Protocol, wrong.clone()));
        }
    }
    Ok(taker)
}

/// An entry of a log, as somebody has it who reads there. Values are those of [`VALUE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// Where it comes from.
    pub kind: EntryKind,
    /// The source row that it is of.
    pub key: Option<i32>,
    /// The row before: `None` when it is not known, inside `None` when there was none.
    pub before: Option<Option<i32>>,
    /// The row from then on.
    pub after: Option<i32>,
    /// Where the transaction is that it is of, and which of its changes it is.
    pub cause: Option<(Position, u64)>,
}

impl Entered {
    /// An entry as the sink was given it. `None` when it is none of the suite's.
    pub fn of(entry: &Entry) -> Option<Entered> {
        let int = |row: Row<'_>, at| Some(i32::from_be_bytes(row.cell(at)??.try_into().ok()?));
        let key = match &entry.key {
            Some(key) => Some(int(key.row(), 0)?),
            None => None,
        };
        let value = |rows: &Rows| match rows.get(0) {
            Some(row) => int(row, 1).map(Some),
            None => Some(None),
        };
        let before = match &entry.before {
            Some(before) => Some(value(before)?),
            None => None,
        };
        let cause = entry.cause.as_ref().map(|of| (of.transaction.at.clone(), of.number));
        Some(Entered { kind: entry.kind, key, before, after: value(&entry.after)?, cause })
    }
}

/// The entry that is to be found again as this, of a transaction.
pub(crate) fn entry(entered: &Entered, transaction: Option<&Transaction>) -> Entry {
    let rows = |value: Option<i32>| match (entered.key, value) {
        (Some(key), Some(value)) => row(key, value),
        _ => Rows::new(),
    };
    let key = entered.key.map(|key| {
        let mut of = Vec::new();
        put_value(&mut of, &key.to_be_bytes());
        Key(of.into_boxed_slice())
    });
    let cause = entered
        .cause
        .as_ref()
        .zip(transaction)
        .map(|(&(_, number), of)| Cause { transaction: Arc::new(of.clone()), number });
    let (kind, before) = (entered.kind, entered.before.map(rows));
    Entry { statement: 0, kind, key, before, after: rows(entered.after), cause }
}

fn row(key: i32, value: i32) -> Rows {
    let mut rows = Rows::new();
    put_value(rows.buffer(), &key.to_be_bytes());
    put_value(rows.buffer(), &value.to_be_bytes());
    rows.end_row();
    rows
}

/// A segment with rows; with a commit, when there is a transaction that it ends with.
pub(crate) fn segment(form: Form, rows: &[(i32, i32)], last: Option<&Seen>) -> Segment {
    let logged = |(number, &(key, value)): (u64, &(i32, i32))| {
        let (kind, cause) = match last {
            Some(seen) => (EntryKind::Change, Some((seen.begin.at.clone(), number))),
            None => (EntryKind::Copied, None),
        };
        let entered = Entered { kind, key: Some(key), before: None, after: Some(value), cause };
        entry(&entered, last.map(|seen| &seen.begin))
    };
    let payload = match form {
        Form::Net => {
            let mut writes = TableWrites::default();
            for (key, value) in rows {
                row(*key, *value).iter().for_each(|row| writes.upserts.push(row));
            }
            Payload::Net(vec![writes])
        }
        Form::Log => Payload::Log((0..).zip(rows).map(logged).collect()),
    };
    let commit = last.map(|seen| Commit {
        position: seen.end.clone(),
        last: Some(seen.begin.clone()),
        commit_times: vec![seen.begin.commit_time],
        changes: rows.len() as u64,
        awaited: false,
    });
    Segment { payload, commit, ..Segment::default() }
}

/// Writes a segment, and waits until it is written.
pub(crate) async fn write<K: Sink>(sink: &mut K, segment: Segment) -> Result<()> {
    sink.write(segment).await?;
    while sink.settle().await?.is_some() {}
    Ok(())
}

/// Polls a future, and drops it when it has to wait once more than so many times. Counts waits instead of time, so
/// that each of them is hit however fast the machine is.
pub(crate) async fn given_up<T>(future: impl Future<Output = T>, waits: i32) -> Option<T> {
    let (mut future, mut left) = (pin!(future), waits);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}
