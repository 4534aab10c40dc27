//! The rows of tables that were held are in line once they are back, whatever else goes on meanwhile.

use regraft_testkit::{Daemon, connect, wait_until};
use regraft_tests::{DEADLINE, number};
use serde_json::Value;

use crate::held::{EXCHANGED, MAPPING, SOURCE, accept, equal, held, running};
use crate::support::{Case, Given, assert_says, ready, stop, until_true};

const NONE_ASKED: &str = "SELECT count(*) = 0 FROM regraft.verifications WHERE finished_at IS NULL";

/// The rest of a resumption: nothing is held, every row is right, and the daemon says that it is ready.
async fn in_line(case: &Case, daemon: &mut Daemon, mapping: &str) {
    held(case, daemon, 0).await;
    equal(case, mapping).await;
    ready(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_of_the_source_is_waited_for() {
    let (case, mut daemon) = running("").await;
    case.at_source(EXCHANGED).await;
    held(&case, &daemon, 1).await;
    let open = connect(&case.databases.source_url).await.unwrap();
    open.batch_execute("BEGIN; INSERT INTO notes VALUES (1000, 'open')").await.unwrap();
    accept(&case, &[]).await;
    held(&case, &daemon, 0).await;
    // Such a comparison used to be given up after a dozen looks at a row.
    wait_until("more looks at a row than a dozen", DEADLINE, async || {
        let (_, body) = daemon.http("/api/v1/status").await?;
        let status: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        let tries = &status["verification"]["tries"];
        if tries.as_u64() > Some(12) { Ok(()) } else { Err(tries.to_string()) }
    })
    .await;
    let asked = "SELECT count(*) FROM regraft.verifications WHERE finished_at IS NULL";
    assert_eq!(number(&case.databases.target, asked).await, 1);
    let (status, body) = daemon.http("/readyz").await.unwrap();
    assert!(status == 503 && body.contains("compared, and mended"), "{status} {body}");
    // Nor does a daemon that is killed meanwhile forget it.
    daemon.kill9();
    daemon = case.installation.run();
    until_true(
        &case.databases.target,
        "a start",
        "SELECT phase = 'streaming' FROM regraft.pipelines",
    )
    .await;
    assert_eq!(number(&case.databases.target, asked).await, 1);
    open.batch_execute("COMMIT").await.unwrap();
    until_true(&case.databases.target, "the request to be carried out", NONE_ASKED).await;
    in_line(&case, &mut daemon, MAPPING).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_were_to_be_read_have_another_type_now() {
    let source = SOURCE.replace("items (id bigint", "items (id int");
    // The subselect has rows read by key.
    let mapping =
        MAPPING.replace("SELECT id, grade FROM items", "SELECT id, (SELECT i.grade) FROM items i");
    let target = crate::held::TARGET;
    let given = Given { source: &source, target, mapping: &mapping, ..Given::default() };
    let case = Case::of(given).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    stop(daemon).await;
    case.at_source(
        "UPDATE items SET grade = grade + 1;
         INSERT INTO items SELECT i, i FROM generate_series(100, 4100) AS i",
    )
    .await;
    case.at_source("ALTER TABLE items ALTER id TYPE bigint").await;
    case.at_source(
        "UPDATE items SET grade = grade + 1 WHERE id < 300; DELETE FROM items WHERE id = 5",
    )
    .await;
    let mut daemon = case.installation.run();
    held(&case, &daemon, 1).await;
    // As commits note what could not be read before the type was another.
    case.at_target(
        "INSERT INTO regraft.chunks (pipeline, source_schema, source_table, keys) \
         SELECT name, 'public', 'items', ARRAY['\\x00000000040000000a'::bytea] FROM regraft.pipelines",
    )
    .await;
    accept(&case, &[]).await;
    in_line(&case, &mut daemon, &mapping).await;
    stop(daemon).await;
}

/// Parents are inserted with their children, and children are removed with their parents.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_refer_to_each_other_are_mended_together() {
    let (case, mut daemon) = running("").await;
    case.at_target("ALTER TABLE goods ADD FOREIGN KEY (id) REFERENCES sorts NOT VALID").await;
    case.at_source("INSERT INTO kinds SELECT i, 'k' FROM generate_series(6, 200) AS i WHERE i < 21 OR i % 2 = 0").await;
    case.at_source("INSERT INTO items SELECT i, i, -i FROM generate_series(22, 200, 2) AS i").await;
    case.settled().await;
    case.at_source(EXCHANGED).await;
    held(&case, &daemon, 2).await;
    case.at_source(
        // Among each other, so that no half of a chunk has only rows that come, or go.
        "INSERT INTO kinds SELECT i, 'new' FROM generate_series(21, 200, 2) AS i;
         INSERT INTO items (id, grade) SELECT i, i FROM generate_series(21, 200, 2) AS i;
         DELETE FROM items WHERE id % 6 = 0; DELETE FROM kinds WHERE id % 6 = 0",
    )
    .await;
    accept(&case, &[]).await;
    in_line(&case, &mut daemon, MAPPING).await;
    stop(daemon).await;
}

/// Every command that speaks of rows says of which it does not speak.
#[tokio::test(flavor = "multi_thread")]
async fn commands_say_what_is_held() {
    let (case, mut daemon) = running("").await;
    let said = case.regraft(&["verify"]).await;
    assert_eq!(said.code(), 0, "{}{}", said.stdout, said.stderr);
    case.at_source(EXCHANGED).await;
    held(&case, &daemon, 1).await;
    let said = case.regraft(&["verify"]).await;
    assert_eq!(said.code(), 1, "{}{}", said.stdout, said.stderr);
    let told = "public.goods is held with public.items [RG3018]";
    assert!(said.stdout.contains(told) && said.stdout.contains("remarks"), "{}", said.stdout);
    let said = case.regraft(&["verify", "--json"]).await;
    assert_eq!((said.code(), &said.json()["held"][0]["target"]), (1, &"public.goods".into()));
    for name in ["goods", "items"] {
        let said = case.regraft(&["verify", "--tables", name]).await;
        let told = format!("{name} is held");
        assert_says(&said, 2, "RG6002", &[told.as_str(), "regraft resume --accept public.items"]);
    }
    let said = case.regraft(&["verify", "--tables", "remarks"]).await;
    assert_eq!(said.code(), 0, "{}{}", said.stdout, said.stderr);
    let said = case.regraft(&["repair", "--apply"]).await;
    assert!(said.code() == 1 && said.stdout.contains(told), "{}{}", said.stdout, said.stderr);
    let said = case.regraft(&["check"]).await;
    assert!(said.code() == 0 && !said.stdout.contains("RG2010"), "{}", said.stdout);
    assert!(said.stdout.contains("the table is held"), "{}", said.stdout);
    accept(&case, &[]).await;
    // While the plan is made again, too.
    let said = case.regraft(&["verify"]).await;
    assert!(said.code() < 2, "{}{}", said.stdout, said.stderr);
    in_line(&case, &mut daemon, MAPPING).await;
    stop(daemon).await;
}
