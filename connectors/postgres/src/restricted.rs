//! SQL that restricts the reads of a source table: to a range of keys, to a set of them, and to what changes of
//! other tables lead to.

use regraft_core::chunk::ChunkScope;
use regraft_core::sql::quote;
use tokio_postgres::types::ToSql;

use crate::chunks::{ReadStatement, ReadTable, ReadTrace};
use crate::given::{Carried, Given};

/// Conditions on key columns: `("w"."id") > ($1::text::uuid)`.
pub(crate) fn range(table: &ReadTable, source: &str, after: bool, upto: bool) -> String {
    let columns: Vec<_> =
        table.key.iter().map(|column| format!("{source}.{}", quote(&column.name))).collect();
    let bound = |first: usize| {
        let values = table.key.iter().enumerate();
        let values =
            values.map(|(at, column)| format!("${}::text::{}", first + at, column.sql_type));
        values.collect::<Vec<_>>().join(", ")
    };
    let columns = columns.join(", ");
    let mut conditions = Vec::new();
    if after {
        conditions.push(format!("({columns}) > ({})", bound(1)));
    }
    if upto {
        let first = if after { 1 + table.key.len() } else { 1 };
        conditions.push(format!("({columns}) <= ({})", bound(first)));
    }
    if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") }
}

/// Condition for a set of keys: `("w"."id") IN (SELECT unnest($1::uuid[]) AS c0)`.
fn keys(table: &ReadTable, source: &str, given: &Given<'_>) -> String {
    let columns: Vec<_> =
        table.key.iter().map(|column| format!("{source}.{}", quote(&column.name))).collect();
    format!("({}) IN ({})", columns.join(", "), given.select(table.carried()))
}

impl ReadTable {
    pub(crate) fn carried(&self) -> impl Iterator<Item = Carried<'_>> + Clone {
        self.key.iter().map(Carried::from)
    }
}

/// The keys of the rows that values of a trace lead to, which a subselect gives; of all rows without.
pub(crate) fn trace_sql(table: &ReadTable, trace: &ReadTrace, values: Option<String>) -> String {
    let list = |alias: &str, names: &mut dyn Iterator<Item = &String>| {
        names.map(|name| format!("{alias}.{}", quote(name))).collect::<Vec<_>>().join(", ")
    };
    let name = table.table.quoted();
    let key = table.key.iter().map(|column| column.given("s")).collect::<Vec<_>>().join(", ");
    let Some(mut values) = values else { return format!("SELECT {key} FROM {name} AS s") };
    let by = list("s", &mut trace.by.iter());
    for step in &trace.steps {
        let (leads, by) = (list("t", &mut step.columns.iter()), list("t", &mut step.by.iter()));
        let table = step.table.quoted();
        values = format!("SELECT {leads} FROM {table} AS t WHERE ({by}) IN ({values})");
    }
    let first = format!("({by}) IN ({values})");
    if trace.again.is_empty() {
        return format!("SELECT {key} FROM {name} AS s WHERE {first}");
    }
    let leads = list("s", &mut trace.again.iter().flat_map(|again| &again.columns));
    let mut at = 0..;
    let on = trace.again.iter().map(|again| {
        let hit: Vec<_> =
            at.by_ref().take(again.columns.len()).map(|n| format!("h.a{n}")).collect();
        format!("({}) = ({})", list("s", &mut again.by.iter()), hit.join(", "))
    });
    let on: Vec<_> = on.collect();
    let keys: Vec<_> = (0..table.key.len()).map(|at| format!("k{at}")).collect();
    let leading: Vec<_> = (0..at.start).map(|at| format!("a{at}")).collect();
    // UNION ends where the rows lead back to themselves.
    format!(
        "WITH RECURSIVE h ({keys}, {leading}) AS (SELECT {key}, {leads} FROM {name} AS s WHERE {first} \
         UNION SELECT {key}, {leads} FROM h JOIN {name} AS s ON {on}) \
         SELECT DISTINCT {keys} FROM h",
        keys = keys.join(", "),
        leading = leading.join(", "),
        on = on.join(" OR "),
    )
}

/// What a SELECT is restricted to.
pub(crate) struct Restriction<'a> {
    pub(crate) sql: String,
    given: RestrictedBy<'a>,
}

enum RestrictedBy<'a> {
    Bounds(Vec<&'a String>),
    Keys(Given<'a>),
}

/// Restrictions that give the rows of a chunk together.
pub(crate) fn restrictions<'a>(
    table: &ReadTable,
    statement: &ReadStatement,
    scope: &'a ChunkScope,
) -> Vec<Restriction<'a>> {
    let source = &statement.source_ref;
    match scope {
        ChunkScope::Range { after, upto } => {
            let bounds = after.iter().chain(upto).flatten().collect();
            let sql = range(table, source, after.is_some(), upto.is_some());
            vec![Restriction { sql, given: RestrictedBy::Bounds(bounds) }]
        }
        // Changes of other tables are made keys before they are read.
        ChunkScope::Traced(_) => Vec::new(),
        ChunkScope::Keys(keys_of) => {
            let restriction = |given| {
                let sql = keys(table, source, &given);
                Restriction { sql, given: RestrictedBy::Keys(given) }
            };
            Given::parts(table.carried(), keys_of).into_iter().map(restriction).collect()
        }
    }
}

impl Restriction<'_> {
    pub(crate) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        match &self.given {
            RestrictedBy::Bounds(bounds) => bounds.iter().map(|text| text as _).collect(),
            RestrictedBy::Keys(given) => given.parameters(),
        }
    }
}

#[cfg(test)]
mod tests {
    use regraft_core::TableName;

    use super::*;
    use crate::chunks::KeyColumn;

    fn table() -> ReadTable {
        let key = |name: &str, sql_type: &str| KeyColumn {
            name: name.to_owned(),
            sql_type: sql_type.to_owned(),
            text: false,
        };
        ReadTable {
            table: TableName::new("public", "t"),
            key: vec![key("a", "uuid"), key("B", "text")],
            statements: Vec::new(),
            texts: Vec::new(),
        }
    }

    #[test]
    fn bounds_compare_whole_rows() {
        assert_eq!(
            range(&table(), "w", true, true),
            "(w.\"a\", w.\"B\") > ($1::text::uuid, $2::text::text) AND \
             (w.\"a\", w.\"B\") <= ($3::text::uuid, $4::text::text)"
        );
        assert_eq!(
            range(&table(), "w", false, true),
            "(w.\"a\", w.\"B\") <= ($1::text::uuid, $2::text::text)"
        );
        assert_eq!(range(&table(), "w", false, false), "true");
    }
}
