//! What a mapping stands on, for the look at it from time to time.

use regraft_core::segment::Route;
use regraft_core::{Code, Error, Keyless, Oid, Result, Subject, TableName};
use regraft_mapping::KeyedRead;
use regraft_postgres::catalog::{Table, TableColumn};
use regraft_postgres::planning::{fix_names, free_names, refusal};
use regraft_postgres::slot::of_appended;
use regraft_postgres::standing::{Asked, AskedTable, Names, Policy, Standing};
use regraft_settings::{ForeignKeys, HeldOnDrift, OnDrift, Settings};

use super::verify::Target;
use super::{Compiled, Resolved, Side};
use crate::finding::Finding;

/// Everything that is looked up of these statements.
pub(super) fn asked(
    settings: &Settings,
    (source, target): (&Side, &Side),
    compiled: &[Compiled],
    routes: &[Route],
    targets: &[Target],
) -> Asked {
    let publication = settings.source.publication.clone();
    let mut asked = Asked {
        own_publication: settings.makes(&publication),
        publication,
        path: source.server.path.named.clone(),
        target_path: target.server.path.named.clone(),
        policy: policy(settings),
        ..Asked::default()
    };
    for ((statement, route), target) in compiled.iter().zip(routes).zip(targets) {
        let columns = statement.declaration.reads.iter().map(|read| read.name.clone());
        let keys = statement.key.iter().cloned();
        // The stream has none of them, but the source evaluates them with the rest.
        let generated = mentioned(statement, &statement.source, |column| column.generated);
        let columns = columns.chain(keys).chain(generated).collect();
        let read = (&statement.source.name, statement.source.oid, columns);
        add(&mut asked.sources, read, route);
        if statement.statement.keyless() == Some(Keyless::Appended) {
            asked.appended = of_appended(&asked.publication).ok();
            let own = asked.sources.iter_mut().find(|known| known.oid == statement.source.oid);
            if let Some(own) = own {
                own.appended = true;
            }
        }
        for trace in statement.evaluation.traces() {
            let columns = mentioned(statement, &trace.from, |_| true);
            let read = (&trace.from.name, trace.from.oid, columns);
            add(&mut asked.sources, read, route);
        }
        let filled = route.columns.iter().map(|column| column.name.clone()).collect();
        add(&mut asked.targets, (&route.target, target.table.oid, filled), route);
        names(statement, &mut asked.names);
    }
    asked
}

/// How the settings answer a drift.
pub(crate) fn policy(settings: &Settings) -> Policy {
    let drift = &settings.drift;
    let chosen = |answer: OnDrift| {
        let all = [
            (Subject::Columns, drift.columns),
            (Subject::Tables, drift.tables),
            (Subject::Partitions, drift.partitions),
            (Subject::Publication, drift.publication),
        ];
        all.into_iter()
            .filter(|(_, chosen)| *chosen == answer)
            .map(|(subject, _)| subject)
            .collect()
    };
    Policy {
        goes_on: chosen(OnDrift::GoOn),
        // Rows that can be mended are, unless that is what is held.
        holds: if drift.partitions == OnDrift::Hold { vec![Subject::Partitions] } else { vec![] },
        alone: drift.held == HeldOnDrift::Table,
        trusted: settings.target.foreign_keys == ForeignKeys::Trusted,
    }
}

/// What the mapping stands on now.
///
/// # Errors
/// When a server cannot be asked.
pub(crate) async fn take(source: &Side, target: &Side, asked: &Asked) -> Result<Standing> {
    let at_source = (&source.client, source.place.as_str());
    let at_target = (&target.client, target.place.as_str());
    Standing::take(at_source, &source.server, at_target, asked).await
}

/// Has the source read each statement once more, with the tables and the schemas that it means from now
/// on; true when it refused one.
///
/// # Errors
/// When the source cannot be asked.
pub(super) async fn fixed(
    source: &Side,
    resolved: &Resolved,
    findings: &mut Vec<Finding>,
) -> Result<bool> {
    let (client, place) = (&source.client, source.place.as_str());
    fix_names(client, place, &resolved.standing, &resolved.asked).await?;
    let before = findings.len();
    for (table, planned) in resolved.read.iter().zip(&resolved.plan.tables) {
        for (statement, &at) in table.statements.iter().zip(&planned.statements) {
            let sql = (statement.select)("true")?;
            if let Some(error) = refusal(client, place, &sql).await {
                let place = &resolved.plan.routes[at].place;
                let what = error.what();
                let error = Error::new(
                    Code::SelectRefused,
                    format!(
                        "once its names are fixed, the source does not take the SELECT: {what}"
                    ),
                );
                findings.push(Finding::from(
                    &error
                        .at(place)
                        .remedy("write the schema before each name that is not built in"),
                ));
            }
        }
    }
    free_names(client, place).await?;
    Ok(findings.len() > before)
}

/// Adds columns of a table that a statement reads or fills.
fn add(
    tables: &mut Vec<AskedTable>,
    (name, oid, columns): (&TableName, Oid, Vec<String>),
    route: &Route,
) {
    let at = tables.iter().position(|known| known.table == *name).unwrap_or_else(|| {
        tables.push(AskedTable {
            table: name.clone(),
            oid,
            appended: false,
            columns: Vec::new(),
            copies: Vec::new(),
            targets: Vec::new(),
            mended_by_key: true,
        });
        tables.len() - 1
    });
    let table = &mut tables[at];
    table.mended_by_key &= route.owner.is_some();
    table.columns.extend(columns);
    table.columns.sort_unstable();
    table.columns.dedup();
    let lists = [(&mut table.targets, &route.target), (&mut table.copies, &route.source)];
    for (list, name) in lists {
        if !list.contains(name) {
            list.push(name.clone());
        }
    }
}

/// Columns of a table that the text names, of those that are `wanted`.
fn mentioned(
    statement: &Compiled,
    table: &Table,
    wanted: impl Fn(&TableColumn) -> bool,
) -> Vec<String> {
    let text = &statement.statement;
    let is = |name: &str| {
        let mut refs =
            text.source_tables().iter().filter(|written| written.name == table.name.name);
        refs.any(|written| text.mentions(written, name))
    };
    let columns = table.columns.iter().filter(|column| wanted(column));
    columns.map(|column| column.name.clone()).filter(|name| is(name)).collect()
}

fn names(statement: &Compiled, names: &mut Names) {
    for named in KeyedRead::named(&statement.statement).into_iter().filter(|named| !named.qualified)
    {
        let list = if named.operator { &mut names.operators } else { &mut names.functions };
        if !list.contains(&named.name) {
            list.push(named.name);
        }
    }
    let text = &statement.statement;
    let lists =
        [(&mut names.types, text.named_types()), (&mut names.schemas, text.named_schemas())];
    for (list, found) in lists {
        for name in found {
            if !list.iter().any(|known| known == name) {
                list.push(name.to_owned());
            }
        }
    }
}
