//! The log against a model that writes down what each change says.

use std::time::SystemTime;

use proptest::prelude::*;
use regraft_core::chunk::StatementRows;
use regraft_core::{Code, Lsn, Snapshot};

use super::*;
use crate::fold::net::tests::{Op, Value, image, key, op, plan, without_items};

/// The target rows of a source row.
fn rows(k: u8, value: &Value) -> Rows {
    let mut rows = Rows::new();
    let plan = plan(true, false);
    plan.mappers[0].map(&image(k, value), &mut rows).unwrap();
    rows
}

fn begin(at: u64) -> Transaction {
    Transaction {
        at: Lsn(at).into(),
        commit_time: SystemTime::UNIX_EPOCH,
        xid: Some(7),
        origin: None,
    }
}

fn log() -> Log {
    Log::new(1, Takes::EVERYTHING)
}

/// An entry, and the number of its change.
type Said = (EntryKind, Option<Key>, Option<Rows>, Rows, u64);

fn said(segment: &Segment) -> Vec<Said> {
    let of = |entry: &Entry| {
        let entry = entry.clone();
        let number = entry.cause.map_or(u64::MAX, |cause| cause.number);
        (entry.kind, entry.key, entry.before, entry.after, number)
    };
    segment.log().unwrap().iter().map(of).collect()
}

/// Replays operations on a model, and on a log that is drained now and then.
fn replay(ops: &[Op], full_identity: bool) {
    let plan = plan(!full_identity, false);
    let mut log = log();
    let mut model: BTreeMap<u8, Value> = BTreeMap::new();
    // Since the last drain: what is to be said, what has to be read, and keys whose image is there.
    let (mut expected, mut to_read) = (Vec::new(), BTreeSet::new());
    let mut there: BTreeSet<u8> = BTreeSet::new();
    let old_image = |k: u8, value: &Value| match full_identity {
        true => OldImage::Full(image(k, value)),
        false => OldImage::Key(image(k, &(Vec::new(), None))),
    };
    let before = |k: u8, value: &Value| full_identity.then(|| rows(k, value));
    log.begins(&begin(1));
    let mut number = 0;
    for op in ops.iter().chain([&Op::Drain]) {
        let mut say = |kind, k: Option<u8>, before: Option<Rows>, after: Rows| {
            if before.as_ref().is_none_or(|rows| !rows.is_empty()) || !after.is_empty() {
                expected.push((kind, k.map(key), before, after, number));
            }
        };
        let change = EntryKind::Change;
        match op.clone() {
            Op::Upsert(k, value) => {
                log.next_change();
                match model.get(&k) {
                    None => {
                        log.insert(0, key(k), &image(k, &value));
                        say(change, Some(k), Some(Rows::new()), rows(k, &value));
                    }
                    Some(old) => {
                        let image = image(k, &value);
                        let known = full_identity.then(|| old_image(k, old));
                        log.update(0, key(k), known.as_ref(), &image);
                        say(change, Some(k), before(k, old), rows(k, &value));
                    }
                }
                there.insert(k);
                to_read.remove(&key(k));
                model.insert(k, value);
            }
            Op::Note(k, note) => {
                let Some(old) = model.get(&k).cloned() else { continue };
                log.next_change();
                let new = (old.0.clone(), note);
                let carried = if full_identity { image(k, &new) } else { without_items(k, note) };
                let known = full_identity.then(|| old_image(k, &old));
                log.update(0, key(k), known.as_ref(), &carried);
                if full_identity || there.contains(&k) {
                    say(change, Some(k), before(k, &old), rows(k, &new));
                    there.insert(k);
                } else {
                    to_read.insert(key(k));
                }
                model.insert(k, new);
            }
            Op::Move(from, to) => {
                if from == to || model.contains_key(&to) {
                    continue;
                }
                let Some(value) = model.remove(&from) else { continue };
                log.next_change();
                let carried =
                    if full_identity { image(to, &value) } else { without_items(to, value.1) };
                assert!(!log.rekey_is_incomplete(0, &key(from), &carried));
                let old = old_image(from, &value);
                let netting = log.rekey(0, key(from), key(to), Some(&old), &carried);
                assert_eq!(netting, Netting::Netted);
                say(change, Some(from), before(from, &value), Rows::new());
                to_read.remove(&key(from));
                if there.remove(&from) || full_identity {
                    say(change, Some(to), Some(Rows::new()), rows(to, &value));
                    there.insert(to);
                    to_read.remove(&key(to));
                } else {
                    to_read.insert(key(to));
                    there.remove(&to);
                }
                model.insert(to, value);
            }
            Op::Delete(k) => {
                let Some(value) = model.remove(&k) else { continue };
                log.next_change();
                log.delete(0, key(k), &old_image(k, &value));
                say(change, Some(k), before(k, &value), Rows::new());
                there.remove(&k);
                to_read.remove(&key(k));
            }
            Op::Truncate => {
                log.next_change();
                log.truncate(0);
                expected.push((EntryKind::Cleared, None, None, Rows::new(), number));
                model.clear();
                there.clear();
                to_read.clear();
            }
            Op::Drain => {
                let segment = log.drain(&plan, &[true]).unwrap();
                assert_eq!(said(&segment), std::mem::take(&mut expected));
                let wanted: Vec<_> = std::mem::take(&mut to_read).into_iter().collect();
                let scopes: Vec<_> = segment.to_read.into_iter().map(|read| read.scope).collect();
                let scope = (!wanted.is_empty()).then_some(ChunkScope::Keys(wanted));
                assert_eq!(scopes, Vec::from_iter(scope));
                assert!(log.is_empty() && (log.rows(), log.bytes()) == (0, 0));
                there.clear();
                continue;
            }
        }
        number += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn each_change_is_said_in_order_and_whole(ops in prop::collection::vec(op(), 1..60)) {
        replay(&ops, false);
    }

    #[test]
    fn each_change_says_what_the_row_was_where_the_stream_has_it(
        ops in prop::collection::vec(op(), 1..60),
    ) {
        replay(&ops, true);
    }
}

#[test]
fn a_change_says_which_one_of_its_transaction_it_is() {
    let (plan, mut log) = (plan(true, false), log());
    for at in [10, 20] {
        log.begins(&begin(at));
        for k in [1, 2] {
            // Of a table that is not mapped.
            log.next_change();
            log.next_change();
            log.insert(0, key(k), &image(k, &(vec![1], None)));
        }
    }
    let segment = log.drain(&plan, &[true]).unwrap();
    let of = |entry: &Entry| {
        let cause = entry.cause.as_ref().unwrap();
        (cause.transaction.at.clone(), cause.number)
    };
    let causes: Vec<_> = segment.log().unwrap().iter().map(of).collect();
    let at = |at| Lsn(at).into();
    assert_eq!(causes, [(at(10), 1), (at(10), 3), (at(20), 1), (at(20), 3)]);
}

#[test]
fn a_chunk_brings_what_the_stream_did_not_touch_and_says_of_keys_that_they_are_gone() {
    let (plan, log) = (plan(true, false), log());
    let data = || {
        let mut read = StatementRows::default();
        for k in [1, 2] {
            rows(k, &(vec![5, 6], None)).iter().for_each(|row| {
                read.rows.push(row);
                read.keys.push(key(k));
            });
        }
        ChunkData { snapshot: Snapshot::default(), statements: vec![read] }
    };
    let mut touched = Touched::default();
    touched.complete.insert(key(1));
    let said_of = |scope: &ChunkScope| {
        let (payload, count) = log.join(&plan, 0, scope, data(), &touched);
        (said(&Segment { payload, ..Segment::default() }), count)
    };
    let two = |kind| (kind, Some(key(2)), None, rows(2, &(vec![5, 6], None)), u64::MAX);
    let range = ChunkScope::Range { after: None, upto: None };
    assert_eq!(said_of(&range), (vec![two(EntryKind::Copied)], 2));
    let gone = (EntryKind::Read, Some(key(3)), None, Rows::new(), u64::MAX);
    let keys = ChunkScope::Keys(vec![key(1), key(2), key(3)]);
    assert_eq!(said_of(&keys), (vec![two(EntryKind::Read), gone], 2));
}

#[test]
fn what_is_about_rows_of_a_copy_waits_for_it_in_order_and_goes_with_a_truncate() {
    let (plan, mut log) = (plan(true, false), log());
    let row = |item: u8| image(1, &(vec![item], None));
    let after = |item: u8| rows(1, &(vec![item], None));
    log.begins(&begin(10));
    for (item, by) in [(1, 1), (1, -1), (1, 1)] {
        log.next_change();
        log.hold(0, row(item), by);
    }
    assert!(log.is_empty() && log.held_bytes() > 0);
    log.bring(0, 0, &after(7));
    log.release(0);
    assert_eq!(log.held_bytes(), 0);
    log.hold(0, row(2), 1);
    log.truncate(0);
    log.release(0);
    let segment = log.drain(&plan, &[true]).unwrap();
    let none = Rows::new;
    let change = EntryKind::Change;
    let expected = [
        (EntryKind::Copied, None, None, after(7), u64::MAX),
        (change, None, Some(none()), after(1), 0),
        (change, None, Some(after(1)), none(), 1),
        (change, None, Some(none()), after(1), 2),
        (EntryKind::Cleared, None, None, none(), 2),
    ];
    assert_eq!(said(&segment), expected);
}

#[test]
fn what_a_log_cannot_say_is_refused() {
    let plan = plan(true, false);
    let mut log = Log::new(1, Takes { clearing: false, ..Takes::EVERYTHING });
    log.truncate(0);
    let refused = log.drain(&plan, &[true]).unwrap_err();
    assert_eq!(refused.code(), Code::TargetCannotTake);
    // A row without a key cannot be read.
    log.count(0, without_items(1, None), 1);
    let undecided = log.drain(&plan, &[true]).unwrap_err();
    assert_eq!(undecided.code(), Code::ExpressionFailed);
}
