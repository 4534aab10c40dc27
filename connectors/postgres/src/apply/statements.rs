//! The SQL of the applier, as text. One statement per kind of write and set of columns; a session
//! prepares each once.
//!
//! Values come as one array per column, of the type that the SELECT gave ([`RouteColumn::sql_type`]);
//! the target converts them to the column's type as the assignment of an `INSERT … SELECT` does:
//!
//! ```sql
//! INSERT INTO "public"."model_parameters" AS t ("model_id", "model_weights")
//! SELECT * FROM unnest($1::uuid[], $2::bytea[]) AS u("model_id", "model_weights")
//! ORDER BY 1
//! ON CONFLICT ("model_id") DO UPDATE SET "model_weights" = excluded."model_weights"
//! WHERE ROW(t."model_weights")::record *<> ROW(excluded."model_weights")::record
//! ```
//!
//! - Sorted by key: neighbouring index pages, and two sessions never wait for each other in a circle.
//! - `*<>` compares the stored images: what is the same to the byte is not written again, and what
//!   is merely equal (`1.0` and `1.00`) is.
//! - Not `MERGE`, which joins, and may scan the whole target; not a temporary table per batch.

use regraft_core::segment::{Route, RouteColumn};
use regraft_core::sql::{quote, quote_list};

use super::target::Target;

/// The alias of the target in all statements.
const T: &str = "t";

/// Which rows an upsert overwrites; it passes over others with the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// All of them.
    None,
    /// Those of the same owner and statement; none, where the statement has no owner columns.
    Own,
    /// Those of the statements with these numbers whose [`identity`] is in further parameters.
    Freed(Vec<usize>),
}

/// Inserts rows, or overwrites those with the same key. Parameters: one array per column, or none
/// when the rows come from `staging`. The guard is a condition from [`own`] or [`freed`].
pub(crate) fn upsert(
    route: &Route,
    target: &Target,
    staging: Option<&str>,
    guard: Option<&str>,
) -> String {
    let key = quote_list(target.key.iter().map(|&at| &route.columns[at].name));
    // A key may be equal and yet not the same: 1 and 1.00.
    let kept = |at: &usize| target.key.contains(at) && !equals_other_bytes(&target.types[*at]);
    let rest: Vec<_> = (0..route.columns.len()).filter(|at| !kept(at)).collect();
    // Rows with other values of an identity column are gone by now, or are of another owner.
    let set: Vec<_> = rest.iter().filter(|at| !target.identity.contains(at)).collect();
    let name = |at: &usize| quote(&route.columns[*at].name);
    let set: Vec<_> = set.into_iter().map(name).map(|c| format!("{c} = excluded.{c}")).collect();
    let rest: Vec<_> = rest.iter().map(name).collect();
    let on_conflict = if set.is_empty() {
        "DO NOTHING".to_owned()
    } else {
        format!(
            "DO UPDATE SET {} WHERE ROW({})::record *<> ROW({})::record{}",
            set.join(", "),
            prefixed(T, &rest),
            prefixed("excluded", &rest),
            guard.map(|guard| format!(" AND ({guard})")).unwrap_or_default(),
        )
    };
    format!("{} ON CONFLICT ({key}) {on_conflict}", insert(route, target, staging))
}

/// The row of the target is one of the statement, and has the owner of the row from `other`. Key
/// columns are equal already.
pub(crate) fn own(route: &Route, target: &Target, other: impl Fn(usize) -> String) -> String {
    let Some(owner) = &route.owner else { return "false".to_owned() };
    let owner = owner.iter().filter(|column| !target.key.contains(column)).map(|&at| {
        format!("{T}.{} IS NOT DISTINCT FROM {}", quote(&route.columns[at].name), other(at))
    });
    let conditions: Vec<_> = owner.chain(only(route)).collect();
    if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") }
}

/// The row of the target is one of the statement, and its [`identity`] is in the parameters from
/// `first` on.
pub(crate) fn freed(route: &Route, target: &Target, first: usize) -> String {
    let by = identity(route, target);
    let names: Vec<_> = by.iter().map(|&at| &route.columns[at].name).collect();
    let names: Vec<_> = names.into_iter().map(|name| format!("{T}.{}", quote(name))).collect();
    let values = cast_unnest(route, target, &by, first);
    let found = format!("({}) IN ({values})", names.join(", "));
    std::iter::once(found).chain(only(route)).collect::<Vec<_>>().join(" AND ")
}

/// The columns that tell whose row of the target it is: those of the owner, or else the target key.
pub(crate) fn identity(route: &Route, target: &Target) -> Vec<usize> {
    route.owner.clone().unwrap_or_else(|| target.key.clone())
}

/// Sets a column of rows that have the key of others, and are of another owner, and returns the new
/// value and the old one. Gives the columns whose values it takes, one array each; `None` where owners
/// cannot be compared.
pub(crate) fn put_aside(
    route: &Route,
    target: &Target,
    column: usize,
    value: &str,
) -> Option<(String, Vec<usize>)> {
    let wanted = route.owner.as_ref().map(|_| old_row_columns(route, target))?;
    if wanted.iter().any(|&at| route.columns[at].sql_type.ends_with("[]")) {
        return None;
    }
    let place = |at: usize| wanted.iter().position(|&wanted| wanted == at).unwrap_or_default();
    let same_key = |alias: &str, at: usize| {
        format!("{alias}.{} = u.c{}", quote(&route.columns[at].name), place(at))
    };
    // The row as it was is joined by its key, for RETURNING gives the new one.
    let mut conditions: Vec<_> =
        target.key.iter().flat_map(|&at| [same_key(T, at), same_key("o", at)]).collect();
    let own = own(route, target, |at| format!("u.c{}", place(at)));
    conditions.push(format!("({own}) IS NOT TRUE"));
    let column = quote(&route.columns[column].name);
    let table = route.target.quoted();
    let sql = format!(
        "UPDATE {table} AS {T} SET {column} = {value} FROM ({}) AS u, {table} AS o WHERE {} \
         RETURNING {T}.{column}::text, o.{column}::text",
        cast_unnest(route, target, &wanted, 1),
        conditions.join(" AND "),
    );
    Some((sql, wanted))
}

/// Deletes rows that have one of the values in the first parameter, under conditions.
pub(crate) fn drop_pending(
    route: &Route,
    target: &Target,
    column: usize,
    conditions: &str,
) -> String {
    let (table, name) = (route.target.quoted(), quote(&route.columns[column].name));
    let sql_type = &target.types[column];
    format!(
        "DELETE FROM {table} AS {T} WHERE {T}.{name} = ANY($1::text[]::{sql_type}[]) AND ({conditions})"
    )
}

/// Inserts rows that are not there, whose values have the types of the columns. Costs half of the
/// insert below, which reads arrays and sorts.
pub(crate) fn copy(route: &Route) -> String {
    let names = quote_list(route.columns.iter().map(|column| &column.name));
    format!("COPY {} ({names}) FROM STDIN (FORMAT binary)", route.target.quoted())
}

/// Inserts rows that are not there. Parameters as above. Costs less than half of an upsert, which
/// looks for a conflict first and then inserts speculatively.
pub(crate) fn insert(route: &Route, target: &Target, staging: Option<&str>) -> String {
    let names = quote_list(route.columns.iter().map(|column| &column.name));
    let from = match staging {
        Some(table) => format!("SELECT {names} FROM {table} AS u"),
        None => format!("SELECT * FROM {}", unnest(route.columns.iter(), 1, "u")),
    };
    let order: Vec<_> = target.key.iter().filter_map(|&at| at.checked_add(1)).collect();
    let order = order.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let overriding = if !target.identity.is_empty() { "OVERRIDING SYSTEM VALUE " } else { "" };
    format!(
        "INSERT INTO {} AS {T} ({names}) {overriding}{from} ORDER BY {order}",
        route.target.quoted(),
    )
}

/// Deletes contributions by owner, save rows whose key is kept. Parameters: one array per owner
/// column, then, with `keep`, one array per key column.
pub(crate) fn delete_by_owner(route: &Route, target: &Target, keep: bool) -> String {
    let owner: Vec<_> = route.owner.iter().flatten().copied().collect();
    delete(route, target, &owner, keep)
}

/// Deletes old rows, save those whose target key is kept. Parameters as above, with the columns of
/// [`old_row_columns`].
pub(crate) fn delete_by_key(route: &Route, target: &Target, keep: bool) -> String {
    delete(route, target, &old_row_columns(route, target), keep)
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

fn delete(route: &Route, target: &Target, by: &[usize], keep: bool) -> String {
    let name = |at: usize| format!("{T}.{}", quote(&route.columns[at].name));
    let mut using = String::new();
    let mut conditions = Vec::new();
    if let [only] = by {
        // An array is searched in one index scan per partition, which a join with it is not.
        let array = format!("$1::{}[]::{}[]", route.columns[*only].sql_type, target.types[*only]);
        conditions.push(format!("{} = ANY({array})", name(*only)));
    } else {
        using = format!(" USING ({}) AS o", cast_unnest(route, target, by, 1));
        let matches = by.iter().enumerate().map(|(n, &at)| format!("{} = o.c{n}", name(at)));
        conditions.extend(matches);
    }
    conditions.extend(only(route));
    if keep {
        // A hashed subplan: its cost does not depend on what the planner thinks of the target.
        let key: Vec<_> = target.key.iter().map(|&at| name(at)).collect();
        let kept = cast_unnest(route, target, &target.key, 1 + by.len());
        conditions.push(format!("({}) NOT IN ({kept})", key.join(", ")));
    }
    let conditions = conditions.join(" AND ");
    format!("DELETE FROM {} AS {T}{using} WHERE {conditions}", route.target.quoted())
}

/// Sets columns of contributions in place. Parameters: one array per owner column, then one per
/// column that is set; none when they come from `staging`, see [`patch_columns`].
pub(crate) fn patch(
    route: &Route,
    target: &Target,
    columns: &[usize],
    staging: Option<&str>,
) -> String {
    let (from, conditions) = patched(route, target, columns, staging);
    let table = route.target.quoted();
    let set = columns.iter().enumerate().filter(|(_, column)| !target.identity.contains(column));
    let set = set.map(|(at, &column)| format!("{} = u.p{at}", quote(&route.columns[column].name)));
    let set: Vec<_> = set.collect();
    if set.is_empty() {
        // The rows have to be there, at least.
        return format!("SELECT FROM {table} AS {T}, {from} WHERE {conditions}");
    }
    format!("UPDATE {table} AS {T} SET {} FROM {from} WHERE {conditions}", set.join(", "))
}

/// Inserts the rows of a patch anew whose identity columns are to change. Parameters as those of
/// [`patch`].
pub(crate) fn renumber(
    route: &Route,
    target: &Target,
    columns: &[usize],
    staging: Option<&str>,
) -> String {
    let (from, conditions) = patched(route, target, columns, staging);
    let place = |name: &String| columns.iter().position(|&at| &route.columns[at].name == name);
    let changed = columns.iter().enumerate().filter(|(_, at)| target.identity.contains(at));
    let changed = changed.map(|(n, &at)| {
        let (name, sql_type) = (quote(&route.columns[at].name), &target.types[at]);
        format!("{T}.{name} IS DISTINCT FROM u.p{n}::{sql_type}")
    });
    let values = target.stored.iter().map(|name| match place(name) {
        Some(n) => format!("p{n}"),
        None => format!("(was).{}", quote(name)),
    });
    let returned = (0..columns.len()).map(|n| format!(", u.p{n}"));
    // The count makes all of them go before the first one comes.
    format!(
        "WITH gone AS (DELETE FROM {table} AS {T} USING {from} WHERE {conditions} AND ({}) \
         RETURNING {T} AS was{}) \
         INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE \
         SELECT {} FROM gone, (SELECT count(*) FROM gone) AS all_of_them",
        changed.collect::<Vec<_>>().join(" OR "),
        returned.collect::<String>(),
        quote_list(&target.stored),
        values.collect::<Vec<_>>().join(", "),
        table = route.target.quoted(),
    )
}

/// The rows of a patch as `u`, and the conditions by which it finds its rows.
fn patched(
    route: &Route,
    target: &Target,
    columns: &[usize],
    staging: Option<&str>,
) -> (String, String) {
    let owner: Vec<_> = route.owner.iter().flatten().copied().collect();
    let from = match staging {
        Some(table) => format!("{table} AS u"),
        None => {
            let values = owner.iter().chain(columns).map(|&at| &route.columns[at]);
            let names: Vec<_> =
                patch_columns(route, columns).into_iter().map(|(name, _)| name).collect();
            format!("unnest({}) AS u({})", arrays(values, 1).join(", "), names.join(", "))
        }
    };
    let matches = owner.iter().enumerate().map(|(at, &column)| {
        let cast = &target.types[column];
        format!("{T}.{} = u.o{at}::{cast}", quote(&route.columns[column].name))
    });
    let conditions: Vec<_> = matches.chain(only(route)).collect();
    (from, conditions.join(" AND "))
}

/// Deletes rows that have the key of others and other values in their identity columns, under a
/// condition on `t` and `u`. Parameters: one array for each of `wanted`.
pub(crate) fn delete_renumbered(
    route: &Route,
    target: &Target,
    wanted: &[usize],
    condition: Option<&str>,
) -> String {
    let place = |at: usize| wanted.iter().position(|&wanted| wanted == at).unwrap_or_default();
    let compare = |at: usize, how: &str| {
        format!("{T}.{} {how} u.c{}", quote(&route.columns[at].name), place(at))
    };
    let mut conditions: Vec<_> = target.key.iter().map(|&at| compare(at, "=")).collect();
    let changed = target.identity.iter().map(|&at| compare(at, "IS DISTINCT FROM"));
    conditions.push(format!("({})", changed.collect::<Vec<_>>().join(" OR ")));
    conditions.extend(condition.map(|condition| format!("({condition})")));
    format!(
        "DELETE FROM {} AS {T} USING ({}) AS u WHERE {}",
        route.target.quoted(),
        cast_unnest(route, target, wanted, 1),
        conditions.join(" AND ")
    )
}

/// The columns of a patch, owner first, with their types.
pub(crate) fn patch_columns(route: &Route, columns: &[usize]) -> Vec<(String, String)> {
    let owner = route.owner.iter().flatten().enumerate().map(|(n, &at)| (format!("o{n}"), at));
    let set = columns.iter().enumerate().map(|(n, &at)| (format!("p{n}"), at));
    owner.chain(set).map(|(name, at)| (name, route.columns[at].sql_type.clone())).collect()
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

/// Types with values that are equal and differ in their bytes.
fn equals_other_bytes(sql_type: &str) -> bool {
    matches!(
        sql_type,
        "numeric" | "real" | "double precision" | "interval" | "bpchar" | "character" | "jsonb"
    ) || sql_type.ends_with("citext")
}

/// A staging table for rows with array columns, which `unnest` would flatten.
pub(crate) fn create_staging(name: &str, columns: &[(String, String)]) -> String {
    let columns: Vec<_> = columns.iter().map(|(name, sql)| format!("{name} {sql}")).collect();
    format!(
        "CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({}) ON COMMIT DELETE ROWS",
        columns.join(", ")
    )
}

/// `unnest($1::uuid[], $2::text[]) AS u("a", "b")`
fn unnest<'a>(
    columns: impl Iterator<Item = &'a RouteColumn> + Clone,
    first: usize,
    alias: &str,
) -> String {
    let names = quote_list(columns.clone().map(|column| &column.name));
    format!("unnest({}) AS {alias}({names})", arrays(columns, first).join(", "))
}

fn arrays<'a>(columns: impl Iterator<Item = &'a RouteColumn>, first: usize) -> Vec<String> {
    columns
        .enumerate()
        .map(|(at, column)| format!("${}::{}[]", first + at, column.sql_type))
        .collect()
}

/// A subselect that gives columns `c0, c1, …` in the types of the target.
fn cast_unnest(route: &Route, target: &Target, columns: &[usize], first: usize) -> String {
    let arrays = arrays(columns.iter().map(|&at| &route.columns[at]), first).join(", ");
    let names: Vec<_> = (0..columns.len()).map(|at| format!("c{at}")).collect();
    let casts: Vec<_> = columns
        .iter()
        .zip(&names)
        .map(|(&at, name)| format!("x.{name}::{} AS {name}", target.types[at]))
        .collect();
    format!("SELECT {} FROM unnest({arrays}) AS x({})", casts.join(", "), names.join(", "))
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

    use super::*;

    fn route() -> (Route, Target) {
        let column = |name: &str, sql_type: &str| RouteColumn {
            name: name.to_owned(),
            sql_type: sql_type.to_owned(),
        };
        let route = Route {
            source: TableName::new("public", "w"),
            target: TableName::new("public", "m"),
            columns: vec![column("id", "uuid"), column("name", "text"), column("v", "numeric")],
            owner: Some(vec![0]),
            single: false,
            total: false,
            key_is_owner: false,
            source_key: vec!["id".to_owned()],
            rewrite: false,
            only: vec!["\"kind\" = 'a'".to_owned()],
            place: "mapping.sql:1:1".to_owned(),
        };
        let target = Target {
            key: vec![0, 1],
            types: ["uuid", "varchar", "numeric"].map(str::to_owned).to_vec(),
            ..Target::default()
        };
        (route, target)
    }

    #[test]
    fn an_upsert_leaves_identical_rows_alone() {
        let (route, target) = route();
        assert_eq!(
            upsert(&route, &target, None, None),
            "INSERT INTO \"public\".\"m\" AS t (\"id\", \"name\", \"v\") \
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::numeric[]) AS u(\"id\", \"name\", \"v\") \
             ORDER BY 1, 2 ON CONFLICT (\"id\", \"name\") DO UPDATE SET \"v\" = excluded.\"v\" \
             WHERE ROW(t.\"v\")::record *<> ROW(excluded.\"v\")::record"
        );
    }

    #[test]
    fn a_guarded_upsert_passes_over_rows_of_others() {
        let (mut route, target) = route();
        route.owner = Some(vec![2]);
        let own = own(&route, &target, |at| format!("excluded.{}", quote(&route.columns[at].name)));
        assert_eq!(own, "t.\"v\" IS NOT DISTINCT FROM excluded.\"v\" AND t.\"kind\" = 'a'");
        let sql = upsert(&route, &target, Some("pg_temp.s"), Some(&own));
        assert!(sql.ends_with(&format!("*<> ROW(excluded.\"v\")::record AND ({own})")), "{sql}");
        assert_eq!(
            freed(&route, &target, 4),
            "(t.\"v\") IN (SELECT x.c0::numeric AS c0 FROM unnest($4::numeric[]) AS x(c0)) \
             AND t.\"kind\" = 'a'"
        );
    }

    #[test]
    fn a_replaced_contribution_keeps_the_rows_that_come_again() {
        let (route, target) = route();
        assert_eq!(
            delete_by_owner(&route, &target, true),
            "DELETE FROM \"public\".\"m\" AS t WHERE t.\"id\" = ANY($1::uuid[]::uuid[]) \
             AND t.\"kind\" = 'a' AND \
             (t.\"id\", t.\"name\") NOT IN (SELECT x.c0::uuid AS c0, x.c1::varchar AS c1 FROM \
             unnest($2::uuid[], $3::text[]) AS x(c0, c1))"
        );
    }

    #[test]
    fn keys_of_several_columns_are_joined() {
        let (route, target) = route();
        assert_eq!(
            delete_by_key(&route, &target, false),
            "DELETE FROM \"public\".\"m\" AS t USING (SELECT x.c0::uuid AS c0, x.c1::varchar AS c1 \
             FROM unnest($1::uuid[], $2::text[]) AS x(c0, c1)) AS o WHERE t.\"id\" = o.c0 \
             AND t.\"name\" = o.c1 AND t.\"kind\" = 'a'"
        );
    }

    #[test]
    fn a_patch_finds_rows_by_owner() {
        let (route, target) = route();
        assert_eq!(
            patch(&route, &target, &[2], None),
            "UPDATE \"public\".\"m\" AS t SET \"v\" = u.p0 FROM \
             unnest($1::uuid[], $2::numeric[]) AS u(o0, p0) WHERE t.\"id\" = u.o0::uuid AND \
             t.\"kind\" = 'a'"
        );
    }
}
