//! Windows, and the chunks and comparisons that they are open for.

use regraft_core::chunk::{ChunkData, ChunkScope, StatementRows};
use regraft_core::contract::{ChangeStream, PlannedChunk};
use regraft_core::segment::{ChunkDone, Commit, KeysToRead};
use regraft_core::{Mark, Position, Result, Segment, Snapshot, Token, fail_point};
use tokio::sync::oneshot;

use super::{CopyMessage, Follower};
use crate::fold::Fold;
use crate::windows::{Closed, Touched, Watched};

/// From the backfill to the follower.
pub(crate) enum ChunkMessage {
    /// Open a window; answered when it is open.
    Open { token: Token, table: usize, opened: oneshot::Sender<()> },
    /// The chunk of an open window; its watermark is about to be put into the stream.
    Data { token: Token, chunk: PlannedChunk, data: ChunkData, outcome: oneshot::Sender<Joined> },
    /// Of the copy of a table whose rows have no key.
    Copy(CopyMessage),
    /// The chunk of an open window will not come.
    Cancel { token: Token },
    /// Targets, as they are printed, whose rows may be missing until a comparison has mended them.
    Mending(Vec<String>),
    /// A snapshot of the source: the commits that it sees need not be remembered.
    Snapshot(Snapshot),
    /// Open a window for a verification, between two transactions; answered with the position up to
    /// which the changes came before it.
    Watch { token: Token, table: usize, opened: oneshot::Sender<Position> },
    /// Both sides were read, the source in this snapshot, and the watermark is about to be put into the
    /// stream. Answered with what the window saw up to it; `None` when the comparison proves nothing.
    Watched { token: Token, snapshot: Snapshot, outcome: oneshot::Sender<Option<Watched>> },
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// Its rows are on the way to the sink.
    Joined,
    /// It has to be read again.
    Stale,
}

impl<S: ChangeStream, F: Fold> Follower<'_, S, F> {
    pub(super) fn chunk_message(&mut self, message: ChunkMessage) {
        match message {
            ChunkMessage::Open { token, table, opened } => self.open(token, table, opened),
            ChunkMessage::Data { token, chunk, data, outcome } => {
                self.waiting.insert(token, (chunk, data, outcome));
            }
            ChunkMessage::Copy(message) => self.copy_message(message),
            ChunkMessage::Cancel { token } => {
                self.windows.cancel(token);
                self.waiting.remove(&token);
                self.watched.remove(&token);
            }
            ChunkMessage::Mending(targets) => self.mending(&targets),
            ChunkMessage::Snapshot(snapshot) => self.windows.seen_by(&snapshot),
            ChunkMessage::Watch { token, table, opened } => {
                self.watches.push((token, table, opened));
                if self.transaction.is_none() {
                    self.watch();
                }
            }
            ChunkMessage::Watched { token, snapshot, outcome } => {
                self.watched.insert(token, (snapshot, outcome));
            }
        }
    }

    /// Rows of these targets may be missing.
    pub(super) fn mending(&mut self, targets: &[String]) {
        for route in self.plan.routes.iter().filter(|r| targets.contains(&r.target.to_string())) {
            if let Some(table) = self.plan.table(&route.source) {
                self.tables[table].reads_keys = true;
            }
        }
    }

    /// Opens the windows of verifications, between two transactions.
    pub(super) fn watch(&mut self) {
        for (token, table, opened) in std::mem::take(&mut self.watches) {
            if self.tables[table].anew_from.is_some() {
                self.watches.push((token, table, opened));
                continue;
            }
            self.windows.open(token, table, None);
            if opened.send(self.pending.position.clone()).is_err() {
                self.windows.cancel(token);
            }
        }
    }

    pub(super) fn open(&mut self, token: Token, table: usize, opened: oneshot::Sender<()>) {
        if self.tables[table].anew_from.is_some() {
            self.deferred.push((token, table, opened));
            return;
        }
        let inside = self.transaction.as_ref().filter(|_| !self.skipping).and_then(|t| t.xid);
        self.windows.open(token, table, inside);
        self.opens_copy(table);
        if opened.send(()).is_err() {
            self.windows.cancel(token);
        }
    }

    pub(super) async fn message(&mut self, content: &[u8]) -> Result<bool> {
        match self.watermarks.read(content) {
            None => {}
            Some(Mark::Start) => {
                self.whole = false;
                self.reached_start = true;
            }
            Some(Mark::End { key_segments }) => {
                // What is pending may hold rows that have to be read: they count, too.
                if self.pending.moved && !self.close().await? {
                    return Ok(false);
                }
                self.caught_up = key_segments == self.key_segments;
            }
            Some(Mark::Window(token)) => return self.join(token).await,
        }
        Ok(true)
    }

    /// A chunk joins the stream here.
    pub(super) async fn join(&mut self, token: Token) -> Result<bool> {
        let known = |follower: &Self| {
            follower.waiting.contains_key(&token)
                || follower.watched.contains_key(&token)
                || follower.copied.contains_key(&token)
        };
        while !known(self) {
            // The reader hands the data over before it writes the watermark.
            let Ok(message) = self.ports.chunks.try_recv() else { return Ok(true) };
            self.chunk_message(message);
        }
        if self.copied(token) {
            return Ok(true);
        }
        if let Some((snapshot, outcome)) = self.watched.remove(&token) {
            outcome.send(self.windows.watched(token, &snapshot)).ok();
            return Ok(true);
        }
        let Some((chunk, data, outcome)) = self.waiting.remove(&token) else { return Ok(true) };
        let touched = match self.windows.close(token, &data.snapshot) {
            Some(Closed::Join(touched)) => touched,
            Some(Closed::Stale) | None => {
                self.reporter.record().chunk_reread();
                outcome.send(Joined::Stale).ok();
                return Ok(true);
            }
        };
        // The watermark stands in a transaction of its own: we are between two of the user's.
        if self.pending.moved && !self.close().await? {
            return Ok(false);
        }
        let wide = |read: &StatementRows| read.rows.has_wide();
        if data.statements.iter().any(wide) && !self.is_alone().await {
            return Ok(false);
        }
        let mut segment = self.chunk_segment(&chunk, data, &touched);
        self.leaves_to_read(&segment);
        segment.commit = Some(Commit {
            position: self.pending.position.clone(),
            last: None,
            commit_times: Vec::new(),
            changes: 0,
            awaited: false,
        });
        let sent = self.send(segment).await;
        fail_point!("chunk.joined");
        outcome.send(Joined::Joined).ok();
        Ok(sent)
    }

    /// What a chunk brings, without the rows that the stream carries.
    fn chunk_segment(&self, chunk: &PlannedChunk, data: ChunkData, touched: &Touched) -> Segment {
        let mut segment = Segment::default();
        let Some(table) = self.plan.table(&chunk.table) else { return segment };
        let mut to_read: Vec<_> = touched.arrived.intersection(&touched.incomplete).collect();
        let of_chunk: Vec<_> = match &chunk.scope {
            ChunkScope::Keys(keys) => keys.iter().collect(),
            _ if touched.incomplete.is_empty() => Vec::new(),
            _ => data.statements.iter().flat_map(|read| &read.keys).collect(),
        };
        to_read.extend(of_chunk.into_iter().filter(|key| touched.incomplete.contains(*key)));
        to_read.sort_unstable();
        to_read.dedup();
        if !to_read.is_empty() {
            let scope = ChunkScope::Keys(to_read.into_iter().cloned().collect());
            segment.to_read.push(KeysToRead { table: chunk.table.clone(), scope });
        }
        let (payload, rows) = self.batch.join(self.plan, table, &chunk.scope, data, touched);
        segment.payload = payload;
        segment.chunks_done.push(ChunkDone { id: chunk.id, rows });
        segment
    }
}
