//! A connection pooler in place of a server: it shares sessions, and regraft keeps settings and locks in its own.

use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

use regraft_testkit::{free_port, wait_until};
use regraft_tests::DEADLINE;
use tempfile::TempDir;

use crate::support::{Case, assert_finding, assert_says, errors, servers};

/// pgbouncer before a server, as most people run it.
struct Pooler {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Pooler {
    async fn start(server: u16, more: &str) -> Pooler {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port().unwrap();
        let file = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\n{more}\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("/usr/sbin/pgbouncer");
        // It refuses to run as root.
        if folder.path().metadata().unwrap().uid() == 0 {
            command.args(["-u", "postgres"]);
        }
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("pgbouncer: ./setup pgbouncer installs it");
        wait_until("pgbouncer to listen", DEADLINE, async || {
            let connected = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            connected.map(drop).map_err(|error| error.to_string())
        })
        .await;
        Pooler { child, port, _folder: folder }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_is_named_at_either_end_before_anything_is_made() {
    let case = Case::usual().await;
    let (source, target) = servers().await;
    for more in ["", "ignore_startup_parameters = extra_float_digits,options"] {
        for (role, server) in [("source (", source), ("target (", target)] {
            let pooler = Pooler::start(server.port(), more).await;
            let through = |url: &str| {
                url.replace(&format!(":{}/", server.port()), &format!(":{}/", pooler.port))
            };
            let installation = case.another(|setup| {
                setup.source_url = through(&setup.source_url);
                setup.target_url = through(&setup.target_url);
            });
            let parts = ["pgbouncer", "server itself"];
            let checked = installation.command(&["check", "--json"], DEADLINE).await;
            if checked.code() == 1 {
                let found = errors(&checked.json());
                let pooler = found.iter().find(|f| f["what"].as_str().unwrap().contains("pooler"));
                assert_finding(pooler.expect(&checked.stdout), "RG2015", role, &parts);
            } else {
                assert_says(&checked, 3, "RG2015", &parts);
                assert_says(&checked, 3, "RG2015", &[role]);
            }
            let run = installation.command(&["run", "--until-caught-up"], DEADLINE).await;
            assert_says(&run, 3, "RG2015", &parts);
        }
    }
    let made = "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots \
                WHERE database = current_database())";
    assert_eq!(regraft_tests::number(&case.databases.source, made).await, 0);
    case.catch_up().await;
    case.assert_equal().await;
}
