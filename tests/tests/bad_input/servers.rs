//! Servers that cannot be reached, refuse, or lack something.

use std::os::unix::fs::PermissionsExt;

use regraft_postgres::slot::Server;
use regraft_testkit::{
    Auth, Certificates, Cluster, ClusterOptions, StopMode, TlsFiles, certificates, wait_until,
};
use regraft_tests::DEADLINE;

use crate::support::{
    Case, Given, PASSWORD, TARGET, assert_finding, assert_says, errors, ready, servers, stop,
    until_true, with_user,
};

/// Writes the configuration anew, with these addresses.
fn configure(case: &Case, source_url: &str, target_url: &str) {
    case.installation.write_config(&format!(
        "name = \"{}\"\n[source]\nurl = \"{source_url}\"\n[target]\nurl = \"{target_url}\"\n\
         [mapping]\nfile = \"mapping.sql\"\n[http]\nenabled = false\n",
        case.name
    ));
}

/// Connects to the source, or the target, as another role with these attributes.
async fn as_role(case: &Case, side: &str, attributes: &str, grants: &str) -> String {
    let role = format!("{}_{side}", case.name);
    let sql = format!("CREATE ROLE {role} LOGIN {attributes}; {}", grants.replace("ROLE", &role));
    let databases = &case.databases;
    let (mut source_url, mut target_url) = (
        with_user(&databases.source_url, "postgres"),
        with_user(&databases.target_url, "postgres"),
    );
    if side == "source" {
        case.at_source(&sql).await;
        source_url = with_user(&source_url, &role);
    } else {
        case.at_target(&sql).await;
        target_url = with_user(&target_url, &role);
    }
    configure(case, &source_url, &target_url);
    role
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_logical_wal_is_refused_with_the_setting() {
    let options = ClusterOptions { wal_level: "replica".to_owned(), ..ClusterOptions::default() };
    let source = Cluster::start(options).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    let parts = ["wal_level is replica", "ALTER SYSTEM SET wal_level = logical", "restart"];
    case.refused(3, "RG2005", "source (127.0.0.1:", &parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_locale_is_of_icu_is_not_of_locale_c() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let client = source.client("postgres").await.unwrap();
    let version = Server::ask(&client, "source").await.unwrap().version;
    let provider = if version < 150_000 { "" } else { "LOCALE_PROVIDER icu ICU_LOCALE 'en'" };
    let sql = format!("CREATE DATABASE other {provider} LOCALE 'C' TEMPLATE template0");
    client.batch_execute(&sql).await.unwrap();
    let other = source.client("other").await.unwrap();
    let found = Server::ask(&other, "source").await.unwrap();
    // lower('Ä') is not 'Ä' there.
    assert_eq!((found.collation_is_c, found.ctype_is_c), (version < 150_000, version < 150_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_needs_replication_and_select_at_the_source() {
    let case = Case::usual().await;
    let role = as_role(&case, "source", "", "").await;
    let place = format!("legacy as {role}");
    let finished = case.regraft(&["check", "--json"]).await;
    assert_eq!(finished.code(), 1, "{}", finished.stderr);
    let findings = errors(&finished.json());
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert_finding(&findings[0], "RG2004", &place, &["ALTER ROLE", "REPLICATION"]);
    let grant = "GRANT SELECT ON \"public\".\"items\" TO";
    assert_finding(&findings[1], "RG2004", &place, &["read public.items", grant]);
    let finished = case.run_once().await;
    assert_says(&finished, 3, "RG2004", &["REPLICATION", grant]);
    case.at_source(&format!("ALTER ROLE {role} REPLICATION; GRANT SELECT ON items TO {role}"))
        .await;
    // Now it lacks what the publication needs.
    let publication =
        format!("CREATE PUBLICATION \"{}\" FOR TABLE \"public\".\"items\"", case.slot());
    case.refused(3, "RG2004", &place, &["publication", "CREATE", &publication]).await;
    // The remedy as it is printed.
    let finding = case.only_finding().await;
    let remedy = finding["remedy"].as_str().unwrap();
    case.at_source(remedy.split_once(": ").unwrap().1).await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_needs_its_privileges_at_the_target() {
    let case = Case::usual().await;
    let role = as_role(&case, "target", "", "GRANT SELECT, UPDATE ON goods TO ROLE").await;
    let place = format!("modern as {role}");
    let finished = case.regraft(&["check", "--json"]).await;
    let findings = errors(&finished.json());
    assert_eq!(findings.len(), 2, "{findings:#?}");
    let grant = "GRANT INSERT, DELETE ON \"public\".\"goods\" TO";
    assert_finding(&findings[0], "RG2004", &place, &["INSERT, DELETE on public.goods", grant]);
    assert_finding(&findings[1], "RG2004", &place, &["regraft", "GRANT CREATE ON DATABASE"]);
    let finished = case.run_once().await;
    assert_says(&finished, 3, "RG2004", &[grant]);
    case.at_target(&format!("GRANT INSERT, DELETE ON goods TO {role}")).await;
    case.refused(3, "RG2004", &place, &["regraft", "GRANT CREATE ON DATABASE"]).await;
    let database = format!("{}_modern", case.name);
    case.at_target(&format!("GRANT CREATE ON DATABASE {database} TO {role}")).await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_row_level_security_hides_are_not_taken_for_absent() {
    let case = Case::usual().await;
    let grants = "GRANT SELECT ON items TO ROLE; ALTER TABLE items ENABLE ROW LEVEL SECURITY;
                  CREATE POLICY few ON items USING (id < 5);
                  GRANT CREATE ON DATABASE DB TO ROLE; ALTER TABLE items OWNER TO postgres";
    let grants = grants.replace("DB", &format!("{}_legacy", case.name));
    let role = as_role(&case, "source", "REPLICATION", &grants).await;
    let finished = case.run_once().await;
    assert_says(
        &finished,
        3,
        "RG2004",
        &["public.items", "row-level security", "BYPASSRLS", &role],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_exist_is_the_servers_word() {
    let case = Case::usual().await;
    let lost = |url: &str| format!("{}lost", with_user(url, "postgres"));
    let (source, target) = (&case.databases.source_url, &case.databases.target_url);
    configure(&case, &lost(source), &lost(target));
    let finished = case.regraft(&["check"]).await;
    assert_says(
        &finished,
        3,
        "RG2015",
        &["database \"case", "does not exist", "legacylost", "modernlost"],
    );
    let report = case.regraft(&["check", "--json"]).await;
    assert_eq!(report.code(), 3);
    assert_eq!(errors(&report.json()).len(), 2, "{}", report.stdout);
    for command in ["run", "status", "teardown"] {
        let finished = case.regraft(&[command]).await;
        assert_says(&finished, 3, "RG2015", &["does not exist"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_unreachable() {
    let case = Case::usual().await;
    let port = regraft_testkit::free_port().unwrap();
    let nowhere = format!("postgres://me:{PASSWORD}@127.0.0.1:{port}/d");
    configure(&case, &nowhere, &with_user(&case.databases.target_url, "postgres"));
    let place = format!("127.0.0.1:{port}/d as me");
    let finished = case.regraft(&["check"]).await;
    assert_says(&finished, 3, "RG2001", &[&place, "host and port"]);
    configure(&case, &format!("postgres://me:{PASSWORD}@no-such-host.invalid/d"), &nowhere);
    let finished = case.regraft(&["check"]).await;
    assert_says(&finished, 3, "RG2001", &["no-such-host.invalid:5432"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_never_shown() {
    let options = ClusterOptions { auth: Auth::Scram, ..ClusterOptions::default() };
    let source = Cluster::start(options).await.unwrap();
    // The one that Case puts in is wrong here.
    let mut case = Case::between(&source, &servers().await.1, Given::default()).await;
    let right = source.password().unwrap().to_owned();
    case.secrets.push(right.clone());
    for command in ["check", "run"] {
        let finished = case.regraft(&[command]).await;
        let parts = ["password authentication failed", "legacy as postgres", "user and password"];
        assert_says(&finished, 3, "RG2002", &parts);
    }
    let without = case.databases.source_url.replace(&format!(":{right}@"), "@");
    configure(&case, &without, &with_user(&case.databases.target_url, "postgres"));
    let finished = case.regraft(&["check"]).await;
    assert_says(&finished, 3, "RG2002", &["password"]);
    // In a file, which is read anew for every connection.
    std::fs::write(case.installation.path("url"), format!("{}\n", case.databases.source_url))
        .unwrap();
    let target_url = with_user(&case.databases.target_url, "postgres");
    case.installation.write_config(&format!(
        "name = \"{}\"\n[source]\nurl_file = \"url\"\n[target]\nurl = \"{target_url}\"\n\
         [mapping]\nfile = \"mapping.sql\"\n[http]\nenabled = false\n",
        case.name
    ));
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(case.installation.path("url"), mode(0o644)).unwrap();
    let told = case.regraft(&["check"]).await.stdout;
    assert!(told.contains("warning[RG3012]") && told.contains("chmod 600"), "{told}");
    std::fs::set_permissions(case.installation.path("url"), mode(0o640)).unwrap();
    let told = case.regraft(&["check"]).await.stdout;
    assert!(!told.contains("chmod"), "{told}");
    case.catch_up().await;
}

async fn encrypted(tls: TlsFiles) -> Cluster {
    Cluster::start(ClusterOptions { tls: Some(tls), ..ClusterOptions::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted_or_for_another_host_is_refused() {
    let Certificates { authority, server, server_of_another_name, other_authority } =
        certificates();
    let (source, other) = tokio::join!(encrypted(server), encrypted(server_of_another_name));
    let case =
        Case::between(&source, &servers().await.1, Given { target: TARGET, ..Given::default() })
            .await;
    for (name, text) in [("right.pem", &authority), ("wrong.pem", &other_authority)] {
        std::fs::write(case.installation.path(name), text).unwrap();
    }
    let url = |port: u16, host: &str, mode: &str, root: &str| {
        let root = case.installation.path(root).display().to_string();
        let database = format!("{}_legacy", case.name);
        let server = format!("postgres://postgres:{PASSWORD}@{host}:{port}");
        format!("{server}/{database}?sslmode={mode}&sslrootcert={root}")
    };
    let target = with_user(&case.databases.target_url, "postgres");
    let refused = async |url: &str, says: &str| {
        configure(&case, url, &target);
        for command in ["check", "run"] {
            let finished = case.regraft(&[command]).await;
            assert_says(&finished, 3, "RG2003", &["legacy as postgres", "sslrootcert", says]);
        }
    };
    let port = source.port();
    refused(&url(port, "127.0.0.1", "verify-full", "wrong.pem"), "UnknownIssuer").await;
    refused(&url(port, "localhost", "verify-ca", "wrong.pem"), "UnknownIssuer").await;
    let port = other.port();
    refused(&url(port, "localhost", "verify-full", "right.pem"), "elsewhere.invalid").await;
    let (plain, _) = servers().await;
    refused(&url(plain.port(), "127.0.0.1", "verify-full", "right.pem"), "TLS").await;
    configure(&case, &url(source.port(), "localhost", "verify-full", "right.pem"), &target);
    case.catch_up().await;
    case.assert_equal().await;
}

/// Settings of the database, which new sessions begin with.
async fn settings_of_both(case: &Case, settings: &[&str]) {
    for setting in settings {
        let sql = format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {setting}', current_database()); END $$"
        );
        case.at_source(&sql).await;
        case.at_target(&sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_a_database_keep_nothing_from_being_written() {
    let source = "CREATE TYPE mood AS ENUM ('ok');
        CREATE TABLE s (id int PRIMARY KEY, x xml, p int, m mood, v int);
        INSERT INTO s VALUES (1, 'a<b/>c', NULL, 'ok', 1), (2, '<d/>', 1, NULL, 2)";
    let target = "CREATE TYPE mood AS ENUM ('ok');
        CREATE TABLE t (id int PRIMARY KEY, x xml, p int, m mood, v int UNIQUE)";
    let mapping = "INSERT INTO t SELECT id, x::text::xml, p, m, v FROM s;";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    let settings = [
        "default_transaction_read_only = on",
        "xmloption = document",
        "quote_all_identifiers = on",
        "exit_on_error = on",
        "session_replication_role = replica",
    ];
    settings_of_both(&case, &settings).await;
    case.catch_up().await;
    // The values change places, which a unique constraint objects to at first.
    case.at_source(
        "UPDATE s SET v = -v; UPDATE s SET v = 3 + v WHERE v < 0; UPDATE s SET m = 'ok', x = 'x'",
    )
    .await;
    case.catch_up().await;
    case.assert_equal().await;
    // Foreign keys fire: none is trusted.
    case.at_target("ALTER TABLE t ADD CONSTRAINT up FOREIGN KEY (p) REFERENCES t").await;
    case.at_source("UPDATE s SET p = 9 WHERE id = 2").await;
    assert_says(&case.run_once().await, 3, "RG4001", &["23503"]);
    case.at_target("ALTER TABLE t DROP CONSTRAINT up").await;
    case.catch_up().await;
    case.assert_equal().await;
    let finished = case.regraft(&["teardown", "--apply"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let left =
        "SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())
                + (SELECT count(*) FROM pg_publication)";
    assert_eq!(regraft_tests::number(&case.databases.source, left).await, 0);
}

/// A setting that a role may not set back, and one that it may not set.
#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_the_role_may_not_set_is_named() {
    let parts = ["target (127.0.0.1:", "\"session_replication_role\"", "SET ON PARAMETER"];
    let run = &["run", "--until-caught-up"][..];
    for (set, trusted, commands) in [
        ("ALTER ROLE ROLE SET session_replication_role = replica", "", &[&["check"][..], run][..]),
        ("", "foreign_keys = \"trusted\"", &[run]),
    ] {
        let case = Case::usual().await;
        let role = format!("{}_t", case.name);
        case.at_target(&format!(
            "CREATE ROLE {role} LOGIN; GRANT ALL ON goods TO {role};
             GRANT CREATE ON DATABASE {}_modern TO {role}; {}",
            case.name,
            set.replace("ROLE ROLE", &format!("ROLE {role}"))
        ))
        .await;
        let installation = case.another(|setup| {
            setup.target_url = with_user(&setup.target_url, &role);
            setup.target = format!("{trusted}\n");
        });
        for command in commands {
            let finished = installation.command(command, DEADLINE).await;
            assert_says(&finished, 3, "RG2004", &parts);
        }
    }
}

/// Starts the cluster again as a standby of nothing, which is one none the less.
async fn made_standby(cluster: &Cluster) {
    cluster.stop(StopMode::Fast).await.unwrap();
    std::fs::write(cluster.data_folder().join("standby.signal"), "").unwrap();
    cluster.start_again().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_refused_before_anything_is_made() {
    for standby in ["source", "target"] {
        let (source, target) = servers().await;
        let own = Cluster::start(ClusterOptions::default()).await.unwrap();
        let of = |side, shared| if standby == side { &own } else { shared };
        let case =
            Case::between(of("source", source), of("target", target), Given::default()).await;
        made_standby(&own).await;
        case.refused(3, "RG2015", &format!("{standby} (127.0.0.1:"), &["standby", "primary"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_has_become_a_standby_is_waited_for() {
    let own = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&own, &servers().await.1, Given::default()).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    made_standby(&own).await;
    wait_until("the daemon to say it", DEADLINE, async || {
        assert!(daemon.ended().is_none(), "{}", daemon.log());
        let log = daemon.log();
        if log.contains("is a standby now") { Ok(()) } else { Err(log) }
    })
    .await;
    own.stop(StopMode::Fast).await.unwrap();
    std::fs::remove_file(own.data_folder().join("standby.signal")).unwrap();
    own.start_again().await.unwrap();
    let source = own.client(case.databases.source_url.rsplit('/').next().unwrap()).await.unwrap();
    source.batch_execute("UPDATE items SET amount = 7 WHERE id = 1").await.unwrap();
    until_true(&case.databases.target, "the change", "SELECT amount = 7 FROM goods WHERE id = 1")
        .await;
    stop(daemon).await;
}
