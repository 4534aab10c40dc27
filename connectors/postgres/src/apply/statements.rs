//! The SQL of the applier, as text. One statement per kind of write and set of columns; a session
//! prepares each once.
//!
//! Values come as one array per column, of the type that the SELECT gave ([`RouteColumn::sql_type`]);
//! the target converts them to the column's type as the assignment of an `INSERT … SELECT` does:
//!
//! ```sql
//! INSERT INTO "public"."model_parameters" AS t ("model_id", "model_weights")
//! SELECT unnest($1::uuid[]) AS c0, unnest($2::bytea[]) AS c1
//! ORDER BY 1
//! ON CONFLICT ("model_id") DO UPDATE SET "model_weights" = excluded."model_weights"
//! WHERE ROW(t."model_weights")::record *<> ROW(excluded."model_weights")::record
//! ```
//!
//! - Sorted by key: neighbouring index pages, and two sessions never wait for each other in a circle.
//! - `*<>` compares the stored images: what is the same to the byte is not written again, and what
//!   is merely equal (`1.0` and `1.00`) is.
//! - Not `MERGE`, which joins, and may scan the whole target; not a temporary table per batch.
//!
//! The rows come as a subselect of columns `c0, c1, …` ([`crate::given`], and `Lane::give`): the others here
//! are what is done with them.

use regraft_core::segment::Route;
use regraft_core::sql::{quote, quote_list};

use super::target::Target;
use crate::given::Carried;

/// The alias of the target in all statements.
const T: &str = "t";

/// Inserts the given rows, or overwrites those with the same key.
pub(crate) fn upsert(route: &Route, target: &Target, given: &str) -> String {
    let key = quote_list(target.key.iter().map(|&at| &route.columns[at].name));
    // A key may be equal and yet not the same: 1 and 1.00.
    let kept = |at: &usize| target.key.contains(at) && target.exact[*at];
    let rest: Vec<_> = (0..route.columns.len()).filter(|at| !kept(at)).collect();
    let rest: Vec<_> = rest.iter().map(|&at| quote(&route.columns[at].name)).collect();
    let on_conflict = if rest.is_empty() {
        "DO NOTHING".to_owned()
    } else {
        let set: Vec<_> = rest.iter().map(|name| format!("{name} = excluded.{name}")).collect();
        format!(
            "DO UPDATE SET {} WHERE ROW({})::record *<> ROW({})::record",
            set.join(", "),
            prefixed(T, &rest),
            prefixed("excluded", &rest),
        )
    };
    format!("{} ON CONFLICT ({key}) {on_conflict}", insert(route, target, given))
}

/// Inserts rows that are not there, whose values have the types of the columns. Costs half of the
/// insert below, which reads arrays and sorts.
pub(crate) fn copy(route: &Route) -> String {
    let names = quote_list(route.columns.iter().map(|column| &column.name));
    format!("COPY {} ({names}) FROM STDIN (FORMAT binary)", route.target.quoted())
}

/// Inserts the given rows, which are not there. Costs less than half of an upsert, which
/// looks for a conflict first and then inserts speculatively.
pub(crate) fn insert(route: &Route, target: &Target, given: &str) -> String {
    let names = quote_list(route.columns.iter().map(|column| &column.name));
    let order: Vec<_> = target.key.iter().filter_map(|&at| at.checked_add(1)).collect();
    let order = order.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let overriding = if target.identity_always { "OVERRIDING SYSTEM VALUE " } else { "" };
    format!(
        "INSERT INTO {} AS {T} ({names}) {overriding}{given} ORDER BY {order}",
        route.target.quoted(),
    )
}

/// Columns that tell an old row: its target key, and its owner, so that a row that another source row
/// has put there meanwhile stays.
pub(crate) fn old_row_columns(route: &Route, target: &Target) -> Vec<usize> {
    let mut columns = target.key.clone();
    let owner = route.owner.iter().flatten().copied();
    let others: Vec<_> = owner.filter(|column| !target.key.contains(column)).collect();
    columns.extend(others);
    columns
}

/// Deletes the rows whose columns `by` are given, save those with one of the target keys in `kept`.
pub(crate) fn delete(
    route: &Route,
    target: &Target,
    by: &[usize],
    given: &str,
    kept: Option<&str>,
) -> String {
    let name = |at: usize| format!("{T}.{}", quote(&route.columns[at].name));
    let mut using = String::new();
    let mut conditions = Vec::new();
    match by {
        [only] if !Carried::from(&route.columns[*only]).is_array() && !target.folded[*only] => {
            // An array is searched in one index scan per partition, which a join with it is not.
            let carried = Carried::from(&route.columns[*only]);
            let array = format!("$1::{}[]", carried.comes_as());
            let typed =
                if carried.text { format!("{array}::{}[]", carried.sql_type) } else { array };
            conditions.push(format!("{} = ANY({typed}::{}[])", name(*only), target.types[*only]));
        }
        _ => {
            using = format!(" USING ({}) AS o", cast(target, by, given));
            let matches = by.iter().enumerate();
            let matches = matches.map(|(n, &at)| same(target, at, &name(at), &format!("o.c{n}")));
            conditions.extend(matches);
        }
    }
    conditions.extend(only(route));
    if let Some(kept) = kept {
        // A hashed subplan: its cost does not depend on what the planner thinks of the target.
        let key: Vec<_> = target.key.iter().map(|&at| name(at)).collect();
        let kept = cast(target, &target.key, kept);
        conditions.push(format!("({}) NOT IN ({kept})", key.join(", ")));
    }
    let conditions = conditions.join(" AND ");
    format!("DELETE FROM {} AS {T}{using} WHERE {conditions}", route.target.quoted())
}

/// Sets columns of contributions in place. The owner columns are given, then the columns that are set.
pub(crate) fn patch(route: &Route, target: &Target, columns: &[usize], given: &str) -> String {
    let owner: Vec<_> = route.owner.iter().flatten().copied().collect();
    let set = (owner.len()..).zip(columns);
    let set = set.map(|(at, &column)| format!("{} = u.c{at}", quote(&route.columns[column].name)));
    let matches = owner.iter().enumerate().map(|(at, &column)| {
        let name = format!("{T}.{}", quote(&route.columns[column].name));
        same(target, column, &name, &format!("u.c{at}::{}", target.types[column]))
    });
    let conditions: Vec<_> = matches.chain(only(route)).collect();
    format!(
        "UPDATE {} AS {T} SET {} FROM ({given}) AS u WHERE {}",
        route.target.quoted(),
        set.collect::<Vec<_>>().join(", "),
        conditions.join(" AND ")
    )
}

/// Deletes every row of the statement.
pub(crate) fn clear(route: &Route) -> String {
    let conditions: Vec<_> = only(route).collect();
    let filter = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    format!("DELETE FROM {} AS {T}{filter}", route.target.quoted())
}

/// A table for rows that cannot be given as arrays.
pub(crate) fn create_staging<'a>(name: &str, columns: impl Iterator<Item = Carried<'a>>) -> String {
    let column = |(at, column): (usize, Carried<'_>)| format!("c{at} {}", column.comes_as());
    let columns: Vec<_> = columns.enumerate().map(column).collect();
    format!(
        "CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({}) ON COMMIT DELETE ROWS",
        columns.join(", ")
    )
}

/// A column of the target has a value, to the byte: the rows of another source row may have one that is equal.
fn same(target: &Target, column: usize, name: &str, value: &str) -> String {
    let equal = format!("{name} = {value}");
    if target.folded[column] {
        format!("{equal} AND {name}::text COLLATE \"C\" = {value}::text COLLATE \"C\"")
    } else {
        equal
    }
}

/// What is given, in the types of these columns of the target.
fn cast(target: &Target, columns: &[usize], given: &str) -> String {
    let casts = columns.iter().enumerate();
    let casts: Vec<_> =
        casts.map(|(n, &at)| format!("x.c{n}::{} AS c{n}", target.types[at])).collect();
    format!("SELECT {} FROM ({given}) AS x", casts.join(", "))
}

fn only(route: &Route) -> impl Iterator<Item = String> + '_ {
    route.only.iter().map(|condition| format!("{T}.{condition}"))
}

fn prefixed(alias: &str, names: &[String]) -> String {
    names.iter().map(|name| format!("{alias}.{name}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use regraft_core::TableName;
    use regraft_core::segment::RouteColumn;

    use super::*;

    fn route() -> (Route, Target) {
        let column = |name: &str, sql_type: &str| RouteColumn {
            name: name.to_owned(),
            sql_type: sql_type.to_owned(),
            text: false,
        };
        let route = Route {
            source: TableName::new("public", "w"),
            target: TableName::new("public", "m"),
            columns: vec![column("id", "uuid"), column("name", "text"), column("v", "numeric")],
            owner: Some(vec![0]),
            single: false,
            total: false,
            key_is_owner: false,
            rewrite: false,
            only: vec!["\"kind\" = 'a'".to_owned()],
            place: "mapping.sql:1:1".to_owned(),
        };
        let target = Target {
            key: vec![0, 1],
            types: ["uuid", "varchar", "numeric"].map(str::to_owned).to_vec(),
            exact: vec![true, true, false],
            folded: vec![false; 3],
            ..Target::default()
        };
        (route, target)
    }

    #[test]
    fn an_upsert_leaves_identical_rows_alone() {
        let (route, target) = route();
        assert_eq!(
            upsert(&route, &target, "SELECT …"),
            "INSERT INTO \"public\".\"m\" AS t (\"id\", \"name\", \"v\") SELECT … \
             ORDER BY 1, 2 ON CONFLICT (\"id\", \"name\") DO UPDATE SET \"v\" = excluded.\"v\" \
             WHERE ROW(t.\"v\")::record *<> ROW(excluded.\"v\")::record"
        );
    }

    #[test]
    fn a_replaced_contribution_keeps_the_rows_that_come_again() {
        let (route, target) = route();
        assert_eq!(
            delete(&route, &target, &[0], "", Some("SELECT …")),
            "DELETE FROM \"public\".\"m\" AS t WHERE t.\"id\" = ANY($1::uuid[]::uuid[]) \
             AND t.\"kind\" = 'a' AND \
             (t.\"id\", t.\"name\") NOT IN (SELECT x.c0::uuid AS c0, x.c1::varchar AS c1 FROM \
             (SELECT …) AS x)"
        );
    }

    #[test]
    fn keys_of_several_columns_are_joined() {
        let (route, target) = route();
        let by = old_row_columns(&route, &target);
        assert_eq!(
            delete(&route, &target, &by, "SELECT …", None),
            "DELETE FROM \"public\".\"m\" AS t USING (SELECT x.c0::uuid AS c0, x.c1::varchar AS c1 \
             FROM (SELECT …) AS x) AS o WHERE t.\"id\" = o.c0 \
             AND t.\"name\" = o.c1 AND t.\"kind\" = 'a'"
        );
    }

    #[test]
    fn arrays_are_not_searched_in_arrays() {
        let (mut route, target) = route();
        route.columns[0].sql_type = "integer[]".to_owned();
        let sql = delete(&route, &target, &[0], "SELECT …", None);
        assert!(sql.contains(" WHERE t.\"id\" = o.c0 AND "), "{sql}");
    }

    #[test]
    fn what_is_equal_only_for_the_target_is_no_owner() {
        let (route, mut target) = route();
        target.folded[0] = true;
        let sql = delete(&route, &target, &[0], "SELECT …", None);
        let same = "t.\"id\" = o.c0 AND t.\"id\"::text COLLATE \"C\" = o.c0::text COLLATE \"C\"";
        assert!(sql.contains(same), "{sql}");
    }

    #[test]
    fn a_patch_finds_rows_by_owner() {
        let (route, target) = route();
        assert_eq!(
            patch(&route, &target, &[2], "SELECT …"),
            "UPDATE \"public\".\"m\" AS t SET \"v\" = u.c1 FROM (SELECT …) AS u \
             WHERE t.\"id\" = u.c0::uuid AND t.\"kind\" = 'a'"
        );
    }
}
