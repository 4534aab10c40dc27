//! What publishing the source tables does to the application that writes to them, and whether partitions
//! identify their rows as the mapping relies on.

use regraft_core::{Code, Error, Keyless, Result};
use regraft_postgres::catalog::Table;
use regraft_postgres::writes::Leaf;

use super::{Compiled, Side};
use crate::finding::Finding;

/// Finds what the server would refuse of the application, and what the stream would fill otherwise.
///
/// # Errors
/// When the source cannot be asked.
pub(super) async fn judge(
    side: &Side,
    compiled: &[Compiled],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    // With what its old images are to hold.
    let appended = |statement: &&Compiled| statement.statement.keyless() == Some(Keyless::Appended);
    let sources = compiled
        .iter()
        .filter(|statement| !appended(statement))
        .map(|statement| (&statement.source, statement.key.clone()));
    let traced = compiled.iter().flat_map(|statement| statement.evaluation.traces());
    let traced = traced.map(|trace| (&trace.from, trace.from.stream_key().unwrap_or_default()));
    let mut tables: Vec<(&Table, Vec<String>)> = Vec::new();
    for table in sources.chain(traced) {
        if !tables.iter().any(|(known, _)| known.oid == table.0.oid) {
            tables.push(table);
        }
    }
    for (table, _) in tables.iter().filter(|(table, _)| table.kind == 'r' && table.has_children) {
        let what = format!("other tables inherit from {}", table.name);
        let error = Error::new(Code::NotStreamable, what).at(&side.place).remedy(
            "a SELECT on it gives their rows, too, and the stream tells them apart: move the rows into partitions, \
             or read each table by a statement of its own",
        );
        findings.push(Finding::from(&error));
    }
    let oids: Vec<_> = tables.iter().map(|(table, _)| table.oid).collect();
    for leaf in Leaf::of(&side.client, &side.place, &oids).await? {
        let Some((root, key)) = tables.iter().find(|(table, _)| table.oid == leaf.root) else {
            continue;
        };
        // The publication that regraft makes carries generated columns where it has to.
        let writes = leaf.accepts_writes(&side.server, true, &side.place);
        let identity =
            writes.and_then(|()| leaf.identifies_as(&root.name, root.identity, key, &side.place));
        findings.extend(identity.err().iter().map(Finding::from));
    }
    Ok(())
}
