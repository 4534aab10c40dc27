//! The memory connector keeps the contract; and one that is right but for one thing is caught.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use regraft_conformance::connectors::{Bench, Entered, KEY, Outcome, Rule, VALUE, check};
use regraft_conformance::relation;
use regraft_core::contract::{
    ChangeStream, ChunkReader, Ledger, LedgerState, Opened, Past, Phase, PlannedChunk, Sink,
    Source, SourceState, Target, Written,
};
use regraft_core::segment::{Route, RouteColumn};
use regraft_core::{
    Cell, ChunkData, ChunkScope, Error, Event, Form, Key, Payload, Position, Result, Row, Rows,
    Segment, Snapshot, TableName, Takes, Traced, Tuple, TupleBuilder, Watermark, oid,
};
use regraft_memory::{
    Action, Chances, Copies, Database, Failure, MemoryLedger, MemoryReader, MemorySink,
    MemorySource, MemoryStream, MemoryTarget, Store, TableSpec, TargetTable, Weather, mapped,
};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The first transaction of a stream that was opened again is left out.
    SkipsOne,
    /// Events are taken before the last wait.
    LosesEvents,
    /// What was given is forgotten.
    AcknowledgesWhatItGives,
    /// What one target has is forgotten for all, by a stream beside the one that acknowledges.
    BesideAcknowledges,
    /// The same, when the stream is opened.
    OpeningAcknowledges,
    MarksTwice,
    /// Ranges leave out their last row.
    ShortRanges,
    /// Segments without a commit are there at once.
    NoTransaction,
    /// Chunks are never done.
    ForgetsChunks,
    /// What is committed is called durable.
    DurableAtOnce,
    /// What another owner refuses is written all the same.
    IgnoresOwner,
    /// Halves of a chunk are not remembered.
    ForgetsHalves,
    /// Rows come before their commit.
    RowsFirst,
    /// What failed is taken back, although it was committed.
    TakesBack,
    /// The position comes before its rows.
    PositionFirst,
    /// Only the last segment of a commit is written.
    LastSegmentOnly,
    /// The snapshot of a chunk is one of after its rows were read.
    LaterSnapshot,
    /// Of a log only the last entry of a row is written.
    Nets,
    /// Entries come in another order.
    Reorders,
    /// What was there before is left out.
    LosesBefore,
}

struct Memory {
    fault: Fault,
    form: Form,
    database: Database,
    store: Store,
    weather: Weather,
    opened: usize,
}

fn row(key: i32, value: i32) -> Tuple {
    let mut builder = TupleBuilder::with_capacity(2, 8);
    [key, value].iter().for_each(|int| builder.push(Cell::Binary(&int.to_be_bytes())));
    builder.finish()
}

fn int(row: &Tuple, at: usize) -> i32 {
    let bytes = row.get(at).and_then(Cell::bytes).and_then(|bytes| bytes.try_into().ok());
    i32::from_be_bytes(bytes.expect("a row of two int4"))
}

impl Memory {
    fn with(fault: Fault, form: Form) -> Memory {
        let shape = relation("s", &[(KEY, oid::INT4), (VALUE, oid::INT4)], &[KEY]);
        let source = shape.table.clone();
        let database = Database::new(vec![TableSpec {
            relation: Arc::new(shape),
            keyless: None,
            out_of_line: Vec::new(),
            statements: vec![mapped(Arc::new(Copies(&[(KEY, 0), (VALUE, 1)])))],
            traces: Vec::new(),
        }]);
        let column = |name: &str| RouteColumn {
            name: name.to_owned(),
            sql_type: "int4".to_owned(),
            text: false,
        };
        let route = Route {
            source,
            target: TableName::new("public", "t"),
            columns: vec![column(KEY), column(VALUE)],
            owner: Some(vec![0]),
            single: true,
            total: true,
            key_is_owner: true,
            keyless: false,
            source_key: vec![KEY.to_owned()],
            rewrite: false,
            only: Vec::new(),
            place: "mapping.sql:1:1".to_owned(),
        };
        let table = TargetTable { key: Some(vec![0]) };
        let store = Store::new(vec![route], vec![table], database.end());
        let chances = Chances { late: Duration::from_millis(1), ..Chances::default() };
        Memory { fault, form, database, store, weather: Weather::of_seed(7, chances), opened: 0 }
    }
}

impl Bench for Memory {
    type Source = FaultySource;
    type Target = FaultyTarget;

    async fn ends(&mut self) -> (FaultySource, FaultyTarget) {
        self.opened += 1;
        let (database, weather) = (self.database.clone(), self.weather.clone());
        let source = MemorySource { database, weather, gives: regraft_core::Gives::EVERYTHING };
        let (store, weather) = (self.store.clone(), self.weather.clone());
        let takes = Takes { form: self.form, ..Takes::EVERYTHING };
        let target = MemoryTarget { store, weather, takes };
        let again = self.opened > 2;
        (FaultySource { inner: source, fault: self.fault, again }, FaultyTarget(target, self.fault))
    }

    fn table(&self) -> TableName {
        TableName::new("public", "s")
    }

    async fn change(&mut self, rows: &[(i32, Option<i32>)]) {
        let mut known: BTreeMap<i32, Tuple> =
            self.database.rows(0).into_iter().map(|row| (int(&row, 0), row)).collect();
        let mut actions = Vec::new();
        for (key, value) in rows {
            let new = value.map(|value| row(*key, value));
            actions.extend(match (known.remove(key), new.clone()) {
                (Some(old), Some(new)) => Some(Action::Update(0, old, new)),
                (Some(old), None) => Some(Action::Delete(0, old)),
                (None, Some(new)) => Some(Action::Insert(0, new)),
                (None, None) => None,
            });
            known.extend(new.map(|new| (*key, new)));
        }
        self.database.commit(actions);
    }

    async fn rows(&mut self) -> BTreeMap<i32, i32> {
        let int = |row: &[u8], at: usize| {
            let bytes = Row(row).cell(at).flatten().and_then(|bytes| bytes.try_into().ok());
            i32::from_be_bytes(bytes.expect("a row of two int4"))
        };
        let rows = self.store.rows().swap_remove(0);
        rows.iter().map(|row| (int(row, 0), int(row, 1))).collect()
    }

    async fn log(&mut self) -> Vec<Entered> {
        self.store.log().iter().filter_map(|entry| Entered::of(entry)).collect()
    }

    async fn crash_target(&mut self) -> bool {
        self.store.crash();
        true
    }

    async fn lose_answer(&mut self) -> bool {
        self.weather.ask("sink.commit", Failure::After);
        true
    }

    fn refused(&self) -> Option<i32> {
        None
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(2)
    }
}

struct FaultySource {
    inner: MemorySource,
    fault: Fault,
    again: bool,
}

impl Source for FaultySource {
    type Stream = FaultyStream;
    type Reader = FaultyReader;

    async fn stream(&mut self, past: &Past) -> Result<Opened<FaultyStream>> {
        let opened = self.inner.stream(past).await?;
        if self.fault == Fault::OpeningAcknowledges {
            opened.stream.acknowledge(past.position.clone());
        }
        Ok(self.with_faults(opened))
    }

    async fn beside(&mut self, past: &Past) -> Result<Opened<FaultyStream>> {
        let opened = match self.fault {
            Fault::BesideAcknowledges => self.inner.stream(past).await?,
            _ => self.inner.beside(past).await?,
        };
        Ok(self.with_faults(opened))
    }

    fn gives(&self) -> regraft_core::Gives {
        self.inner.gives()
    }

    fn reader(&mut self) -> Option<FaultyReader> {
        self.inner.reader().map(|reader| FaultyReader(reader, self.fault))
    }
}

impl FaultySource {
    fn with_faults(
        &self,
        Opened { stream, history }: Opened<MemoryStream>,
    ) -> Opened<FaultyStream> {
        let skips = self.again && self.fault == Fault::SkipsOne;
        Opened { stream: FaultyStream { inner: stream, fault: self.fault, skips }, history }
    }
}

struct FaultyStream {
    inner: MemoryStream,
    fault: Fault,
    /// Events up to the next commit are left out.
    skips: bool,
}

impl ChangeStream for FaultyStream {
    async fn next(&mut self) -> Result<Vec<Event>> {
        let mut events = self.inner.next().await?;
        if self.fault == Fault::LosesEvents {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        events.retain(|event| {
            let skipped = self.skips && !matches!(event, Event::Relation(_));
            self.skips &= !matches!(event, Event::Commit { .. });
            !skipped
        });
        for event in &events {
            if let (Event::Commit { end }, Fault::AcknowledgesWhatItGives) = (event, self.fault) {
                self.inner.acknowledge(end.clone());
            }
        }
        Ok(events)
    }

    fn ready(&self) -> bool {
        self.inner.ready()
    }

    fn acknowledge(&self, position: Position) {
        self.inner.acknowledge(position);
    }

    fn source_end(&self) -> Position {
        self.inner.source_end()
    }

    async fn close(self) -> Result<()> {
        self.inner.close().await
    }
}

struct FaultyReader(MemoryReader, Fault);

impl ChunkReader for FaultyReader {
    async fn boundary(
        &mut self,
        table: &TableName,
        after: Option<&[String]>,
        upto: Option<&[String]>,
        rows: u64,
    ) -> Result<Option<Vec<String>>> {
        self.0.boundary(table, after, upto, rows).await
    }

    async fn rows_in(&mut self, table: &TableName, bytes: usize) -> Result<u64> {
        self.0.rows_in(table, bytes).await
    }

    async fn rows(&mut self, tables: &[TableName]) -> Result<Vec<u64>> {
        self.0.rows(tables).await
    }

    async fn read(
        &mut self,
        table: &TableName,
        scope: &ChunkScope,
        bytes_max: usize,
    ) -> Result<ChunkData> {
        let mut data = self.0.read(table, scope, bytes_max).await?;
        if self.1 == Fault::LaterSnapshot {
            tokio::time::sleep(Duration::from_millis(2)).await;
            data.snapshot = self.0.state().await?.snapshot;
        }
        if self.1 == Fault::ShortRanges && matches!(scope, ChunkScope::Range { upto: Some(_), .. })
        {
            for given in &mut data.statements {
                given.keys.pop();
                given.rows.truncate(given.keys.len());
            }
        }
        Ok(data)
    }

    async fn begin_copy(&mut self, table: &TableName) -> Result<Snapshot> {
        self.0.begin_copy(table).await
    }

    async fn copy(&mut self, table: &TableName, bytes: usize) -> Result<Option<(usize, Rows)>> {
        self.0.copy(table, bytes).await
    }

    async fn end_copy(&mut self) -> Result<()> {
        self.0.end_copy().await
    }

    async fn traced(&mut self, table: &TableName, traced: &Traced) -> Result<Vec<Key>> {
        self.0.traced(table, traced).await
    }

    async fn state(&mut self) -> Result<SourceState> {
        self.0.state().await
    }

    async fn mark(&mut self, watermark: &Watermark) -> Result<u64> {
        if self.1 == Fault::MarksTwice {
            self.0.mark(watermark).await?;
        }
        self.0.mark(watermark).await
    }

    fn beside(&self) -> Self {
        Self(self.0.beside(), self.1)
    }

    fn rest(&mut self) {
        self.0.rest();
    }
}

struct FaultyTarget(MemoryTarget, Fault);

impl Target for FaultyTarget {
    type Ledger = FaultyLedger;
    type Sink = FaultySink;

    fn takes(&self) -> Takes {
        self.0.takes()
    }

    async fn open(&mut self) -> Result<(FaultyLedger, FaultySink)> {
        let (ledger, sink) = self.0.open().await?;
        let sink = FaultySink {
            inner: sink,
            fault: self.1,
            store: self.0.store.clone(),
            given: Vec::new(),
        };
        Ok((FaultyLedger(ledger, self.1), sink))
    }

    async fn note(&mut self, error: Option<&Error>, phase: Phase) -> Result<()> {
        self.0.note(error, phase).await
    }

    async fn answer(&mut self, error: &Error) -> Result<bool> {
        self.0.answer(error).await
    }
}

struct FaultyLedger(MemoryLedger, Fault);

impl Ledger for FaultyLedger {
    async fn load(&mut self) -> Result<LedgerState> {
        self.0.load().await
    }

    async fn plan(&mut self, table: &TableName, scope: &ChunkScope) -> Result<PlannedChunk> {
        self.0.plan(table, scope).await
    }

    async fn split(
        &mut self,
        chunk: &PlannedChunk,
        scopes: Vec<ChunkScope>,
    ) -> Result<Vec<PlannedChunk>> {
        if self.1 == Fault::ForgetsHalves {
            let half = |(n, scope): (i64, ChunkScope)| PlannedChunk {
                id: chunk.id + 1000 + n,
                table: chunk.table.clone(),
                scope,
            };
            return Ok((0..).zip(scopes).map(half).collect());
        }
        self.0.split(chunk, scopes).await
    }

    async fn keys_to_read(&mut self, known: &[i64]) -> Result<Vec<PlannedChunk>> {
        self.0.keys_to_read(known).await
    }

    async fn note_history(&mut self, history: &str) -> Result<()> {
        self.0.note_history(history).await
    }

    async fn beat(&mut self) -> Result<bool> {
        self.0.beat().await
    }

    async fn phase(&mut self, phase: Phase) -> Result<()> {
        self.0.phase(phase).await
    }

    async fn last_error(&mut self, error: Option<&Error>) -> Result<()> {
        self.0.last_error(error).await
    }
}

struct FaultySink {
    inner: MemorySink,
    fault: Fault,
    store: Store,
    /// The rows of the last segment.
    given: Vec<Vec<u8>>,
}

impl FaultySink {
    fn failed<T>(&self, error: Error) -> Result<T> {
        if self.fault == Fault::TakesBack {
            self.given.iter().for_each(|row| self.store.tamper(0, row, false));
        }
        Err(error)
    }
}

impl Sink for FaultySink {
    async fn write(&mut self, mut segment: Segment) -> Result<Vec<Vec<Written>>> {
        let net = segment.net().into_iter().flatten();
        let rows = net.flat_map(|writes| writes.upserts.iter());
        let rows: Vec<_> = rows.map(|row| row.0.to_vec()).collect();
        let put = |store: &Store| rows.iter().for_each(|row| store.tamper(0, row, true));
        if let Payload::Log(entries) = &mut segment.payload {
            match self.fault {
                Fault::Nets => {
                    let last: BTreeMap<_, _> =
                        (0..).zip(&*entries).map(|(at, entry)| (entry.key.clone(), at)).collect();
                    let mut at = 0..;
                    entries.retain(|entry| at.next() == last.get(&entry.key).copied());
                }
                Fault::Reorders => entries.reverse(),
                Fault::LosesBefore => entries.iter_mut().for_each(|entry| entry.before = None),
                _ => {}
            }
        }
        match self.fault {
            Fault::NoTransaction if segment.commit.is_none() => put(&self.store),
            Fault::ForgetsChunks => segment.chunks_done.clear(),
            Fault::LastSegmentOnly if segment.commit.is_none() => return Ok(Vec::new()),
            Fault::PositionFirst if segment.commit.is_some() => {
                let first = Segment { commit: segment.commit.clone(), ..Segment::default() };
                self.inner.write(first).await?;
                while self.inner.settle().await?.is_some() {}
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Fault::RowsFirst => {
                put(&self.store);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            _ => {}
        }
        self.given = rows.clone();
        match self.inner.write(segment).await {
            Err(_) if self.fault == Fault::IgnoresOwner => {
                put(&self.store);
                Ok(Vec::new())
            }
            Err(error) => self.failed(error),
            written => written,
        }
    }

    async fn settle(&mut self) -> Result<Option<Vec<Written>>> {
        match self.inner.settle().await {
            Err(error) => self.failed(error),
            settled => settled,
        }
    }

    async fn durable(&mut self) -> Result<Option<Position>> {
        if self.fault == Fault::DurableAtOnce {
            return Ok(Some(self.store.position()));
        }
        self.inner.durable().await
    }
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    for (form, rule) in
        [Form::Net, Form::Log].into_iter().flat_map(|form| Rule::ALL.map(|r| (form, r)))
    {
        let outcome = check(rule, Memory::with(Fault::None, form)).await;
        match (rule, form) {
            (Rule::Refused, _) | (Rule::Log, Form::Net) => {
                assert!(matches!(outcome, Outcome::NotApplicable(_)), "{outcome}");
            }
            _ => assert_eq!(outcome, Outcome::Holds, "{rule:?} {form:?}"),
        }
    }
}

#[tokio::test]
async fn each_fault_breaks_its_rule() {
    let faults = [
        (Fault::SkipsOne, Rule::Restart),
        (Fault::LosesEvents, Rule::CancelledNext),
        (Fault::AcknowledgesWhatItGives, Rule::Acknowledged),
        (Fault::BesideAcknowledges, Rule::Beside),
        (Fault::OpeningAcknowledges, Rule::Beside),
        (Fault::MarksTwice, Rule::Watermark),
        (Fault::ShortRanges, Rule::Chunk),
        (Fault::NoTransaction, Rule::OneCommit),
        (Fault::ForgetsChunks, Rule::OneCommit),
        (Fault::DurableAtOnce, Rule::Durable),
        (Fault::IgnoresOwner, Rule::Fenced),
        (Fault::ForgetsHalves, Rule::Ledger),
        (Fault::RowsFirst, Rule::CancelledWrite),
        (Fault::TakesBack, Rule::LostAnswer),
        (Fault::PositionFirst, Rule::CancelledWrite),
        (Fault::LastSegmentOnly, Rule::OneCommit),
        (Fault::LaterSnapshot, Rule::Snapshot),
        (Fault::Nets, Rule::Log),
        (Fault::Reorders, Rule::Log),
        (Fault::LosesBefore, Rule::Log),
        (Fault::LastSegmentOnly, Rule::Log),
    ];
    for (fault, rule) in faults {
        let form = if rule == Rule::Log { Form::Log } else { Form::Net };
        let outcome = check(rule, Memory::with(fault, form)).await;
        assert!(matches!(outcome, Outcome::Broken(_)), "{fault:?}: {rule:?} {outcome}");
    }
}
