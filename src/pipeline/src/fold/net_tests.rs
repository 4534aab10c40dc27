//! The net effect against a model that replays every change, one by one, on a map.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use regraft_core::change::OldImage;
use regraft_core::mapper::{Count, Input, Output, Patch};
use regraft_core::row::{put, put_null, put_value};
use regraft_core::segment::{Route, RouteColumn};
use regraft_core::tuple::{Cell, TupleBuilder};
use regraft_core::{Declaration, Relation, ReplicaIdentity, Row, TableName};

use super::*;
use crate::plan::PlannedTable;

/// Source rows are (key, list of items, note); the note may be unchanged in the stream. The target
/// has a row per item: (key, item, note).
struct Explode;

impl Mapper for Explode {
    fn declaration(&self) -> Declaration {
        let outputs = [("key", "key"), ("item", "items"), ("note", "note")];
        Declaration {
            version: "1".to_owned(),
            reads: ["key", "items", "note"].map(Input::any).to_vec(),
            outputs: outputs.map(|(name, column)| Output::copy(name, column)).to_vec(),
            rows: Count::Any,
        }
    }

    fn bind(&mut self, _: &Relation) -> Result<()> {
        Ok(())
    }

    fn map(&self, image: &Tuple, out: &mut Rows) -> Result<Mapped> {
        let cell = |at| image.get(at).unwrap();
        match (cell(1), cell(2)) {
            (Cell::Unchanged, Cell::Unchanged) => {
                let mut cells = Vec::new();
                put(&mut cells, cell(0).bytes());
                return Ok(Mapped::Patch(Patch { columns: vec![0], cells, assumes_key: false }));
            }
            (Cell::Unchanged, note) => {
                let mut cells = Vec::new();
                put(&mut cells, cell(0).bytes());
                put(&mut cells, note.bytes());
                return Ok(Mapped::Patch(Patch { columns: vec![0, 2], cells, assumes_key: false }));
            }
            (_, Cell::Unchanged) => return Ok(Mapped::Read),
            _ => {}
        }
        let mut rows = 0;
        for item in cell(1).bytes().unwrap_or_default() {
            put_value(out.buffer(), cell(0).bytes().unwrap());
            put_value(out.buffer(), &[*item]);
            put(out.buffer(), cell(2).bytes());
            out.end_row();
            rows += 1;
        }
        Ok(Mapped::Rows(rows))
    }
}

pub(crate) fn plan(owner: bool, rewrite: bool) -> Plan {
    let source = TableName::new("public", "s");
    let column = |name: &str| RouteColumn {
        name: name.to_owned(),
        sql_type: "bytea".to_owned(),
        text: false,
    };
    let route = Route {
        source: source.clone(),
        target: TableName::new("public", "t"),
        columns: vec![column("key"), column("item"), column("note")],
        owner: owner.then(|| vec![0]),
        single: false,
        total: false,
        key_is_owner: false,
        keyless: false,
        source_key: vec!["id".to_owned()],
        rewrite,
        only: Vec::new(),
        place: "mapping.sql:1:1".to_owned(),
    };
    let table = PlannedTable {
        table: source.clone(),
        oid: 1,
        key: vec!["key".into()],
        keyless: None,
        identity: ReplicaIdentity::Default,
        statements: vec![0],
        together: Vec::new(),
    };
    Plan {
        traces: Vec::new(),
        name: "test".into(),
        routes: vec![route],
        mappers: vec![Box::new(Explode)],
        tables: vec![table],
    }
}

/// A source row.
pub(crate) type Value = (Vec<u8>, Option<u8>);

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Upsert(u8, Value),
    /// An update that leaves the items as they are, without carrying them.
    Note(u8, Option<u8>),
    Move(u8, u8),
    Delete(u8),
    Truncate,
    Drain,
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let key = 0..6_u8;
    let items = prop::collection::btree_set(0..4_u8, 0..4).prop_map(|s| s.into_iter().collect());
    let value = (items, prop::option::of(0..3_u8));
    prop_oneof![
        6 => (key.clone(), value).prop_map(|(key, value)| Op::Upsert(key, value)),
        3 => (key.clone(), prop::option::of(0..3_u8)).prop_map(|(key, note)| Op::Note(key, note)),
        2 => (key.clone(), key.clone()).prop_map(|(from, to)| Op::Move(from, to)),
        2 => key.prop_map(Op::Delete),
        1 => Just(Op::Truncate),
        2 => Just(Op::Drain),
    ]
}

pub(crate) fn key(key: u8) -> Key {
    let mut out = Vec::new();
    put_value(&mut out, &[key]);
    Key(out.into_boxed_slice())
}

pub(crate) fn image(key: u8, value: &Value) -> Tuple {
    let mut builder = TupleBuilder::with_capacity(3, 8);
    builder.push(Cell::Binary(&[key]));
    builder.push(Cell::Binary(&value.0));
    match value.1 {
        Some(note) => builder.push(Cell::Binary(&[note])),
        None => builder.push(Cell::Null),
    }
    builder.finish()
}

pub(crate) fn without_items(key: u8, note: Option<u8>) -> Tuple {
    let mut builder = TupleBuilder::with_capacity(3, 8);
    builder.push(Cell::Binary(&[key]));
    builder.push(Cell::Unchanged);
    match note {
        Some(note) => builder.push(Cell::Binary(&[note])),
        None => builder.push(Cell::Null),
    }
    builder.finish()
}

/// Key and item.
type TargetKey = (Vec<u8>, Vec<u8>);

/// A target that does what a segment says.
#[derive(Default)]
struct Target(BTreeMap<TargetKey, Option<Vec<u8>>>);

impl Target {
    fn apply(&mut self, segment: &Segment) {
        for writes in segment.net().unwrap() {
            if writes.clear {
                self.0.clear();
            }
            let cell = |row: Row<'_>, at| row.cell(at).flatten().map(<[u8]>::to_vec);
            let target_key = |row| (cell(row, 0).unwrap(), cell(row, 1).unwrap());
            let arriving: Vec<_> = writes.upserts.iter().map(target_key).collect();
            let mut unique: Vec<_> = writes.arriving().map(target_key).collect();
            unique.sort();
            let all = unique.len();
            unique.dedup();
            assert_eq!(unique.len(), all, "a target key occurs twice in one segment");
            for row in writes.replaced.iter() {
                let owner = cell(row, 0).unwrap();
                self.0.retain(|key, _| key.0 != owner || arriving.contains(key));
            }
            for row in writes.withdrawn.iter() {
                let key = (cell(row, 0).unwrap(), cell(row, 1).unwrap());
                if !arriving.contains(&key) {
                    self.0.remove(&key);
                }
            }
            for (key, row) in arriving.into_iter().zip(writes.upserts.iter()) {
                self.0.insert(key, cell(row, 2));
            }
            for row in writes.fresh.iter() {
                let old = self.0.insert(target_key(row), cell(row, 2));
                assert!(old.is_none(), "a row that should be new is there already");
            }
            for group in &writes.patches {
                for row in group.rows.iter() {
                    let owner = cell(row, 0).unwrap();
                    let rows: Vec<_> =
                        self.0.keys().filter(|key| key.0 == owner).cloned().collect();
                    for old in rows {
                        let note = self.0.remove(&old).unwrap();
                        let at = group.columns.iter().position(|&column| column == 2);
                        let note = at.map_or(note, |at| cell(row, 1 + at));
                        self.0.insert((cell(row, 1).unwrap(), old.1), note);
                    }
                }
            }
        }
        assert!(segment.to_read.is_empty(), "nothing here has to be read");
    }
}

/// Replays operations on a map, and on a batch that is drained now and then.
fn replay(ops: &[Op], full_identity: bool, rewrite: bool) {
    let plan = plan(!full_identity, rewrite);
    let mut batch = Net::new(1, Takes::EVERYTHING);
    let mut model: BTreeMap<u8, Value> = BTreeMap::new();
    let mut target = Target::default();
    let old_image =
        |key: u8, value: &Value| full_identity.then(|| OldImage::Full(image(key, value)));
    let key_image = |k: u8, value: &Value| {
        let partial = || OldImage::Key(image(k, &(Vec::new(), None)));
        old_image(k, value).unwrap_or_else(partial)
    };
    for op in ops.iter().chain([&Op::Drain]) {
        match op.clone() {
            Op::Upsert(k, value) => {
                match model.get(&k) {
                    None => batch.insert(0, key(k), &image(k, &value)),
                    Some(old) => {
                        batch.update(0, key(k), old_image(k, old).as_ref(), &image(k, &value));
                    }
                }
                model.insert(k, value);
            }
            Op::Note(k, note) => {
                let Some(old) = model.get(&k).cloned() else { continue };
                let new = (old.0.clone(), note);
                let carried = if full_identity { image(k, &new) } else { without_items(k, note) };
                batch.update(0, key(k), old_image(k, &old).as_ref(), &carried);
                model.insert(k, new);
            }
            Op::Move(from, to) => {
                if from == to || model.contains_key(&to) {
                    continue;
                }
                let Some(value) = model.remove(&from) else { continue };
                let carried =
                    if full_identity { image(to, &value) } else { without_items(to, value.1) };
                let old = key_image(from, &value);
                if batch.rekey_is_incomplete(0, &key(from), &carried) {
                    target.apply(&batch.drain(&plan, &[true]).unwrap());
                }
                if batch.rekey(0, key(from), key(to), Some(&old), &carried) == Netting::DrainNow {
                    target.apply(&batch.drain(&plan, &[true]).unwrap());
                }
                model.insert(to, value);
            }
            Op::Delete(k) => {
                let Some(value) = model.remove(&k) else { continue };
                batch.delete(0, key(k), &key_image(k, &value));
            }
            Op::Truncate => {
                batch.truncate(0);
                model.clear();
            }
            Op::Drain => {
                target.apply(&batch.drain(&plan, &[true]).unwrap());
                let want: BTreeMap<_, _> = model
                    .iter()
                    .flat_map(|(k, (items, note))| {
                        let note = note.map(|note| vec![note]);
                        items.iter().map(move |item| ((vec![*k], vec![*item]), note.clone()))
                    })
                    .collect();
                assert_eq!(target.0, want);
                assert!(batch.is_empty());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_net_effect_is_that_of_every_change_in_turn(ops in prop::collection::vec(op(), 1..60)) {
        replay(&ops, false, false);
        replay(&ops, false, true);
    }

    #[test]
    fn the_net_effect_with_full_old_rows_is_that_of_every_change_in_turn(
        ops in prop::collection::vec(op(), 1..60),
    ) {
        replay(&ops, true, false);
        replay(&ops, true, true);
    }
}

#[test]
fn a_row_that_comes_and_goes_within_a_batch_leaves_nothing_to_write() {
    let plan = plan(true, false);
    let mut batch = Net::new(1, Takes::EVERYTHING);
    let row = image(1, &(vec![1], None));
    batch.insert(0, key(1), &row);
    batch.delete(0, key(1), &OldImage::Key(row));
    let segment = batch.drain(&plan, &[true]).unwrap();
    assert!(segment.net().unwrap().is_empty());
}

#[test]
fn a_value_that_the_stream_did_not_carry_is_asked_for() {
    let plan = plan(true, false);
    let mut batch = Net::new(1, Takes::EVERYTHING);
    let mut builder = TupleBuilder::with_capacity(3, 8);
    builder.push(Cell::Binary(&[1]));
    builder.push(Cell::Binary(&[1]));
    builder.push(Cell::Unchanged);
    batch.update(0, key(1), None, &builder.finish());
    let segment = batch.drain(&plan, &[true]).unwrap();
    let table = Arc::new(TableName::new("public", "s"));
    assert_eq!(segment.to_read.len(), 1);
    let read = &segment.to_read[0];
    assert_eq!((&read.table, &read.scope), (&*table, &ChunkScope::Keys(vec![key(1)])));
    assert!(segment.net().unwrap().is_empty());
}

#[test]
fn the_batch_counts_rows_and_bytes_down_to_zero() {
    let plan = plan(true, false);
    let mut batch = Net::new(1, Takes::EVERYTHING);
    assert_eq!((batch.rows(), batch.bytes()), (0, 0));
    let mut cells = Vec::new();
    put_null(&mut cells);
    batch.insert(0, key(1), &image(1, &(vec![1; 100], None)));
    assert!(batch.bytes() > 100 && batch.rows() == 1);
    batch.drain(&plan, &[true]).unwrap();
    assert_eq!((batch.rows(), batch.bytes()), (0, 0));
}
