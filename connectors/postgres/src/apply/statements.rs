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

use regraft_core::row::Rows;
use regraft_core::segment::Route;
use regraft_core::sql::{quote, quote_list};

use super::target::Target;
use crate::given::Carried;

/// The alias of the target in all statements.
const T: &str = "t";

/// Which rows an upsert overwrites; it passes over others with the same key.
#[derive(Clone, Debug)]
pub(crate) enum Guard {
    /// All of them.
    None,
    /// Those of the same owner and statement; none, where the statement has no owner columns.
    Own,
    /// Those of the statements with these numbers that have one of these values of [`identity`].
    Freed(Vec<(usize, Rows)>),
}

/// Inserts the given rows, or overwrites those with the same key. The guard is a condition from [`own`] or
/// [`freed`].
pub(crate) fn upsert(route: &Route, target: &Target, given: &str, guard: Option<&str>) -> String {
    let key = quote_list(target.key.iter().map(|&at| &route.columns[at].name));
    // A key may be equal and yet not the same: 1 and 1.00.
    let kept = |at: &usize| target.key.contains(at) && target.exact[*at];
    let rest: Vec<_> = (0..route.columns.len()).filter(|at| !kept(at)).collect();
    // Rows with other values of an identity column are gone by now, or are of another owner.
    let set = rest.iter().filter(|at| !target.identity.contains(at));
    let name = |at: &usize| quote(&route.columns[*at].name);
    let set: Vec<_> = set.map(name).map(|name| format!("{name} = excluded.{name}")).collect();
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
    format!("{} ON CONFLICT ({key}) {on_conflict}", insert(route, target, given))
}

/// Overwrites the rows that have the key of a given one and are not the same to the byte; `None` where they
/// cannot be other. For keys by which no upsert can arbitrate.
pub(crate) fn overwrite(route: &Route, target: &Target, given: &str) -> Option<String> {
    let kept = |at: &usize| target.key.contains(at) && target.exact[*at];
    let rest: Vec<_> = (0..route.columns.len()).filter(|at| !kept(at)).collect();
    let name = |at: usize| quote(&route.columns[at].name);
    let set = rest.iter().filter(|at| !target.identity.contains(at));
    let set: Vec<_> = set.map(|&at| format!("{} = u.c{at}", name(at))).collect();
    if set.is_empty() {
        return None;
    }
    let names: Vec<_> = rest.iter().map(|&at| name(at)).collect();
    let values: Vec<_> = rest.iter().map(|&at| format!("u.c{at}::{}", target.types[at])).collect();
    Some(format!(
        "UPDATE {} AS {T} SET {} FROM ({given}) AS u WHERE {} AND ROW({})::record *<> ROW({})::record",
        route.target.quoted(),
        set.join(", "),
        same_key(route, target, T),
        prefixed(T, &names),
        values.join(", "),
    ))
}

/// Inserts those of the given rows whose key no row has, for keys by which no upsert can arbitrate.
pub(crate) fn insert_missing(route: &Route, target: &Target, given: &str) -> String {
    let all: Vec<_> = (0..route.columns.len()).map(|at| format!("u.c{at}")).collect();
    let missing = format!(
        "SELECT {} FROM ({given}) AS u WHERE NOT EXISTS (SELECT FROM {} AS o WHERE {})",
        all.join(", "),
        route.target.quoted(),
        same_key(route, target, "o"),
    );
    insert(route, target, &missing)
}

/// The row `alias` has the key of the given row `u`.
fn same_key(route: &Route, target: &Target, alias: &str) -> String {
    let equal = |&at: &usize| {
        format!("{alias}.{} = u.c{at}::{}", quote(&route.columns[at].name), target.types[at])
    };
    target.key.iter().map(equal).collect::<Vec<_>>().join(" AND ")
}

/// The row of the target is one of the statement, and has the owner of the row from `other`. Key columns are
/// equal already.
pub(crate) fn own(route: &Route, target: &Target, other: impl Fn(usize) -> String) -> String {
    let Some(owner) = &route.owner else { return "false".to_owned() };
    let owner = owner.iter().filter_map(|&at| {
        let (name, other) = (format!("{T}.{}", quote(&route.columns[at].name)), other(at));
        let equal = || format!("{name} IS NOT DISTINCT FROM {other}");
        bytes(target, at, &name, &other).or_else(|| (!target.key.contains(&at)).then(equal))
    });
    let conditions: Vec<_> = owner.chain(only(route)).collect();
    if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") }
}

/// The row of the target is one of the statement, and its [`identity`] is given.
pub(crate) fn freed(route: &Route, target: &Target, given: &str) -> String {
    let by = identity(route, target);
    let columns: Vec<_> = by.iter().enumerate().collect();
    let pairs = |value: &dyn Fn(usize, usize) -> String| {
        let values = columns.iter().map(|&(n, &at)| value(n, at));
        let folded = columns.iter().filter(|(_, at)| target.folded[**at]);
        let folded = folded.map(|&(n, &at)| as_bytes(&value(n, at)));
        values.chain(folded).collect::<Vec<_>>().join(", ")
    };
    let names = pairs(&|_, at| format!("{T}.{}", quote(&route.columns[at].name)));
    let values = pairs(&|n, _| format!("o.c{n}"));
    let given = cast(target, &by, given);
    let found = format!("({names}) IN (SELECT {values} FROM ({given}) AS o)");
    std::iter::once(found).chain(only(route)).collect::<Vec<_>>().join(" AND ")
}

/// The columns that tell whose row of the target it is: those of the owner, or else the target key.
pub(crate) fn identity(route: &Route, target: &Target) -> Vec<usize> {
    route.owner.clone().unwrap_or_else(|| target.key.clone())
}

/// Sets a column of rows that have the key of the given ones, and are of another owner, and returns the new
/// value and the old one. Given are the columns `wanted`, those of [`old_row_columns`].
pub(crate) fn put_aside(
    route: &Route,
    target: &Target,
    (column, value): (usize, &str),
    wanted: &[usize],
    given: &str,
) -> String {
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
    format!(
        "UPDATE {table} AS {T} SET {column} = {value} FROM ({}) AS u, {table} AS o WHERE {} \
         RETURNING {T}.{column}::text, o.{column}::text",
        cast(target, wanted, given),
        conditions.join(" AND "),
    )
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

/// Inserts the given rows, which are not there. Costs less than half of an upsert, which
/// looks for a conflict first and then inserts speculatively.
pub(crate) fn insert(route: &Route, target: &Target, given: &str) -> String {
    let names = quote_list(route.columns.iter().map(|column| &column.name));
    let order: Vec<_> = target.key.iter().map(|&at| (at + 1).to_string()).collect();
    let order = match order.as_slice() {
        [] => String::new(),
        order => format!(" ORDER BY {}", order.join(", ")),
    };
    let overriding = if !target.identity.is_empty() { "OVERRIDING SYSTEM VALUE " } else { "" };
    format!("INSERT INTO {} AS {T} ({names}) {overriding}{given}{order}", route.target.quoted(),)
}

/// Deletes for each of the given rows exactly one that is the same to the byte: the first ones of equal rows, as
/// many as are given. Texts find them, and are hashed; they are compared as they are stored.
pub(crate) fn uncount(route: &Route, target: &Target, given: &str) -> String {
    let (table, all) = (route.target.quoted(), 0..route.columns.len());
    let values = |alias: &str| {
        let names: Vec<_> =
            all.clone().map(|at| format!("{alias}.{}", quote(&route.columns[at].name))).collect();
        format!("ROW({})", names.join(", "))
    };
    let casts: Vec<_> =
        all.clone().map(|at| format!("x.c{at}::{} AS c{at}", target.full_types[at])).collect();
    let gone: Vec<_> = all.clone().map(|at| format!("c.c{at}")).collect();
    let (gone, row) = (format!("ROW({})", gone.join(", ")), values(T));
    let (lead, sought) = match target.sought_by {
        Some(at) => (format!("c.c{at}"), Some(format!("{T}.{}", quote(&route.columns[at].name)))),
        None => ("true".to_owned(), None),
    };
    let only: String = only(route).map(|only| format!(" AND {only}")).collect();
    // A hashed subplan, as IS TRUE keeps it from being a join.
    let rows = |condition: &str| {
        format!(
            "SELECT {T}.tableoid AS part, {T}.ctid AS place, {row}::text AS text FROM {table} AS {T}              WHERE {condition}({row}::text IN (SELECT o.text FROM o)) IS TRUE{only}"
        )
    };
    let found = match &sought {
        Some(sought) => format!(
            "{} UNION ALL {}",
            rows(&format!("{sought} IN (SELECT o.lead FROM o) AND ")),
            rows(&format!("{sought} IS NULL AND (SELECT bool_or(o.lead IS NULL) FROM o) AND ")),
        ),
        None => rows(""),
    };
    format!(
        "WITH o AS MATERIALIZED (SELECT {gone}::text AS text, {gone}::record AS row, {lead} AS lead,          row_number() OVER (PARTITION BY {gone}::text) AS number          FROM (SELECT {} FROM ({given}) AS x) AS c),          f AS MATERIALIZED (SELECT part, place, text, row_number() OVER (PARTITION BY text) AS number          FROM ({found}) AS t)          DELETE FROM {table} AS {T} USING f JOIN o ON (f.text, f.number) = (o.text, o.number)          WHERE ({T}.tableoid, {T}.ctid) = (f.part, f.place) AND {row}::record *= o.row",
        casts.join(", "),
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

/// Rows of the target, as `t`, that meet conditions.
#[derive(Debug)]
pub(crate) struct Gone {
    /// What the conditions compare them with, as an item of FROM.
    pub(crate) with: Option<String>,
    pub(crate) conditions: String,
}

/// The rows whose columns `by` are given, save those with one of the target keys in `kept`.
pub(crate) fn gone(
    route: &Route,
    target: &Target,
    by: &[usize],
    given: &str,
    kept: Option<&str>,
) -> Gone {
    let name = |at: usize| format!("{T}.{}", quote(&route.columns[at].name));
    let mut with = None;
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
            with = Some(format!("({}) AS o", cast(target, by, given)));
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
    Gone { with, conditions: conditions.join(" AND ") }
}

/// Deletes rows.
pub(crate) fn delete(route: &Route, gone: &Gone) -> String {
    let using = gone.with.iter().map(|with| format!(" USING {with}")).collect::<String>();
    format!("DELETE FROM {} AS {T}{using} WHERE {}", route.target.quoted(), gone.conditions)
}

/// Sets columns of contributions in place, of those that are `patched`. The owner columns are given, then the
/// columns that are set.
pub(crate) fn patch(
    route: &Route,
    target: &Target,
    columns: &[usize],
    given: &str,
    patched: &str,
) -> String {
    let (table, conditions) = (route.target.quoted(), patched);
    let set = patch_places(route, columns).filter(|(_, column)| !target.identity.contains(column));
    let set = set.map(|(at, column)| format!("{} = u.c{at}", quote(&route.columns[column].name)));
    let set: Vec<_> = set.collect();
    if set.is_empty() {
        // The rows have to be there, at least.
        return format!("SELECT FROM {table} AS {T}, ({given}) AS u WHERE {conditions}");
    }
    format!("UPDATE {table} AS {T} SET {} FROM ({given}) AS u WHERE {conditions}", set.join(", "))
}

/// Counts rows of a patch that are there and not as they are given.
pub(crate) fn unpatched(
    route: &Route,
    target: &Target,
    columns: &[usize],
    given: &str,
    patched: &str,
) -> String {
    let differs = patch_places(route, columns).map(|(at, column)| {
        let (name, sql_type) = (quote(&route.columns[column].name), &target.types[column]);
        // Types without an equality have texts.
        format!("{T}.{name}::text IS DISTINCT FROM u.c{at}::{sql_type}::text")
    });
    format!(
        "SELECT count(*) FROM {} AS {T}, ({given}) AS u WHERE {patched} AND ({})",
        route.target.quoted(),
        differs.collect::<Vec<_>>().join(" OR "),
    )
}

/// Inserts the rows of a patch anew whose identity columns are to change.
pub(crate) fn renumber(
    route: &Route,
    target: &Target,
    columns: &[usize],
    given: &str,
    patched: &str,
) -> String {
    let places = || patch_places(route, columns);
    let changed = places().filter(|(_, column)| target.identity.contains(column));
    let changed = changed.map(|(at, column)| {
        let (name, sql_type) = (quote(&route.columns[column].name), &target.types[column]);
        format!("{T}.{name} IS DISTINCT FROM u.c{at}::{sql_type}")
    });
    let place = |name: &String| places().find(|&(_, column)| &route.columns[column].name == name);
    let values = target.stored.iter().map(|name| match place(name) {
        Some((at, _)) => format!("c{at}"),
        None => format!("(was).{}", quote(name)),
    });
    let returned = places().map(|(at, _)| format!(", u.c{at}"));
    // The count makes all of them go before the first one comes.
    format!(
        "WITH gone AS (DELETE FROM {table} AS {T} USING ({given}) AS u WHERE {} AND ({}) \
         RETURNING {T} AS was{}) \
         INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE \
         SELECT {} FROM gone, (SELECT count(*) FROM gone) AS all_of_them",
        patched,
        changed.collect::<Vec<_>>().join(" OR "),
        returned.collect::<String>(),
        quote_list(&target.stored),
        values.collect::<Vec<_>>().join(", "),
        table = route.target.quoted(),
    )
}

/// The columns that a patch sets, each with its place in what is given.
pub(super) fn patch_places(
    route: &Route,
    columns: &[usize],
) -> impl Iterator<Item = (usize, usize)> {
    (route.owner.as_ref().map_or(0, Vec::len)..).zip(columns.iter().copied())
}

/// The conditions by which a patch finds its rows, with a further one.
pub(crate) fn patched(route: &Route, target: &Target, further: Option<String>) -> String {
    let owner = route.owner.iter().flatten().enumerate();
    let matches = owner.map(|(at, &column)| {
        let name = format!("{T}.{}", quote(&route.columns[column].name));
        same(target, column, &name, &format!("u.c{at}::{}", target.types[column]))
    });
    matches.chain(only(route)).chain(further).collect::<Vec<_>>().join(" AND ")
}

/// Deletes rows that have the key of the given ones, whose columns are `wanted`, and other values in their
/// identity columns, under a condition on `t` and `u`.
pub(crate) fn delete_renumbered(
    route: &Route,
    target: &Target,
    wanted: &[usize],
    given: &str,
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
        cast(target, wanted, given),
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
    match bytes(target, column, name, value) {
        Some(bytes) => format!("{equal} AND {bytes}"),
        None => equal,
    }
}

/// The same bytes, where texts that are equal may differ in them.
fn bytes(target: &Target, column: usize, name: &str, value: &str) -> Option<String> {
    let same = || format!("{} = {}", as_bytes(name), as_bytes(value));
    target.folded[column].then(same)
}

fn as_bytes(value: &str) -> String {
    format!("{value}::text COLLATE \"C\"")
}

/// What is given, in the types of these columns of the target.
pub(super) fn cast(target: &Target, columns: &[usize], given: &str) -> String {
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
            keyless: false,
            source_key: vec!["id".to_owned()],
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
            upsert(&route, &target, "SELECT …", None),
            "INSERT INTO \"public\".\"m\" AS t (\"id\", \"name\", \"v\") SELECT … \
             ORDER BY 1, 2 ON CONFLICT (\"id\", \"name\") DO UPDATE SET \"v\" = excluded.\"v\" \
             WHERE ROW(t.\"v\")::record *<> ROW(excluded.\"v\")::record"
        );
    }

    #[test]
    fn rows_are_overwritten_or_inserted_where_no_upsert_can_arbitrate() {
        let (route, target) = route();
        assert_eq!(
            overwrite(&route, &target, "SELECT …").unwrap(),
            "UPDATE \"public\".\"m\" AS t SET \"v\" = u.c2 FROM (SELECT …) AS u \
             WHERE t.\"id\" = u.c0::uuid AND t.\"name\" = u.c1::varchar \
             AND ROW(t.\"v\")::record *<> ROW(u.c2::numeric)::record"
        );
        assert_eq!(
            insert_missing(&route, &target, "SELECT …"),
            "INSERT INTO \"public\".\"m\" AS t (\"id\", \"name\", \"v\") SELECT u.c0, u.c1, u.c2 FROM (SELECT …) AS u \
             WHERE NOT EXISTS (SELECT FROM \"public\".\"m\" AS o WHERE o.\"id\" = u.c0::uuid AND o.\"name\" = u.c1::varchar) \
             ORDER BY 1, 2"
        );
    }

    #[test]
    fn a_guarded_upsert_passes_over_rows_of_others() {
        let (mut route, mut target) = route();
        route.owner = Some(vec![2]);
        let excluded = |at: usize| format!("excluded.c{at}");
        let guard = own(&route, &target, excluded);
        assert_eq!(guard, "t.\"v\" IS NOT DISTINCT FROM excluded.c2 AND t.\"kind\" = 'a'");
        let sql = upsert(&route, &target, "SELECT …", Some(&guard));
        assert!(sql.ends_with(&format!("*<> ROW(excluded.\"v\")::record AND ({guard})")), "{sql}");
        assert_eq!(
            freed(&route, &target, "SELECT …"),
            "(t.\"v\") IN (SELECT o.c0 FROM (SELECT x.c0::numeric AS c0 FROM (SELECT …) AS x) AS o) \
             AND t.\"kind\" = 'a'"
        );
        route.owner = Some(vec![1]);
        target.folded[1] = true;
        let same = "t.\"name\"::text COLLATE \"C\" = excluded.c1::text COLLATE \"C\"";
        assert_eq!(own(&route, &target, excluded), format!("{same} AND t.\"kind\" = 'a'"));
        let found = "(t.\"name\", t.\"name\"::text COLLATE \"C\") IN \
                     (SELECT o.c0, o.c0::text COLLATE \"C\" FROM (";
        let sql = freed(&route, &target, "SELECT …");
        assert!(sql.starts_with(found), "{sql}");
    }

    #[test]
    fn a_replaced_contribution_keeps_the_rows_that_come_again() {
        let (route, target) = route();
        assert_eq!(
            delete(&route, &gone(&route, &target, &[0], "", Some("SELECT …"))),
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
            delete(&route, &gone(&route, &target, &by, "SELECT …", None)),
            "DELETE FROM \"public\".\"m\" AS t USING (SELECT x.c0::uuid AS c0, x.c1::varchar AS c1 \
             FROM (SELECT …) AS x) AS o WHERE t.\"id\" = o.c0 \
             AND t.\"name\" = o.c1 AND t.\"kind\" = 'a'"
        );
    }

    #[test]
    fn arrays_are_not_searched_in_arrays() {
        let (mut route, target) = route();
        route.columns[0].sql_type = "integer[]".to_owned();
        let sql = delete(&route, &gone(&route, &target, &[0], "SELECT …", None));
        assert!(sql.contains(" WHERE t.\"id\" = o.c0 AND "), "{sql}");
    }

    #[test]
    fn what_is_equal_only_for_the_target_is_no_owner() {
        let (route, mut target) = route();
        target.folded[0] = true;
        let sql = delete(&route, &gone(&route, &target, &[0], "SELECT …", None));
        let same = "t.\"id\" = o.c0 AND t.\"id\"::text COLLATE \"C\" = o.c0::text COLLATE \"C\"";
        assert!(sql.contains(same), "{sql}");
    }

    #[test]
    fn a_patch_finds_rows_by_owner() {
        let (route, target) = route();
        assert_eq!(
            patch(&route, &target, &[2], "SELECT …", &patched(&route, &target, None)),
            "UPDATE \"public\".\"m\" AS t SET \"v\" = u.c1 FROM (SELECT …) AS u \
             WHERE t.\"id\" = u.c0::uuid AND t.\"kind\" = 'a'"
        );
    }
}
