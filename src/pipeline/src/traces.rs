//! Changes of tables that statements read beside their source table: the values that lead from a
//! changed row to the source rows that it touches, from before and after the change.

use std::collections::BTreeSet;

use regraft_core::segment::KeysToRead;
use regraft_core::{
    Cell, Change, ChunkScope, Code, Error, Key, Oid, Relation, ReplicaIdentity, Result, Traced,
    Tuple,
};

use crate::plan::Trace;

/// Values that are collected for one trace; more mean that every source row is read again.
const VALUES_MAX: usize = 100_000;

/// Whether old images of a table hold what they held when the mapping was resolved.
pub(crate) fn identifies(relation: &Relation, identity: ReplicaIdentity, key: &[String]) -> bool {
    let own = || relation.columns.iter().filter(|column| column.key);
    match (identity, relation.identity) {
        (_, ReplicaIdentity::Full) => true,
        (ReplicaIdentity::Full, _) | (_, ReplicaIdentity::Nothing) => false,
        _ => own().count() == key.len() && own().all(|column| key.contains(&column.name)),
    }
}

/// What was collected since the last drain.
pub(crate) struct Traces {
    traces: Vec<Collected>,
}

struct Collected {
    trace: Trace,
    /// Indexes of the trace's columns in the images to come.
    index: Vec<usize>,
    values: BTreeSet<Key>,
    /// Every source row is touched.
    all: bool,
}

impl Traces {
    pub(crate) fn new(traces: &[Trace]) -> Self {
        let collected = |trace: &Trace| Collected {
            trace: trace.clone(),
            index: Vec::new(),
            values: BTreeSet::new(),
            all: false,
        };
        Self { traces: traces.iter().map(collected).collect() }
    }

    /// Accepts the shape of images to come.
    ///
    /// # Errors
    /// When a column of a trace is gone.
    pub(crate) fn bind(&mut self, relation: &Relation) -> Result<()> {
        for (_, collected) in self.of(relation.oid) {
            let columns = collected.trace.columns.iter().map(|name| relation.column(name));
            let (identity, key) = &collected.trace.identity;
            if !identifies(relation, *identity, key) {
                let what = format!(
                    "the replica identity of {} is not what it was when the mapping was resolved: old images \
                     do not lead to the rows of {} any more",
                    relation.table, collected.trace.to
                );
                return Err(Error::new(Code::SourceKeyMissing, what)
                    .at(collected.trace.name.clone())
                    .remedy(format!(
                        "start the daemon again with `regraft run --recopy {}`: it takes the identity that \
                         the table has then, and copies what the stream could not tell",
                        collected.trace.to
                    )));
            }
            collected.index = columns.collect::<Option<_>>().ok_or_else(|| {
                let what = format!("{} lost a column of a trace", relation.table);
                Error::new(Code::ShapeChanged, what)
                    .at(collected.trace.name.clone())
                    .remedy("change the mapping to the table's new shape, and start again")
            })?;
        }
        Ok(())
    }

    /// Values that wait to be drained.
    pub(crate) fn values(&self) -> usize {
        self.traces
            .iter()
            .map(|collected| collected.values.len() + usize::from(collected.all))
            .sum()
    }

    /// Notes a change; `seen` gets the index of each trace that it touches, with the value that leads
    /// on, or none where it may lead to any row.
    pub(crate) fn note(&mut self, change: &Change, mut seen: impl FnMut(usize, Option<&Key>)) {
        if self.traces.is_empty() {
            return;
        }
        match change {
            Change::Insert { relation, new } => self.touch(relation.oid, new, &mut seen),
            Change::Update { relation, old, new } => {
                if let Some(old) = old {
                    self.touch(relation.oid, old.tuple(), &mut seen);
                }
                self.touch(relation.oid, new, &mut seen);
            }
            Change::Delete { relation, old } => self.touch(relation.oid, old.tuple(), &mut seen),
            Change::Truncate { relations } => {
                for relation in relations {
                    for (at, collected) in self.of(relation.oid) {
                        collected.touch_all();
                        seen(at, None);
                    }
                }
            }
        }
    }

    fn of(&mut self, oid: Oid) -> impl Iterator<Item = (usize, &mut Collected)> {
        let of = move |(_, collected): &(usize, &mut Collected)| collected.trace.oid == oid;
        self.traces.iter_mut().enumerate().filter(of)
    }

    fn touch(&mut self, oid: Oid, image: &Tuple, seen: &mut impl FnMut(usize, Option<&Key>)) {
        for (at, collected) in self.of(oid) {
            let unchanged = |&at: &usize| matches!(image.get(at), Some(Cell::Unchanged));
            if collected.index.iter().any(unchanged) || collected.values.len() >= VALUES_MAX {
                collected.touch_all();
                seen(at, None);
            } else if let Some(key) = Key::of(image, &collected.index) {
                // What is NULL leads nowhere.
                seen(at, Some(&key));
                collected.values.insert(key);
            }
        }
    }

    /// What has to be read for the changes so far.
    pub(crate) fn drain(&mut self) -> Vec<KeysToRead> {
        let touched = self.traces.iter_mut().filter(|c| c.all || !c.values.is_empty());
        let to_read = |collected: &mut Collected| {
            let values = std::mem::take(&mut collected.values);
            let all = std::mem::take(&mut collected.all);
            let values = (!all).then(|| values.into_iter().collect());
            let traced = Traced { trace: collected.trace.name.clone(), values };
            KeysToRead { table: collected.trace.to.clone(), scope: ChunkScope::Traced(traced) }
        };
        touched.map(to_read).collect()
    }
}

impl Collected {
    fn touch_all(&mut self) {
        self.all = true;
        self.values.clear();
    }
}
