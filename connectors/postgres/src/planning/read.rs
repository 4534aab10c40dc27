//! How existing rows are read for a statement.

use std::sync::Arc;

use regraft_core::{Mapper, TableName};

use crate::chunks::{KeyColumn, ReadStatement, Restrict};

/// Reads by a SELECT that the source evaluates as it is; `texts` says which of its columns behind the key travel as
/// texts.
pub fn selecting(
    source_ref: String,
    select: Restrict,
    key: &[KeyColumn],
    texts: &[bool],
) -> ReadStatement {
    let cast = |text: bool| if text { "::text" } else { "" };
    let keys = key.iter().enumerate().map(|(at, column)| (format!("k{at}"), cast(column.text)));
    let outputs = texts.iter().enumerate().map(|(at, &text)| (format!("c{at}"), cast(text)));
    let (names, casts): (Vec<_>, Vec<_>) =
        keys.chain(outputs).map(|(name, cast)| (name.clone(), format!("q.{name}{cast}"))).unzip();
    let as_text = key.iter().any(|column| column.text) || texts.contains(&true);
    let select = move |restriction: &str| {
        let select = select(restriction)?;
        if !as_text {
            return Ok(select);
        }
        let (names, casts) = (names.join(", "), casts.join(", "));
        Ok(format!("SELECT {casts} FROM (\n{select}\n) AS q({names})"))
    };
    ReadStatement { source_ref, select: Arc::new(select), mapper: None, texts: Vec::new() }
}

/// Reads columns of a table for a mapper, which makes the target rows of them; `alias` is what restrictions call the
/// table.
pub fn reading(
    (table, alias): (&TableName, &str),
    key: &[KeyColumn],
    reads: &[KeyColumn],
    mapper: Arc<dyn Mapper>,
) -> ReadStatement {
    let columns = key.iter().chain(reads).map(|column| column.given(alias));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let select = format!("SELECT {columns} FROM {} AS {alias} WHERE ", table.quoted());
    let texts = reads.iter().enumerate().filter(|(_, column)| column.text);
    ReadStatement {
        source_ref: alias.to_owned(),
        select: Arc::new(move |restriction: &str| Ok(format!("{select}{restriction}"))),
        mapper: Some(mapper),
        texts: texts.map(|(at, _)| at).collect(),
    }
}
