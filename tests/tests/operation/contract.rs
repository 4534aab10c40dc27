//! PostgreSQL keeps the contract of connectors.

use std::collections::BTreeMap;
use std::time::Duration;

use regraft::args::ConfigArgs;
use regraft::board::Board;
use regraft::run::{Patience, prepare, run_args};
use regraft_conformance::connectors::{Bench, Outcome, Rule, check};
use regraft_core::TableName;
use regraft_pipeline::Tap;
use regraft_postgres::source::PgSource;
use regraft_postgres::target::PgTarget;
use regraft_testkit::{Cluster, ClusterOptions, StopMode, connect};

use crate::support::{Case, Given, servers};

struct Postgres<'a> {
    case: Case,
    /// The target's server, where it may be stopped.
    own: Option<&'a Cluster>,
}

impl<'a> Postgres<'a> {
    async fn new(own: Option<&'a Cluster>) -> Postgres<'a> {
        let given = Given {
            source: "CREATE TABLE s (id int PRIMARY KEY, value int)",
            target: "CREATE TABLE t (id int PRIMARY KEY, value int CHECK (value < 1000))",
            mapping: "INSERT INTO t SELECT id, value FROM s",
            ..Given::default()
        };
        let (source, target) = servers().await;
        let case = Case::between(source, own.unwrap_or(target), given).await;
        Postgres { case, own }
    }
}

impl Bench for Postgres<'_> {
    type Source = Tap<PgSource>;
    type Target = PgTarget;

    async fn ends(&mut self) -> (Tap<PgSource>, PgTarget) {
        let config = self.case.installation.path("regraft.toml");
        let settings = regraft::load(&ConfigArgs { config: config.clone(), target: None }).unwrap();
        let (board, patience) = (Board::new(&settings), Patience::For(Duration::from_secs(60)));
        let mappers = regraft::Mappers::new();
        let args = run_args(config);
        let pipeline = prepare(&settings, &args, &mappers, (&board, None), patience).await;
        let ends = pipeline.unwrap_or_else(|errors| panic!("{errors:?}")).ends;
        (ends.source, ends.target)
    }

    fn table(&self) -> TableName {
        TableName::new("public", "s")
    }

    async fn change(&mut self, rows: &[(i32, Option<i32>)]) {
        let change = |(key, value): &(i32, Option<i32>)| match value {
            Some(value) => format!(
                "INSERT INTO s VALUES ({key}, {value}) ON CONFLICT (id) DO UPDATE SET value = {value}"
            ),
            None => format!("DELETE FROM s WHERE id = {key}"),
        };
        let changes: Vec<_> = rows.iter().map(change).collect();
        self.case.at_source(&format!("BEGIN; {}; COMMIT", changes.join("; "))).await;
    }

    async fn rows(&mut self) -> BTreeMap<i32, i32> {
        let client = connect(&self.case.databases.target_url).await.unwrap();
        let rows = client.query("SELECT id, value FROM t", &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    async fn crash_target(&mut self) -> bool {
        let Some(own) = self.own else { return false };
        own.stop(StopMode::Immediate).await.unwrap();
        own.start_again().await.unwrap();
        true
    }

    async fn lose_answer(&mut self) -> bool {
        // See tests/tests/reliability, where links swallow them.
        false
    }

    fn refused(&self) -> Option<i32> {
        Some(1000)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract() {
    for rule in Rule::ALL.into_iter().filter(|rule| *rule != Rule::Durable) {
        let outcome = check(rule, Postgres::new(None).await).await;
        match rule {
            Rule::LostAnswer | Rule::Log => {
                assert!(matches!(outcome, Outcome::NotApplicable(_)), "{outcome}")
            }
            _ => assert_eq!(outcome, Outcome::Holds, "{rule:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_calls_durable_survives_a_crash() {
    let own = Cluster::start(ClusterOptions::default()).await.unwrap();
    let outcome = check(Rule::Durable, Postgres::new(Some(&own)).await).await;
    assert_eq!(outcome, Outcome::Holds);
}
