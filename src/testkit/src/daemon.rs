//! The real program as a process: configured, started, watched, killed.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use regraft_throwaway::free_port;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::program::regraft_binary;

/// How often a process is looked at.
const POLL: Duration = Duration::from_millis(10);
/// Lines of the log that a panic shows.
const LINES: usize = 60;

/// What goes into `regraft.toml` and `mapping.sql`.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Name of the pipeline.
    pub name: String,
    /// Address of the source.
    pub source_url: String,
    /// Address of the target.
    pub target_url: String,
    /// Text of the mapping.
    pub mapping: String,
    /// Further lines of `[source]`.
    pub source: String,
    /// Further lines of `[target]`.
    pub target: String,
    /// Further tables at the end.
    pub extra: String,
}

/// A folder with both files. It outlives the daemons that are started in it.
pub struct Installation {
    folder: TempDir,
    http_port: u16,
    program: Option<PathBuf>,
    started: std::sync::atomic::AtomicUsize,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// The exit status, or -1 after a signal.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// If it is not JSON, with both outputs.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self:?}"))
    }
}

impl Installation {
    /// Writes the files, with a free port for HTTP.
    ///
    /// # Panics
    /// If the files cannot be written.
    pub fn new(setup: &Setup) -> Self {
        let made = Self {
            folder: tempfile::Builder::new().prefix("regraft-test-").tempdir().unwrap(),
            http_port: free_port().unwrap(),
            program: None,
            started: std::sync::atomic::AtomicUsize::new(0),
        };
        // A JSON string is a TOML string.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        made.write_config(&format!(
            "name = {}\n[source]\nurl = {}\n{}\n[target]\nurl = {}\n{}\n[mapping]\n\
             file = \"mapping.sql\"\n[http]\nlisten = \"127.0.0.1:{}\"\n{}\n",
            quoted(&setup.name),
            quoted(&setup.source_url),
            setup.source,
            quoted(&setup.target_url),
            setup.target,
            made.http_port,
            setup.extra,
        ));
        made.write_mapping(&setup.mapping);
        made
    }

    /// Replaces `regraft.toml`.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_config(&self, text: &str) {
        std::fs::write(self.path("regraft.toml"), text).unwrap();
    }

    /// Replaces `mapping.sql`.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_mapping(&self, text: &str) {
        std::fs::write(self.path("mapping.sql"), text).unwrap();
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The port that the daemon listens on for HTTP.
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// From now on, this program is started instead of `regraft`: one that embeds it.
    pub fn use_program(&mut self, program: PathBuf) {
        self.program = Some(program);
    }

    /// Starts `regraft` with these arguments in the folder, where it finds `regraft.toml` by itself.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(&self, arguments: &[&str]) -> Daemon {
        let program = self.program.as_deref();
        let mut command = Command::new(program.unwrap_or_else(|| regraft_binary()));
        command.args(arguments);
        self.start_command(command)
    }

    /// Starts `regraft` with an environment variable more.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_with(&self, arguments: &[&str], (name, value): (&str, &str)) -> Daemon {
        let program = self.program.as_deref();
        let mut command = Command::new(program.unwrap_or_else(|| regraft_binary()));
        command.args(arguments).env(name, value);
        self.start_command(command)
    }

    /// Starts `regraft run`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn run(&self) -> Daemon {
        self.start(&["run"])
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// If it takes longer than the deadline.
    pub async fn command(&self, arguments: &[&str], deadline: Duration) -> Finished {
        let mut daemon = self.start(arguments);
        let status = daemon.wait(deadline).await;
        Finished { status, stdout: daemon.stdout(), stderr: daemon.stderr() }
    }

    /// Runs a command to its end, whose standard output, and error, nobody reads.
    ///
    /// # Panics
    /// If it takes longer than the deadline.
    pub async fn command_unheard(&self, arguments: &[&str], deadline: Duration) -> ExitStatus {
        let program = self.program.as_deref();
        let mut command = Command::new(program.unwrap_or_else(|| regraft_binary()));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        let closed = || {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            writer
        };
        let child = command.stdout(closed()).stderr(closed()).spawn().unwrap();
        let (stdout, stderr) = (PathBuf::new(), PathBuf::new());
        let mut daemon = Daemon { child, status: None, stdout, stderr, http_port: self.http_port };
        daemon.wait(deadline).await
    }

    fn start_command(&self, mut command: Command) -> Daemon {
        let number = self.started.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (stdout, stderr) =
            (self.path(&format!("{number}.stdout")), self.path(&format!("{number}.stderr")));
        command.current_dir(self.folder.path()).env("NO_COLOR", "1").env("RUST_BACKTRACE", "1");
        command.stdin(Stdio::null());
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Daemon { child, status: None, stdout, stderr, http_port: self.http_port }
    }
}

/// A process of the program. Dropping it kills it; when the test panics, its log is printed.
pub struct Daemon {
    child: Child,
    status: Option<ExitStatus>,
    stdout: PathBuf,
    stderr: PathBuf,
    http_port: u16,
}

impl Daemon {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// If the system does not say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap();
        }
        self.status
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Panics
    /// If it had ended by itself, with its log: a test that kills expects a living daemon.
    pub fn kill9(&mut self) {
        if let Some(status) = self.ended() {
            panic!("the daemon had ended by itself: {status}\n{}", self.log());
        }
        self.child.kill().unwrap();
        self.status = Some(self.child.wait().unwrap());
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Panics
    /// If it does not end within the deadline, with its log.
    pub async fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait(deadline).await
    }

    /// Sends a signal, such as `INT` or `STOP`.
    ///
    /// # Panics
    /// If the system has no `kill`.
    pub fn signal(&mut self, name: &str) {
        // After the end, the number may belong to another process.
        if self.ended().is_none() {
            let pid = self.pid().to_string();
            Command::new("kill").arg(format!("-{name}")).arg(pid).status().unwrap();
        }
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// If it does not come within the deadline, with the log.
    pub async fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            if begin.elapsed() >= deadline {
                panic!("the daemon has not ended within {deadline:?}\n{}", self.log());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Standard output until now.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// Standard error until now.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// The end of both outputs, for messages.
    pub fn log(&self) -> String {
        let tail = |text: String| {
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(LINES)..].join("\n")
        };
        format!("--- stdout\n{}\n--- stderr\n{}\n---", tail(self.stdout()), tail(self.stderr()))
    }

    /// Status code and body of `GET path`, or why there is no answer.
    ///
    /// # Errors
    /// A text for a person: not listening yet, broken off, not HTTP.
    pub async fn http(&self, path: &str) -> Result<(u16, String), String> {
        let ask = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.http_port)).await?;
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let limit = Duration::from_secs(10);
        let answer = tokio::time::timeout(limit, ask).await.map_err(|error| error.to_string())?;
        let answer = answer.map_err(|error| error.to_string())?;
        let text = String::from_utf8(answer).map_err(|error| error.to_string())?;
        parse_http(&text).ok_or_else(|| format!("not an HTTP answer: {text:?}"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let status = self.status.map(|status| (status.code(), status.signal()));
            eprintln!("daemon {} ({status:?})\n{}", self.pid(), self.log());
        }
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// The answer of a server that was asked to close the connection: the body ends with the text, unless
/// it comes in chunks.
fn parse_http(text: &str) -> Option<(u16, String)> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return Some((status, join_chunks(body)?));
    }
    Some((status, body.to_owned()))
}

fn join_chunks(mut body: &str) -> Option<String> {
    let mut joined = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(joined);
        }
        joined.push_str(rest.get(..size)?);
        body = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation() -> Installation {
        Installation::new(&Setup {
            name: "a \"b\"".into(),
            source_url: "postgres://s".into(),
            source: "slot = \"x\"".into(),
            mapping: "INSERT INTO t SELECT 1".into(),
            ..Setup::default()
        })
    }

    fn shell(installation: &Installation, script: &str) -> Daemon {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        installation.start_command(command)
    }

    #[test]
    fn the_files_hold_what_was_asked_for() {
        let installation = installation();
        let text = read(&installation.path("regraft.toml"));
        assert!(text.starts_with(
            "name = \"a \\\"b\\\"\"\n[source]\nurl = \"postgres://s\"\nslot = \"x\"\n"
        ));
        assert!(text.contains(&format!("listen = \"127.0.0.1:{}\"", installation.http_port())));
        assert_eq!(read(&installation.path("mapping.sql")), "INSERT INTO t SELECT 1");
    }

    #[tokio::test]
    async fn a_process_is_terminated_killed_and_heard() {
        let installation = installation();
        let script = "trap 'echo bye >&2; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
        let mut daemon = shell(&installation, script);
        crate::wait_until("the trap is set", Duration::from_secs(5), async || {
            let said = daemon.stdout();
            if said == "ready\n" { Ok(()) } else { Err(said) }
        })
        .await;
        assert_eq!(daemon.terminate(Duration::from_secs(5)).await.code(), Some(7));
        assert_eq!(daemon.stderr(), "bye\n");
        let mut daemon = shell(&installation, "exec sleep 600");
        daemon.kill9();
        assert_eq!(daemon.ended().unwrap().signal(), Some(9));
        assert!(daemon.http("/healthz").await.is_err());
    }

    #[tokio::test]
    #[should_panic(expected = "some last words")]
    async fn a_deadline_shows_the_log() {
        let installation = installation();
        let mut daemon = shell(&installation, "echo some last words; exec sleep 600");
        daemon.wait(Duration::from_millis(300)).await;
    }

    #[test]
    fn http_answers_are_read_whole_and_in_chunks() {
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(parse_http(whole), Some((200, "hi".into())));
        let chunks =
            "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n";
        assert_eq!(parse_http(chunks), Some((503, "hi!".into())));
        assert_eq!(parse_http("nonsense"), None);
    }
}
