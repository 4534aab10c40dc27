//! One chunk, from its window to its watermark; or the keys to which a change of another table leads.

use std::time::Duration;

use regraft_core::chunk::{ChunkScope, StatementRows};
use regraft_core::contract::{ChunkReader, PlannedChunk};
use regraft_core::{Code, Key, Mark, Result, Watermarks, fail_point};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::follow::{ChunkMessage, Joined};

/// First and longest wait before a stale chunk is read again.
const STALE_WAIT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));
/// When a chunk has been stale for this long, the log says why.
const STALE_NOTICE: Duration = Duration::from_secs(10);

/// The reader, which is free again, the chunk's id, and how the reading of it ended.
pub(super) type Read<R> = (R, i64, Result<ReadEnd>);

/// How the reading of a chunk ended.
pub(super) enum ReadEnd {
    /// It joined the stream, or the attempt is over; so many source rows were read.
    Read(u64),
    /// It has to be split.
    TooLarge(PlannedChunk),
    /// It leads to these keys.
    Traced(PlannedChunk, Vec<Key>),
}

/// Asks to which keys the changes of another table lead.
pub(super) async fn trace<R: ChunkReader>(mut reader: R, chunk: PlannedChunk) -> Read<R> {
    let id = chunk.id;
    let traced = match &chunk.scope {
        ChunkScope::Traced(traced) => reader.traced(&chunk.table, traced).await,
        ChunkScope::Range { .. } | ChunkScope::Keys(_) => Ok(Vec::new()),
    };
    (reader, id, traced.map(|keys| ReadEnd::Traced(chunk, keys)))
}

/// Reads one chunk until it has joined the stream.
pub(super) struct ReadChunk {
    pub(super) follower: mpsc::Sender<ChunkMessage>,
    pub(super) watermarks: Watermarks,
    pub(super) table: usize,
    pub(super) bytes_max: usize,
    /// Source rows read, over all attempts.
    pub(super) rows: u64,
}

impl ReadChunk {
    pub(super) async fn run<R: ChunkReader>(
        mut self,
        mut reader: R,
        chunk: PlannedChunk,
    ) -> Read<R> {
        let (id, mut stale) = (chunk.id, Stale::default());
        let read = loop {
            match self.once(&mut reader, &chunk).await {
                Ok(Some(Joined::Stale)) => {}
                // The follower is gone: the attempt is over, and its error is elsewhere.
                Ok(Some(Joined::Joined) | None) => break Ok(ReadEnd::Read(self.rows)),
                Err(error) if error.code() == Code::ChunkTooLarge => {
                    break Ok(ReadEnd::TooLarge(chunk));
                }
                Err(error) => break Err(error.in_chunk(id)),
            }
            stale.wait(&chunk).await;
        };
        // Others may wait until it is through.
        reader.rest();
        (reader, id, read)
    }

    /// `None` when the follower is gone.
    async fn once<R: ChunkReader>(
        &mut self,
        reader: &mut R,
        chunk: &PlannedChunk,
    ) -> Result<Option<Joined>> {
        let token = self.watermarks.token();
        let (opened, is_open) = oneshot::channel();
        let open = ChunkMessage::Open { token, table: self.table, opened };
        if self.follower.send(open).await.is_err() || is_open.await.is_err() {
            return Ok(None);
        }
        fail_point!("chunk.opened");
        let data = match reader.read(&chunk.table, &chunk.scope, self.bytes_max).await {
            Ok(data) => data,
            Err(error) => {
                drop(self.follower.send(ChunkMessage::Cancel { token }).await);
                return Err(error);
            }
        };
        self.rows += data.statements.iter().map(source_rows).max().unwrap_or(0);
        fail_point!("chunk.read");
        let (outcome, joined) = oneshot::channel();
        let message = ChunkMessage::Data { token, chunk: chunk.clone(), data, outcome };
        if self.follower.send(message).await.is_err() {
            return Ok(None);
        }
        fail_point!("chunk.handed");
        reader.mark(&self.watermarks.write(Mark::Window(token))).await?;
        fail_point!("chunk.marked");
        Ok(joined.await.ok())
    }
}

/// The waits of a chunk for transactions that its snapshot has to see.
pub(crate) struct Stale {
    wait: Duration,
    since: Instant,
    told: bool,
}

impl Default for Stale {
    fn default() -> Self {
        Self { wait: STALE_WAIT.0, since: Instant::now(), told: false }
    }
}

impl Stale {
    /// Waits until the chunk may be read again, longer each time, and says once why.
    pub(crate) async fn wait(&mut self, chunk: &PlannedChunk) {
        if self.since.elapsed() > STALE_NOTICE && !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                table = %chunk.table,
                "a chunk waits for transactions that are committed in the log and not yet \
                 visible, or that ran when the daemon started; see wait_event and xact_start in \
                 pg_stat_activity of the source"
            );
        }
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(STALE_WAIT.1);
    }
}

/// Source rows that gave the rows of a statement: those of one stand together.
fn source_rows(read: &StatementRows) -> u64 {
    read.keys.chunk_by(|a, b| a == b).count() as u64
}
