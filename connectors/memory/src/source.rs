//! The database as a source: its log as a stream of changes, its tables in chunks.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use regraft_core::change::OldImage;
use regraft_core::chunk::StatementRows;
use regraft_core::contract::{
    ChangeStream, ChunkReader, Opened, Past, Source, SourceState, WATERMARK_PREFIX,
};
use regraft_core::{
    Cell, Change, ChunkData, ChunkScope, Code, Error, Event, Gives, Key, Lsn, Position,
    ReplicaIdentity, Result, Rows, Snapshot, TableName, Traced, Transaction, Tuple, TupleBuilder,
    Watermark,
};

use crate::database::{Action, Database, Logged, State, TableSpec};
use crate::weather::Weather;

/// The only history that the database has.
const HISTORY: &str = "1";

/// See the module.
#[derive(Clone)]
pub struct MemorySource {
    /// The server.
    pub database: Database,
    /// What happens to its calls.
    pub weather: Weather,
    /// What it gives.
    pub gives: Gives,
}

impl Source for MemorySource {
    type Stream = MemoryStream;
    type Reader = MemoryReader;

    async fn stream(&mut self, past: &Past) -> Result<Opened<MemoryStream>> {
        self.open(past, true).await
    }

    async fn beside(&mut self, past: &Past) -> Result<Opened<MemoryStream>> {
        self.open(past, false).await
    }

    fn gives(&self) -> Gives {
        self.gives
    }

    fn reader(&mut self) -> Option<MemoryReader> {
        let (database, weather) = (self.database.clone(), self.weather.clone());
        self.gives.reads.then(|| MemoryReader { database, weather, copy: VecDeque::new() })
    }
}

impl MemorySource {
    async fn open(&self, past: &Past, acknowledges: bool) -> Result<Opened<MemoryStream>> {
        self.weather.before("source.stream").await?;
        let from = lsn(&past.position)?;
        let state = self.database.state();
        if state.confirmed > from {
            let what = format!(
                "the source has forgotten its log up to {}, beyond the position {from}",
                state.confirmed
            );
            return Err(Error::new(Code::PositionGap, what).at("memory"));
        }
        if past.history.as_deref().is_some_and(|history| history != HISTORY) {
            return Err(Error::new(Code::SourceRewound, "another history").at("memory"));
        }
        // What was applied may come again, as far as it was not acknowledged.
        let start = if self.weather.below(2) == 0 { state.confirmed } else { from };
        let next = state.log.partition_point(|logged| logged.end <= start);
        drop(state);
        let history = past.history.is_none().then(|| HISTORY.to_owned());
        let stream = MemoryStream {
            acknowledges,
            database: self.database.clone(),
            weather: self.weather.clone(),
            next,
            told: HashSet::new(),
            events: VecDeque::new(),
            reached: from,
        };
        Ok(Opened { stream, history })
    }
}

fn lsn(position: &Position) -> Result<Lsn> {
    match position {
        Position::Lsn(lsn) => Ok(*lsn),
        other => {
            Err(Error::new(Code::SourceReplaced, format!("{other} is no position of this source")))
        }
    }
}

/// The changes of the log, in commit order.
pub struct MemoryStream {
    /// The source forgets what this stream is told to acknowledge.
    acknowledges: bool,
    database: Database,
    weather: Weather,
    /// Index of the next transaction.
    next: usize,
    /// Tables whose shape was told.
    told: HashSet<usize>,
    events: VecDeque<Event>,
    /// Everything before it was told.
    reached: Lsn,
}

impl ChangeStream for MemoryStream {
    async fn next(&mut self) -> Result<Vec<Event>> {
        // Nothing is taken before the last wait: a future that is dropped loses nothing.
        self.weather.before("stream.next").await?;
        loop {
            let grown = Arc::clone(&self.database.grown);
            let grown = grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            self.decode();
            if !self.events.is_empty() {
                break;
            }
            grown.await;
        }
        // A transaction comes in as many pieces as it likes.
        let some = 1 + self.weather.below(4);
        let some = usize::try_from(some).unwrap_or(1).min(self.events.len());
        Ok(self.events.drain(..some).collect())
    }

    fn ready(&self) -> bool {
        let state = self.database.state();
        !self.events.is_empty() || self.next < state.log.len() || self.reached < state.end
    }

    fn acknowledge(&self, position: Position) {
        if let (Position::Lsn(lsn), true) = (position, self.acknowledges) {
            let mut state = self.database.state();
            state.confirmed = state.confirmed.max(lsn);
        }
    }

    fn source_end(&self) -> Position {
        self.database.end()
    }

    async fn close(self) -> Result<()> {
        self.weather.before("stream.close").await
    }
}

impl MemoryStream {
    /// Takes the next transaction, or how far the log is, from the database.
    fn decode(&mut self) {
        if !self.events.is_empty() {
            return;
        }
        let state = self.database.state();
        let Some(logged) = state.log.get(self.next) else {
            if self.reached < state.end {
                self.reached = state.end;
                self.events.push_back(Event::Progress { position: state.end.into() });
            }
            return;
        };
        self.next += 1;
        self.reached = self.reached.max(logged.end);
        self.events.push_back(Event::Begin(begin(logged)));
        for action in &logged.actions {
            let changed = match action {
                Action::Message(content) => {
                    self.events.push_back(Event::Message {
                        prefix: WATERMARK_PREFIX.to_owned(),
                        content: Bytes::copy_from_slice(content.as_bytes()),
                        transactional: true,
                    });
                    continue;
                }
                Action::Insert(table, _) | Action::Update(table, ..) => *table,
                Action::Delete(table, _) | Action::Truncate(table) => *table,
            };
            let spec = &state.tables[changed];
            if self.told.insert(changed) {
                self.events.push_back(Event::Relation(Arc::clone(&spec.relation)));
            }
            self.events.push_back(Event::Change(change(spec, action)));
        }
        self.events.push_back(Event::Commit { end: logged.end.into() });
    }
}

#[allow(clippy::cast_possible_truncation, reason = "ids are small here")]
fn begin(logged: &Logged) -> Transaction {
    Transaction {
        at: logged.at.into(),
        commit_time: logged.time,
        xid: Some(logged.xid as u32),
        origin: None,
    }
}

/// A change as a server decodes it: old images by the replica identity, unchanged values left out.
fn change(spec: &TableSpec, action: &Action) -> Change {
    let relation = Arc::clone(&spec.relation);
    let full = relation.identity == ReplicaIdentity::Full;
    let old_image = |row: &Tuple| match full {
        true => OldImage::Full(row.clone()),
        false => {
            let keep = relation.key_columns();
            OldImage::Key(with(row, |at, cell| if keep.contains(&at) { cell } else { Cell::Null }))
        }
    };
    match action {
        Action::Update(_, old, new) => {
            let rekeyed = spec.key(old) != spec.key(new);
            // With the whole old row, a decoder takes from there what was not sent.
            let unsent = |at| !full && spec.out_of_line.contains(&at);
            let same = |at: usize| unsent(at) && old.get(at) == new.get(at);
            let sent = with(new, |at, cell| if same(at) { Cell::Unchanged } else { cell });
            Change::Update {
                old: (full || rekeyed).then(|| old_image(old)),
                relation: Arc::clone(&relation),
                new: sent,
            }
        }
        Action::Insert(_, new) => Change::Insert { relation, new: new.clone() },
        Action::Delete(_, old) => {
            Change::Delete { old: old_image(old), relation: Arc::clone(&relation) }
        }
        Action::Truncate(_) | Action::Message(_) => Change::Truncate { relations: vec![relation] },
    }
}

fn with<'a>(row: &'a Tuple, cell: impl Fn(usize, Cell<'a>) -> Cell<'a>) -> Tuple {
    let mut builder = TupleBuilder::with_capacity(row.len(), row.size());
    row.iter().enumerate().for_each(|(at, known)| builder.push(cell(at, known)));
    builder.finish()
}

/// Reads tables, each time in a snapshot of its own.
pub struct MemoryReader {
    database: Database,
    weather: Weather,
    /// Rows of a copy that are still to come, by statement.
    copy: VecDeque<(usize, Rows)>,
}

impl ChunkReader for MemoryReader {
    async fn boundary(
        &mut self,
        table: &TableName,
        after: Option<&[String]>,
        upto: Option<&[String]>,
        rows: u64,
    ) -> Result<Option<Vec<String>>> {
        self.weather.before("reader.boundary").await?;
        let scope = ChunkScope::Range {
            after: after.map(<[String]>::to_vec),
            upto: upto.map(<[String]>::to_vec),
        };
        let state = self.database.state();
        let (at, spec) = known(&state, table)?;
        let snapshot = state.snapshot();
        let keys: Vec<_> =
            state.rows(&snapshot)[at].iter().filter_map(|row| spec.key(row)).collect();
        let mut keys = keys.into_iter().filter(|key| is_in(key, &scope));
        let nth = keys.nth(usize::try_from(rows).unwrap_or(usize::MAX).saturating_sub(1));
        // A boundary leaves rows after it.
        Ok(nth.filter(|_| keys.next().is_some()).map(|key| text(&key)))
    }

    async fn rows_in(&mut self, _: &TableName, bytes: usize) -> Result<u64> {
        self.weather.before("reader.rows_in").await?;
        Ok(u64::try_from(bytes / 32).unwrap_or(u64::MAX).max(1))
    }

    async fn rows(&mut self, tables: &[TableName]) -> Result<Vec<u64>> {
        self.weather.before("reader.rows").await?;
        let state = self.database.state();
        let all = state.rows(&state.snapshot());
        let of = |table| known(&state, table).map(|(at, _)| all[at].len() as u64);
        tables.iter().map(of).collect()
    }

    async fn read(
        &mut self,
        table: &TableName,
        scope: &ChunkScope,
        bytes_max: usize,
    ) -> Result<ChunkData> {
        self.weather.before("reader.read").await?;
        let data = {
            let state = self.database.state();
            let (at, spec) = known(&state, table)?;
            let snapshot = state.snapshot();
            let tables = state.rows(&snapshot);
            let mut statements: Vec<_> =
                spec.statements.iter().map(|_| StatementRows::default()).collect();
            for row in &tables[at] {
                let Some(key) = spec.key(row).filter(|key| is_in(key, scope)) else { continue };
                for (select, given) in spec.statements.iter().zip(&mut statements) {
                    select(&tables, row, &mut given.rows);
                    given.keys.resize(given.rows.len(), key.clone());
                }
            }
            ChunkData { snapshot, statements }
        };
        if data.statements.iter().map(|given| given.rows.size()).sum::<usize>() > bytes_max {
            return Err(Error::new(Code::ChunkTooLarge, "the chunk is too large").at("memory"));
        }
        // The stream goes on while the rows are on their way.
        self.weather.before("reader.read").await?;
        Ok(data)
    }

    async fn begin_copy(&mut self, table: &TableName) -> Result<Snapshot> {
        self.weather.before("reader.begin_copy").await?;
        let state = self.database.state();
        let (at, spec) = known(&state, table)?;
        let snapshot = state.snapshot();
        let tables = state.rows(&snapshot);
        self.copy.clear();
        for row in &tables[at] {
            for (statement, select) in spec.statements.iter().enumerate() {
                let mut rows = Rows::new();
                select(&tables, row, &mut rows);
                self.copy.push_back((statement, rows));
            }
        }
        Ok(snapshot)
    }

    async fn copy(&mut self, _: &TableName, _: usize) -> Result<Option<(usize, Rows)>> {
        self.weather.before("reader.copy").await?;
        Ok(self.copy.pop_front())
    }

    async fn end_copy(&mut self) -> Result<()> {
        self.copy.clear();
        Ok(())
    }

    async fn traced(&mut self, table: &TableName, traced: &Traced) -> Result<Vec<Key>> {
        self.weather.before("reader.traced").await?;
        let state = self.database.state();
        let (at, spec) = known(&state, table)?;
        let column = spec.traces.iter().find(|(name, _)| *name == traced.trace).map(|(_, at)| *at);
        let leads = |row: &&Tuple| match (&traced.values, column) {
            (Some(values), Some(column)) => {
                Key::of(row, &[column]).is_some_and(|value| values.contains(&value))
            }
            _ => true,
        };
        let rows = state.rows(&state.snapshot()).swap_remove(at);
        Ok(rows.iter().filter(leads).filter_map(|row| spec.key(row)).collect())
    }

    async fn state(&mut self) -> Result<SourceState> {
        self.weather.before("reader.state").await?;
        let state = self.database.state();
        Ok(SourceState {
            snapshot: state.snapshot(),
            end: state.end.into(),
            held_bytes: state.end.bytes_since(state.confirmed),
            synchronous: false,
        })
    }

    async fn mark(&mut self, watermark: &Watermark) -> Result<u64> {
        self.weather.before("reader.mark").await?;
        let xid = self.database.commit(vec![Action::Message(watermark.as_str().to_owned())]);
        self.weather.after("reader.mark")?;
        Ok(xid)
    }

    fn beside(&self) -> Self {
        let (database, weather) = (self.database.clone(), self.weather.clone());
        Self { database, weather, copy: VecDeque::new() }
    }

    fn rest(&mut self) {}
}

fn known<'a>(state: &'a State, table: &TableName) -> Result<(usize, &'a TableSpec)> {
    state.table(table).ok_or_else(|| {
        Error::new(Code::SourceMissing, format!("there is no table {table}")).at("memory")
    })
}

/// The key that has this text.
pub(crate) fn key_of_text(texts: &[String]) -> Option<Key> {
    let mut out = Vec::new();
    for text in texts {
        let digits = |at| text.get(at..at + 2).and_then(|byte| u8::from_str_radix(byte, 16).ok());
        let bytes: Option<Vec<_>> = (0..text.len()).step_by(2).map(digits).collect();
        regraft_core::row::put_value(&mut out, &bytes?);
    }
    Some(Key(out.into_boxed_slice()))
}

/// Key values as text: their bytes in hexadecimal digits, so that the order is that of the keys.
pub(crate) fn text(key: &Key) -> Vec<String> {
    let digits = |value: Option<&[u8]>| {
        value.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    key.row().cells().map(digits).collect()
}

pub(crate) fn is_in(key: &Key, scope: &ChunkScope) -> bool {
    match scope {
        ChunkScope::Range { after, upto } => {
            let key = text(key);
            after.as_ref().is_none_or(|after| key > *after)
                && upto.as_ref().is_none_or(|upto| key <= *upto)
        }
        ChunkScope::Keys(keys) => keys.contains(key),
        ChunkScope::Traced(_) => false,
    }
}
