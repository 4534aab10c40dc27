//! What the writer does to the example tables: single statements, chosen by weight.
//!
//! Every statement takes the same three parameters: a random uuid (`$1` text), a random number
//! (`$2` bigint, 0 to 10^15) and a number of rows (`$3` bigint). The uuid is a new key for inserts, and for all
//! others the place in the key order where the row is picked: cheap on any number of rows.

use crate::example::Example;

/// What a statement may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Inserts the row `$1`.
    Insert,
    /// Inserts `$3` rows.
    InsertMany,
    /// Changes one row.
    Update,
    /// Moves the primary key of one row.
    MoveKey,
    /// Changes up to `$3` neighbours in key order.
    UpdateMany,
    /// Deletes one row.
    Delete,
    /// Deletes up to `$3` neighbours in key order.
    DeleteMany,
    /// Deletes exactly the row `$1`.
    DeleteExactly,
    /// Finds and locks a row, and returns its key.
    Lock,
    /// Empties the table.
    Truncate,
}

/// One statement.
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    pub(crate) sql: String,
}

/// Updates of `ai_workloads`: the SET list. Small columns, documents that grow, shrink, vanish and
/// are replaced, weights that come and go; most leave the large columns alone.
const AI_UPDATES: &[&str] = &[
    "status = (ARRAY['draft', 'training', 'ready', 'failed', 'retired', NULL])[1 + $2 % 6], updated_at = {time}",
    "updated_at = {time}",
    "status = status",
    "model_name = 'renamed é ' || $2, model_version = NULL",
    "training_data_size = $2 - 500000000000000",
    "hyperparameters = coalesce(hyperparameters, '{}') || jsonb_build_object('k' || $2 % 9, $2)",
    "hyperparameters = CASE WHEN $2 % 2 = 0 THEN NULL ELSE 'null'::jsonb END",
    "training_metrics = coalesce(training_metrics, '{}') || jsonb_build_object('m' || $2 % 40, $2 / 1000.0), updated_at = {time}",
    "training_metrics = coalesce(training_metrics, '{}') || jsonb_build_object('accuracy', $2 % 1000)",
    "training_metrics = training_metrics - 'accuracy' - 'loss'",
    "training_metrics = CASE $2 % 3 WHEN 0 THEN NULL WHEN 1 THEN '{}' ELSE jsonb_build_object('only', $2 % 7, 'größe', NULL) END",
    "training_metrics = (SELECT jsonb_object_agg(md5(s::text) || s, s + $2 % 100) FROM generate_series(1, 80) AS s), updated_at = {time}",
    "inference_config = CASE $2 % 4 WHEN 0 THEN NULL WHEN 1 THEN '{}' WHEN 2 THEN 'null' ELSE jsonb_build_object('nested', jsonb_build_array($2, 'é')) END",
    "inference_config = jsonb_set(coalesce(nullif(inference_config, 'null'), '{}'), '{batch}', to_jsonb($2 % 512))",
    "model_weights = NULL",
    "model_weights = decode(repeat(md5($2::text), (1 + $2 % 8)::int), 'hex')",
    "model_weights = decode(repeat(md5($2::text), (150 + $2 % 100)::int), 'hex'), updated_at = {time}",
];

/// Updates of many neighbours of `ai_workloads`.
const AI_UPDATES_MANY: &[&str] = &[
    "status = (ARRAY['draft', 'training', 'ready'])[1 + $2 % 3]",
    "updated_at = {time}",
    "training_metrics = coalesce(training_metrics, '{}') || jsonb_build_object('bulk', $2 % 100)",
    "model_weights = CASE WHEN $2 % 2 = 0 THEN NULL ELSE decode(md5($2::text), 'hex') END",
];

/// Updates of `todos`: the status crosses from one target table to the other and back, the user and
/// the month of archiving move rows between partitions.
const TODO_UPDATES: &[&str] = &[
    "status = 'archived', archived_at = {month}",
    "status = 'archived', archived_at = {month}, completed_at = {time}, updated_at = {time}",
    "status = (ARRAY['todo', 'in_progress', 'done'])[1 + $2 % 3], archived_at = NULL",
    "status = (ARRAY['todo', 'in_progress', 'done'])[1 + $2 % 3]",
    "archived_at = {month}",
    "user_id = md5('user ' || $2 % 4000)::uuid",
    "user_id = gen_random_uuid(), project_id = NULL",
    "title = 'renamed ü ' || $2, updated_at = {time}",
    "updated_at = {time}",
    "priority = CASE WHEN $2 % 5 = 0 THEN NULL ELSE ($2 % 9)::int - 4 END",
    "description = CASE $2 % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'short ' || $2 END",
    "description = repeat(md5($2::text) || ' é', (70 + $2 % 60)::int)",
    "tags = array_append(tags, 'tag ' || $2 % 50)",
    "tags = tags[1:1]",
    "tags = CASE $2 % 3 WHEN 0 THEN NULL WHEN 1 THEN '{}'::text[] ELSE ARRAY['a,b', NULL, 'NULL', '\"', '\\'] END",
    "due_date = CASE $2 % 3 WHEN 0 THEN NULL WHEN 1 THEN 'infinity' ELSE {time} END",
    "parent_todo_id = gen_random_uuid(), ai_generated = NOT ai_generated",
    "status = status",
];

/// Updates of many neighbours of `todos`.
const TODO_UPDATES_MANY: &[&str] = &[
    "status = 'archived', archived_at = {month}",
    "status = 'todo', archived_at = NULL",
    "user_id = md5('user ' || $2 % 4000)::uuid",
    "priority = coalesce(priority, 0) + 1",
];

/// A time of the stream's present; microseconds matter, they are part of keys.
const TIME: &str =
    "timestamptz '2026-01-01 00:00:00+00' + $2 % 20000000000000 * interval '1 microsecond'";
/// A time within the months that `todos_archived` has partitions for.
const MONTH: &str =
    "timestamptz '2024-01-01 00:00:00+00' + $2 % 94600000000000 * interval '1 microsecond'";

/// Every statement for the example.
pub(crate) fn all(example: Example) -> Vec<Operation> {
    let table = example.source_table();
    let (one, many) = match example {
        Example::AiWorkloads => (AI_UPDATES, AI_UPDATES_MANY),
        Example::Todos => (TODO_UPDATES, TODO_UPDATES_MANY),
    };
    let times = |set: &str| set.replace("{time}", TIME).replace("{month}", MONTH);
    let pick = format!("SELECT id FROM {table} WHERE id >= $1::text::uuid ORDER BY id LIMIT");
    let mut all = vec![
        (Kind::Insert, example.insert_sql("$1::text::uuid", "$2", "$2")),
        (Kind::InsertMany, example.insert_sql("gen_random_uuid()", "$2", "$2 + $3 - 1")),
        (Kind::MoveKey, format!("UPDATE {table} SET id = gen_random_uuid() WHERE id = ({pick} 1)")),
        (Kind::Delete, format!("DELETE FROM {table} WHERE id = ({pick} 1)")),
        (Kind::DeleteMany, format!("DELETE FROM {table} WHERE id IN ({pick} $3)")),
        (Kind::DeleteExactly, format!("DELETE FROM {table} WHERE id = $1::text::uuid")),
        (Kind::Lock, format!("SELECT id::text FROM {table} WHERE id = ({pick} 1) FOR UPDATE")),
        (Kind::Truncate, format!("TRUNCATE {table}")),
    ];
    for set in one {
        let set = times(set);
        all.push((Kind::Update, format!("UPDATE {table} SET {set} WHERE id = ({pick} 1)")));
    }
    for set in many {
        let set = times(set);
        all.push((Kind::UpdateMany, format!("UPDATE {table} SET {set} WHERE id IN ({pick} $3)")));
    }
    if example == Example::AiWorkloads {
        // The key and a document in one change: contributions leave under the old key.
        let set = times(
            "id = gen_random_uuid(), training_metrics = '{\"moved\": 1}', updated_at = {time}",
        );
        all.push((Kind::MoveKey, format!("UPDATE {table} SET {set} WHERE id = ({pick} 1)")));
    } else {
        let set = times("id = gen_random_uuid(), status = 'archived', archived_at = {month}");
        all.push((Kind::MoveKey, format!("UPDATE {table} SET {set} WHERE id = ({pick} 1)")));
    }
    all.into_iter().map(|(kind, sql)| Operation { kind, sql }).collect()
}

#[cfg(test)]
mod tests {
    use tokio_postgres::types::Type;

    use super::*;
    use crate::{Cluster, ClusterOptions};

    /// The writer meets a state by chance; here every statement meets every row, several times.
    async fn every_statement_works_on_every_row(example: Example) {
        let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
        let client = cluster.client("postgres").await.unwrap();
        client.batch_execute(example.source_sql()).await.unwrap();
        client.batch_execute(&example.seed_sql(600)).await.unwrap();
        let first = "0".repeat(32);
        let kinds = [Kind::Update, Kind::UpdateMany, Kind::MoveKey, Kind::Lock];
        for dice in 999_999_999_988_i64..=1_000_000_000_000 {
            for operation in all(example).iter().filter(|each| kinds.contains(&each.kind)) {
                let sql = operation.sql.replace("id = (SELECT", "id IN (SELECT");
                let sql = sql.replace("LIMIT 1)", "LIMIT 1000)");
                let types = [Type::TEXT, Type::INT8, Type::INT8];
                let statement = client.prepare_typed(&sql, &types).await.unwrap();
                let done = client.execute(&statement, &[&first, &dice, &1000_i64]).await;
                let done = done.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
                assert_eq!(done, 600, "{sql}");
            }
        }
    }

    #[tokio::test]
    async fn every_statement_works_on_every_ai_workload() {
        every_statement_works_on_every_row(Example::AiWorkloads).await;
    }

    #[tokio::test]
    async fn every_statement_works_on_every_todo() {
        every_statement_works_on_every_row(Example::Todos).await;
    }
}
