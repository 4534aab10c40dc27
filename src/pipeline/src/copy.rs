//! Reads a table whose rows have no key: as a whole, in one snapshot, in parts that the target writes one by
//! one. How it joins the stream is in [`crate::follow`].

use std::time::Duration;

use regraft_core::contract::{ChunkReader, PlannedChunk};
use regraft_core::segment::ChunkDone;
use regraft_core::{Mark, Result, Watermarks};
use tokio::sync::{mpsc, oneshot};

use crate::backfill::Stale;
use crate::follow::{ChunkMessage, CopyMessage, Joined};

/// See the module.
pub(crate) struct CopyTable {
    pub(crate) follower: mpsc::Sender<ChunkMessage>,
    pub(crate) watermarks: Watermarks,
    pub(crate) table: usize,
    pub(crate) bytes_max: usize,
    pub(crate) rows_per_second: Option<u64>,
}

impl CopyTable {
    /// Reads it until it has joined the stream, or the attempt is over.
    pub(crate) async fn run<R: ChunkReader>(
        self,
        mut reader: R,
        chunk: PlannedChunk,
    ) -> (R, i64, Result<()>) {
        let mut stale = Stale::default();
        loop {
            let read = self.once(&mut reader, &chunk).await;
            let ended = reader.end_copy().await;
            match read {
                Ok(Some(Joined::Stale)) if ended.is_ok() => {}
                Ok(_) => return (reader, chunk.id, ended),
                Err(error) => return (reader, chunk.id, Err(error)),
            }
            stale.wait(&chunk).await;
        }
    }

    /// `None` when the follower is gone.
    async fn once<R: ChunkReader>(
        &self,
        reader: &mut R,
        chunk: &PlannedChunk,
    ) -> Result<Option<Joined>> {
        let (token, table) = (self.watermarks.token(), self.table);
        let (opened, is_open) = oneshot::channel();
        let open = ChunkMessage::Open { token, table, opened };
        if self.follower.send(open).await.is_err() || is_open.await.is_err() {
            return Ok(None);
        }
        let snapshot = reader.begin_copy(&chunk.table).await?;
        let (accepted, is_accepted) = oneshot::channel();
        if !self.tell(CopyMessage::Begin { token, table, snapshot, accepted }).await {
            return Ok(None);
        }
        match is_accepted.await {
            Ok(true) => {}
            Ok(false) => return Ok(Some(Joined::Stale)),
            Err(_) => return Ok(None),
        }
        let mut copied = 0;
        while let Some((statement, rows)) = reader.copy(&chunk.table, self.bytes_max).await? {
            let count = rows.len() as u64;
            copied += count;
            let (taken, is_taken) = oneshot::channel();
            if !self.tell(CopyMessage::Rows { table, statement, rows, taken }).await {
                return Ok(None);
            }
            // Without an answer they are not wanted any more: the table was truncated.
            is_taken.await.ok();
            if let Some(limit) = self.rows_per_second {
                #[allow(clippy::cast_precision_loss, reason = "a pause needs no precision")]
                let pause = Duration::from_secs_f64(count as f64 / limit.max(1) as f64);
                tokio::time::sleep(pause).await;
            }
        }
        // The transaction that holds the snapshot cannot write the watermark.
        reader.end_copy().await?;
        let done = ChunkDone { id: chunk.id, rows: copied };
        let (outcome, joined) = oneshot::channel();
        if !self.tell(CopyMessage::Read { token, table, done, outcome }).await {
            return Ok(None);
        }
        reader.mark(&self.watermarks.write(Mark::Window(token))).await?;
        Ok(joined.await.ok())
    }

    async fn tell(&self, message: CopyMessage) -> bool {
        self.follower.send(ChunkMessage::Copy(message)).await.is_ok()
    }
}
