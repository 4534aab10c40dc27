//! The fan over a log that a test writes.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use regraft_core::contract::ChangeStream;
use regraft_core::{Code, Error, Event, Lsn, Transaction};
use tokio::sync::watch;

use super::*;

/// Bytes of the log that a transaction takes.
const STEP: u64 = 100;
/// Messages in each.
const MESSAGES: u64 = 3;

/// A source whose transactions hold nothing but messages.
#[derive(Clone)]
struct Log(Arc<Server>, &'static str);

struct Server {
    /// Transactions that are committed.
    committed: watch::Sender<u64>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    confirmed: u64,
    /// What is open: the stream, and those beside it.
    open: [usize; 2],
    broken: bool,
}

impl Log {
    fn new() -> Self {
        let (committed, seen) = (watch::Sender::new(0), Mutex::default());
        Self(Arc::new(Server { committed, seen }), "all")
    }

    /// The same log, of which streams have something else.
    fn with(&self, scope: &'static str) -> Self {
        Self(Arc::clone(&self.0), scope)
    }

    fn commit(&self, transactions: u64) {
        self.0.committed.send_modify(|committed| *committed += transactions);
    }

    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.0.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn open(&self, past: &Past, beside: bool) -> Result<Opened<Stream>> {
        let Position::Lsn(Lsn(from)) = past.position else { panic!("of another source") };
        self.seen(|seen| {
            if seen.confirmed > from {
                return Err(Error::new(Code::PositionGap, "forgotten"));
            }
            assert!(beside || seen.open[0] == 0, "there is one stream at a time");
            seen.open[usize::from(beside)] += 1;
            Ok(())
        })?;
        let stream = Stream {
            log: self.clone(),
            committed: self.0.committed.subscribe(),
            next: from / STEP,
            message: 0,
            told: false,
            beside,
        };
        Ok(Opened { stream, history: None })
    }
}

struct Stream {
    log: Log,
    committed: watch::Receiver<u64>,
    /// The transaction that comes next, or is under way.
    next: u64,
    /// What comes next of it.
    message: u64,
    /// It has told what each stream tells once.
    told: bool,
    beside: bool,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.log.seen(|seen| seen.open[usize::from(self.beside)] -= 1);
    }
}

impl ChangeStream for Stream {
    async fn next(&mut self) -> Result<Vec<Event>> {
        let next = self.next;
        let Ok(_) = self.committed.wait_for(|committed| *committed > next).await else {
            return std::future::pending().await;
        };
        if self.log.seen(|seen| seen.broken) {
            return Err(Error::new(Code::Unreachable, "broken"));
        }
        let event = match self.message {
            0 => Event::Begin(Transaction {
                at: Lsn(next * STEP + 1).into(),
                commit_time: SystemTime::UNIX_EPOCH,
                xid: None,
                origin: None,
            }),
            message if message <= MESSAGES => Event::Message {
                prefix: String::new(),
                content: Bytes::copy_from_slice(&(next * 10 + message).to_be_bytes()),
                transactional: true,
            },
            _ => Event::Commit { end: at(next + 1) },
        };
        let mut events = vec![event];
        if self.message == 1 && !std::mem::replace(&mut self.told, true) {
            let (schema, name) = ("public".to_owned(), "mood".to_owned());
            events.insert(0, Event::Type { oid: 1, schema, name });
        }
        if self.message == 0 {
            // It is of no transaction, and comes where it likes.
            let (prefix, content) = (String::new(), Bytes::from_static(b"beside"));
            events.insert(0, Event::Message { prefix, content, transactional: false });
        }
        self.message += 1;
        if self.message == MESSAGES + 2 {
            (self.next, self.message) = (next + 1, 0);
        }
        Ok(events)
    }

    fn ready(&self) -> bool {
        *self.committed.borrow() > self.next
    }

    fn acknowledge(&self, position: Position) {
        if let (Position::Lsn(Lsn(lsn)), false) = (position, self.beside) {
            self.log.seen(|seen| seen.confirmed = seen.confirmed.max(lsn));
        }
    }

    fn source_end(&self) -> Position {
        at(*self.committed.borrow())
    }

    async fn close(self) -> Result<()> {
        Ok(())
    }
}

impl Source for Log {
    type Stream = Stream;
    type Reader = regraft_memory::MemoryReader;

    async fn stream(&mut self, past: &Past) -> Result<Opened<Stream>> {
        self.open(past, false)
    }

    async fn beside(&mut self, past: &Past) -> Result<Opened<Stream>> {
        self.open(past, true)
    }

    fn gives(&self) -> Gives {
        Gives { reads: false }
    }

    fn scope(&self) -> String {
        self.1.to_owned()
    }

    fn reader(&mut self) -> Option<Self::Reader> {
        None
    }
}

/// The end of so many transactions.
fn at(transactions: u64) -> Position {
    Lsn(transactions * STEP).into()
}

fn fan(legs: usize, limit: Option<u64>) -> Fan {
    let room = Room { fastest: 1_000, slower: 4_000 };
    Fan::new((0..legs).map(|leg| (Some(format!("leg{leg}")), limit)), room)
}

async fn come(fan: &Fan, leg: usize, log: &Log, from: u64) -> Result<LegStream<Log>> {
    let past = Past { position: at(from), last: None, history: None };
    let Opened { stream, .. } = fan.tap(leg, log.clone()).stream(&past).await?;
    stream.acknowledge(past.position);
    Ok(stream)
}

/// Takes whole transactions up to this one, and proves that each comes once, whole and in order.
async fn take(stream: &mut LegStream<Log>, transactions: std::ops::Range<u64>) {
    let mut given = Vec::new();
    while !matches!(given.last(), Some(Event::Commit { end }) if *end == at(transactions.end)) {
        // Time passes by itself where nothing happens.
        let events = tokio::time::timeout(Duration::from_secs(60), stream.next()).await;
        given.extend(events.expect("events").unwrap());
    }
    let mut given = given.into_iter();
    for transaction in transactions {
        let begin = given.next();
        assert!(
            matches!(&begin, Some(Event::Begin(begin)) if begin.at == Lsn(transaction * STEP + 1).into()),
            "{transaction}: {begin:?}"
        );
        for message in 1..=MESSAGES {
            let content = (transaction * 10 + message).to_be_bytes();
            let event = given.next();
            assert!(
                matches!(&event, Some(Event::Message { content: given, .. }) if given[..] == content),
                "{transaction}: {event:?}"
            );
        }
        let commit = given.next();
        assert!(matches!(&commit, Some(Event::Commit { end }) if *end == at(transaction + 1)));
    }
}

/// Lets the tasks of the fan do what they can.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_takes_nothing_is_detached_and_comes_back_by_itself() {
    let (log, fan) = (Log::new(), fan(2, None));
    let mut fast = come(&fan, 0, &log, 0).await.unwrap();
    log.commit(1);
    let mut slow = come(&fan, 1, &log, 0).await.unwrap();
    take(&mut fast, 0..1).await;
    take(&mut slow, 0..1).await;
    // It meets the stream with the next transactions.
    for next in 1..4 {
        log.commit(1);
        take(&mut fast, next..next + 1).await;
        take(&mut slow, next..next + 1).await;
    }
    assert_eq!([fan.gets(0), fan.gets(1)], [Gets::Shared; 2]);
    assert_eq!(log.seen(|seen| seen.open), [1, 0]);
    log.commit(500);
    take(&mut fast, 4..504).await;
    take(&mut slow, 4..504).await;
    settle().await;
    assert_eq!(log.seen(|seen| seen.open[0]), 1);
    for next in 504..508 {
        log.commit(1);
        take(&mut fast, next..next + 1).await;
        take(&mut slow, next..next + 1).await;
    }
    assert_eq!([fan.gets(0), fan.gets(1)], [Gets::Shared; 2]);
    assert_eq!(log.seen(|seen| seen.open), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_is_detached_within_a_transaction_goes_on_there() {
    let (log, fan) = (Log::new(), fan(2, None));
    let mut slow = come(&fan, 0, &log, 0).await.unwrap();
    let mut fast = come(&fan, 1, &log, 0).await.unwrap();
    log.commit(1);
    // Begin and a message.
    let mut events = Vec::new();
    while events.len() < 2 {
        events.extend(slow.next().await.unwrap());
    }
    assert_eq!(events.len(), 2);
    take(&mut fast, 0..1).await;
    log.commit(200);
    take(&mut fast, 1..201).await;
    assert_eq!(fan.gets(0), Gets::Detached);
    while !matches!(events.last(), Some(Event::Commit { end }) if *end == at(201)) {
        events.extend(slow.next().await.unwrap());
    }
    assert_eq!(events.len() as u64, 201 * (MESSAGES + 2), "each event once");
}

#[tokio::test(start_paused = true)]
async fn the_source_hears_the_least_once_all_have_told_where_they_are() {
    let (log, fan) = (Log::new(), fan(2, None));
    log.commit(10);
    let confirmed = || log.seen(|seen| seen.confirmed);
    let mut first = come(&fan, 0, &log, 0).await.unwrap();
    take(&mut first, 0..10).await;
    first.acknowledge(at(10));
    settle().await;
    assert_eq!(confirmed(), 0, "the other one may be further behind");
    let mut second = come(&fan, 1, &log, 0).await.unwrap();
    take(&mut second, 0..10).await;
    second.acknowledge(at(4));
    settle().await;
    assert_eq!(confirmed(), 4 * STEP);
    // One that is away counts.
    drop(second);
    log.commit(5);
    take(&mut first, 10..15).await;
    first.acknowledge(at(15));
    settle().await;
    assert_eq!((confirmed(), fan.gets(1)), (4 * STEP, Gets::Away));
    let mut second = come(&fan, 1, &log, 4).await.unwrap();
    take(&mut second, 4..15).await;
    second.acknowledge(at(15));
    settle().await;
    assert_eq!(confirmed(), 15 * STEP);
}

#[tokio::test(start_paused = true)]
async fn a_leg_beyond_its_limit_is_given_up_and_the_others_go_on() {
    let (log, fan) = (Log::new(), fan(2, Some(5 * STEP)));
    let mut first = come(&fan, 0, &log, 0).await.unwrap();
    let mut second = come(&fan, 1, &log, 0).await.unwrap();
    log.commit(6);
    take(&mut first, 0..6).await;
    first.acknowledge(at(5));
    settle().await;
    assert_eq!((log.seen(|seen| seen.confirmed), fan.gets(1)), (0, Gets::Detached));
    first.acknowledge(at(6));
    settle().await;
    assert_eq!((log.seen(|seen| seen.confirmed), fan.gets(1)), (6 * STEP, Gets::GivenUp));
    let error = second.next().await.unwrap_err();
    assert_eq!(error.code(), Code::PositionGap);
    assert!(error.remedy_text().unwrap().contains("--target leg1"), "{error}");
    drop(second);
    let error = come(&fan, 1, &log, 5).await.err().unwrap();
    assert_eq!(error.code(), Code::PositionGap);
    // In line again, by other means.
    let second = come(&fan, 1, &log, 6).await.unwrap();
    assert_eq!(fan.gets(1), Gets::Detached);
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_behind_none_is_given_up() {
    let (log, fan) = (Log::new(), fan(2, Some(5 * STEP)));
    let mut first = come(&fan, 0, &log, 0).await.unwrap();
    let second = come(&fan, 1, &log, 0).await.unwrap();
    log.commit(50);
    take(&mut first, 0..50).await;
    settle().await;
    assert!(![fan.gets(0), fan.gets(1)].contains(&Gets::GivenUp));
    drop((first, second));
}

#[tokio::test(start_paused = true)]
async fn the_stream_ends_with_the_last_leg_and_is_opened_again() {
    let (log, fan) = (Log::new(), fan(2, None));
    let first = come(&fan, 0, &log, 0).await.unwrap();
    let second = come(&fan, 1, &log, 0).await.unwrap();
    assert_eq!(log.seen(|seen| seen.open), [1, 1]);
    first.close().await.unwrap();
    second.close().await.unwrap();
    assert_eq!(log.seen(|seen| seen.open), [0, 0]);
    drop(come(&fan, 0, &log, 0).await.unwrap());
    // Without a farewell it takes a moment, which the next one waits for.
    let again = come(&fan, 0, &log, 0).await.unwrap();
    assert_eq!((log.seen(|seen| seen.open), fan.gets(0)), ([1, 0], Gets::Shared));
    drop(again);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_breaks_for_all_that_share_it() {
    let (log, fan) = (Log::new(), fan(2, None));
    let mut first = come(&fan, 0, &log, 0).await.unwrap();
    let mut second = come(&fan, 1, &log, 0).await.unwrap();
    for next in 0..4 {
        log.commit(1);
        take(&mut first, next..next + 1).await;
        take(&mut second, next..next + 1).await;
    }
    log.seen(|seen| seen.broken = true);
    log.commit(1);
    for stream in [&mut first, &mut second] {
        assert_eq!(stream.next().await.unwrap_err().code(), Code::Unreachable);
    }
    drop((first, second));
    log.seen(|seen| seen.broken = false);
    let mut first = come(&fan, 0, &log, 4).await.unwrap();
    take(&mut first, 4..5).await;
    assert_eq!(fan.gets(0), Gets::Shared);
}

#[tokio::test(start_paused = true)]
async fn a_leg_does_not_wait_when_what_waits_for_it_was_given_before() {
    let (log, fan) = (Log::new(), fan(2, None));
    let mut first = come(&fan, 0, &log, 0).await.unwrap();
    let mut second = come(&fan, 1, &log, 0).await.unwrap();
    for next in 0..6 {
        log.commit(1);
        take(&mut first, next..next + 1).await;
        take(&mut second, next..next + 1).await;
        settle().await;
        // Whoever holds something back until nothing is ready must hear that nothing is.
        while second.ready() {
            let events = tokio::time::timeout(Duration::from_secs(1), second.next()).await;
            assert_eq!(events.expect("an answer").unwrap().len(), 0);
        }
    }
    assert_eq!(fan.gets(1), Gets::Shared);
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_needs_something_else_of_the_source_keeps_its_own_stream() {
    let (log, fan) = (Log::new(), fan(2, None));
    let mut first = come(&fan, 0, &log, 0).await.unwrap();
    let mut second = come(&fan, 1, &log.with("more"), 0).await.unwrap();
    for next in 0..10 {
        log.commit(1);
        take(&mut first, next..next + 1).await;
        take(&mut second, next..next + 1).await;
    }
    assert_eq!([fan.gets(0), fan.gets(1)], [Gets::Shared, Gets::Detached]);
    assert_eq!(log.seen(|seen| seen.open), [1, 1]);
    first.acknowledge(at(10));
    second.acknowledge(at(3));
    settle().await;
    assert_eq!(log.seen(|seen| seen.confirmed), 3 * STEP);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_for_a_leg_whose_log_is_gone() {
    let (log, fan) = (Log::new(), fan(2, None));
    log.commit(10);
    log.seen(|seen| seen.confirmed = 5 * STEP);
    let error = come(&fan, 1, &log, 4).await.err().unwrap();
    assert_eq!((error.code(), fan.gets(1)), (Code::PositionGap, Gets::GivenUp));
    let mut first = come(&fan, 0, &log, 5).await.unwrap();
    take(&mut first, 5..10).await;
    first.acknowledge(at(10));
    settle().await;
    assert_eq!(log.seen(|seen| seen.confirmed), 10 * STEP);
}
