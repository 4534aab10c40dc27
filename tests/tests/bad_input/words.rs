//! What functions and types of the user say when they refuse a row is theirs, and may hold values: of
//! all that regraft prints, serves and keeps, nothing repeats it, and nothing forges a line.

use regraft_testkit::{Daemon, wait_until};
use regraft_tests::{DEADLINE, number};
use tokio_postgres::Client;

use crate::support::{Case, Given, VALUE, assert_says, everything_printed, ready, stop};

/// Ends the first line, and begins one that looks like the log's.
const FORGED: &str = "2026-01-01T00:00:00.000000Z  INFO regraft: all is well";

/// One way in which a trigger of the target refuses a row, each by what is between BEGIN and END.
const REFUSALS: &[&str] = &[
    // Every field of the message, with a state of the user's.
    "RAISE EXCEPTION E'%\nFORGED', NEW.name USING DETAIL = NEW.name, HINT = NEW.name",
    "RAISE EXCEPTION USING MESSAGE = NEW.name, ERRCODE = '23505', SCHEMA = NEW.name,
         TABLE = NEW.name, COLUMN = NEW.name, CONSTRAINT = NEW.name, DATATYPE = NEW.name",
    "RAISE EXCEPTION USING MESSAGE = NEW.name, ERRCODE = '21000', DETAIL = NEW.name",
    "RAISE EXCEPTION USING MESSAGE = NEW.name, ERRCODE = '42501', DETAIL = NEW.name",
    "RAISE EXCEPTION USING MESSAGE = 'replication slot no longer ' || NEW.name, ERRCODE = '55000'",
    "RAISE EXCEPTION USING MESSAGE = NEW.name, ERRCODE = '57P01', DETAIL = NEW.name",
    "RAISE EXCEPTION USING MESSAGE = NEW.name, ERRCODE = '28P01', DETAIL = NEW.name",
    "ASSERT false, NEW.name",
    // A value becomes a name, or a piece of SQL.
    "EXECUTE 'SELECT ' || quote_ident(NEW.name)",
    "EXECUTE 'SELECT 1 FROM ' || quote_ident(NEW.name)",
    "EXECUTE quote_ident(NEW.name) || ' is no SQL'",
    "PERFORM NEW.name::regclass",
    "PERFORM NEW.name::regtype",
    "PERFORM ('+' || NEW.name || '(int,int)')::regoperator",
    "PERFORM set_config('TimeZone', NEW.name, true)",
    "PERFORM has_database_privilege(NEW.name, 'CONNECT')",
    "PERFORM has_table_privilege('postgres', NEW.name, 'SELECT')",
    // A value stands in the server's own words, with quotes or without.
    "PERFORM NEW.name::integer",
    "PERFORM now() AT TIME ZONE NEW.name",
    "PERFORM to_timestamp(NEW.name, 'YYYY')",
    "PERFORM chr(NEW.bare)",
    "PERFORM decode(NEW.name, 'hex')",
    "PERFORM ('[' || NEW.name)::jsonb",
    "PERFORM to_tsquery(NEW.name || ' &')",
    "PERFORM set_bit('a'::bytea, NEW.bare, 1)",
    "PERFORM NEW.name::short",
    "PERFORM NEW.name::odd",
    "INSERT INTO logged VALUES (NEW.name), (NEW.name)",
    "INSERT INTO parted VALUES (NEW.name)",
];

const TARGET: &str = r#"
    CREATE TABLE goods (id bigint PRIMARY KEY, name text, amount integer, bare integer);
    CREATE TABLE logged (name text PRIMARY KEY);
    CREATE TABLE parted (name text) PARTITION BY LIST (name);
    CREATE DOMAIN short AS varchar(30) CHECK (length(value) < 5);
    CREATE FUNCTION odd(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'odd: %', $1;
    END $$;
    CREATE DOMAIN odd AS text CHECK (odd(value))"#;

/// A number that is a value as well; it is looked for where it cannot stand for anything else.
const BARE: &str = "1847114711";

fn source() -> String {
    format!(
        "CREATE TABLE items (id bigint PRIMARY KEY, name text, amount integer, bare integer);
         INSERT INTO items SELECT i, '{VALUE}-' || i, 0, {BARE} FROM generate_series(1, 20) AS i"
    )
}

fn triggers() -> String {
    let mut arms = String::new();
    for (number, refusal) in REFUSALS.iter().enumerate() {
        let refusal = refusal.replace("FORGED", FORGED);
        arms.push_str(&format!("WHEN {} THEN {refusal};\n", number + 1));
    }
    format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN
           RAISE WARNING '% %', NEW.name, NEW.bare;
           RAISE NOTICE E'%\n{FORGED}', NEW.name;
           CASE NEW.amount {arms} ELSE NULL; END CASE;
           RETURN NEW;
         END $body$;
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON goods FOR EACH ROW
         EXECUTE FUNCTION refuse();"
    )
}

/// Fails if a value, or a line that nobody wrote, is in a text.
fn assert_clean(case: &Case, shown: &str) {
    case.assert_discreet(shown);
    assert!(!shown.contains(BARE), "{shown}");
    // Within a line it is quoted; at the beginning it would be one of the log's.
    assert!(!shown.lines().any(|line| line.trim_start().starts_with(FORGED)), "{shown}");
}

async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get::<_, Option<String>>(0).unwrap_or_default()
}

/// What the daemon serves and logs, and what the ledger holds.
async fn everything_shown(case: &Case, daemon: Option<&Daemon>) {
    if let Some(daemon) = daemon {
        for path in ["/healthz", "/readyz", "/metrics", "/api/v1/status", "/"] {
            assert_clean(case, &daemon.http(path).await.unwrap().1);
        }
    }
    let tables =
        "SELECT string_agg(format('SELECT row(t.*)::text AS t FROM %s AS t', c.oid::regclass),
                  ' UNION ALL ') FROM pg_class AS c
                  WHERE relnamespace = 'regraft'::regnamespace AND relkind = 'r'";
    let tables = text(&case.databases.target, tables).await;
    let all = format!("SELECT string_agg(t, E'\n') FROM ({tables}) AS t");
    assert_clean(case, &text(&case.databases.target, &all).await);
    assert_clean(case, &everything_printed(&case.installation));
}

async fn every_command_is_clean(case: &Case, commands: &[&[&str]]) {
    for arguments in commands {
        let finished = case.regraft(arguments).await;
        assert!(finished.code() <= 1, "{arguments:?} {}", finished.stderr);
        assert_clean(case, &format!("{}\n{}", finished.stdout, finished.stderr));
    }
}

/// Waits until a daemon is held, and gives `last_error` as the ledger has it.
async fn held(case: &Case, daemon: &Daemon) -> String {
    wait_until("the pipeline to be held", DEADLINE, async || {
        // A refusal must not look like something that ends the daemon.
        let (health, body) = daemon.http("/healthz").await?;
        let status = case.regraft(&["status", "--json"]).await;
        let error = status.json()["last_error"]["what"].as_str().map(str::to_owned);
        error.filter(|_| health == 503).ok_or_else(|| format!("{health} {body} {}", status.stdout))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trigger_says_is_nowhere_repeated() {
    let mapping = "INSERT INTO goods SELECT id, name, amount, bare FROM items;\n";
    let extra = "[log]\nlevel = \"trace\"\n";
    let (source, target) = (source(), format!("{TARGET};{}", triggers()));
    let case =
        Case::of(Given { source: &source, target: &target, mapping, extra, ..Given::default() });
    let case = case.await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    for (number, refusal) in REFUSALS.iter().enumerate() {
        case.at_source(&format!("UPDATE items SET amount = {} WHERE id = 4", number + 1)).await;
        let what = held(&case, &daemon).await;
        assert!(what.contains("public.goods") && what.contains("SQLSTATE"), "{refusal}: {what}");
        everything_shown(&case, Some(&daemon)).await;
        if number % 10 == 0 {
            every_command_is_clean(&case, &[&["status"], &["check"], &["check", "--json"]]).await;
        }
        case.at_target("ALTER TABLE goods DISABLE TRIGGER refuse").await;
        case.settled().await;
        case.at_target("ALTER TABLE goods ENABLE TRIGGER refuse").await;
        wait_until("the pipeline to be well", DEADLINE, async || {
            let (health, body) = daemon.http("/healthz").await?;
            let error = text(
                &case.databases.target,
                "SELECT coalesce(string_agg(last_error::text, ''), '') FROM regraft.pipelines",
            );
            let error = error.await;
            if health == 200 && error.is_empty() { Ok(()) } else { Err(format!("{body} {error}")) }
        })
        .await;
    }
    // Differences are reported by key and column.
    case.at_target(&format!(
        "ALTER TABLE goods DISABLE TRIGGER refuse; UPDATE goods SET name = '{VALUE}!' WHERE id = 7;
         ALTER TABLE goods ENABLE TRIGGER refuse"
    ))
    .await;
    let verify: &[&[&str]] = &[
        &["verify"],
        &["verify", "--json"],
        &[
            "verify",
            "--without-rows",
            "--statistics",
            "--checksum",
            "md5",
            "--column",
            "goods.name",
        ],
        &["repair"],
        &["repair", "--json"],
        &["check", "--sample", "20"],
        &["check", "--sample", "20", "--json"],
    ];
    every_command_is_clean(&case, verify).await;
    everything_shown(&case, Some(&daemon)).await;
    let finished = case.regraft(&["repair", "--apply"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    everything_shown(&case, Some(&daemon)).await;
    stop(daemon).await;
    everything_shown(&case, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_of_the_source_says_is_nowhere_repeated() {
    let source = format!(
        "{}; CREATE FUNCTION own(name text, amount integer) RETURNS text IMMUTABLE
         LANGUAGE plpgsql AS $$ BEGIN
           IF amount = 1 THEN RAISE EXCEPTION E'%\n{FORGED}', name USING HINT = name; END IF;
           IF amount = 2 THEN RETURN name::integer; END IF;
           RETURN name;
         END $$",
        source()
    );
    let mapping = "INSERT INTO goods SELECT id, own(name, amount), CASE amount
        WHEN 3 THEN name::regclass::oid::bigint WHEN 4 THEN name::regproc::oid::bigint
        WHEN 5 THEN name::integer ELSE amount END, bare FROM items;\n";
    let extra = "[log]\nlevel = \"trace\"\n";
    let case =
        Case::of(Given { source: &source, target: TARGET, mapping, extra, ..Given::default() });
    let case = case.await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    for amount in 1..=5 {
        case.at_source(&format!("UPDATE items SET amount = {amount} WHERE id = 4")).await;
        let what = held(&case, &daemon).await;
        assert!(what.contains("public.items") && what.contains("SQLSTATE"), "{what}");
        everything_shown(&case, Some(&daemon)).await;
        case.at_source("UPDATE items SET amount = 0 WHERE id = 4").await;
        case.settled().await;
        wait_until("the pipeline to be well", DEADLINE, async || {
            let (health, body) = daemon.http("/healthz").await?;
            if health == 200 { Ok(()) } else { Err(body) }
        })
        .await;
    }
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_words_are_shown_to_whoever_asks_and_control_characters_are_not() {
    let target = format!("{TARGET};{}", triggers());
    let mapping = "INSERT INTO goods SELECT id, name, amount, bare FROM items;\n";
    let source =
        "CREATE TABLE items (id bigint PRIMARY KEY, name text, amount integer, bare integer);
                  INSERT INTO items VALUES (1, 'shown', 1, 0)";
    let given = Given { source, target: &target, mapping, ..Given::default() };
    let case = Case::of(Given { extra: "[log]\nserver_messages = true\n", ..given }).await;
    let finished = case.run_once().await;
    assert_says(&finished, 3, "RG4001", &["shown\\n2026-01-01", "refuse() line", "P0001"]);
    let shown = format!("{}\n{}", finished.stdout, finished.stderr);
    assert!(!shown.lines().any(|line| line.starts_with(FORGED)), "{shown}");
    assert_eq!(number(&case.databases.target, "SELECT count(*) FROM goods").await, 0);
}
