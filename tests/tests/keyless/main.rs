//! Tables whose rows have no key: logs whose rows only come, and rows that are counted. Every row is in the
//! target as often as the source's SELECT gives it, whatever happens to the daemon.

mod copy;
mod counted;
mod load;
mod log;
mod refusals;

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use regraft_tests::number;
use tokio_postgres::Client;

/// Rows as texts, with how often each is there.
pub(crate) async fn bag(client: &Client, select: &str) -> BTreeMap<String, i64> {
    let sql = format!("SELECT md5(r::text), count(*) FROM ({select}) AS r GROUP BY 1");
    let rows = client.query(&sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Asserts that both sides have the same rows, as often.
pub(crate) async fn assert_same(source: &Client, target: &Client, pairs: &[(&str, &str)]) {
    for (at_source, at_target) in pairs {
        let (wanted, found) = (bag(source, at_source).await, bag(target, at_target).await);
        let of = |bag: &BTreeMap<String, i64>| bag.values().sum::<i64>();
        let differ = wanted.iter().filter(|(row, n)| found.get(*row) != Some(n)).count();
        assert!(
            wanted == found,
            "{at_source}: {} rows wanted, {} found; {differ} distinct rows differ",
            of(&wanted),
            of(&found)
        );
    }
}

/// How many publications of a database carry changes and deletions of a table.
pub(crate) async fn harmful(client: &Client, table: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM pg_publication_tables t JOIN pg_publication p USING (pubname) \
         WHERE tablename = '{table}' AND (pubupdate OR pubdelete)"
    );
    number(client, &sql).await
}
