//! What the tables that a statement names are called in full, before anything of it is known to be in order.

use regraft_core::{Keyless, Result, TableName};
use regraft_mapping::Statement;
use regraft_postgres::planning::schemas_of;
use regraft_postgres::standing::Held;

use super::Side;

/// Source and target of a statement.
pub(super) struct Names {
    source: Name,
    target: Name,
}

/// A table; where none of that name is there, without the schema.
struct Name {
    schema: Option<String>,
    name: String,
}

impl Name {
    fn is(&self, table: &TableName) -> bool {
        self.name == table.name && self.schema.as_ref().is_none_or(|schema| *schema == table.schema)
    }
}

impl Names {
    /// Whether the statement is one over a table that is held: as it was, as its text was changed since, or by
    /// way of what it fills.
    pub(super) fn is_of(&self, held: &Held, fingerprint: &str) -> bool {
        let fills = |target: &String| {
            let schema = self.target.schema.as_ref();
            match schema {
                Some(schema) => *target == format!("{schema}.{}", self.target.name),
                None => target.ends_with(&format!(".{}", self.target.name)),
            }
        };
        self.source.is(&held.table)
            || held.targets.iter().any(fills)
            || held.fingerprints.iter().any(|known| is_text_of(known, fingerprint))
    }
}

/// Whether a fingerprint in the ledger is of this text, whoever evaluates it.
pub(crate) fn is_text_of(known: &str, text: &str) -> bool {
    known.strip_prefix(text).is_some_and(|rest| rest.is_empty() || rest.starts_with(" by "))
}

/// Source and target of each statement, with the schemas in which the roles find them.
///
/// # Errors
/// When a server cannot be asked.
pub(super) async fn meant(
    source: &Side,
    target: &Side,
    statements: &[Statement],
) -> Result<Vec<Names>> {
    let written = |schema: Option<&str>, name: &str| Name {
        schema: schema.map(str::to_owned),
        name: name.to_owned(),
    };
    let mut sources = Vec::new();
    let mut targets = Vec::new();
    for statement in statements {
        let first = statement.source_tables().first();
        let (schema, name) = first.map_or((None, ""), |t| (t.schema.as_deref(), t.name.as_str()));
        sources.push(written(schema, name));
        let (schema, name) = statement.target();
        targets.push(written(schema, name));
    }
    let (sources, targets) =
        tokio::try_join!(in_schemas(source, sources), in_schemas(target, targets))?;
    let names = sources.into_iter().zip(targets);
    Ok(names.map(|(source, target)| Names { source, target }).collect())
}

/// A source table that a statement of another target reads.
pub(super) struct Elsewhere {
    pub(super) table: TableName,
    /// How rows without a key are followed there.
    pub(super) keyless: Option<Keyless>,
    /// Of the statement.
    pub(super) place: String,
}

/// The source tables that these statements read; those that do not exist are left out.
pub(super) async fn read(source: &Side, statements: &[Statement]) -> Result<Vec<Elsewhere>> {
    let (mut names, mut of) = (Vec::new(), Vec::new());
    for statement in statements {
        for table in statement.source_tables() {
            names.push(Name { schema: table.schema.clone(), name: table.name.clone() });
            of.push((statement.keyless(), statement.place()));
        }
    }
    let names = in_schemas(source, names).await?;
    let found = names.into_iter().zip(of).filter_map(|(name, (keyless, place))| {
        Some(Elsewhere { table: TableName::new(name.schema?, name.name), keyless, place })
    });
    Ok(found.collect())
}

async fn in_schemas(side: &Side, mut names: Vec<Name>) -> Result<Vec<Name>> {
    let bare: Vec<_> =
        names.iter().filter(|n| n.schema.is_none()).map(|n| n.name.as_str()).collect();
    if bare.is_empty() {
        return Ok(names);
    }
    let found = schemas_of(&side.client, &side.place, &bare, &side.server.path.named).await?;
    for name in names.iter_mut().filter(|name| name.schema.is_none()) {
        let found = found.iter().find(|(found, _)| *found == name.name);
        name.schema = found.map(|(_, schema)| schema.clone());
    }
    Ok(names)
}
