//! Which batches can be written side by side: those whose writes never meet at a row of the target.
//!
//! Then no session waits for a lock of another one, which would be a deadlock that the server cannot
//! see: the later batch commits only after the earlier one. The target has to be such that different
//! source rows mean different target rows, whatever the rows are:
//!
//! - the target key of each statement contains the key of the source row, in a type whose values are
//!   equal only when their bytes are;
//! - there is no other unique, and no exclusion, constraint;
//! - foreign keys, if they are checked, refer to rows of the same source row;
//! - no trigger and no rule writes elsewhere.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use regraft_core::Segment;
use regraft_core::row::{Row, Rows};
use regraft_core::segment::Route;

use super::target::Tables;
use crate::catalog::{ForeignKey, Table};

/// Types whose values are equal only when their bytes are, and that no column's modifier changes.
const EXACT: [&str; 7] = ["smallint", "integer", "bigint", "uuid", "text", "date", "bytea"];

/// Tells batches apart by the source rows that they touch.
pub(super) struct Apart {
    /// For each statement, a number for its source, and the output columns that are the source's key; `None`
    /// where rows have no key, and a batch that writes some goes alone.
    owners: Vec<Option<(usize, Vec<usize>)>>,
    hasher: RandomState,
}

impl Apart {
    /// `None` when different source rows may mean the same target row.
    pub(super) fn new(routes: &[Route], tables: &Tables, trusted: bool) -> Option<Self> {
        let mut owners = Vec::new();
        for route in routes {
            if route.keyless {
                owners.push(None);
                continue;
            }
            let table = tables.get(&route.target)?;
            let keys_are_safe = trusted || keys_stay_within_owner(route, table, routes, tables);
            if !(distinct(route, table, trusted)? && keys_are_safe) {
                return None;
            }
            // The first statement of the same source; both write its key in the same type.
            let first = routes.iter().position(|other| other.source == route.source)?;
            if owner_types(&routes[first]) != owner_types(route) {
                return None;
            }
            owners.push(Some((first, route.owner.clone()?)));
        }
        Some(Self { owners, hasher: RandomState::new() })
    }

    /// Hashes of the source rows that a segment touches; `None` when it has to be written alone.
    pub(super) fn rows(&self, segment: &Segment) -> Option<HashSet<u64>> {
        let all = segment.net().ok()?;
        let alone = segment.commit.is_none()
            || !segment.anew.is_empty()
            || !segment.to_read.is_empty()
            || all.iter().any(|writes| writes.clear || !writes.withdrawn.is_empty());
        if alone {
            return None;
        }
        let mut hashes = HashSet::new();
        for writes in all {
            let (source, owner) = self.owners[writes.statement].as_ref()?;
            let leading: Vec<_> = (0..owner.len()).collect();
            let mut add = |rows: &Rows, columns: &[usize]| {
                hashes.extend(rows.iter().map(|row| self.hash(*source, row, columns)));
            };
            add(&writes.upserts, owner);
            add(&writes.fresh, owner);
            add(&writes.replaced, &leading);
            writes.patches.iter().for_each(|group| add(&group.rows, &leading));
        }
        Some(hashes)
    }

    fn hash(&self, source: usize, row: Row<'_>, columns: &[usize]) -> u64 {
        let cells: Vec<_> = columns.iter().map(|&at| row.cell(at).flatten()).collect();
        self.hasher.hash_one((source, cells))
    }
}

/// Different owners mean different rows of the table; `None` without owner.
fn distinct(route: &Route, table: &Table, trusted: bool) -> Option<bool> {
    let owner = route.owner.as_ref()?;
    let key = table.target_key()?;
    let exact = owner.iter().all(|&at| {
        let from = &route.columns[at];
        let column = table.column(&from.name).filter(|to| to.sql_type == from.sql_type);
        let exact = column.filter(|to| EXACT.contains(&to.sql_type.as_str()) && !to.collated);
        exact.is_some() && key.contains(&from.name)
    });
    let constraints = table.unique.iter().filter(|index| index.plain().as_ref() != Some(&key));
    Some(
        exact
            && !route.guarded(&key)
            && constraints.count() == 0
            && !table.has_exclusions
            && table.exclusions.is_empty()
            && !table.triggers.iter().any(|trigger| trigger.fires(trusted))
            && table.is_plain(),
    )
}

/// No foreign key leads from rows of one source row to those of another one, or out of the mapping.
fn keys_stay_within_owner(route: &Route, table: &Table, routes: &[Route], tables: &Tables) -> bool {
    let within = |key: &ForeignKey| {
        let mut parents = routes.iter().filter(|parent| parent.target == key.references);
        tables.contains_key(&key.references)
            && parents.all(|parent| key.within_owner(route, parent))
    };
    let known = tables.values().flat_map(|other| &other.foreign_keys);
    let known = known.filter(|key| key.references == table.name).count();
    table.foreign_keys.iter().all(within) && i64::try_from(known) == Ok(table.references_to)
}

fn owner_types(route: &Route) -> Vec<&str> {
    let owner = route.owner.iter().flatten();
    owner.map(|&at| route.columns[at].sql_type.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use regraft_core::row::put_value;
    use regraft_core::segment::{Commit, Payload, RouteColumn, TableWrites};
    use regraft_core::{Lsn, Position, TableName};

    use super::*;

    fn apart() -> Apart {
        let owners = vec![Some((0, vec![1])), Some((0, vec![0])), Some((2, vec![0])), None];
        Apart { owners, hasher: RandomState::new() }
    }

    fn rows(cells: &[&[u8]]) -> Rows {
        let mut rows = Rows::new();
        cells.iter().for_each(|cell| put_value(rows.buffer(), cell));
        rows.end_row();
        rows
    }

    fn segment(writes: TableWrites) -> Segment {
        let commit = Commit {
            position: Position::Lsn(Lsn(1)),
            last: None,
            commit_times: Vec::new(),
            changes: 1,
            awaited: false,
        };
        Segment { payload: Payload::Net(vec![writes]), commit: Some(commit), ..Segment::default() }
    }

    #[test]
    fn writes_of_one_source_row_meet_in_all_statements() {
        let apart = apart();
        let upserts = rows(&[b"value", b"key"]);
        let first = segment(TableWrites { statement: 0, upserts, ..TableWrites::default() });
        let first = apart.rows(&first).unwrap();
        let of = |statement, replaced| {
            let writes = TableWrites { statement, replaced, ..TableWrites::default() };
            apart.rows(&segment(writes)).unwrap()
        };
        assert!(!first.is_disjoint(&of(1, rows(&[b"key"]))));
        assert!(first.is_disjoint(&of(1, rows(&[b"value"]))));
        assert!(first.is_disjoint(&of(2, rows(&[b"key"]))), "another source table");
    }

    #[test]
    fn what_is_not_told_by_rows_goes_alone() {
        let apart = apart();
        let clear = TableWrites { clear: true, ..TableWrites::default() };
        assert_eq!(apart.rows(&segment(clear)), None);
        let withdrawn = TableWrites { withdrawn: rows(&[b"a", b"b"]), ..TableWrites::default() };
        assert_eq!(apart.rows(&segment(withdrawn)), None);
        let counted = TableWrites { statement: 3, fresh: rows(&[b"a"]), ..TableWrites::default() };
        assert_eq!(apart.rows(&segment(counted)), None);
        let midway = Segment { commit: None, ..segment(TableWrites::default()) };
        assert_eq!(apart.rows(&midway), None);
    }

    #[test]
    fn the_types_of_the_keys_have_to_agree() {
        let column = |sql_type: &str| RouteColumn {
            name: "id".into(),
            sql_type: sql_type.into(),
            text: false,
        };
        let route = |sql_type| Route {
            source: TableName::new("public", "s"),
            target: TableName::new("public", "t"),
            columns: vec![column(sql_type)],
            owner: Some(vec![0]),
            single: true,
            total: true,
            key_is_owner: true,
            keyless: false,
            source_key: vec!["id".to_owned()],
            rewrite: false,
            only: Vec::new(),
            place: String::new(),
        };
        assert_ne!(owner_types(&route("uuid")), owner_types(&route("text")));
    }
}
