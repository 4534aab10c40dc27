//! The target's side of a statement: does the table take what the SELECT gives, and can a source
//! row's rows be found again in it?

use regraft_core::mapper::Count;
use regraft_core::segment::Route;
use regraft_core::sql::{quote, quote_list};
use regraft_core::{Code, Error, ReplicaIdentity, Result};
use regraft_postgres::catalog::{Table, Trigger};
use regraft_postgres::planning::{self, Said};

use super::{Compiled, Evaluation, Side, keyless, one_key, route_columns, types, written};
use crate::finding::Finding;

/// Finds the target of a statement and judges it.
pub(super) async fn route(
    (source, side): (&Side, &Side),
    compiled: &Compiled,
    trusted: bool,
    findings: &mut Vec<Finding>,
) -> Result<Route> {
    let place = compiled.statement.place();
    let (schema, name) = compiled.statement.target();
    let catalog = side.catalog();
    let table = catalog.table(schema, name, Code::TargetMissing).await.map_err(|error| {
        if error.code() != Code::TargetMissing {
            return error;
        }
        let what = format!("the target table {} does not exist", written((schema, name)));
        Error::new(Code::TargetMissing, what)
            .at(&place)
            .remedy("make it; `regraft check --ddl` prints a CREATE TABLE to start from")
    })?;
    if !matches!(table.kind, 'r' | 'p') {
        let what = format!("{} is not a table", table.name);
        return Err(Error::new(Code::TargetMissing, what).at(&place).remedy("name a table"));
    }
    let names = columns(compiled, &table)?;
    let mut columns = route_columns(&names, compiled);
    types::of_columns((source, side), compiled, &table, &mut columns, findings).await?;
    let keyless = compiled.statement.keyless();
    let key = table.target_key().filter(|_| keyless.is_none()).unwrap_or_default();
    if keyless.is_none() && (key.is_empty() || !key.iter().all(|name| names.contains(name))) {
        let what = if key.is_empty() {
            format!("the target {} has no key", table.name)
        } else {
            format!("the SELECT does not fill the key ({}) of {}", key.join(", "), table.name)
        };
        return Err(Error::new(Code::TargetKeyMissing, what).at(&place).remedy(
            "give the target a primary key, not deferrable, whose columns the statement fills",
        ));
    }
    let owner = match keyless {
        None => owner(compiled, &names)?,
        Some(_) => None,
    };
    one_key::refuse_merging(compiled, &names, &table)?;
    let owner_names: Vec<_> = owner.iter().flatten().map(|&at| names[at].clone()).collect();
    advise(side, compiled, &table, &owner_names, findings);
    findings.extend(triggers(&table, trusted, &compiled.statement.place()));
    match keyless {
        None => findings.extend(one_key::advise(compiled, &names, &table, &key)),
        Some(keyless) => findings.extend(keyless::advise(compiled, &names, &table, keyless)),
    }
    let route = Route {
        source: compiled.source.name.clone(),
        target: table.name.clone(),
        columns,
        owner: owner.clone(),
        single: compiled.single(),
        total: compiled.declaration.rows == Count::One,
        key_is_owner: owner.is_some() && key.iter().all(|name| owner_names.contains(name)),
        keyless: keyless.is_some(),
        source_key: compiled.key.clone(),
        rewrite: !compiled.single() && table.references_to == 0,
        only: Vec::new(),
        place,
    };
    assignable(side, compiled, &table, &route).await?;
    Ok(route)
}

/// The target columns: those listed, or the first ones of the table.
fn columns(compiled: &Compiled, table: &Table) -> Result<Vec<String>> {
    let statement = &compiled.statement;
    let given = compiled.types.len();
    let names: Vec<String> = match statement.columns() {
        Some(names) => names.to_vec(),
        None => table.columns.iter().take(given).map(|column| column.name.clone()).collect(),
    };
    let fail = |what: String, remedy: &str| {
        Err(Error::new(Code::TargetColumn, what).at(statement.place()).remedy(remedy))
    };
    if names.len() != given {
        let giver = if statement.mapper().is_some() { "mapper" } else { "SELECT" };
        return fail(
            format!("the {giver} gives {given} columns for {} of {}", names.len(), table.name),
            &format!("list as many target columns as the {giver} gives"),
        );
    }
    for name in &names {
        let Some(column) = table.column(name) else {
            let near = table.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>();
            return fail(
                format!("{} has no column {}", table.name, quote(name)),
                &format!("its columns are {}", near.join(", ")),
            );
        };
        if column.generated {
            return fail(
                format!("the column {} of {} is generated", quote(name), table.name),
                "leave it out: the target computes it",
            );
        }
    }
    let unfilled = table.columns.iter().find(|column| {
        column.not_null && !column.has_default && !column.generated && !names.contains(&column.name)
    });
    if let Some(column) = unfilled {
        return fail(
            format!(
                "the column {} of {} is NOT NULL, has no default, and is not filled",
                quote(&column.name),
                table.name
            ),
            "select a value for it, or give it a default",
        );
    }
    Ok(names)
}

/// The columns by which a source row's rows are found again.
fn owner(compiled: &Compiled, names: &[String]) -> Result<Option<Vec<usize>>> {
    let owner = compiled.owner.clone().filter(|owner| owner.iter().all(|&at| at < names.len()));
    let read = matches!(compiled.evaluation, Evaluation::Read { .. });
    if owner.is_some() || (compiled.source.identity == ReplicaIdentity::Full && !read) {
        return Ok(owner);
    }
    let what = format!(
        "the statement does not copy the whole key ({}) of {}, so that rows of a changed source row \
         cannot be found again",
        compiled.key.join(", "),
        compiled.source.name,
    );
    if let Evaluation::Read { refusal, .. } = &compiled.evaluation {
        let why = refusal.place().unwrap_or_default();
        return Err(Error::new(Code::OwnerMissing, what).at(compiled.statement.place()).remedy(
            format!(
                "select the key columns into the target: the statement is evaluated by the source for \
                 changed keys, because of {why}: {}",
                refusal.what()
            ),
        ));
    }
    Err(Error::new(Code::OwnerMissing, what).at(compiled.statement.place()).remedy(format!(
        "select the key columns into the target, or have the stream carry whole old rows: ALTER \
         TABLE {} REPLICA IDENTITY FULL",
        compiled.source.name.quoted()
    )))
}

/// Lets the target type-check the assignment, with the types that the SELECT gives.
async fn assignable(side: &Side, compiled: &Compiled, table: &Table, route: &Route) -> Result<()> {
    let types: Vec<_> = route.columns.iter().map(|column| column.sql_type.clone()).collect();
    let known = side.catalog().has_types(&types).await?;
    if let Some((column, _)) = route.columns.iter().zip(known).find(|(_, known)| !known) {
        let what = format!(
            "the type {} of the expression for {} does not exist at the target",
            column.sql_type,
            quote(&column.name)
        );
        return Err(Error::new(Code::TypeMismatch, what).at(&route.place).remedy(
            "make the type at the target, in whatever schema the column has it from, or cast the \
             expression to a built-in type",
        ));
    }
    planning::assignable(&side.client, &side.place, route).await.map_err(|refusal| {
        let Some(Said { message, hint, .. }) = refusal.said else { return refusal.error };
        let what = format!("the target says: {message}");
        let remedy = hint.as_deref().unwrap_or("cast the expression, or change the column");
        let error = Error::new(Code::TypeMismatch, what).at(compiled.statement.place());
        // Only a cast of the target itself leads to a type of the user's that has another name.
        let own = route.columns.iter().filter_map(|column| {
            let to = table.column(&column.name)?;
            types::bare(&to.sql_type)?;
            let textual = ["text", "character varying"].contains(&column.sql_type.as_str());
            let named = types::bare(&column.sql_type).is_some() && column.sql_type != to.sql_type;
            let quoted = format!("\"{}\"", column.name);
            let meant = message.contains(&quoted) && (textual || named);
            meant.then_some(to.sql_type.as_str())
        });
        match own.into_iter().next() {
            Some(to) => error.remedy(format!(
                "give both types one name, in whatever schema; or select the value as text, and have the \
                 target convert it: CREATE CAST (text AS {to}) WITH INOUT AS ASSIGNMENT"
            )),
            None => error.remedy(remedy),
        }
    })
}

/// Warns of triggers and rules that fire for what the pipeline writes.
fn triggers(table: &Table, trusted: bool, place: &str) -> Vec<Finding> {
    let names = |all: &[Trigger], before_row: bool| {
        let fire = all.iter().filter(|trigger| trigger.fires(trusted));
        let fire = fire.filter(|trigger| trigger.before_row == before_row);
        fire.map(|trigger| trigger.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (before, others) = (names(&table.triggers, true), names(&table.triggers, false));
    let rules = names(&table.rules, false);
    let warnings = [
        (
            format!(
                "triggers can change or suppress each row that is written to {}: {before}",
                table.name
            ),
            "a row that one of them changes or suppresses is not what the SELECT gives, and no repair makes \
             it so: ALTER TABLE … DISABLE TRIGGER … until the migration is over, unless you know that it \
             lets these rows through as they are",
            before,
        ),
        (
            format!("triggers fire on {}: {others}", table.name),
            "a trigger that changes or drops rows makes the target differ from the SELECT: disable \
             it until the migration is over, unless you know that it does not",
            others,
        ),
        (
            format!("rules rewrite what is written to {}: {rules}", table.name),
            "a rule makes the target differ from the SELECT, and one ON INSERT or ON UPDATE has the server refuse \
             upserts, one ON UPDATE even when it is disabled: DROP RULE … until the migration is over",
            rules,
        ),
    ];
    let warnings = warnings.into_iter().filter(|(_, _, names)| !names.is_empty());
    warnings.map(|(what, remedy, _)| Finding::warning(what, place, remedy)).collect()
}

fn advise(
    side: &Side,
    compiled: &Compiled,
    table: &Table,
    owner: &[String],
    findings: &mut Vec<Finding>,
) {
    let place = compiled.statement.place();
    let missing: Vec<_> = ["SELECT", "INSERT", "UPDATE", "DELETE"]
        .iter()
        .zip(table.privileges)
        .filter(|(_, granted)| !granted)
        .map(|(privilege, _)| *privilege)
        .collect();
    if !missing.is_empty() {
        let what = format!("the role lacks {} on {}", missing.join(", "), table.name);
        let remedy = format!("GRANT {} ON {} TO …", missing.join(", "), table.name.quoted());
        let error = Error::new(Code::PrivilegeMissing, what).at(side.place.clone());
        findings.push(Finding::from(&error.remedy(remedy)));
    }
    if table.row_security {
        let what = format!("row-level security of {} applies to the role", table.name);
        let error = Error::new(Code::PrivilegeMissing, what).at(side.place.clone());
        findings.push(Finding::from(&error.remedy("use a role with BYPASSRLS")));
    }
    folded(compiled, table, findings);
    findings.extend(hazards(table, &place));
    let prefix = |index: &Vec<String>| {
        index.len() >= owner.len() && owner.iter().all(|name| index[..owner.len()].contains(name))
    };
    if !owner.is_empty() && !table.indexes.iter().any(prefix) {
        findings.push(Finding::warning(
            format!("no index of {} starts with ({})", table.name, owner.join(", ")),
            &place,
            format!(
                "each changed source row searches the whole table: CREATE INDEX ON {} ({})",
                table.name.quoted(),
                quote_list(owner)
            ),
        ));
    }
    for at in 0..compiled.types.len() {
        let name = match compiled.statement.columns() {
            Some(names) => names.get(at),
            None => table.columns.get(at).map(|column| &column.name),
        };
        let Some(column) = name.and_then(|name| table.column(name)) else { continue };
        if column.type_modifier >= 0 && compiled.types[at] != column.sql_type
            || narrows(&compiled.types[at], &column.sql_type)
        {
            findings.push(Finding::warning(
                format!(
                    "{} may not take every {}: {}",
                    quote(&column.name),
                    compiled.types[at],
                    column.full_type
                ),
                &place,
                "a value that does not fit stops the pipeline at its position; widen the column",
            ));
        }
    }
}

/// Keys that are different at the source and one at the target.
fn folded(compiled: &Compiled, table: &Table, findings: &mut Vec<Finding>) {
    let place = compiled.statement.place();
    for name in table.target_key().iter().flatten() {
        let Some(column) = table.column(name).filter(|column| column.folded) else { continue };
        let output = match compiled.statement.columns() {
            Some(names) => names.iter().position(|filled| filled == name),
            None => table.columns.iter().position(|filled| filled.name == *name),
        };
        let from = output.and_then(|at| {
            let copied = compiled.declaration.outputs.get(at)?.copies()?;
            compiled.source.column(copied)
        });
        if !from.is_some_and(|column| column.folded) {
            findings.push(Finding::warning(
                format!(
                    "{} of the key of {} takes texts for equal that are not: {}{}",
                    quote(name),
                    table.name,
                    column.full_type,
                    if column.collated { " with a nondeterministic collation" } else { "" }
                ),
                &place,
                "source rows whose keys differ in that alone would have one key, and the pipeline would be held \
                 [RG4006]: give the column a deterministic collation, or the type text, unless no such rows are",
            ));
        }
    }
}

/// What works, and yet can go wrong while the pipeline runs.
fn hazards(table: &Table, place: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let quoted = table.name.quoted();
    if !table.unlogged.is_empty() {
        found.push(Finding::warning(
            format!("a crash of the target empties {}: UNLOGGED", table.unlogged.join(", ")),
            place,
            format!(
                "the position survives it, so the rows would be missing and nothing would bring them \
                 back: ALTER TABLE {quoted} SET LOGGED, at the latest once all is copied; after a \
                 crash, `regraft run --recopy TABLE`"
            ),
        ));
    }
    if !table.foreign_partitions.is_empty() {
        found.push(Finding::warning(
            format!(
                "partitions of {} are foreign tables: {}",
                table.name,
                table.foreign_partitions.join(", ")
            ),
            place,
            "an upsert cannot write to them, and what the other server has committed is not part of \
             the position: map into tables of the target itself",
        ));
    }
    if !table.exclusions.is_empty() {
        found.push(Finding::warning(
            format!("{} keeps rows apart at each row by {}", table.name, table.exclusions.join(", ")),
            place,
            "where rows exchange their ranges within a transaction of the source, the order of the \
             writes may be refused, and the pipeline is held: make the constraint DEFERRABLE, then it \
             is checked at the commit; a key WITHOUT OVERLAPS, where it is not one of the source, has to \
             give way to another primary key until the migration is over",
        ));
    }
    found
}

fn narrows(from: &str, to: &str) -> bool {
    let width = |name: &str| match name {
        "smallint" => Some(2),
        "integer" => Some(4),
        "bigint" => Some(8),
        "numeric" => Some(16),
        _ => None,
    };
    matches!((width(from), width(to)), (Some(from), Some(to)) if to < from)
}

/// Where several statements fill one target, each has to tell its own rows from the others': by a
/// column to which they give different constants.
pub(super) fn tell_apart(routes: &mut [Route], compiled: &[Compiled], findings: &mut Vec<Finding>) {
    let constants = |at: usize| -> Vec<(String, String)> {
        let columns = &routes[at].columns;
        let constants = compiled[at].evaluation.constants().into_iter();
        constants.filter_map(|(c, text)| Some((columns.get(c)?.name.clone(), text))).collect()
    };
    let mut only = vec![Vec::new(); routes.len()];
    for at in 0..routes.len() {
        let mine = constants(at);
        for other in (0..routes.len()).filter(|&o| o != at && routes[o].target == routes[at].target)
        {
            let theirs = constants(other);
            let differing = mine.iter().find(|(name, value)| {
                theirs.iter().any(|(their_name, text)| their_name == name && text != value)
            });
            match differing {
                Some((name, value)) => {
                    let condition = format!("{} = {value}", quote(name));
                    if !only[at].contains(&condition) {
                        only[at].push(condition);
                    }
                }
                None if at < other => {
                    let what = format!(
                        "{} is also filled by the statement at {}, and nothing tells their rows apart",
                        routes[at].target, routes[other].place
                    );
                    let remedy = "select a different constant into some column in each of them, or \
                                  use one target table per statement";
                    let error = Error::new(Code::OwnerMissing, what).at(&routes[at].place);
                    findings.push(Finding::from(&error.remedy(remedy)));
                }
                None => {}
            }
        }
    }
    for (route, only) in routes.iter_mut().zip(only) {
        route.only = only;
    }
}

/// Refuses keys WITHOUT OVERLAPS by which the statements cannot write.
pub(super) fn overlap(
    routes: &[Route],
    targets: &[super::verify::Target],
    findings: &mut Vec<Finding>,
) -> bool {
    let mut refused = false;
    for (route, target) in routes.iter().zip(targets) {
        if route.keyless || target.table.writable_by_key(route) {
            continue;
        }
        let what = format!("the target {} has no key but one WITHOUT OVERLAPS", route.target);
        let remedy = "no upsert can arbitrate by it: either each of its columns copies one of the source row's \
                      key, nothing references the table, and no other statement fills it; or give the table \
                      another primary key until the migration is over";
        let error = Error::new(Code::TargetKeyMissing, what).at(&route.place);
        findings.push(Finding::from(&error.remedy(remedy)));
        refused = true;
    }
    refused
}

/// Targets that hold rows before the pipeline has written any, as far as each statement can tell its
/// own rows from others.
///
/// # Errors
/// When the target cannot be asked.
pub async fn occupied(side: &Side, routes: &[Route]) -> Result<Vec<Error>> {
    let holds = planning::hold_rows(&side.client, &side.place, routes).await?;
    let holding = routes.iter().zip(holds).filter(|(_, holds)| *holds);
    let occupied = holding.map(|(route, _)| {
        let what = format!("the target {} of a new pipeline holds rows already", route.target);
        let remedy = format!(
            "`regraft run --recopy {}` clears them and copies anew; `--accept-mapping` keeps \
             them, because they fit",
            route.source
        );
        Error::new(Code::TargetNotEmpty, what).at(&route.place).remedy(remedy)
    });
    Ok(occupied.collect())
}
