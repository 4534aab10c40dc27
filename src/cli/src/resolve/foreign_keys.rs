//! Foreign keys of the target that cannot hold while rows are being copied.

use regraft_core::segment::Route;
use regraft_core::sql::quote;
use regraft_core::{Code, Error, Result};
use regraft_postgres::ledger::PgLedger;
use regraft_postgres::planning::is_empty;
use regraft_settings::{ForeignKeys, Settings};

use super::Side;
use crate::finding::Finding;

/// Finds foreign keys between targets whose rows come from different source rows, as long as not
/// everything is copied.
pub(super) async fn while_copying(
    settings: &Settings,
    source: &Side,
    side: &Side,
    routes: &[Route],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let unchecked = settings.target.foreign_keys == ForeignKeys::Trusted;
    if unchecked
        || !settings.backfill.enabled
        || PgLedger::is_copied(&side.client, &side.place, &settings.name).await?
    {
        return Ok(());
    }
    let catalog = side.catalog();
    for route in routes {
        let (schema, name) = (Some(route.target.schema.as_str()), route.target.name.as_str());
        let table = catalog.table(schema, name, Code::TargetMissing).await?;
        for key in &table.foreign_keys {
            let parents: Vec<_> = routes.iter().filter(|r| r.target == key.references).collect();
            let mut apart = parents.iter().filter(|parent| !key.within_owner(route, parent));
            let Some(parent) = apart.next() else { continue };
            // All rows of the table will come by the stream.
            if is_empty(&source.client, &source.place, &parent.source).await? {
                continue;
            }
            let what = format!(
                "the foreign key {} of {} refers to rows that may not be copied yet",
                key.name, route.target
            );
            let remedy = format!(
                "ALTER TABLE {} DROP CONSTRAINT {} until all is copied, or set foreign_keys = \
                 \"trusted\" in [target]",
                route.target.quoted(),
                quote(&key.name)
            );
            let error = Error::new(Code::ForeignKeyWhileCopying, what).at(&route.place);
            findings.push(Finding::from(&error.remedy(remedy)));
        }
    }
    Ok(())
}

/// Statements of one source table whose targets refer to one another, in groups of two and more.
pub(super) async fn related(
    settings: &Settings,
    side: &Side,
    routes: &[Route],
) -> Result<Vec<Vec<usize>>> {
    if settings.target.foreign_keys == ForeignKeys::Trusted {
        return Ok(Vec::new());
    }
    let catalog = side.catalog();
    let mut group: Vec<_> = (0..routes.len()).collect();
    for (child, route) in routes.iter().enumerate() {
        let (schema, name) = (Some(route.target.schema.as_str()), route.target.name.as_str());
        let table = catalog.table(schema, name, Code::TargetMissing).await?;
        for (parent, other) in routes.iter().enumerate() {
            let refers = table.foreign_keys.iter().any(|key| key.references == other.target);
            if refers && other.source == route.source {
                let (from, to) = (group[child], group[parent]);
                group.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
            }
        }
    }
    let members = |of: usize| (0..routes.len()).filter(|&at| group[at] == of).collect();
    let groups = (0..routes.len()).map(members);
    Ok(groups.filter(|members: &Vec<usize>| members.len() > 1).collect())
}
