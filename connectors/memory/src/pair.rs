//! Both servers beside the data path: verification, with its findings in the ledger.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use regraft_core::contract::{Pair, Sentinel};
use regraft_core::verify::{
    Compare, Outcome, Range, RangeRows, Recorded, Request, Seen, Settled, Verified, Verifier,
    VerifyState,
};
use regraft_core::{ChunkScope, Code, Error, Key, Position, Result, Row, Rows};

use crate::database::Database;
use crate::source::{is_in, key_of_text, text};
use crate::store::{FoundRow, State, Store, columns};
use crate::weather::Weather;

/// Between looks whether the target has a position.
const POSITION_WAIT: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Clone)]
pub struct MemoryPair {
    /// The source's server.
    pub database: Database,
    /// The target's server.
    pub store: Store,
    /// What happens to the calls.
    pub weather: Weather,
}

impl Pair for MemoryPair {
    type Verifier = MemoryVerifier;
    type Sentinel = MemorySentinel;

    async fn verifier(&mut self) -> Result<MemoryVerifier> {
        self.weather.before("pair.verifier").await?;
        Ok(MemoryVerifier(self.clone()))
    }

    fn sentinel(&mut self) -> MemorySentinel {
        MemorySentinel(self.weather.clone())
    }
}

/// Nothing drifts here, but its looks may fail.
pub struct MemorySentinel(Weather);

impl Sentinel for MemorySentinel {
    async fn guard(&mut self) -> Result<()> {
        self.0.before("sentinel.guard").await
    }

    async fn look(&mut self) -> Result<Vec<String>> {
        self.0.before("sentinel.look").await?;
        Ok(Vec::new())
    }

    async fn resumed(&mut self) -> bool {
        false
    }
}

/// Compares the two.
pub struct MemoryVerifier(MemoryPair);

impl MemoryVerifier {
    /// The rows of a statement at the target whose owners `wanted` has, with the position that they have, and
    /// source keys that wait to be read.
    fn target(&self, at: usize, wanted: impl Fn(&Key) -> bool) -> (Vec<Vec<u8>>, Seen) {
        let state = self.0.store.state();
        let route = &state.routes[at];
        let rows = state.committed.rows[at].values();
        let rows = rows.flat_map(|known| (0..known.count).map(|_| known.row.clone()));
        let rows = match &route.owner {
            Some(owner) => rows.filter(|row| wanted(&owner_of(row, owner))).collect(),
            None => rows.collect(),
        };
        let (mut pending, mut all_pending) = (Vec::new(), false);
        let open = state.committed.ledger.chunks.values().filter(|known| !known.done);
        for known in open.filter(|known| known.chunk.table == route.source) {
            match &known.chunk.scope {
                ChunkScope::Keys(keys) => pending.extend(keys.iter().cloned()),
                ChunkScope::Traced(_) => all_pending = true,
                ChunkScope::Range { .. } => {}
            }
        }
        let position = state.committed.ledger.position.clone();
        (rows, Seen { snapshot: Default::default(), position, pending, all_pending })
    }

    /// What the statement gives for source rows whose keys `wanted` has, and the snapshot.
    fn source(&self, at: usize, wanted: impl Fn(&Key) -> bool) -> (Rows, regraft_core::Snapshot) {
        let (source, place) = {
            let state = self.0.store.state();
            let source = state.routes[at].source.clone();
            let before = state.routes[..at].iter().filter(|route| route.source == source).count();
            (source, before)
        };
        let (state, mut given) = (self.0.database.state(), Rows::new());
        let snapshot = state.snapshot();
        let tables = state.rows(&snapshot);
        if let Some((table, spec)) = state.table(&source) {
            for row in &tables[table] {
                if spec.key(row).is_none_or(|key| wanted(&key)) {
                    (spec.statements[place])(&tables, row, &mut given);
                }
            }
        }
        (given, snapshot)
    }

    fn fill<C: Compare>(into: &mut C, target: Vec<Vec<u8>>, source: &Rows) -> Result<()> {
        for row in target {
            into.target(Bytes::from(row));
        }
        source.iter().for_each(|row| into.source(Bytes::copy_from_slice(row.0)));
        if into.is_full() {
            return Err(Error::new(Code::ChunkTooLarge, "too many rows differ").at("memory"));
        }
        Ok(())
    }

    /// Has the rows of findings read again that were not asked for, or found since; gives their number.
    fn ask(&self, wanted: impl Fn(usize, &State) -> bool) -> u64 {
        let mut state = self.0.store.state();
        let open: Vec<_> = state.committed.ledger.findings.keys().cloned().collect();
        let mut asked = 0;
        for (at, key) in open {
            let owned = state.routes[at].owner.is_some() && wanted(at, &state);
            let source = state.routes[at].source.clone();
            let Some(found) = state.committed.ledger.findings.get_mut(&(at, key)) else { continue };
            if owned && (found.seen_again || !found.asked) {
                (found.asked, found.seen_again) = (true, false);
                let scope = ChunkScope::Keys(vec![found.owner.clone()]);
                asked += 1;
                state.note_to_read(&[regraft_core::segment::KeysToRead { table: source, scope }]);
            }
        }
        state.flush();
        asked
    }
}

fn owner_of(row: &[u8], owner: &[usize]) -> Key {
    Key(columns(Row(row), owner).into_boxed_slice())
}

impl Verifier for MemoryVerifier {
    fn layout(&self, statement: usize) -> (Option<Vec<usize>>, Vec<usize>) {
        let state = self.0.store.state();
        let route = &state.routes[statement];
        let all = || (0..route.columns.len()).collect();
        (route.owner.clone(), state.tables[statement].key.clone().unwrap_or_else(all))
    }

    async fn give_up(&mut self) -> Result<()> {
        Ok(())
    }

    async fn load(&mut self) -> Result<VerifyState> {
        self.0.weather.before("verifier.load").await?;
        let state = self.0.store.state();
        let ledger = &state.committed.ledger;
        let mut loaded = VerifyState {
            sweeps: (0..state.routes.len())
                .map(|at| ledger.sweeps.get(&at).cloned().unwrap_or_default())
                .collect(),
            findings: ledger.findings.len() as u64,
            ..VerifyState::default()
        };
        for (at, owner) in &ledger.unsettled {
            loaded.unsettled.entry(*at).or_default().push(owner.clone());
        }
        for ((at, _), found) in &ledger.findings {
            loaded.open.entry(*at).or_default().push(found.owner.clone());
        }
        Ok(loaded)
    }

    async fn compare<C: Compare>(
        &mut self,
        statement: usize,
        owners: Option<Vec<Key>>,
        not_before: &Position,
        into: &mut C,
    ) -> Result<Seen> {
        self.0.weather.before("verifier.compare").await?;
        let wanted = |key: &Key| owners.as_ref().is_none_or(|owners| owners.contains(key));
        let (target, mut seen) = loop {
            let (target, seen) = self.target(statement, wanted);
            if seen.position.covers(not_before) {
                break (target, seen);
            }
            tokio::time::sleep(POSITION_WAIT).await;
        };
        // The source is read after the target.
        self.0.weather.before("verifier.compare").await?;
        let (source, snapshot) = self.source(statement, wanted);
        seen.snapshot = snapshot;
        Self::fill(into, target, &source)?;
        Ok(seen)
    }

    async fn range<C: Compare>(
        &mut self,
        statement: usize,
        after: Option<Vec<String>>,
        rows: RangeRows,
        into: &mut C,
    ) -> Result<Range> {
        self.0.weather.before("verifier.range").await?;
        let from = ChunkScope::Range { after: after.clone(), upto: None };
        let upto = {
            let source = self.0.store.state().routes[statement].source.clone();
            let state = self.0.database.state();
            let table = state.table(&source);
            let all = table.map(|(at, spec)| (spec, state.rows(&state.snapshot()).swap_remove(at)));
            let keys = all.iter().flat_map(|(spec, rows)| rows.iter().filter_map(|r| spec.key(r)));
            let mut keys = keys.filter(|key| is_in(key, &from));
            let last = usize::try_from(rows.max).unwrap_or(usize::MAX).saturating_sub(1);
            let last = keys.nth(last);
            last.filter(|_| keys.next().is_some()).map(|key| text(&key))
        };
        let scope = ChunkScope::Range { after, upto: upto.clone() };
        let (source, _) = self.source(statement, |key| is_in(key, &scope));
        let (target, seen) = self.target(statement, |key| is_in(key, &scope));
        Self::fill(into, target, &source)?;
        Ok(Range { upto, position: seen.position, source_time: Duration::from_millis(1) })
    }

    async fn rows_in(&mut self, _: usize, bytes: usize) -> Result<u64> {
        Ok(u64::try_from(bytes / 32).unwrap_or(u64::MAX).max(1))
    }

    async fn owners(&mut self, _: usize, keys: &[Key]) -> Result<Vec<Key>> {
        Ok(keys.to_vec())
    }

    async fn owners_of_texts(
        &mut self,
        _: usize,
        keys: &[Vec<String>],
    ) -> Result<Option<Vec<Key>>> {
        Ok(keys.iter().map(|texts| key_of_text(texts)).collect())
    }

    async fn orphans(
        &mut self,
        _: usize,
        _: Option<&Key>,
        _: usize,
    ) -> Result<(Vec<Key>, Option<Key>)> {
        // Ranges of source keys are ranges of owners.
        Ok((Vec::new(), None))
    }

    async fn strays(&mut self, _: usize) -> Result<Vec<Bytes>> {
        // No owner is NULL, and each statement has a table of its own.
        Ok(Vec::new())
    }

    async fn record_range(&mut self, verified: &Verified, sweep: u64) -> Result<()> {
        self.0.weather.before("verifier.record_range").await?;
        let mut state = self.0.store.state();
        let ledger = &mut state.committed.ledger;
        let at = verified.statement;
        let known = ledger.sweeps.entry(at).or_default();
        if known.number != sweep || known.oldest.is_none() {
            known.oldest = Some(SystemTime::now());
        }
        known.number = sweep;
        known.upto.clone_from(&verified.upto);
        known.done = verified.upto.is_none();
        ledger.unsettled.extend(verified.unsettled.iter().map(|owner| (at, owner.clone())));
        state.flush();
        drop(state);
        self.0.weather.after("verifier.record_range")
    }

    async fn record_owners(
        &mut self,
        statement: usize,
        settled: &[Settled],
        _: Option<Position>,
    ) -> Result<Recorded> {
        self.0.weather.before("verifier.record_owners").await?;
        let mut state = self.0.store.state();
        let ledger = &mut state.committed.ledger;
        let mut recorded = Recorded::default();
        for owner in settled {
            ledger.unsettled.remove(&(statement, owner.owner.clone()));
            let again = |key: &Key| owner.found.iter().any(|found| found.key == *key);
            let over = ledger.findings.iter().filter(|((at, key), found)| {
                *at == statement && found.owner == owner.owner && !again(key)
            });
            let over: Vec<_> = over.map(|(key, found)| (key.clone(), found.asked)).collect();
            for (key, asked) in over {
                ledger.findings.remove(&key);
                *if asked { &mut recorded.repaired } else { &mut recorded.gone } += 1;
            }
            for found in &owner.found {
                let new = FoundRow { owner: owner.owner.clone(), asked: false, seen_again: false };
                let before = ledger.findings.len();
                let known = ledger.findings.entry((statement, found.key.clone())).or_insert(new);
                known.seen_again = known.asked;
                recorded.new += (ledger.findings.len() - before) as u64;
            }
        }
        recorded.open = ledger.findings.len() as u64;
        state.flush();
        drop(state);
        self.0.weather.after("verifier.record_owners")?;
        Ok(recorded)
    }

    async fn under_repair(&mut self) -> Result<Vec<(usize, Key)>> {
        let state = self.0.store.state();
        let asked = state.committed.ledger.findings.iter().filter(|(_, found)| found.asked);
        Ok(asked.map(|((at, _), found)| (*at, found.owner.clone())).collect())
    }

    async fn open_findings(&mut self) -> Result<Vec<(usize, Key)>> {
        let state = self.0.store.state();
        let open = state.committed.ledger.findings.iter();
        Ok(open.map(|((at, _), found)| (*at, found.owner.clone())).collect())
    }

    async fn repair(&mut self, max: u64) -> Result<Option<u64>> {
        self.0.weather.before("verifier.repair").await?;
        let open = self.0.store.state().committed.ledger.findings.len() as u64;
        if open > max {
            return Ok(None);
        }
        Ok(Some(self.ask(|_, _| true)))
    }

    async fn repair_targets(&mut self, targets: &[String]) -> Result<u64> {
        self.0.weather.before("verifier.repair").await?;
        let named = |at: usize, state: &State| {
            let target = state.routes[at].target.to_string();
            targets.is_empty() || targets.contains(&target)
        };
        Ok(self.ask(named))
    }

    async fn request(&mut self) -> Result<Option<(i64, Request)>> {
        let state = self.0.store.state();
        let open = state.committed.ledger.requests.iter().find(|asked| asked.ended.is_none());
        Ok(open.map(|asked| (asked.id, asked.request.clone())))
    }

    async fn report(&mut self, request: i64, outcomes: &[Outcome], finished: bool) -> Result<()> {
        self.0.weather.before("verifier.report").await?;
        self.0.store.end_request(request, finished.then(|| Ok(outcomes.to_vec())));
        Ok(())
    }

    async fn refuse(&mut self, request: i64, error: &Error) -> Result<()> {
        self.0.weather.before("verifier.refuse").await?;
        self.0.store.end_request(request, Some(Err(error.code())));
        Ok(())
    }
}
