//! How the rows of a statement are compared with those of its target.

use regraft_core::segment::{Route, RouteColumn};
use regraft_core::sql::quote;
use regraft_core::{Code, Oid, Result, TableName};
use regraft_postgres::catalog::{Table, TableColumn, UserType};
use regraft_postgres::chunks::{ReadStatement, ReadTable};
use regraft_postgres::planning::printed_without_modifier;
use regraft_postgres::slot::Server;
use regraft_postgres::verify::{OwnerColumn, TypeOf, VerifyColumn, VerifyStatement};

use super::Side;

/// The target of a statement, as it is compared.
pub(super) struct Target {
    pub(super) table: Table,
    /// For each column of the route, its type.
    types: Vec<Base>,
}

/// A type; of a domain, what it is over.
struct Base {
    oid: Oid,
    modifier: i32,
    sql_type: String,
    full_type: String,
    column_type: String,
}

/// The targets of the routes, in order.
pub(super) async fn targets(side: &Side, routes: &[Route]) -> Result<Vec<Target>> {
    let catalog = side.catalog();
    let mut targets = Vec::new();
    for route in routes {
        let TableName { schema, name } = &route.target;
        let table = catalog.table(Some(schema), name, Code::TargetMissing).await?;
        let domains = catalog.user_types(&table).await?;
        let mut types = Vec::new();
        for column in route.columns.iter().filter_map(|column| table.column(&column.name)) {
            types.push(base(side, column, &domains).await?);
        }
        targets.push(Target { table, types });
    }
    Ok(targets)
}

async fn base(side: &Side, column: &TableColumn, domains: &[UserType]) -> Result<Base> {
    let (mut oid, mut modifier) = (column.type_oid, column.type_modifier);
    while let Some(domain) = domains.iter().find(|t| t.oid == oid && t.kind == 'd') {
        modifier = if domain.modifier >= 0 { domain.modifier } else { modifier };
        oid = domain.base;
    }
    let mut names = (column.sql_type.clone(), column.full_type.clone());
    if oid != column.type_oid {
        names = printed_without_modifier(&side.client, &side.place, oid, modifier).await?;
    }
    let (sql_type, full_type) = names;
    Ok(Base { oid, modifier, sql_type, full_type, column_type: column.full_type.clone() })
}

impl Base {
    fn type_of(&self) -> TypeOf<'_> {
        TypeOf {
            oid: self.oid,
            modifier: self.modifier,
            sql_type: &self.sql_type,
            full_type: &self.full_type,
            array: self.sql_type.ends_with("[]"),
        }
    }
}

/// A statement, as it is verified. Its fingerprint is not known yet.
pub(super) fn statement(
    (routes, at): (&[Route], usize),
    target: &Target,
    source: &Table,
    read: &ReadTable,
    (select, types): (&ReadStatement, &[(Oid, i32)]),
    (source_server, target_server): (&Server, &Server),
) -> VerifyStatement {
    let route = &routes[at];
    let columns = route.columns.iter().zip(types).zip(&target.types);
    let columns: Vec<_> = columns
        .map(|((column, &kind), base)| VerifyColumn::new(&column.name, kind, base.type_of()))
        .collect();
    let plain = |server: &Server, table: &Table, name: &str| {
        server.collation_is_c && table.column(name).is_some_and(|column| !column.collated)
    };
    let owner = route.owner.as_ref().map(|owner| {
        let column = |(key, &output): (&regraft_postgres::chunks::KeyColumn, &usize)| {
            let name = &route.columns[output].name;
            let of_key = source.column(&key.name);
            let kind = of_key.map_or((0, -1), |column| (column.type_oid, column.type_modifier));
            let plain = plain(source_server, source, &key.name)
                && plain(target_server, &target.table, name);
            let base = &target.types[output];
            let types = (base.type_of(), base.column_type.as_str());
            let mut owner =
                OwnerColumn::new(output, key.clone(), kind, &columns[output], types, plain);
            let folded = |column: Option<&TableColumn>| column.is_some_and(|column| column.folded);
            owner.folded = [folded(of_key), folded(target.table.column(name))];
            owner
        };
        read.key.iter().zip(owner).map(column).collect()
    });
    let names: Vec<_> = route.columns.iter().map(|column| column.name.as_str()).collect();
    let key = target.table.target_key().filter(|_| !route.keyless).unwrap_or_default();
    let target_key =
        key.iter().filter_map(|name| names.iter().position(|found| found == name)).collect();
    VerifyStatement {
        fingerprint: String::new(),
        source: route.source.clone(),
        key: read.key.clone(),
        read: select.clone(),
        target: route.target.clone(),
        columns,
        types: route.columns.iter().map(comes_as).collect(),
        owner,
        target_key,
        only: route.only.clone(),
        stray: stray(routes, at),
    }
}

/// The type of a value as it comes, with what it is converted to.
fn comes_as(column: &RouteColumn) -> String {
    if column.text { format!("text::{}", column.sql_type) } else { column.sql_type.clone() }
}

/// A condition for rows of the target that no statement can have made, in its first statement.
fn stray(routes: &[Route], at: usize) -> Option<String> {
    let target = &routes[at].target;
    let same: Vec<_> = routes.iter().filter(|route| route.target == *target).collect();
    if routes[..at].iter().any(|route| route.target == *target) {
        return None;
    }
    let made_by = |route: &&Route| {
        let owner = route.owner.iter().flatten().map(|&at| quote(&route.columns[at].name));
        let mut conditions: Vec<_> =
            route.only.iter().map(|only| format!("coalesce({only}, false)")).collect();
        conditions.extend(owner.map(|name| format!("{name} IS NOT NULL")));
        conditions
    };
    let conditions: Vec<_> = same.iter().map(made_by).collect();
    // A statement without owner columns and without such conditions is compared as a whole.
    if conditions.iter().any(Vec::is_empty) {
        return None;
    }
    let conditions: Vec<_> =
        conditions.into_iter().map(|all| format!("({})", all.join(" AND "))).collect();
    Some(format!("NOT ({})", conditions.join(" OR ")))
}

/// The statements with their fingerprints.
pub(super) fn named(
    statements: Vec<VerifyStatement>,
    fingerprints: &[String],
) -> Vec<VerifyStatement> {
    let named = statements.into_iter().zip(fingerprints);
    named.map(|(statement, print)| statement.known_by(print)).collect()
}
