//! The follower between a stream that a test plays and a sink that it looks into.

use std::sync::{Mutex, PoisonError};

use regraft_core::change::OldImage;
use regraft_core::chunk::StatementRows;
use regraft_core::contract::Past;
use regraft_core::segment::KeysToRead;
use regraft_core::{Change, Column, Key, Lsn, Mark, ReplicaIdentity, Rows, TableName, Takes};

use super::*;
use crate::fold::net::Net;
use crate::fold::net::tests::{image, key, plan, without_items};
use crate::progress::Progress;

/// Where the ledger stands.
const POSITION: u64 = 1_000;

/// Plays events, and keeps what is acknowledged.
struct Played {
    events: mpsc::UnboundedReceiver<Vec<Event>>,
    acknowledged: Arc<Mutex<Vec<Position>>>,
}

impl ChangeStream for Played {
    async fn next(&mut self) -> Result<Vec<Event>> {
        match self.events.recv().await {
            Some(events) => Ok(events),
            None => std::future::pending().await,
        }
    }

    fn ready(&self) -> bool {
        !self.events.is_empty()
    }

    fn acknowledge(&self, position: Position) {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(position);
    }

    fn source_end(&self) -> Position {
        Position::Lsn(Lsn(0))
    }

    async fn close(self) -> Result<()> {
        Ok(())
    }
}

/// The other ends.
struct Ends {
    events: mpsc::UnboundedSender<Vec<Event>>,
    segments: mpsc::Receiver<OnItsWay>,
    durable: watch::Sender<Option<Position>>,
    chunks: mpsc::Sender<ChunkMessage>,
    watermarks: Watermarks,
    acknowledged: Arc<Mutex<Vec<Position>>>,
    copied: watch::Sender<Vec<Copied>>,
}

impl Ends {
    fn play(&self, events: Vec<Event>) {
        self.events.send(events).unwrap();
    }

    fn mark(&self, token: Token) -> Event {
        let content = self.watermarks.write(Mark::Window(token)).as_str().to_owned().into();
        Event::Message { prefix: WATERMARK_PREFIX.to_owned(), content, transactional: true }
    }

    /// What the follower sends of itself, once it has taken everything that is there to take.
    async fn sent(&mut self) -> Option<Segment> {
        // One thread: whatever can go on goes on.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        self.segments.try_recv().ok().map(|(segment, _)| segment)
    }

    fn acknowledged(&self) -> Vec<Position> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs a follower from [`POSITION`] beside the test, which it outlives.
async fn follow(test: impl AsyncFnOnce(Ends)) {
    if let Some(error) = followed(test).await {
        panic!("the follower ended: {error:?}");
    }
}

/// The same, with the error that ended it first.
async fn followed(test: impl AsyncFnOnce(Ends)) -> Option<Error> {
    let mut plan = plan(true, false);
    let options = Options {
        batch_rows: 1_000,
        batch_bytes: 1 << 20,
        batch_age: Duration::from_secs(3_600),
        backfill: true,
        readers: 1,
        chunk_rows: 100,
        chunk_bytes: 1 << 20,
        rows_per_second: None,
        until_caught_up: false,
        verify: None,
    };
    let ledger = LedgerState {
        past: Past { position: Position::Lsn(Lsn(POSITION)), last: None, history: None },
        commit_time: None,
        tables: Vec::new(),
        pending: Vec::new(),
        mending: Vec::new(),
    };
    let reporter = Progress::new(&plan, Vec::new(), None).reporter();
    let (events_tx, events) = mpsc::unbounded_channel();
    let (segments, segments_rx) = mpsc::channel(1);
    let (durable_tx, durable) = watch::channel(None);
    let (chunks_tx, chunks) = mpsc::channel(10);
    let acknowledged = Arc::default();
    let stream = Played { events, acknowledged: Arc::clone(&acknowledged) };
    let (reshaped, cancel) = (Arc::default(), CancellationToken::new());
    let (reached, _) = watch::channel(Some(Reached::at(ledger.past.position.clone())));
    let (copied_tx, copied) = watch::channel(vec![Copied::default()]);
    let (_awaited, awaited) = watch::channel(false);
    let changes = Arc::new(Changes::new(1));
    let ports = Ports {
        segments,
        durable,
        chunks,
        reached,
        copied,
        awaited,
        changes,
        reshaped,
        heard: None,
        cancel,
    };
    let watermarks = Watermarks::of_attempt("test");
    let batch = Net::new(1, Takes::EVERYTHING);
    let start = Start {
        ledger: &ledger,
        watermarks: &watermarks,
        whole: false,
        settle_below: 0,
        gives: Gives::EVERYTHING,
    };
    let follower = Follower::new(&mut plan, &options, reporter, stream, ports, &start, batch);
    let ends = Ends {
        events: events_tx,
        segments: segments_rx,
        durable: durable_tx,
        chunks: chunks_tx,
        watermarks: watermarks.clone(),
        acknowledged,
        copied: copied_tx,
    };
    ends.play(vec![Event::Relation(relation())]);
    tokio::select! {
        () = test(ends) => None,
        ended = follower.run() => Some(ended.map(|(why, _)| why).unwrap_err()),
    }
}

fn relation() -> Arc<Relation> {
    let column = |name: &str| Column {
        key: name == "key",
        name: name.to_owned(),
        type_oid: 17,
        type_modifier: -1,
    };
    Arc::new(Relation {
        oid: 1,
        table: TableName::new("public", "s"),
        identity: ReplicaIdentity::Default,
        columns: ["key", "items", "note"].map(column).to_vec(),
    })
}

fn begin(commit_lsn: u64, xid: u32) -> Event {
    let commit_time = SystemTime::UNIX_EPOCH;
    Event::Begin(Transaction {
        at: Lsn(commit_lsn).into(),
        commit_time,
        xid: Some(xid),
        origin: None,
    })
}

fn insert(row: u8) -> Event {
    Event::Change(Change::Insert { relation: relation(), new: image(row, &(vec![7], None)) })
}

fn commit(end: u64) -> Event {
    Event::Commit { end: Lsn(end).into() }
}

/// The keys of the rows that come with a segment.
fn rows(segment: &Segment) -> Vec<Vec<u8>> {
    let rows = segment.net().unwrap().iter().flat_map(|writes| writes.arriving());
    let mut keys: Vec<_> =
        rows.map(|row| row.cell(0).flatten().unwrap_or_default().to_vec()).collect();
    keys.sort();
    keys
}

fn position(segment: &Segment) -> Option<Position> {
    segment.commit.as_ref().map(|commit| commit.position.clone())
}

#[tokio::test]
async fn a_transaction_is_applied_unless_its_commit_lies_before_the_position() {
    follow(async |mut ends| {
        // The log before the position ends with the commit of the first one; that of the second one was
        // written directly behind it, and its changes before.
        ends.play(vec![begin(POSITION - 50, 7), insert(1), commit(POSITION)]);
        ends.play(vec![begin(POSITION, 8), insert(2), commit(POSITION + 50)]);
        let segment = ends.sent().await.unwrap();
        assert_eq!(
            (rows(&segment), position(&segment)),
            (vec![vec![2]], Some(Lsn(POSITION + 50).into()))
        );
    })
    .await;
}

#[tokio::test]
async fn a_batch_ends_between_two_transactions() {
    follow(async |mut ends| {
        let first = [begin(1_100, 7), insert(1), commit(1_150)];
        ends.play(first.into_iter().chain([begin(1_200, 8), insert(2)]).collect());
        assert!(ends.sent().await.is_none(), "half of a transaction");
        ends.play(vec![insert(3), commit(1_250)]);
        let segment = ends.sent().await.unwrap();
        let all = vec![vec![1], vec![2], vec![3]];
        assert_eq!((rows(&segment), position(&segment)), (all, Some(Lsn(1_250).into())));
    })
    .await;
}

#[tokio::test]
async fn the_source_hears_of_what_is_durable_and_of_nothing_else() {
    follow(async |mut ends| {
        ends.play(vec![begin(1_100, 7), insert(1), commit(1_150)]);
        assert!(ends.sent().await.is_some());
        ends.play(vec![begin(1_200, 8), insert(2), commit(1_250)]);
        assert!(ends.sent().await.is_some());
        assert_eq!(ends.acknowledged(), []);
        ends.durable.send(Some(Position::Lsn(Lsn(1_150)))).unwrap();
        ends.sent().await;
        assert_eq!(ends.acknowledged(), [Position::Lsn(Lsn(1_150))]);
    })
    .await;
}

#[tokio::test]
async fn a_chunk_joins_at_its_watermark_without_what_the_stream_touched() {
    follow(async |mut ends| {
        let (opened, is_open) = oneshot::channel();
        let token = ends.watermarks.token();
        ends.chunks.send(ChunkMessage::Open { token, table: 0, opened }).await.unwrap();
        is_open.await.unwrap();
        let table = TableName::new("public", "s");
        let scope = ChunkScope::Range { after: None, upto: None };
        let chunk = PlannedChunk { id: 3, table, scope };
        let (outcome, mut joined) = oneshot::channel();
        let data = chunk_of(&[1, 2]);
        ends.chunks.send(ChunkMessage::Data { token, chunk, data, outcome }).await.unwrap();
        assert!(ends.sent().await.is_none(), "before its watermark");
        ends.play(vec![begin(1_100, 7), insert(2), commit(1_150)]);
        let segment = ends.sent().await.unwrap();
        assert_eq!((rows(&segment), segment.chunks_done.len()), (vec![vec![2]], 0));
        assert!(joined.try_recv().is_err());
        ends.play(vec![begin(1_200, 8), ends.mark(token), commit(1_250)]);
        let segment = ends.sent().await.unwrap();
        assert_eq!((rows(&segment), segment.chunks_done.len()), (vec![vec![1]], 1));
        assert_eq!(
            position(&segment),
            Some(Lsn(1_150).into()),
            "nothing of the stream comes with it"
        );
        assert_eq!(joined.try_recv(), Ok(Joined::Joined));
    })
    .await;
}

/// Its chunk came without it, for the stream had touched it in part; what moves it in part before it is read finds
/// nothing in the target that could move.
#[tokio::test]
async fn a_row_that_a_chunk_left_to_be_read_is_not_patched() {
    follow(async |mut ends| {
        let (opened, is_open) = oneshot::channel();
        let token = ends.watermarks.token();
        ends.chunks.send(ChunkMessage::Open { token, table: 0, opened }).await.unwrap();
        is_open.await.unwrap();
        let scope = ChunkScope::Range { after: None, upto: None };
        let chunk = PlannedChunk { id: 3, table: TableName::new("public", "s"), scope };
        let (outcome, _joined) = oneshot::channel();
        let data = chunk_of(&[1]);
        ends.chunks.send(ChunkMessage::Data { token, chunk, data, outcome }).await.unwrap();
        let new = without_items(1, Some(5));
        let change = Change::Update { relation: relation(), old: None, new };
        ends.play(vec![begin(1_100, 7), Event::Change(change), commit(1_150)]);
        ends.sent().await.unwrap();
        ends.play(vec![begin(1_200, 8), ends.mark(token), commit(1_250)]);
        let segment = ends.sent().await.unwrap();
        assert_eq!((segment.chunks_done.len(), segment.to_read.len()), (1, 1));
        ends.copied.send_replace(vec![Copied { complete: true, ..Copied::default() }]);
        let old = Some(OldImage::Key(image(1, &(Vec::new(), None))));
        let new = without_items(2, Some(5));
        let change = Change::Update { relation: relation(), old, new };
        ends.play(vec![begin(1_300, 9), Event::Change(change), commit(1_350)]);
        let segment = ends.sent().await.unwrap();
        let moved = KeysToRead {
            table: TableName::new("public", "s"),
            scope: ChunkScope::Keys(vec![key(2)]),
        };
        assert_eq!(segment.to_read, [moved]);
        assert!(segment.net().unwrap().iter().all(|writes| writes.patches.is_empty()));
    })
    .await;
}

#[tokio::test]
async fn a_table_that_was_made_anew_is_another_one() {
    let ended = followed(async |mut ends| {
        let anew = Relation { oid: 2, ..(*relation()).clone() };
        ends.play(vec![begin(1_100, 7), Event::Relation(Arc::new(anew))]);
        ends.sent().await;
    });
    assert_eq!(ended.await.map(|error| error.code()), Some(Code::ShapeChanged));
}

fn chunk_of(keys: &[u8]) -> ChunkData {
    let mut read = StatementRows { keys: Vec::new(), rows: Rows::new() };
    for &at in keys {
        let row: Key = key(at);
        read.rows.push(row.row());
        read.keys.push(row);
    }
    let snapshot = Snapshot { xmin: 100, xmax: 100, running: Vec::new() };
    ChunkData { snapshot, statements: vec![read] }
}
