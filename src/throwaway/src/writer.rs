//! An application at work: random transactions against an example's source table.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

use crate::cluster::connect;
use crate::example::Example;
use crate::operations::{self, Kind, Operation};

/// A transaction that hangs longer (a server that is frozen, a standby that never answers) is given
/// up with its connection.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts to reach a server that restarts.
const AGAIN: Duration = Duration::from_millis(50);

/// How the writer works.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Where the random choices begin. Connections race, so the result is not the same every time.
    pub seed: u64,
    /// Concurrent connections.
    pub connections: usize,
    /// Transactions per second over all connections; as fast as possible if not given.
    pub rate: Option<u32>,
    /// Whether primary keys move.
    pub key_moves: bool,
    /// Whether the table is truncated now and then (and refilled a little).
    pub truncates: bool,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { seed: 1, connections: 2, rate: None, key_moves: true, truncates: false }
    }
}

/// What the writer has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriterReport {
    /// Transactions whose commit was confirmed.
    pub transactions: u64,
    /// Rows inserted, updated and deleted by them; a TRUNCATE counts as one.
    pub changes: u64,
    /// Transactions rolled back on purpose.
    pub rollbacks: u64,
    /// TRUNCATEs among the confirmed transactions.
    pub truncates: u64,
    /// Transactions given up for a reason that passes: deadlock, lost connection, restart.
    pub interruptions: u64,
    /// Statements that the server refused for another reason: a defect of the writer or the schema.
    pub errors: u64,
    /// The first of these: SQLSTATE and message.
    pub first_error: Option<String>,
}

/// A running writer. Dropping it aborts its connections; [`Writer::stop`] ends them in order.
pub struct Writer {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    transactions: AtomicU64,
    changes: AtomicU64,
    rollbacks: AtomicU64,
    truncates: AtomicU64,
    interruptions: AtomicU64,
    errors: AtomicU64,
    first_error: Mutex<Option<String>>,
}

impl Writer {
    /// Starts the connections; they keep trying while the server is away.
    pub fn start(url: &str, example: Example, options: WriterOptions) -> Self {
        let shared = Arc::new(Shared::default());
        let connections = options.connections.max(1);
        let tasks = (0..connections)
            .map(|index| {
                let session = Session {
                    url: url.to_owned(),
                    operations: operations::all(example),
                    random: StdRng::seed_from_u64(options.seed.wrapping_add(index as u64)),
                    pause: options.rate.map(|rate| {
                        Duration::from_secs_f64(connections as f64 / f64::from(rate.max(1)))
                    }),
                    options: options.clone(),
                    shared: Arc::clone(&shared),
                };
                tokio::spawn(session.run())
            })
            .collect();
        Self { shared, tasks }
    }

    /// What was done until now.
    pub fn report(&self) -> WriterReport {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let first_error = self.shared.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        WriterReport {
            transactions: read(&self.shared.transactions),
            changes: read(&self.shared.changes),
            rollbacks: read(&self.shared.rollbacks),
            truncates: read(&self.shared.truncates),
            interruptions: read(&self.shared.interruptions),
            errors: read(&self.shared.errors),
            first_error: first_error.clone(),
        }
    }

    /// Lets every connection finish its transaction, closes them and says what was done.
    pub async fn stop(mut self) -> WriterReport {
        self.shared.stop.store(true, Ordering::Relaxed);
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = task.await {
                self.shared.note(format!("a connection of the writer broke down: {error}"));
            }
        }
        self.report()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Shared {
    fn note(&self, text: String) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(text);
    }
}

/// One connection's work.
struct Session {
    url: String,
    operations: Vec<Operation>,
    random: StdRng,
    pause: Option<Duration>,
    options: WriterOptions,
    shared: Arc<Shared>,
}

/// A transaction: what it does, and whether it is to stand.
struct Plan {
    steps: Vec<Step>,
    commit: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// A statement of this kind.
    Do(Kind),
    /// `SAVEPOINT`, `RELEASE` and the like.
    Say(&'static str),
    /// Inserts a row and deletes it.
    ComeAndGo,
    /// Deletes a row and inserts another one under its key.
    Replace,
}

/// Prepared statements, in the order of the operations.
struct Connection {
    client: Client,
    statements: Vec<Statement>,
}

impl Session {
    async fn run(mut self) {
        let mut connection = None;
        let mut clock = self.pause.map(tokio::time::interval);
        if let Some(clock) = &mut clock {
            // No burst after the server was away.
            clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        }
        while !self.shared.stop.load(Ordering::Relaxed) {
            if let Some(clock) = &mut clock {
                clock.tick().await;
            }
            let Some(open) = &connection else {
                connection = self.open().await;
                if connection.is_none() {
                    tokio::time::sleep(AGAIN).await;
                }
                continue;
            };
            let plan = self.plan();
            let worked = tokio::time::timeout(PATIENCE, self.transact(open, &plan)).await;
            let healthy = match worked {
                Ok(Ok(())) => true,
                Ok(Err(error)) => self.judge(open, &error).await,
                Err(_) => {
                    self.shared.interruptions.fetch_add(1, Ordering::Relaxed);
                    false
                }
            };
            if !healthy {
                connection = None;
            }
        }
    }

    async fn open(&self) -> Option<Connection> {
        let opened = tokio::time::timeout(PATIENCE, async {
            let client = connect(&self.url).await.map_err(|error| error.to_string())?;
            let mut statements = Vec::with_capacity(self.operations.len());
            for operation in &self.operations {
                let types = [Type::TEXT, Type::INT8, Type::INT8];
                match client.prepare_typed(&operation.sql, &types).await {
                    Ok(statement) => statements.push(statement),
                    Err(error) if passes(&error) => return Err(error.to_string()),
                    Err(error) => {
                        self.shared.note(describe(&error));
                        return Err(error.to_string());
                    }
                }
            }
            Ok(Connection { client, statements })
        });
        opened.await.ok().and_then(Result::ok)
    }

    /// Counts the error, and says whether the connection can go on.
    async fn judge(&self, connection: &Connection, error: &tokio_postgres::Error) -> bool {
        if passes(error) {
            self.shared.interruptions.fetch_add(1, Ordering::Relaxed);
        } else {
            self.shared.note(describe(error));
        }
        let rolled_back =
            tokio::time::timeout(PATIENCE, connection.client.batch_execute("ROLLBACK"));
        !connection.client.is_closed() && matches!(rolled_back.await, Ok(Ok(())))
    }

    fn plan(&mut self) -> Plan {
        use Step::{ComeAndGo, Do, Replace, Say};
        let dice = self.random.random_range(0..1000);
        let (steps, commit) = match dice {
            0..2 if self.options.truncates => {
                let mut steps =
                    vec![Do(Kind::Truncate), Do(Kind::InsertMany), Do(Kind::InsertMany)];
                if dice == 0 {
                    steps.splice(0..0, [Do(Kind::Insert), Do(Kind::UpdateMany)]);
                }
                (steps, true)
            }
            2..4 if self.options.truncates => (vec![Do(Kind::Truncate), Do(Kind::Insert)], false),
            0..500 => (vec![Do(self.small())], true),
            500..720 => (self.several(), true),
            720..800 => {
                let many = [Kind::InsertMany, Kind::UpdateMany, Kind::UpdateMany, Kind::DeleteMany];
                (vec![Do(many[dice % 4]), Do(self.small())], true)
            }
            800..850 => (self.several(), false),
            850..900 => {
                let mut steps = vec![Do(self.small()), Say("SAVEPOINT a")];
                steps.extend(self.several());
                steps.extend([Say("ROLLBACK TO SAVEPOINT a"), Do(self.small())]);
                (steps, true)
            }
            900..920 => {
                let mut steps = vec![Say("SAVEPOINT a"), Do(self.small()), Say("SAVEPOINT b")];
                steps.extend(self.several());
                steps.extend([Say("ROLLBACK TO SAVEPOINT b"), Do(self.small())]);
                steps.extend([Say("RELEASE SAVEPOINT a"), Do(self.small())]);
                (steps, true)
            }
            920..960 => (vec![ComeAndGo, Do(self.small())], true),
            _ => (vec![Replace, Do(self.small())], true),
        };
        Plan { steps, commit }
    }

    fn several(&mut self) -> Vec<Step> {
        let number = self.random.random_range(2..=10);
        (0..number).map(|_| Step::Do(self.small())).collect()
    }

    /// A statement that touches one row; the table keeps its size in the long run.
    fn small(&mut self) -> Kind {
        match self.random.random_range(0..100) {
            0..18 => Kind::Insert,
            18..30 => Kind::Delete,
            30..38 if self.options.key_moves => Kind::MoveKey,
            _ => Kind::Update,
        }
    }

    async fn transact(
        &mut self,
        connection: &Connection,
        plan: &Plan,
    ) -> Result<(), tokio_postgres::Error> {
        let alone = plan.commit && matches!(plan.steps.as_slice(), [Step::Do(_)]);
        if !alone {
            connection.client.batch_execute("BEGIN").await?;
        }
        // What stood at each open savepoint: rolling back to it takes the later changes away.
        let mut marks: Vec<u64> = Vec::new();
        let mut changes = 0;
        for step in &plan.steps {
            match step {
                Step::Do(kind) => changes += self.execute(connection, *kind, None).await?,
                Step::Say(text) => {
                    connection.client.batch_execute(text).await?;
                    if text.starts_with("SAVEPOINT") {
                        marks.push(changes);
                    } else if text.starts_with("ROLLBACK") {
                        changes = marks.last().copied().unwrap_or(0);
                    }
                }
                Step::ComeAndGo => {
                    let key = self.uuid();
                    changes += self.execute(connection, Kind::Insert, Some(&key)).await?;
                    changes += self.execute(connection, Kind::DeleteExactly, Some(&key)).await?;
                }
                Step::Replace => changes += self.replace(connection).await?,
            }
        }
        let end = if plan.commit { "COMMIT" } else { "ROLLBACK" };
        if !alone {
            connection.client.batch_execute(end).await?;
        }
        if plan.commit {
            self.shared.transactions.fetch_add(1, Ordering::Relaxed);
            self.shared.changes.fetch_add(changes, Ordering::Relaxed);
            if plan.steps.iter().any(|step| matches!(step, Step::Do(Kind::Truncate))) {
                self.shared.truncates.fetch_add(1, Ordering::Relaxed);
            }
        } else {
            self.shared.rollbacks.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Runs a random statement of the kind and returns how many rows it changed.
    async fn execute(
        &mut self,
        connection: &Connection,
        kind: Kind,
        key: Option<&str>,
    ) -> Result<u64, tokio_postgres::Error> {
        let statement = self.statement(connection, kind);
        let Some(statement) = statement else { return Ok(0) };
        let key = key.map_or_else(|| self.uuid(), str::to_owned);
        let (dice, rows) = self.dice(kind);
        let changed = connection.client.execute(statement, &[&key, &dice, &rows]).await?;
        Ok(if kind == Kind::Truncate { 1 } else { changed })
    }

    async fn replace(&mut self, connection: &Connection) -> Result<u64, tokio_postgres::Error> {
        let Some(lock) = self.statement(connection, Kind::Lock) else { return Ok(0) };
        let found = connection.client.query_opt(lock, &[&self.uuid(), &0_i64, &0_i64]).await?;
        let Some(row) = found else { return Ok(0) };
        let key: String = row.try_get(0)?;
        let gone = self.execute(connection, Kind::DeleteExactly, Some(&key)).await?;
        let come = self.execute(connection, Kind::Insert, Some(&key)).await?;
        Ok(gone + come)
    }

    fn statement<'a>(&mut self, connection: &'a Connection, kind: Kind) -> Option<&'a Statement> {
        let operations = self.operations.iter().zip(&connection.statements);
        let fitting: Vec<_> = operations
            .filter(|(operation, _)| operation.kind == kind)
            .map(|(_, statement)| statement)
            .collect();
        let index = self.random.random_range(0..fitting.len().max(1));
        fitting.get(index).copied()
    }

    fn dice(&mut self, kind: Kind) -> (i64, i64) {
        let rows = match kind {
            // Fewer than the inserts bring, so that the table does not shrink away.
            Kind::DeleteMany => self.random.random_range(10..=100),
            _ => self.random.random_range(10..=200),
        };
        (self.random.random_range(0..1_000_000_000_000_000), rows)
    }

    fn uuid(&mut self) -> String {
        format!("{:032x}", self.random.random::<u128>())
    }
}

/// Whether the next attempt may succeed: a conflict with another transaction, or the server went
/// away under it.
fn passes(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else { return true };
    let conflicts = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
        SqlState::TOO_MANY_CONNECTIONS,
    ];
    // Class 57P: the server stops or starts; class 08: the connection.
    conflicts.contains(code) || code.code().starts_with("57P") || code.code().starts_with("08")
}

fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        // Without the detail, which holds values.
        Some(error) => format!("{} {}", error.code().code(), error.message()),
        None => error.to_string(),
    }
}
