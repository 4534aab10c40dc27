//! Equality of target tables with their SELECTs, and databases that hold an example.

use regraft_throwaway::{Cluster, Example, Side, compare, mapped_tables, sample};
use tokio_postgres::Client;

/// Asserts that the target table holds exactly the rows that the SELECT gives on the source;
/// see [`compare`] for `columns`.
///
/// # Panics
/// With the numbers and the first ten rows of each side, if they differ.
pub async fn assert_equal_tables(
    source: &Client,
    select: &str,
    target: &Client,
    table: &str,
    columns: &[String],
) {
    let found = compare(source, select, target, table, columns).await.unwrap();
    if found.is_equal() {
        return;
    }
    let show = async |side| {
        sample(&found, side, (source, select), (target, table), columns).await.unwrap().join("\n  ")
    };
    panic!(
        "{table} differs from its SELECT ({} rows)\n{} missing:\n  {}\n{} surplus:\n  {}",
        found.rows,
        found.missing,
        show(Side::Missing).await,
        found.surplus,
        show(Side::Surplus).await,
    );
}

/// Asserts it for every statement of a mapping file.
///
/// # Panics
/// As [`assert_equal_tables`], and if the mapping has no statement.
pub async fn assert_equal_mapping(source: &Client, target: &Client, mapping: &str) {
    let tables = mapped_tables(mapping);
    assert!(!tables.is_empty(), "the mapping has no statement");
    for table in tables {
        let columns = &table.columns;
        assert_equal_tables(source, &table.select, target, &table.target, columns).await;
    }
}

/// An old and a new database, ready for a pipeline.
pub struct Databases {
    /// Address of the old schema, filled.
    pub source_url: String,
    /// Address of the new schema, empty.
    pub target_url: String,
    /// Superuser of the old one.
    pub source: Client,
    /// Superuser of the new one.
    pub target: Client,
}

impl Databases {
    /// Makes both and runs the SQL there. The clusters may be the same one; the names of the
    /// databases are `NAME_legacy` and `NAME_modern`.
    ///
    /// # Panics
    /// If the SQL fails.
    pub async fn make(
        (source, target): (&Cluster, &Cluster),
        name: &str,
        source_sql: &[&str],
        target_sql: &str,
    ) -> Self {
        let (legacy, modern) = (format!("{name}_legacy"), format!("{name}_modern"));
        source.create_database(&legacy).await.unwrap();
        target.create_database(&modern).await.unwrap();
        let made = Self {
            source_url: source.url(&legacy),
            target_url: target.url(&modern),
            source: source.client(&legacy).await.unwrap(),
            target: target.client(&modern).await.unwrap(),
        };
        for sql in source_sql {
            made.source.batch_execute(sql).await.unwrap();
        }
        made.target.batch_execute(target_sql).await.unwrap();
        made
    }

    /// Makes both for an example, with this many rows at the source.
    ///
    /// # Panics
    /// If the SQL fails.
    pub async fn of_example(clusters: (&Cluster, &Cluster), example: Example, rows: u64) -> Self {
        let name = example.name().replace('-', "_");
        let source_sql = [example.source_sql(), &example.seed_sql(rows)];
        Self::make(clusters, &name, &source_sql, example.target_sql()).await
    }
}
