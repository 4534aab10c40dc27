//! Targets that change or suppress what is written to them: no repair helps, and none goes on for ever.

use regraft_testkit::wait_until;
use regraft_tests::{DEADLINE, Site, SiteOptions, number};

use crate::{FAST, verify};

const SOURCE: &str = "CREATE TABLE s (id int PRIMARY KEY, v text);
    INSERT INTO s SELECT n, 'v' || n FROM generate_series(1, 500) AS n";
const TARGET: &str = "CREATE TABLE t (id int PRIMARY KEY, v text, at timestamptz DEFAULT now());
    CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF new.id = 5 THEN RETURN NULL; END IF;
        IF new.id = 6 THEN new.v := 'other'; END IF;
        RETURN new;
    END $$;
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE TRIGGER guards BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION guard();
    CREATE TRIGGER keeps BEFORE DELETE ON t FOR EACH ROW WHEN (old.id = 7) EXECUTE FUNCTION keep()";
const MAPPING: &str = "INSERT INTO t (id, v) SELECT id, v FROM s";
const KEPT: &str =
    "SELECT count(*) FROM regraft.findings WHERE state = 'open' AND repair_at = 'infinity'";

async fn site(extra: &str) -> Site {
    let extra = format!("{FAST}{extra}");
    let options = SiteOptions { extra, ..SiteOptions::default() };
    let site = Site::with(options, &[SOURCE], TARGET, MAPPING).await;
    site.catch_up().await;
    site.at_source().await.batch_execute("DELETE FROM s WHERE id = 7").await.unwrap();
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_the_target_undoes_ends_and_names_the_triggers() {
    let site = site("").await;
    let target = site.at_target().await;
    let checked = site.installation.command(&["check"], DEADLINE).await.stdout;
    for part in ["change or suppress", "public.t", "guards, keeps", "DISABLE TRIGGER"] {
        assert!(checked.contains(part), "{part}: {checked}");
    }
    let _daemon = site.run();
    let (code, report) = verify(&site, &[]).await;
    let table = &report["tables"][0];
    assert_eq!(
        (code, &table["missing"], &table["surplus"]),
        (1, &1.into(), &1.into()),
        "{report:#}"
    );
    for _ in 0..2 {
        let repaired = site.installation.command(&["repair", "--apply"], DEADLINE).await;
        let said = format!("{}\n{}", repaired.stdout, repaired.stderr);
        assert_eq!(repaired.code(), 1, "{said}");
        for part in ["3 are left", "public.t changes or suppresses", "told by id", "guards, keeps"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("`regraft repair` brings"), "{said}");
    }
    target.batch_execute("ALTER TABLE t DISABLE TRIGGER ALL").await.unwrap();
    let repaired = site.installation.command(&["repair", "--apply"], DEADLINE).await;
    assert_eq!(repaired.code(), 0, "{}\n{}", repaired.stdout, repaired.stderr);
    site.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_repairs_gives_up_on_rows_that_the_target_keeps() {
    let site = site("repair = \"auto\"\nrepairs_per_hour = 10\n").await;
    let target = site.at_target().await;
    let mut daemon = site.run();
    wait_until("the daemon to give up", DEADLINE, async || {
        let kept = number(&target, KEPT).await;
        if kept == 3 { Ok(()) } else { Err(format!("{kept}\n{}", daemon.log())) }
    })
    .await;
    let log = daemon.log();
    assert!(log.contains("the target changes or suppresses by itself"), "{log}");
    crate::swept(&site, &mut daemon).await;
    assert_eq!(number(&target, KEPT).await, 3, "{}", daemon.log());
    // Another difference of the row is another finding.
    target.batch_execute("ALTER TABLE t DISABLE TRIGGER ALL").await.unwrap();
    site.at_source()
        .await
        .batch_execute("UPDATE s SET v = 'new' WHERE id IN (5, 6)")
        .await
        .unwrap();
    wait_until("the rows to be equal", DEADLINE, async || {
        let open = "SELECT count(*) FROM regraft.findings WHERE state = 'open'";
        let open = number(&target, open).await;
        if open == 1 { Ok(()) } else { Err(format!("{open}\n{}", daemon.log())) }
    })
    .await;
}
