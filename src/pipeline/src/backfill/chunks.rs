//! The chunks of a backfill: what is planned, what waits for what, and what is read next.

use std::collections::{HashMap, HashSet, VecDeque};

use regraft_core::chunk::ChunkScope;
use regraft_core::contract::{LedgerState, PlannedChunk};
use tokio::time::Instant;

use crate::between::Copied;
use crate::plan::{Options, PlannedTable};

/// A source table that is copied.
pub(super) struct Table {
    pub(super) planned: PlannedTable,
    pub(super) planned_upto: Option<Vec<String>>,
    pub(super) fully_planned: bool,
    pub(super) chunks: u64,
    pub(super) done: u64,
    /// About how many rows it has.
    pub(super) rows: u64,
    /// Range chunks planned and not committed.
    pub(super) open: u64,
    /// Rows to plan per chunk, from the limits in rows and in bytes.
    pub(super) chunk_rows: Option<u64>,
}

/// See the module.
pub(crate) struct State {
    pub(super) tables: Vec<Table>,
    pub(super) queue: VecDeque<PlannedChunk>,
    /// Changes of other tables, whose keys are to be asked for.
    pub(super) traced: VecDeque<PlannedChunk>,
    /// Chunks being read.
    pub(super) reading: HashSet<i64>,
    /// Chunks that have to wait for others, see [`super`].
    pub(super) waits: HashMap<i64, HashSet<i64>>,
    /// Refused rows, each with the time at which it is read again.
    pub(super) refused: Vec<(Instant, PlannedChunk)>,
    /// Chunks not committed yet, by id.
    pub(super) open: HashMap<i64, Open>,
    /// Segments with keys that were committed, as the follower counts them.
    pub(super) key_segments: u64,
    pub(super) marked_end: Option<u64>,
    pub(super) next_read: Instant,
}

/// A chunk on its way.
#[derive(Clone, Copy)]
pub(super) struct Open {
    pub(super) table: usize,
    /// A range of the backfill, rather than keys.
    pub(super) range: bool,
    /// Rows that it was planned for; halved by each split.
    pub(super) rows: u64,
    /// It is a single row as far as can be told: it passes whatever its size.
    pub(super) unlimited: bool,
    /// It is a whole table whose rows have no key.
    pub(super) copy: bool,
}

impl Table {
    /// How far it is.
    pub(super) fn copied(&self, options: &Options) -> Copied {
        let (done, expected) = (self.done, self.expected(options));
        Copied { done, expected, complete: self.fully_planned && self.open == 0 }
    }

    /// About how many chunks there will be.
    fn expected(&self, options: &Options) -> u64 {
        if self.fully_planned {
            return self.chunks;
        }
        self.chunks.max(self.rows.div_ceil(self.chunk_rows.unwrap_or(options.chunk_rows).max(1)))
    }
}

impl State {
    pub(super) fn new(tables: &[PlannedTable], ledger: &LedgerState, backfill: bool) -> Self {
        let table = |planned: &PlannedTable| {
            let known = ledger.tables.iter().find(|table| table.table == planned.table);
            Table {
                planned: planned.clone(),
                planned_upto: known.and_then(|table| table.planned_upto.clone()),
                fully_planned: !backfill || known.is_some_and(|table| table.fully_planned),
                chunks: known.map_or(0, |table| table.chunks),
                done: known.map_or(0, |table| table.chunks_done),
                rows: 0,
                open: 0,
                chunk_rows: None,
            }
        };
        let mut state = Self {
            tables: tables.iter().map(table).collect(),
            queue: VecDeque::new(),
            traced: VecDeque::new(),
            reading: HashSet::new(),
            waits: HashMap::new(),
            refused: Vec::new(),
            open: HashMap::new(),
            key_segments: 0,
            marked_end: None,
            next_read: Instant::now(),
        };
        ledger.pending.iter().cloned().for_each(|chunk| state.enqueue(chunk, None));
        state
    }

    pub(super) fn enqueue(&mut self, chunk: PlannedChunk, rows: Option<u64>) {
        let Some(table) = self.tables.iter().position(|t| t.planned.table == chunk.table) else {
            return;
        };
        let range = matches!(chunk.scope, ChunkScope::Range { .. });
        let copy = self.tables[table].planned.keyless.is_some();
        if range {
            self.tables[table].open += 1;
        }
        let rows = rows.unwrap_or(match &chunk.scope {
            ChunkScope::Keys(keys) => keys.len() as u64,
            ChunkScope::Traced(_) => 0,
            ChunkScope::Range { .. } => self.tables[table].chunk_rows.unwrap_or(1 << 16),
        });
        self.open.insert(chunk.id, Open { table, range, rows, unlimited: false, copy });
        if matches!(chunk.scope, ChunkScope::Traced(_)) {
            self.waits.insert(chunk.id, self.reading.clone());
            self.traced.push_back(chunk);
        } else {
            self.queue.push_back(chunk);
        }
    }

    pub(super) fn ranges_queued(&self) -> usize {
        let range = |chunk: &&PlannedChunk| {
            matches!(chunk.scope, ChunkScope::Range { .. }) && !self.is_copy(chunk.id)
        };
        self.queue.iter().filter(range).count()
    }

    fn is_copy(&self, chunk: i64) -> bool {
        self.open.get(&chunk).is_some_and(|open| open.copy)
    }

    /// The next chunk that need not wait for others.
    pub(super) fn next_chunk(&mut self, readers: usize) -> Option<PlannedChunk> {
        let reading = &self.reading;
        self.waits.retain(|_, others| {
            others.retain(|other| reading.contains(other));
            !others.is_empty()
        });
        // Copies take long: one reader is left for keys, if there are several.
        let copies = self.reading.iter().filter(|&&chunk| self.is_copy(chunk)).count();
        let copies = copies < readers.saturating_sub(1).max(1);
        let may = |chunk: &PlannedChunk| {
            !self.waits.contains_key(&chunk.id) && (copies || !self.is_copy(chunk.id))
        };
        let at = self.queue.iter().position(may)?;
        self.queue.remove(at)
    }

    /// Refused rows whose time has come are read again.
    pub(super) fn take_up_refused(&mut self) {
        let now = Instant::now();
        let (due, rest) = self.refused.drain(..).partition(|(until, _)| *until <= now);
        self.refused = rest;
        let due: Vec<_> = due;
        self.queue.extend(due.into_iter().map(|(_, chunk)| chunk));
    }

    /// Every range is in the target: none will come.
    pub(super) fn ranges_done(&self) -> bool {
        self.tables.iter().all(|table| table.fully_planned && table.open == 0)
    }

    /// Nothing is left to be read.
    pub(super) fn copied(&self) -> bool {
        self.open.is_empty() && self.tables.iter().all(|table| table.fully_planned)
    }
}
