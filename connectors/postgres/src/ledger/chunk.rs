//! Chunks, as the ledger keeps them.

use regraft_core::chunk::{ChunkScope, Traced};
use regraft_core::contract::PlannedChunk;
use regraft_core::{Key, TableName};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::fitting::restored;

pub(super) const INSERT_CHUNK: &str = "
    INSERT INTO regraft.chunks (pipeline, source_schema, source_table, after, upto, keys, trace)
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";

/// The columns of a chunk.
pub(super) struct Chunk<'a> {
    pipeline: &'a str,
    table: &'a TableName,
    after: Option<&'a Vec<String>>,
    upto: Option<&'a Vec<String>>,
    keys: Option<Vec<&'a [u8]>>,
    trace: Option<&'a str>,
}

impl<'a> Chunk<'a> {
    pub(super) fn of(pipeline: &'a str, table: &'a TableName, scope: &'a ChunkScope) -> Self {
        let bytes = |keys: &'a [Key]| Some(keys.iter().map(|key| key.0.as_ref()).collect());
        let empty = Self { pipeline, table, after: None, upto: None, keys: None, trace: None };
        match scope {
            ChunkScope::Range { after, upto } => {
                Self { after: after.as_ref(), upto: upto.as_ref(), ..empty }
            }
            ChunkScope::Keys(keys) => Self { keys: bytes(keys), ..empty },
            // Without values it stands for all of them.
            ChunkScope::Traced(Traced { trace, values }) => Self {
                keys: bytes(values.as_deref().unwrap_or_default()),
                trace: Some(trace),
                ..empty
            },
        }
    }

    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 7] {
        let TableName { schema, name } = self.table;
        [&self.pipeline, schema, name, &self.after, &self.upto, &self.keys, &self.trace]
    }
}

/// From `id, source_schema, source_table, after, upto, keys, trace`.
pub(super) fn chunk(row: &Row) -> PlannedChunk {
    let keys = row.get::<_, Option<Vec<Vec<u8>>>>(5);
    let keys: Option<Vec<_>> =
        keys.map(|keys| keys.into_iter().map(|key| Key(key.into_boxed_slice())).collect());
    let scope = match (keys, row.get::<_, Option<String>>(6)) {
        (values, Some(trace)) => {
            let values = values.filter(|values| !values.is_empty());
            ChunkScope::Traced(Traced { trace, values })
        }
        (Some(keys), None) => ChunkScope::Keys(keys),
        (None, None) => {
            ChunkScope::Range { after: restored(row.get(3)), upto: restored(row.get(4)) }
        }
    };
    let table = TableName::new(row.get::<_, String>(1), row.get::<_, String>(2));
    PlannedChunk { id: row.get(0), table, scope }
}
