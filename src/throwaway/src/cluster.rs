//! One throwaway server: made, started, stopped, killed, removed.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::distr::Alphanumeric;
use regraft_core::{Code, Error, Result};
use tempfile::TempDir;
use tokio_postgres::{Client, Config, NoTls, error::SqlState};

use crate::account::{self, Account};
use crate::binaries::Binaries;
use crate::guard::Guard;
use crate::options::{Auth, ClusterOptions};

/// The superuser of every throwaway cluster.
const SUPERUSER: &str = "postgres";
/// How long a server may take to leave before it is killed.
const LEAVE: Duration = Duration::from_secs(10);
/// How often a condition of the server is looked at.
const POLL: Duration = Duration::from_millis(10);
/// `sockaddr_un` holds 104 bytes on macOS and 108 on Linux, with the closing zero.
const SOCKET_PATH_MAX: usize = 103;
/// Settings of the environment that would change what `initdb` and `postgres` do.
const ENVIRONMENT: [&str; 8] =
    ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGOPTIONS", "PGTZ", "LC_ALL"];

/// How a server is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Connections are closed and a checkpoint is written.
    Fast,
    /// Like a crash, but orderly for the operating system; the next start recovers.
    Immediate,
}

/// A running (or stopped) server in its own temporary folder. Dropping it ends the server and
/// removes the folder, unless [`Cluster::keep`] was called.
pub struct Cluster {
    folder: Option<TempDir>,
    data: PathBuf,
    binaries: Binaries,
    account: Account,
    port: u16,
    password: Option<String>,
    socket: bool,
    deadline: Duration,
    process: Mutex<Option<Child>>,
    guard: Mutex<Option<Guard>>,
}

impl Cluster {
    /// Makes a cluster, starts it and waits until it answers.
    ///
    /// # Errors
    /// [`Code::ThrowawayFailed`] with the end of the server's log.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        let binaries = match options.binaries.clone() {
            Some(binaries) => binaries,
            None => Binaries::find(None)?,
        };
        let (folder, account) = account::folder()?;
        let guard = Guard::over(folder.path());
        let mut cluster = Self {
            data: folder.path().join("data"),
            password: (options.auth == Auth::Scram).then(random_password),
            socket: folder.path().join(".s.PGSQL.65535").as_os_str().len() <= SOCKET_PATH_MAX,
            folder: Some(folder),
            binaries,
            account,
            port: 0,
            deadline: options.deadline,
            process: Mutex::new(None),
            guard: Mutex::new(guard),
        };
        cluster.initialise(&options).await?;
        cluster.configure(&options)?;
        cluster.find_port_and_start().await?;
        Ok(cluster)
    }

    async fn initialise(&self, options: &ClusterOptions) -> Result<()> {
        let mut command = self.command("initdb");
        command.args(["--no-sync", "-U", SUPERUSER, "-E", "UTF8", "--auth-local=trust"]);
        command.arg(format!("--locale={}", options.locale)).arg("-D").arg(&self.data);
        match &self.password {
            None => {
                command.arg("--auth-host=trust");
            }
            Some(password) => {
                let file = self.folder()?.join("password");
                self.install(&file, password)?;
                command.arg("--auth-host=scram-sha-256").arg("--pwfile").arg(file);
            }
        }
        let output = tokio::process::Command::from(command)
            .output()
            .await
            .map_err(|error| self.failed("initdb does not run").because(error))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(self.failed(format!("initdb failed: {said}")))
    }

    fn configure(&self, options: &ClusterOptions) -> Result<()> {
        let on_off = |value| if value { "on" } else { "off" };
        let socket = if self.socket { self.folder()?.display().to_string() } else { String::new() };
        let mut settings: Vec<(&str, String)> = vec![
            ("listen_addresses", "127.0.0.1".into()),
            ("unix_socket_directories", socket),
            ("unix_socket_permissions", "0700".into()),
            ("wal_level", options.wal_level.clone()),
            ("shared_buffers", options.shared_buffers.clone()),
            ("fsync", on_off(options.fsync).into()),
            ("max_wal_senders", "20".into()),
            ("max_replication_slots", "20".into()),
            ("max_connections", "100".into()),
            ("max_prepared_transactions", "20".into()),
            ("timezone", "UTC".into()),
            ("log_line_prefix", "%m [%p] %q%a ".into()),
        ];
        if let Some(tls) = &options.tls {
            self.install(&self.data.join("server.crt"), &tls.certificate)?;
            self.install(&self.data.join("server.key"), &tls.key)?;
            settings.push(("ssl", "on".into()));
        }
        if let Some(rules) = &options.pg_hba {
            let text = format!("local all all trust\n{rules}\n");
            self.install(&self.data.join("pg_hba.conf"), &text)?;
        }
        let given = options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let own = settings.iter().map(|(name, value)| (*name, value.as_str()));
        self.append_settings(own.chain(given))
    }

    async fn find_port_and_start(&mut self) -> Result<()> {
        let until = Instant::now() + self.deadline;
        loop {
            self.port = free_port()?;
            self.append_settings([("port", self.port.to_string().as_str())])?;
            match self.launch(until).await {
                // Between the look and the start, somebody else took the port.
                Err(Refusal::PortTaken(_)) if Instant::now() < until => {}
                result => return result.map_err(Refusal::into_error),
            }
        }
    }

    /// Starts a stopped or killed server again, with the same port and data, and waits until it
    /// answers.
    ///
    /// # Errors
    /// [`Code::ThrowawayFailed`] with the end of the server's log.
    pub async fn start_again(&self) -> Result<()> {
        let until = Instant::now() + self.deadline;
        if self.is_running() {
            return Ok(());
        }
        loop {
            match self.launch(until).await {
                // Backends of a killed server leave a moment later than their postmaster.
                Err(Refusal::PortTaken(_) | Refusal::StillLeaving(_)) if Instant::now() < until => {
                    tokio::time::sleep(POLL).await;
                }
                result => return result.map_err(Refusal::into_error),
            }
        }
    }

    async fn launch(&self, until: Instant) -> Result<(), Refusal> {
        let log_path = self.log_path().map_err(Refusal::Other)?;
        let opened = OpenOptions::new().create(true).append(true).open(&log_path);
        let log = opened.map_err(|error| self.io(&log_path, error))?;
        let begin = log.metadata().map_or(0, |data| data.len());
        let errors = log.try_clone().map_err(|error| self.io(&log_path, error))?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(&self.data).stdin(Stdio::null()).stdout(log).stderr(errors);
        // Its own group: Ctrl-C in the demo stops the daemon first, and the server after it.
        command.process_group(0);
        let child = command
            .spawn()
            .map_err(|error| self.failed("the server does not start").because(error))?;
        *self.process() = Some(child);
        loop {
            if !self.is_running() {
                return Err(self.refusal(&read_from(&log_path, begin)));
            }
            if self.answers().await {
                return Ok(());
            }
            if Instant::now() >= until {
                let error = self.failed(format!(
                    "the server does not answer within {} s; its log ends with: {}",
                    self.deadline.as_secs(),
                    self.log_tail(20)
                ));
                self.end(LEAVE);
                return Err(Refusal::Other(error));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn refusal(&self, log: &str) -> Refusal {
        let lines: Vec<_> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join(" | ");
        let error = self.failed(format!("the server ended while it started; its log says: {tail}"));
        if log.contains("could not bind IPv4 address") {
            Refusal::PortTaken(error)
        } else if log.contains("is still in use") || log.contains("lock file \"postmaster.pid\"") {
            Refusal::StillLeaving(error)
        } else {
            Refusal::Other(error)
        }
    }

    /// Whether the server accepts connections. A refusal by `pg_hba.conf` is an answer too.
    async fn answers(&self) -> bool {
        let connecting = self.config(SUPERUSER).connect(NoTls).await;
        match connecting {
            Ok(_) => true,
            Err(error) => error.code().is_some_and(|code| *code != SqlState::CANNOT_CONNECT_NOW),
        }
    }

    /// Connects as the superuser, through the Unix socket where there is one, so that a test's
    /// `pg_hba.conf` cannot lock it out.
    ///
    /// # Errors
    /// [`Code::Unreachable`].
    pub async fn client(&self, database: &str) -> Result<Client> {
        connect_with(&self.config(database)).await
    }

    fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.user(SUPERUSER).dbname(database).port(self.port);
        config.connect_timeout(Duration::from_secs(5)).application_name("regraft-throwaway");
        if let Some(password) = &self.password {
            config.password(password);
        }
        match &self.folder {
            Some(folder) if self.socket => config.host_path(folder.path()),
            _ => config.host("127.0.0.1"),
        };
        config
    }

    /// Makes an empty database.
    ///
    /// # Errors
    /// [`Code::ThrowawayFailed`] if there is one of this name already.
    pub async fn create_database(&self, name: &str) -> Result<()> {
        let quoted = name.replace('"', "\"\"");
        let client = self.client(SUPERUSER).await?;
        client
            .batch_execute(&format!("CREATE DATABASE \"{quoted}\""))
            .await
            .map_err(|error| self.failed("cannot create the database").because(error))
    }

    /// The address of a database for the superuser, with the password if there is one.
    pub fn url(&self, database: &str) -> String {
        let password = self.password.as_ref().map(|word| format!(":{word}")).unwrap_or_default();
        format!("postgres://{SUPERUSER}{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1; it stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The random password of the superuser with [`Auth::Scram`].
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The process id of the postmaster, while it runs.
    pub fn pid(&self) -> Option<u32> {
        if self.is_running() { self.process().as_ref().map(Child::id) } else { None }
    }

    /// Whether the postmaster runs.
    pub fn is_running(&self) -> bool {
        let mut process = self.process();
        let runs = process.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
        if !runs {
            *process = None;
        }
        runs
    }

    /// The data folder.
    pub fn data_folder(&self) -> &Path {
        &self.data
    }

    /// The programs that the cluster runs with.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Stops the server and waits until it is gone.
    ///
    /// # Errors
    /// [`Code::ThrowawayFailed`] if it does not stop in time; it is killed then.
    pub async fn stop(&self, mode: StopMode) -> Result<()> {
        let signal = match mode {
            StopMode::Fast => "INT",
            StopMode::Immediate => "QUIT",
        };
        self.signal(signal)?;
        let until = Instant::now() + self.deadline;
        while self.is_running() {
            if Instant::now() >= until {
                self.end(Duration::ZERO);
                let tail = self.log_tail(20);
                let what = format!("the server does not stop; its log ends with: {tail}");
                return Err(self.failed(what));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Stops the server and starts it again.
    ///
    /// # Errors
    /// As [`Cluster::stop`] and [`Cluster::start_again`].
    pub async fn restart(&self, mode: StopMode) -> Result<()> {
        self.stop(mode).await?;
        self.start_again().await
    }

    /// Kills the postmaster with SIGKILL: its backends notice and leave by themselves.
    /// [`Cluster::start_again`] waits for them.
    pub fn kill9(&self) {
        self.end(Duration::ZERO);
    }

    /// Writes settings and lets the server read them again. Those that need a restart wait for one.
    ///
    /// # Errors
    /// [`Code::ThrowawayFailed`] if the file cannot be written or the server does not run.
    pub fn reload_with(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.append_settings(settings.iter().copied())?;
        self.signal("HUP")
    }

    /// Writes settings without a reload: for the next start.
    ///
    /// # Errors
    /// [`Code::ThrowawayFailed`] if the file cannot be written.
    pub fn configure_next(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.append_settings(settings.iter().copied())
    }

    /// Replaces `pg_hba.conf`, except for the Unix socket, and lets the server read it again.
    ///
    /// # Errors
    /// [`Code::ThrowawayFailed`] if the file cannot be written or the server does not run.
    pub fn replace_pg_hba(&self, rules: &str) -> Result<()> {
        let text = format!("local all all trust\n{rules}\n");
        self.install(&self.data.join("pg_hba.conf"), &text)?;
        self.signal("HUP")
    }

    /// The last lines of the server's log, in one line.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = self.log_path().map(|path| read_from(&path, 0)).unwrap_or_default();
        let all: Vec<_> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join(" | ")
    }

    /// Leaves the server running and its folder in place when this value is dropped.
    /// Returns the folder.
    pub fn keep(mut self) -> PathBuf {
        if let Some(guard) = self.guard.lock().unwrap_or_else(PoisonError::into_inner).take() {
            guard.dismiss();
        }
        *self.process() = None;
        self.folder.take().map(TempDir::keep).unwrap_or_default()
    }

    /// Sends a signal to the postmaster by `pg_ctl`, which asks for the recorded process only.
    fn signal(&self, name: &str) -> Result<()> {
        let Some(pid) = self.pid() else { return Err(self.failed("the server does not run")) };
        let mut command = self.command("pg_ctl");
        command.arg("kill").arg(name).arg(pid.to_string());
        match command.output() {
            Ok(output) if output.status.success() => Ok(()),
            // It may have ended by itself just now, which is what a stop asks for.
            Ok(_) if !self.is_running() => Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(self.failed(format!("the server cannot be signalled: {said}")))
            }
            Err(error) => Err(self.failed("pg_ctl does not run").because(error)),
        }
    }

    /// Ends the postmaster without a runtime: politely within `patience`, else with SIGKILL.
    fn end(&self, patience: Duration) {
        if !patience.is_zero() && self.signal("QUIT").is_ok() {
            let until = Instant::now() + patience;
            while self.is_running() && Instant::now() < until {
                std::thread::sleep(POLL);
            }
        }
        if let Some(mut child) = self.process().take()
            && child.kill().is_ok()
        {
            child.wait().ok();
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        // A panic of a test must not keep the destructor from ending the server.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.program(program));
        for name in ENVIRONMENT {
            command.env_remove(name);
        }
        // The server's account may not enter the caller's folder.
        command.current_dir(self.data.parent().unwrap_or(Path::new("/")));
        self.account.apply(&mut command);
        command
    }

    fn folder(&self) -> Result<&Path> {
        self.folder.as_ref().map(TempDir::path).ok_or_else(|| self.failed("the folder is gone"))
    }

    fn log_path(&self) -> Result<PathBuf> {
        Ok(self.folder()?.join("server.log"))
    }

    /// Writes a file that only the server's account may read, as it demands of keys.
    fn install(&self, path: &Path, text: &str) -> Result<()> {
        let write = || {
            // Closed to others before the secret is in it.
            let mut file = File::create(path)?;
            file.set_permissions(PermissionsExt::from_mode(0o600))?;
            file.write_all(text.as_bytes())
        };
        write().map_err(|error| self.io(path, error))?;
        self.account.own(path)
    }

    fn append_settings<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<()> {
        let path = self.data.join("postgresql.conf");
        let mut text = String::new();
        for (name, value) in settings {
            text.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| self.io(&path, error))
    }

    fn failed(&self, what: impl Into<String>) -> Error {
        Error::new(Code::ThrowawayFailed, what).at(self.binaries.folder().display().to_string())
    }

    fn io(&self, path: &Path, error: std::io::Error) -> Error {
        Error::new(Code::ThrowawayFailed, "a file of the throwaway server cannot be used")
            .at(path.display().to_string())
            .because(error)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.folder.is_none() {
            return;
        }
        self.end(LEAVE);
        drop(self.folder.take());
        if let Some(guard) = self.guard.lock().unwrap_or_else(PoisonError::into_inner).take() {
            guard.dismiss();
        }
    }
}

/// Why a start did not succeed.
enum Refusal {
    PortTaken(Error),
    StillLeaving(Error),
    Other(Error),
}

impl Refusal {
    fn into_error(self) -> Error {
        match self {
            Refusal::PortTaken(error) | Refusal::StillLeaving(error) | Refusal::Other(error) => {
                error
            }
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Other(error)
    }
}

/// Connects to a throwaway server without TLS; the connection is driven by a task of its own.
///
/// # Errors
/// [`Code::Unreachable`].
pub async fn connect(url: &str) -> Result<Client> {
    let config: Config = url.parse().map_err(|error: tokio_postgres::Error| unreachable(error))?;
    connect_with(&config).await
}

async fn connect_with(config: &Config) -> Result<Client> {
    let (client, connection) = config.connect(NoTls).await.map_err(unreachable)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a throwaway server ended");
        }
    });
    Ok(client)
}

fn unreachable(error: tokio_postgres::Error) -> Error {
    Error::new(Code::Unreachable, "cannot connect to the throwaway server").because(error)
}

fn random_password() -> String {
    rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect()
}

/// A port that is free now. Those below the range that systems give to outgoing connections are
/// preferred: a stopped server's port is then still free when it starts again. Somebody else may take
/// it before the caller does.
///
/// # Errors
/// [`Code::ThrowawayFailed`] if there is none.
pub fn free_port() -> Result<u16> {
    let mut random = rand::rng();
    let bind = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port));
    let below =
        (0..50).map(|_| random.random_range(15_000..32_000)).find(|port| bind(*port).is_ok());
    match below {
        Some(port) => Ok(port),
        None => bind(0)
            .and_then(|listener| listener.local_addr())
            .map(|address| address.port())
            .map_err(|error| Error::new(Code::ThrowawayFailed, "no port is free").because(error)),
    }
}

fn read_from(path: &Path, begin: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(begin))?;
        file.read_to_end(&mut bytes)
    });
    if read.is_err() {
        return String::new();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
