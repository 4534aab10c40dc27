//! 027 and 033: what the role of the target may, and when it may not.

use regraft_testkit::{Daemon, Installation};
use regraft_tests::DEADLINE;

use crate::support::{self, Case, Given, ready, stop};
use crate::{fails_again, is};

/// A schema of Alice at both ends, with a table and a partitioned one; the pipeline is another's at the target.
struct Theirs {
    case: Case,
    admin: String,
    alice: String,
    installation: Installation,
}

impl Theirs {
    /// `admin` are attributes of the role.
    async fn new(admin: &str) -> Theirs {
        let tables = "CREATE SCHEMA alice; CREATE TABLE alice.unpartitioned (i int);
            CREATE TABLE alice.hashpart (i int) PARTITION BY HASH (i);";
        let parts = |a: i32| {
            format!(
                "CREATE TABLE alice.hashpart_a PARTITION OF alice.hashpart FOR VALUES WITH (MODULUS 2, REMAINDER {a});
                 CREATE TABLE alice.hashpart_b PARTITION OF alice.hashpart FOR VALUES WITH (MODULUS 2, REMAINDER {});",
                1 - a
            )
        };
        let identities = ["unpartitioned", "hashpart", "hashpart_a", "hashpart_b"]
            .map(|table| format!("ALTER TABLE alice.{table} REPLICA IDENTITY FULL;"));
        let source = format!("{tables}{}{}", parts(0), identities.concat());
        let target = format!("{tables}{}", parts(1));
        let mapping = "-- regraft: counted\nINSERT INTO alice.unpartitioned SELECT i FROM alice.unpartitioned;
            -- regraft: counted\nINSERT INTO alice.hashpart SELECT i FROM alice.hashpart;";
        let case =
            Case::of(Given { source: &source, target: &target, mapping, ..Given::default() }).await;
        let (admin_name, alice) = (format!("{}_admin", case.name), format!("{}_alice", case.name));
        let owned = ["unpartitioned", "hashpart", "hashpart_a", "hashpart_b"]
            .map(|table| format!("ALTER TABLE alice.{table} OWNER TO {alice};"));
        case.at_target(&format!(
            "CREATE ROLE {alice}; CREATE ROLE {admin_name} LOGIN {admin};
             GRANT CREATE ON DATABASE {}_modern TO {admin_name}; GRANT USAGE ON SCHEMA alice TO {admin_name};
             ALTER SCHEMA alice OWNER TO {alice}; {}",
            case.name,
            owned.concat()
        ))
        .await;
        let installation = case.another(|setup| {
            setup.target_url = support::with_user(&setup.target_url, &admin_name);
        });
        Theirs { case, admin: admin_name, alice, installation }
    }

    /// Starts the daemon of the other role.
    async fn follow(&self) -> Daemon {
        let mut daemon = self.installation.run();
        ready(&mut daemon).await;
        self.case.settled().await;
        daemon
    }

    /// SQL at the target, with the names of both roles.
    async fn at_target(&self, sql: &str) {
        let sql = sql.replace("ADMIN", &self.admin).replace("ALICE", &self.alice);
        self.case.at_target(&sql).await;
    }

    /// Everything is applied: number, minimum and maximum of a table.
    async fn has(&self, table: &str, wanted: &str, what: &str) {
        self.case.settled().await;
        self.holds(table, wanted, what).await;
    }

    /// The same after another attempt.
    async fn refused_again(&self, daemon: &Daemon, wanted: &str, what: &str) {
        fails_again(daemon, "RG2004").await;
        self.refused(daemon, wanted, what).await;
    }

    /// The pipeline is held for want of a privilege, and the rows are these.
    async fn refused(&self, daemon: &Daemon, wanted: &str, what: &str) {
        self.case.held(daemon, "RG2004").await;
        self.holds("unpartitioned", wanted, what).await;
    }

    async fn holds(&self, table: &str, wanted: &str, what: &str) {
        let query = format!("SELECT count(i), min(i), max(i) FROM alice.{table}");
        is(&self.case.databases.target, &query, &[wanted], what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_no_superuser_follows_with_what_it_may() {
    let theirs = Theirs::new("SUPERUSER").await;
    let daemon = theirs.follow().await;
    let at_source = async |sql: &str| theirs.case.at_source(sql).await;
    at_source(
        "INSERT INTO alice.unpartitioned VALUES (1); INSERT INTO alice.unpartitioned VALUES (3);
         INSERT INTO alice.unpartitioned VALUES (5); UPDATE alice.unpartitioned SET i = 7 WHERE i = 1;
         DELETE FROM alice.unpartitioned WHERE i = 3",
    )
    .await;
    theirs.has("unpartitioned", "2|5|7", "as a superuser").await;
    // Sessions keep what they were when they began.
    theirs.at_target("ALTER ROLE ADMIN NOSUPERUSER").await;
    at_source("UPDATE alice.unpartitioned SET i = 9 WHERE i = 5").await;
    theirs.refused(&daemon, "2|5|7", "without a privilege").await;
    theirs.at_target("ALTER ROLE ADMIN SUPERUSER").await;
    theirs.has("unpartitioned", "2|7|9", "a superuser again").await;

    theirs.at_target("ALTER ROLE ADMIN NOSUPERUSER; GRANT ALICE TO ADMIN").await;
    at_source("INSERT INTO alice.unpartitioned VALUES (11)").await;
    theirs.has("unpartitioned", "3|7|11", "INSERT by membership").await;
    at_source("UPDATE alice.unpartitioned SET i = 13 WHERE i = 7").await;
    theirs.has("unpartitioned", "3|9|13", "UPDATE by membership").await;
    at_source("DELETE FROM alice.unpartitioned WHERE i = 9").await;
    theirs.has("unpartitioned", "2|11|13", "DELETE by membership").await;
    at_source(
        "INSERT INTO alice.hashpart VALUES (101); INSERT INTO alice.hashpart VALUES (102);
         INSERT INTO alice.hashpart VALUES (103); UPDATE alice.hashpart SET i = 120 WHERE i = 102;
         DELETE FROM alice.hashpart WHERE i = 101",
    )
    .await;
    theirs.has("hashpart", "2|103|120", "partitions by membership").await;

    theirs
        .at_target(
            "ALTER TABLE alice.unpartitioned ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        )
        .await;
    at_source("INSERT INTO alice.unpartitioned VALUES (15)").await;
    theirs.refused(&daemon, "2|11|13", "INSERT under row-level security of the owner, too").await;
    theirs.at_target("ALTER TABLE alice.unpartitioned NO FORCE ROW LEVEL SECURITY").await;
    theirs.has("unpartitioned", "3|11|15", "INSERT as a member of the owner").await;
    theirs.at_target("ALTER TABLE alice.unpartitioned FORCE ROW LEVEL SECURITY").await;
    at_source("UPDATE alice.unpartitioned SET i = 17 WHERE i = 11").await;
    theirs.refused(&daemon, "3|11|15", "UPDATE under row-level security of the owner, too").await;
    theirs.at_target("ALTER TABLE alice.unpartitioned NO FORCE ROW LEVEL SECURITY").await;
    theirs.has("unpartitioned", "3|13|17", "UPDATE as a member of the owner").await;

    theirs.at_target("REVOKE SELECT, INSERT ON alice.unpartitioned FROM ALICE").await;
    at_source("INSERT INTO alice.unpartitioned VALUES (19)").await;
    theirs.refused(&daemon, "3|13|17", "the owner may not INSERT").await;
    theirs.at_target("GRANT INSERT ON alice.unpartitioned TO ALICE").await;
    theirs.has("unpartitioned", "4|13|19", "the owner may INSERT, and not SELECT").await;
    theirs.at_target("REVOKE UPDATE, DELETE ON alice.unpartitioned FROM ALICE").await;
    at_source("UPDATE alice.unpartitioned SET i = 21 WHERE i = 13; DELETE FROM alice.unpartitioned WHERE i = 15").await;
    theirs.refused(&daemon, "4|13|19", "the owner may not UPDATE and DELETE").await;
    theirs.at_target("GRANT UPDATE, DELETE ON alice.unpartitioned TO ALICE").await;
    theirs.refused_again(&daemon, "4|13|19", "nor is that enough without SELECT").await;
    theirs.at_target("GRANT SELECT ON alice.unpartitioned TO ALICE").await;
    theirs.has("unpartitioned", "3|17|21", "the owner may all of it").await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn privileges_come_from_grants_and_from_roles_that_are_inherited() {
    let theirs = Theirs::new("SUPERUSER").await;
    let daemon = theirs.follow().await;
    let at_source = async |sql: &str| theirs.case.at_source(sql).await;
    at_source(
        "INSERT INTO alice.unpartitioned VALUES (1), (3), (5); UPDATE alice.unpartitioned SET i = 7 WHERE i = 1;
         DELETE FROM alice.unpartitioned WHERE i = 3",
    )
    .await;
    theirs.has("unpartitioned", "2|5|7", "as a superuser").await;
    theirs.at_target("ALTER ROLE ADMIN NOSUPERUSER").await;
    at_source("INSERT INTO alice.unpartitioned VALUES (9)").await;
    theirs.refused(&daemon, "2|5|7", "without a privilege").await;
    theirs.at_target("GRANT INSERT, UPDATE, DELETE ON alice.unpartitioned TO ADMIN").await;
    theirs.has("unpartitioned", "3|5|9", "INSERT is granted, and not SELECT").await;
    at_source("UPDATE alice.unpartitioned SET i = 11 WHERE i = 5; DELETE FROM alice.unpartitioned WHERE i = 9").await;
    theirs.refused(&daemon, "3|5|9", "UPDATE and DELETE without SELECT").await;
    theirs.at_target("GRANT SELECT ON alice.unpartitioned TO ADMIN").await;
    theirs.has("unpartitioned", "2|7|11", "with all privileges").await;
    theirs
        .at_target("REVOKE ALL ON alice.unpartitioned FROM ADMIN; ALTER ROLE ADMIN NOINHERIT; GRANT ALICE TO ADMIN")
        .await;
    at_source("INSERT INTO alice.unpartitioned VALUES (13)").await;
    theirs.refused(&daemon, "2|7|11", "a member that does not inherit").await;
    // Since version 16 it is the membership that says so.
    let inherits = "REVOKE ALICE FROM ADMIN; ALTER ROLE ADMIN INHERIT; GRANT ALICE TO ADMIN";
    theirs.at_target(inherits).await;
    theirs.has("unpartitioned", "3|7|13", "a member that inherits").await;
    theirs
        .at_target("REVOKE ALICE FROM ADMIN; ALTER ROLE ADMIN NOINHERIT; GRANT ALICE TO ADMIN")
        .await;
    at_source("INSERT INTO alice.unpartitioned VALUES (14)").await;
    theirs.refused(&daemon, "3|7|13", "a member that does not inherit any more").await;
    stop(daemon).await;

    // The address says as whom it works; the ledger has to be that role's, too.
    theirs.at_target("REASSIGN OWNED BY ADMIN TO ALICE").await;
    let case = &theirs.case;
    let database = format!("{}_modern", case.name);
    theirs.at_target(&format!("GRANT CREATE ON DATABASE {database} TO ALICE")).await;
    let owner = case.another(|setup| {
        let url = support::with_user(&setup.target_url, &theirs.admin);
        setup.target_url = format!("{url}?options=-c%20role%3D{}", theirs.alice);
    });
    let mut daemon = owner.run();
    ready(&mut daemon).await;
    theirs.has("unpartitioned", "4|7|14", "as the owner of the table").await;
    stop(daemon).await;
    let removed = owner.command(&["teardown", "--apply"], DEADLINE).await;
    assert_eq!(removed.code(), 0, "{}", removed.stderr);
    theirs.at_target("TRUNCATE alice.unpartitioned, alice.hashpart").await;
    let mut daemon = owner.run();
    ready(&mut daemon).await;
    theirs.has("unpartitioned", "4|7|14", "the owner of the table copies").await;
    stop(daemon).await;
}
