//! What a log has to say: each change of the source, in order, as often as its sink allows; and what follows from it
//! is what the source has.

use std::collections::BTreeMap;

use regraft_core::segment::{Entry, EntryKind};
use regraft_core::{Key, Position, ReplicaIdentity, Rows, Tuple};
use regraft_memory::{Action, TableSpec};

use crate::world::{LISTS, PARENTS, plan, tables, value};
use crate::{Anew, Leg, World};

/// An entry that a change gives.
#[derive(Debug)]
struct Expected {
    at: Position,
    /// The change of the transaction.
    number: u64,
    kind: EntryKind,
    key: Option<Key>,
    before: Option<Rows>,
    /// `None` when only the source can tell them.
    after: Option<Rows>,
    /// The stream carries it whole.
    whole: bool,
    /// It must not be left out.
    must: bool,
}

/// That the log is in order and whole, and has the rows of the source.
pub(crate) fn check(world: &World, leg: &Leg, anew: &[&Anew]) -> Result<(), String> {
    let (log, rows) = (leg.store.log(), world.database.expected());
    let mut of_source = Vec::new();
    let plan = plan(world.statements).0;
    for planned in &plan.tables {
        of_source.extend(planned.statements.iter().map(|&statement| (statement, planned)));
    }
    for (statement, planned) in of_source {
        let entries: Vec<_> = log.iter().filter(|entry| entry.statement == statement).collect();
        let entries: Vec<_> = entries.into_iter().map(|entry| &**entry).collect();
        let wrong = |what: String| Err(format!("of the log of statement {statement} {what}"));
        let anew = anew.iter().rev().find(|anew| anew.table == planned.table);
        let expected =
            expected((world, leg), &planned.table, statement, anew.map(|anew| &anew.from));
        if let Some(what) = out_of_order(&entries, &expected, leg.takes.transactions) {
            return wrong(what);
        }
        if planned.keyless.is_some()
            && let Some(what) = halved(&entries, &expected)
        {
            return wrong(what);
        }
        match follow(&entries) {
            Ok(given) if given == rows[statement] => {}
            Ok(given) => return wrong(format!("follows {given:?}, not {:?}", rows[statement])),
            Err(what) => return wrong(what),
        }
    }
    Ok(())
}

/// The entries of a statement by what the source has committed, in order.
fn expected(
    (world, leg): (&World, &Leg),
    table: &regraft_core::TableName,
    statement: usize,
    anew: Option<&Position>,
) -> Vec<Expected> {
    let specs = tables(world.statements);
    let Some(of) = specs.iter().position(|spec| spec.relation.table == *table) else {
        return Vec::new();
    };
    let spec = &specs[of];
    let place = usize::from(of == LISTS && statement != 0);
    let joined = leg.store.joined_at(table);
    let mut all = Vec::new();
    for (at, actions) in world.database.transactions() {
        let counts = match spec.keyless {
            // What the copy has is not there.
            Some(_) => joined.as_ref().is_some_and(|joined| !joined.has(&at)),
            None => !world.from.has(&at) && anew.is_none_or(|from| !from.has(&at)),
        };
        let changes = actions.iter().filter(|action| !matches!(action, Action::Message(_)));
        for (number, action) in (0_u64..).zip(changes) {
            let entries = entries(of, spec, place, action);
            all.extend(entries.into_iter().map(|entry| Expected {
                at: at.clone(),
                number,
                must: counts && entry.whole && entry.after.is_some(),
                ..entry
            }));
        }
    }
    all
}

/// What a change of the source gives, wherever it is.
fn entries(of: usize, spec: &TableSpec, place: usize, action: &Action) -> Vec<Expected> {
    let rows = |row: &Tuple| {
        let mut rows = Rows::new();
        (spec.statements[place])(&[], row, &mut rows);
        rows
    };
    let new = |row: &Tuple| if of == PARENTS { None } else { Some(rows(row)) };
    let full = spec.relation.identity == ReplicaIdentity::Full;
    let old = |row: &Tuple| full.then(|| rows(row));
    let entry = |key: Option<Key>, before: Option<Rows>, after: Option<Rows>| Expected {
        at: regraft_core::Lsn(0).into(),
        number: 0,
        kind: EntryKind::Change,
        key,
        before,
        after,
        whole: true,
        must: true,
    };
    let none = || Some(Rows::new());
    let given = match action {
        Action::Insert(table, row) if *table == of => {
            vec![entry(spec.key(row), none(), new(row))]
        }
        Action::Delete(table, row) if *table == of => {
            vec![entry(spec.key(row), old(row), none())]
        }
        Action::Update(table, was, is) if *table == of => {
            let unsent = of == LISTS && place == 0 && value(was, 1) == value(is, 1);
            let whole = full || !unsent;
            let moved = spec.keyless.is_some() || spec.key(was) != spec.key(is);
            let before = if moved { none() } else { old(was) };
            let comes = Expected { whole, ..entry(spec.key(is), before, new(is)) };
            let goes = moved.then(|| entry(spec.key(was), old(was), none()));
            goes.into_iter().chain([comes]).collect()
        }
        Action::Truncate(table) if *table == of => {
            vec![Expected { kind: EntryKind::Cleared, ..entry(None, None, none()) }]
        }
        _ => Vec::new(),
    };
    // A row that is none of the statement leaves nothing.
    let any = |given: &Expected| {
        let some = |rows: &Option<Rows>| rows.as_ref().is_none_or(|rows| !rows.is_empty());
        some(&given.before) || some(&given.after)
    };
    given.into_iter().filter(any).collect()
}

/// What is wrong with the order of entries, or missing between them.
fn out_of_order(entries: &[&Entry], expected: &[Expected], once: bool) -> Option<String> {
    let mut next = 0;
    let missing = |from: usize, upto: usize| {
        let lost = expected.get(from..upto)?.iter().find(|expected| expected.must)?;
        Some(format!("a change is missing: {lost:?}"))
    };
    for entry in entries {
        let Some(cause) = &entry.cause else {
            if entry.kind == EntryKind::Change {
                return Some(format!("an entry has no cause: {entry:?}"));
            }
            continue;
        };
        let same = |expected: &Expected| {
            let change = expected.number == cause.number && expected.at == cause.transaction.at;
            change && expected.key == entry.key && expected.kind == entry.kind
        };
        // Of a row without a key that became another one there are two.
        let here = |expected: &Expected| {
            let told = expected.before == entry.before;
            same(expected) && told && expected.after.as_ref() == Some(&entry.after)
        };
        let Some(at) = expected.iter().position(here) else {
            let known = expected.iter().find(|expected| same(expected));
            return Some(format!("{entry:?} is no change of the source, but {known:?}"));
        };
        if at < next && once {
            return Some(format!("an entry comes late, or once more: {entry:?}"));
        }
        if let Some(lost) = missing(next, at) {
            return Some(lost);
        }
        next = at + 1;
    }
    missing(next, expected.len())
}

/// A transaction that is there in part: of rows without a key the copy has all of one, or nothing.
fn halved(entries: &[&Entry], expected: &[Expected]) -> Option<String> {
    let mut of: BTreeMap<String, (usize, usize, bool)> = BTreeMap::new();
    for expected in expected {
        let (all, _, cleared) = of.entry(expected.at.to_string()).or_default();
        *all += 1;
        *cleared |= expected.kind == EntryKind::Cleared;
    }
    for cause in entries.iter().filter_map(|entry| entry.cause.as_ref()) {
        of.entry(cause.transaction.at.to_string()).or_default().1 += 1;
    }
    // What a TRUNCATE took while its table was being copied is not there either.
    let halved =
        of.into_iter().find(|(_, (all, there, cleared))| !cleared && *there > 0 && there != all);
    halved.map(|(at, (all, there, _))| format!("{there} of {all} changes are there at {at}"))
}

/// The rows that follow from entries, sorted.
fn follow(entries: &[&Entry]) -> Result<Vec<Vec<u8>>, String> {
    let mut keyed: BTreeMap<&Key, &Rows> = BTreeMap::new();
    let mut counted: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for entry in entries {
        if entry.kind == EntryKind::Cleared {
            keyed.clear();
            counted.clear();
        } else if let Some(key) = &entry.key {
            keyed.insert(key, &entry.after);
        } else {
            for row in entry.before.iter().flat_map(Rows::iter) {
                let count = counted.get_mut(row.0).filter(|count| **count > 0);
                let Some(count) = count else {
                    return Err(format!("a row goes that has not come: {entry:?}"));
                };
                *count -= 1;
            }
            entry.after.iter().for_each(|row| *counted.entry(row.0.to_vec()).or_default() += 1);
        }
    }
    let mut rows: Vec<_> =
        keyed.values().flat_map(|rows| rows.iter()).map(|row| row.0.to_vec()).collect();
    for (row, count) in counted {
        (0..count).for_each(|_| rows.push(row.clone()));
    }
    rows.sort();
    Ok(rows)
}
