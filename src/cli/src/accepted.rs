//! What may have changed between a mapping that was accepted and the one of now, and whose rows are brought in
//! line because of it.

use regraft_core::segment::Route;
use regraft_core::sql::quote;
use regraft_core::{Code, Error, Result, Subject, TableName};
use regraft_postgres::ledger::{Registered, Shape};
use regraft_postgres::standing::{Drift, How};

use crate::resolve::Resolved;

/// Source tables whose rows in the target are brought in line.
#[derive(Default)]
pub(crate) struct Accepted {
    /// By copying them anew.
    pub(crate) anew: Vec<TableName>,
    /// By comparing them, and mending those that differ.
    pub(crate) resynced: Vec<TableName>,
    /// By nothing: they are.
    pub(crate) as_is: Vec<TableName>,
}

impl Accepted {
    pub(crate) fn all(&self) -> Vec<TableName> {
        [self.anew.as_slice(), &self.resynced, &self.as_is].concat()
    }

    pub(crate) fn contains(&self, table: &TableName) -> bool {
        self.anew.contains(table) || self.resynced.contains(table) || self.as_is.contains(table)
    }

    /// All rows that a drift has made stale are brought in line.
    pub(crate) fn covers(&self, resolved: &Resolved, drift: &Drift) -> bool {
        let stale = match drift.subject {
            // Any row may be made of what a name means now.
            Subject::Names => every_table(resolved),
            _ => drift.copies.clone(),
        };
        !stale.is_empty() && stale.iter().all(|table| self.contains(table))
    }

    pub(crate) fn add(&mut self, resolved: &Resolved, table: TableName, how: How) {
        if self.contains(&table) {
            return;
        }
        match how {
            How::AsIs => self.as_is.push(table),
            How::Mend if without_owner(resolved, &table).is_none() => self.resynced.push(table),
            How::Mend | How::Copy => self.anew.push(table),
        }
    }
}

pub(crate) fn every_table(resolved: &Resolved) -> Vec<TableName> {
    resolved.plan.tables.iter().map(|planned| planned.table.clone()).collect()
}

/// A statement over the table whose rows cannot be told by their source row.
pub(crate) fn without_owner<'a>(resolved: &'a Resolved, table: &TableName) -> Option<&'a Route> {
    let mut routes = resolved.plan.routes.iter();
    routes.find(|route| route.owner.is_none() && route.source == *table)
}

/// The source tables that an option names.
pub(crate) fn named(
    resolved: &Resolved,
    option: &str,
    wanted: &[String],
) -> Result<Vec<TableName>> {
    let tables = || resolved.plan.tables.iter().map(|planned| &planned.table);
    let is = |table: &TableName, wanted: &str| {
        wanted == "all" || wanted == table.to_string() || wanted == table.name
    };
    if let Some(unknown) = wanted.iter().find(|wanted| !tables().any(|t| is(t, wanted))) {
        let known: Vec<_> = tables().map(ToString::to_string).collect();
        let what = format!("{option} {unknown}: the mapping reads no such table");
        return Err(Error::new(Code::UsageInvalid, what)
            .at("command line")
            .remedy(format!("name one of {}, or all", known.join(", "))));
    }
    let named = |table: &&TableName| wanted.iter().any(|wanted| is(table, wanted));
    Ok(tables().filter(named).cloned().collect())
}

pub(crate) fn copy_anew(table: &TableName) -> String {
    format!(
        "`regraft run --recopy {table}` clears its rows in the target and copies them anew; \
         `--accept-mapping` goes on because they fit already"
    )
}

/// A name in the mapping that means another table than when the pipeline was made.
pub(crate) fn other_meaning(
    resolved: &Resolved,
    registered: &Registered,
    accepted: &[TableName],
) -> Option<(Error, Vec<TableName>)> {
    let now = resolved.plan.routes.iter().zip(&resolved.fingerprints);
    now.filter(|(route, _)| !accepted.contains(&route.source)).find_map(|(route, print)| {
        let (source, target) = (route.source.to_string(), route.target.to_string());
        let mut same = registered.statements.iter().filter(|(.., known)| known == print).peekable();
        same.peek()?;
        if same.clone().any(|(from, to, _)| *from == source && *to == target) {
            return None;
        }
        let (from, to, _) = same.next()?;
        let at_target = *from == source;
        let (was, is) = if at_target { (to, target) } else { (from, source) };
        let what = format!("a name of the statement means {is} now, and meant {was} when the pipeline was made");
        let error = Error::new(Code::StandsOnOther, what).at(&route.place).remedy(format!(
            "write {was} in the mapping, with its schema, and start once with --accept-mapping: nothing is \
             lost; or rename {is}, or take its schema out of the role's search_path; if {is} is that very \
             table, moved: --resync {is}"
        ));
        // Of a target there is no other way on than to say which is meant.
        let tables = (!at_target).then(|| route.source.clone());
        Some((error, tables.into_iter().collect()))
    })
}

/// Other statements than those that filled the target. A table that is new in the mapping is copied
/// like any other.
pub(crate) fn changed_mapping(
    resolved: &Resolved,
    registered: &Registered,
    table: &TableName,
) -> Option<Error> {
    if !registered.shapes.iter().any(|(name, _)| name == table) {
        return None;
    }
    let routes = resolved.plan.routes.iter().zip(&resolved.fingerprints);
    let now: Vec<_> = routes.filter(|(route, _)| route.source == *table).collect();
    let printed = table.to_string();
    let before = registered.statements.iter();
    let before: Vec<_> =
        before.filter(|(source, ..)| *source == printed).map(|(.., print)| print).collect();
    if now.iter().map(|(_, print)| *print).eq(before.iter().copied()) {
        return None;
    }
    // The first one that is new, or moved; else one is gone.
    let place = now.iter().enumerate().find(|(at, (_, print))| before.get(*at) != Some(print));
    let place = place.map(|(_, (route, _))| route).or(now.first().map(|(route, _)| route))?;
    let what = format!("the statements over {table} are not those that filled the target");
    Some(Error::new(Code::MappingChanged, what).at(&place.place).remedy(copy_anew(table)))
}

/// Columns of other types than those that were copied.
pub(crate) fn changed_shape(
    resolved: &Resolved,
    registered: &Registered,
    table: &TableName,
    place: &str,
) -> Option<Error> {
    let of = |shapes: &[(TableName, Shape)]| {
        shapes.iter().find(|(name, _)| name == table).map(|(_, shape)| shape.clone())
    };
    let (now, before) = (of(&resolved.shapes)?, of(&registered.shapes)?);
    // Schemas apart: earlier versions left them out where the search path had them, and a type that another
    // takes the place of is told as a drift.
    let bare = |full_type: &str| full_type.rsplit('.').next().unwrap_or_default().to_owned();
    let same = |(name, now): &(String, String)| {
        before.columns.iter().any(|(other, before)| other == name && bare(before) == bare(now))
    };
    let retyped = now.columns.iter().filter(|column| !same(column));
    let retyped: Vec<_> = retyped
        .map(|(name, now)| {
            let before = before.columns.iter().find(|(other, _)| other == name);
            let before = before.map_or("none", |(_, full_type)| full_type.as_str());
            format!("{} (was {before}, is {now})", quote(name))
        })
        .collect();
    if retyped.is_empty() {
        return None;
    }
    let what = format!(
        "columns of {table} have other types than when they were copied, and the stream does not \
         carry what ALTER TABLE rewrote: {}",
        retyped.join(", ")
    );
    Some(Error::new(Code::ShapeChanged, what).at(place).remedy(copy_anew(table)))
}
