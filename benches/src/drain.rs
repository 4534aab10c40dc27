//! The daemon as a program, draining a slot, and the proof that it did.

use std::path::Path;
use std::time::Instant;

use regraft_core::{Code, Error, Result};
use regraft_postgres::classify;
use regraft_throwaway::{Binaries, ClusterOptions, MappedTable, compare};
use tokio_postgres::Client;

/// How the servers of a benchmark are set up.
///
/// # Errors
/// When there are no programs of PostgreSQL.
pub(crate) fn servers(pg_bin: Option<&Path>) -> Result<ClusterOptions> {
    Ok(ClusterOptions {
        binaries: Some(Binaries::find(pg_bin)?),
        shared_buffers: "512MB".to_owned(),
        settings: vec![
            ("max_wal_size".to_owned(), "8GB".to_owned()),
            ("autovacuum".to_owned(), "off".to_owned()),
        ],
        ..ClusterOptions::default()
    })
}

/// One run of `regraft run --until-caught-up` without a copy of existing rows.
pub(crate) struct Drain<'a> {
    pub(crate) source: String,
    pub(crate) slot: &'a str,
    pub(crate) publication: &'a str,
    pub(crate) target: String,
    pub(crate) foreign_keys: &'a str,
    pub(crate) mapping: &'a str,
}

impl Drain<'_> {
    /// Seconds from the start of the program to its end.
    pub(crate) async fn run(&self) -> Result<f64> {
        let Self { source, slot, publication, target, foreign_keys, mapping } = self;
        let io = |error: std::io::Error| Error::new(Code::Internal, "a file").because(error);
        let folder = tempfile::tempdir().map_err(io)?;
        std::fs::write(folder.path().join("mapping.sql"), mapping).map_err(io)?;
        let config = format!(
            "name = \"bench\"\n[source]\nurl = \"{source}\"\nslot = \"{slot}\"\n\
             publication = \"{publication}\"\n[target]\nurl = \"{target}\"\n\
             foreign_keys = \"{foreign_keys}\"\n[mapping]\nfile = \"mapping.sql\"\n[backfill]\nenabled = false\n\
             [http]\nenabled = false\n",
        );
        let file = folder.path().join("regraft.toml");
        std::fs::write(&file, config).map_err(io)?;
        let program = std::env::current_exe().map_err(io)?.with_file_name("regraft");
        let started = Instant::now();
        let output = tokio::process::Command::new(program)
            .args(["run", "--until-caught-up", "-c"])
            .arg(&file)
            .output()
            .await
            .map_err(io)?;
        let seconds = started.elapsed().as_secs_f64();
        if output.status.success() {
            return Ok(seconds);
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::new(Code::Internal, format!("regraft: {text}")))
    }
}

/// Fails unless every table holds what its SELECT gives.
pub(crate) async fn equal(
    source: &Client,
    target: &Client,
    tables: &[MappedTable],
    who: &str,
) -> Result<()> {
    for table in tables {
        let found = compare(source, &table.select, target, &table.target, &table.columns).await?;
        if !found.is_equal() {
            let what =
                format!("{who} left {} differences in {}", found.differences(), table.target);
            return Err(Error::new(Code::Internal, what));
        }
    }
    Ok(())
}

/// Runs SQL.
pub(crate) async fn sql(client: &Client, text: &str) -> Result<()> {
    client.batch_execute(text).await.map_err(|error| classify(&error, "bench"))
}

/// One text.
pub(crate) async fn one(client: &Client, text: &str) -> Result<String> {
    let row = client.query_one(text, &[]).await.map_err(|error| classify(&error, "bench"))?;
    Ok(row.get(0))
}
