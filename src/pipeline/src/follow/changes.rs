//! Changes of rows, and of the shapes of tables.

use std::sync::Arc;

use regraft_core::contract::ChangeStream;
use regraft_core::{
    Change, Code, Drifted, Error, Key, Keyless, Relation, ReplicaIdentity, Result, Subject,
    TableName, Tuple,
};
use regraft_telemetry::metrics::ChangeOperation;

use super::Follower;
use crate::fold::{Fold, Netting};
use crate::plan::Options;
use crate::traces::identifies;

impl<S: ChangeStream, F: Fold> Follower<'_, S, F> {
    pub(super) async fn change(&mut self, change: &Change) -> Result<bool> {
        if self.some_unbound {
            self.bind(change)?;
        }
        let (windows, traced) = (&mut self.windows, &self.traced);
        let changes = &self.ports.changes;
        self.traces.note(change, |trace, value| {
            if let Some(table) = traced[trace] {
                changes.touch(table);
                windows.trace(table, trace, value);
            }
        });
        match change {
            Change::Insert { relation, new } => {
                let Some(table) = self.keyed(relation, change)? else {
                    return self.limited().await;
                };
                self.count(table, ChangeOperation::Insert);
                let key = self.key(table, new)?;
                self.touch(table, &key, false);
                self.batch.insert(table, key, new);
            }
            Change::Update { relation, old, new } => {
                let Some(table) = self.keyed(relation, change)? else {
                    return self.limited().await;
                };
                self.count(table, ChangeOperation::Update);
                let new_key = self.key(table, new)?;
                let old_key = old.as_ref().map(|old| self.key(table, old.tuple())).transpose()?;
                let incomplete = new.has_unchanged();
                self.touch(table, &new_key, incomplete);
                match old_key {
                    Some(old_key) if old_key != new_key => {
                        self.touch(table, &old_key, false);
                        if incomplete {
                            self.windows.arrive(table, &new_key);
                        }
                        let alone =
                            incomplete && self.batch.rekey_is_incomplete(table, &old_key, new);
                        if alone && !self.flush().await? {
                            return Ok(false);
                        }
                        let netting = self.batch.rekey(table, old_key, new_key, old.as_ref(), new);
                        if netting == Netting::DrainNow {
                            return self.flush().await;
                        }
                    }
                    _ => self.batch.update(table, new_key, old.as_ref(), new),
                }
            }
            Change::Delete { relation, old } => {
                let Some(table) = self.keyed(relation, change)? else {
                    return self.limited().await;
                };
                self.count(table, ChangeOperation::Delete);
                let key = self.key(table, old.tuple())?;
                self.touch(table, &key, false);
                self.batch.delete(table, key, old);
            }
            Change::Truncate { relations } => {
                for relation in relations {
                    let Some(table) = self.mapped(relation) else { continue };
                    if self.plan.tables[table].keyless.is_some() {
                        self.truncated(table);
                    } else {
                        self.count(table, ChangeOperation::Truncate);
                        self.ports.changes.touch(table);
                        self.windows.truncate(table);
                        self.batch.truncate(table);
                    }
                }
            }
        }
        if change.is_wide() && !self.is_alone().await {
            return Ok(false);
        }
        self.limited().await
    }

    /// A transaction of any size passes through a fixed budget: what is folded so far goes into
    /// the open target transaction. One that is nearly through is given some more, as a batch that
    /// is sent whole can be written beside others.
    async fn limited(&mut self) -> Result<bool> {
        let Options { batch_rows, batch_bytes, .. } = *self.options;
        let full = self.batch.rows() + self.traces.values() >= batch_rows + batch_rows / 2
            || self.batch.bytes() >= batch_bytes + batch_bytes / 2;
        if full { self.flush().await } else { Ok(true) }
    }

    /// Binds the mappers of a table that is being copied anew, once a change needs them.
    fn bind(&mut self, change: &Change) -> Result<()> {
        let relation = match change {
            Change::Insert { relation, .. }
            | Change::Update { relation, .. }
            | Change::Delete { relation, .. } => relation,
            Change::Truncate { .. } => return Ok(()),
        };
        let Some(table) = self.mapped(relation).filter(|&table| self.tables[table].unbound) else {
            return Ok(());
        };
        if let Some(relation) = self.tables[table].relation.take() {
            self.identified(table, &relation)?;
            self.adopt(table, relation)?;
        }
        self.some_unbound = self.tables.iter().any(|table| table.unbound);
        Ok(())
    }

    fn touch(&mut self, table: usize, key: &Key, incomplete: bool) {
        self.windows.touch(table, key, incomplete);
        self.ports.changes.note(table, key);
    }

    pub(super) fn count(&mut self, table: usize, operation: ChangeOperation) {
        self.inside_changes += 1;
        self.pending.changes += 1;
        self.tables[table].changes[operation as usize] += 1;
    }

    /// The planned table of a relation; `None` for tables outside the mapping, and while a table
    /// waits to be copied anew.
    fn mapped(&self, relation: &Relation) -> Option<usize> {
        let table = *self.by_oid.get(&relation.oid)?;
        self.tables[table].anew_from.is_none().then_some(table)
    }

    /// The planned table of a relation whose rows have a key. A change of one whose rows have none is taken in.
    fn keyed(&mut self, relation: &Relation, change: &Change) -> Result<Option<usize>> {
        let Some(table) = self.mapped(relation) else { return Ok(None) };
        match self.plan.tables[table].keyless {
            Some(keyless) => self.counted((table, keyless), change).map(|()| None),
            None => Ok(Some(table)),
        }
    }

    fn key(&self, table: usize, tuple: &Tuple) -> Result<Key> {
        Key::of(tuple, &self.tables[table].key).ok_or_else(|| {
            let planned = &self.plan.tables[table];
            let what = format!("a change carries no key ({})", planned.key.join(", "));
            Error::new(Code::SourceKeyMissing, what).at(planned.table.to_string()).remedy(format!(
                "give the table a primary key, or ALTER TABLE {} REPLICA IDENTITY FULL",
                planned.table.quoted()
            ))
        })
    }

    /// A table's shape from here on. What is folded so far was of the old shape.
    pub(super) async fn relation(&mut self, relation: Arc<Relation>) -> Result<bool> {
        // The stream knows columns by name and type only; the catalog knows more.
        self.ports.reshaped.notify_one();
        if let Err(error) = self.traces.bind(&relation)
            && !self.leads_to_copies(&relation)
        {
            return Err(error.drifted(Drifted::of(Subject::Columns, self.depending(&relation))));
        }
        // A table that was renamed is still the same table.
        let named = self.plan.table(&relation.table);
        let Some(table) = self.by_oid.get(&relation.oid).copied().or(named) else {
            return Ok(true);
        };
        if self.by_oid.iter().any(|(&oid, &known)| known == table && oid != relation.oid) {
            let what = "another table has taken the name, or the table was made anew";
            let remedy =
                format!("`regraft run --recopy {}` copies what is there now", relation.table);
            let place = format!("{}{}", relation.table, self.place());
            let drifted = Drifted::of(Subject::Tables, self.depending(&relation));
            return Err(Error::new(Code::ShapeChanged, what)
                .at(place)
                .remedy(remedy)
                .drifted(drifted));
        }
        self.by_oid.insert(relation.oid, table);
        if self.tables[table].relation.as_deref() == Some(&*relation) {
            return Ok(true);
        }
        if self.tables[table].anew_from.is_some() {
            // The mapping need not fit what is ignored; the last shape is adopted at the end of it.
            self.tables[table].relation = Some(relation);
            return Ok(true);
        }
        // What came before is applied whatever comes of the new shape: as a whole, where the shape
        // stands at the start of a transaction, which it does unless the transaction itself altered it.
        let sent = if self.whole && self.tables[table].relation.is_none() {
            // The batch holds nothing of the table.
            true
        } else if self.inside_changes == 0 && self.pending.moved && !self.whole {
            self.close().await?
        } else {
            self.flush().await?
        };
        if sent {
            self.identified(table, &relation)?;
            self.adopt(table, relation)?;
        }
        Ok(sent)
    }

    /// Everything to which changes of a table lead is copied anew: the shape of now does not matter to it.
    fn leads_to_copies(&self, relation: &Relation) -> bool {
        let mut traces = self.plan.traces.iter().filter(|trace| trace.oid == relation.oid);
        traces.all(|trace| {
            let to = self.plan.table(&trace.to);
            to.is_some_and(|to| self.tables[to].anew_from.is_some())
        })
    }

    /// Refuses a replica identity whose old images lack what the mapping relies on.
    fn identified(&self, table: usize, relation: &Relation) -> Result<()> {
        let planned = &self.plan.tables[table];
        // Where each statement copies the key, whole old rows are more than it needs.
        let mut statements = planned.statements.iter();
        let by_key =
            planned.keyless.is_none() && statements.all(|&at| self.plan.routes[at].owner.is_some());
        let needs = match planned.identity {
            ReplicaIdentity::Full if by_key => ReplicaIdentity::Default,
            identity => identity,
        };
        // Of rows that are only appended there are no old images.
        let appended = planned.keyless == Some(Keyless::Appended);
        if appended || identifies(relation, needs, &planned.key) {
            return Ok(());
        }
        let what = format!(
            "the replica identity of {} is not what it was when the mapping was resolved: old images do not \
             hold ({}) any more",
            relation.table,
            planned.key.join(", ")
        );
        let place = format!("{}{}", relation.table, self.place());
        Err(Error::new(Code::SourceKeyMissing, what).at(place).remedy(format!(
            "start the daemon again with `regraft run --recopy {}`: it takes the identity that the table has \
             then, and copies what the stream could not tell",
            planned.table
        ))
        .drifted(Drifted::of(Subject::Columns, self.depending(relation))))
    }

    /// Binds the mappers of a table to its shape.
    pub(super) fn adopt(&mut self, table: usize, relation: Arc<Relation>) -> Result<()> {
        let planned = &self.plan.tables[table];
        let key = planned.key.iter().map(|name| relation.column(name)).collect::<Option<Vec<_>>>();
        let at = self.place();
        let Some(key) = key else {
            let what = format!("the key ({}) lost a column", planned.key.join(", "));
            let drifted = Drifted::of(Subject::Columns, self.depending(&relation));
            return Err(Error::new(Code::ShapeChanged, what)
                .at(format!("{}{at}", relation.table))
                .drifted(drifted));
        };
        for &statement in &planned.statements {
            let mapper = &mut self.plan.mappers[statement];
            let Err(error) = mapper.bind(&relation) else { continue };
            let place = error.place().unwrap_or(&self.plan.routes[statement].place);
            let place = format!("{place}{at}");
            let reads = mapper.declaration().reads;
            let drifted = Drifted::of(Subject::Columns, self.depending(&relation));
            let missing = reads.iter().find(|input| relation.column(&input.name).is_none());
            let Some(missing) = missing.filter(|_| !self.reached_start) else {
                return Err(error.at(place).drifted(drifted));
            };
            // It was there when the mapping was resolved, which is later than what comes now.
            let (name, table) = (&missing.name, &planned.table);
            let what = format!(
                "changes of {table} that are still to be applied have no column \"{name}\", which the mapping \
                 reads: it is not there yet at this position"
            );
            let remedy = format!(
                "`regraft run --recopy {table}` copies what is there now, and lets go of these changes; or go \
                 on under a mapping without the column until they are applied"
            );
            return Err(Error::new(Code::ShapeChanged, what)
                .at(place)
                .remedy(remedy)
                .drifted(drifted));
        }
        self.tables[table].key = key;
        self.tables[table].unbound = false;
        self.tables[table].relation = Some(relation);
        Ok(())
    }

    /// Source tables whose rows depend on a table, itself one of them.
    fn depending(&self, relation: &Relation) -> Vec<TableName> {
        let named = self.plan.table(&relation.table);
        let own = self.by_oid.get(&relation.oid).copied().or(named);
        let mut tables: Vec<_> =
            own.map(|table| self.plan.tables[table].table.clone()).into_iter().collect();
        for trace in self.plan.traces.iter().filter(|trace| trace.oid == relation.oid) {
            if !tables.contains(&trace.to) {
                tables.push(trace.to.clone());
            }
        }
        tables
    }

    pub(super) fn place(&self) -> String {
        match &self.transaction {
            Some(transaction) => {
                format!(", in the transaction committed at {}", transaction.at)
            }
            None => String::new(),
        }
    }
}
