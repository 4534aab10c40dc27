//! A load whose steps stand between the chunks of the copy. The copy of a small table ends before a test has
//! taken note that it begins: it is slowed down, and each step waits for one more chunk.

use regraft_core::Lsn;
use regraft_testkit::wait_until;
use regraft_tests::{DEADLINE, Site};
use tokio_postgres::Client;

/// Chunks of single rows, so many in a second.
pub(crate) fn slow_grains(rate: u32) -> String {
    format!("[backfill]\nchunk_rows = 1\nreaders = 1\nrows_per_second = {rate}\n")
}

/// The log of the source before the first step of a load, and behind it.
pub(crate) struct FirstStep(Lsn, Lsn);

/// Executes the steps, each after one more chunk, as long as there are any.
pub(crate) async fn between_chunks(
    site: &Site,
    steps: impl Iterator<Item = &String>,
) -> Option<FirstStep> {
    let (source, target) = (site.at_source().await, site.at_target().await);
    let mut first = None;
    for (number, step) in steps.enumerate() {
        let least = i64::try_from(number + 1).unwrap();
        wait_until("one more chunk to join", DEADLINE, async || {
            let sql = "SELECT count(*) FILTER (WHERE done_at IS NOT NULL), \
                       count(*) FILTER (WHERE done_at IS NULL) = 0 \
                       AND (SELECT bool_and(fully_planned) FROM regraft.tables) FROM regraft.chunks \
                       WHERE keys IS NULL";
            let row = target.query_one(sql, &[]).await.map_err(|error| error.to_string())?;
            let (done, all): (i64, Option<bool>) = (row.get(0), row.get(1));
            if done >= least || all == Some(true) { Ok(()) } else { Err(format!("{done} chunks")) }
        })
        .await;
        let before = end(&source).await;
        crate::execute(&source, step).await;
        if first.is_none() {
            first = Some(FirstStep(before, end(&source).await));
        }
    }
    first
}

async fn end(source: &Client) -> Lsn {
    let sql = "SELECT pg_current_wal_insert_lsn()::text";
    source.query_one(sql, &[]).await.unwrap().get::<_, String>(0).parse().unwrap()
}

impl FirstStep {
    /// The ledger says at which position each chunk joined: some before the load had begun, and some
    /// when the target had its first step.
    pub(crate) async fn stands_between_chunks(
        &self,
        name: &str,
        target: &Client,
    ) -> Result<(), String> {
        let sql = "SELECT split_part(position, ':', 2) FROM regraft.chunks \
                   WHERE keys IS NULL AND done_at IS NOT NULL ORDER BY position";
        let rows = target.query(sql, &[]).await.unwrap();
        let positions: Vec<Lsn> =
            rows.iter().map(|row| row.get::<_, String>(0).parse().unwrap()).collect();
        let before = positions.iter().filter(|position| **position <= self.0).count();
        let after = positions.iter().filter(|position| **position >= self.1).count();
        if before > 0 && after > 0 {
            return Ok(());
        }
        Err(format!(
            "{name}: expect.toml says that the load overlaps with the copy, and it did not: of {} \
             chunks {before} joined before the first step of the load, which ends at {}, and {after} \
             after it",
            positions.len(),
            self.1
        ))
    }
}
