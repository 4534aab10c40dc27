//! The pipeline between two servers in memory, under schedules that a seed chooses: when calls answer and fail,
//! when daemons are killed, when machines stop, and what the application does meanwhile. Time is that of the
//! runtime and passes by itself, so that minutes take milliseconds. Each schedule has to end with the target
//! equal to the source. A share of them takes a log in place of the net effect, which has to be in order and whole.
//!
//! `SCHEDULES=n` runs so many, `SCHEDULE=seed` only that one.

mod history;
mod load;
mod world;

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use regraft_core::row::put_value;
use regraft_core::verify::Request;
use regraft_core::{Error, Form, Gives, Position, Result, Row, TableName, Takes};
use regraft_memory::{Chances, Database, MemoryPair, MemorySource, MemoryTarget, Store, Weather};
use regraft_pipeline::{Ending, Ends, Fan, Options, Progress, Room, Tap, VerifyOptions, run};
use tokio_util::sync::CancellationToken;

use crate::load::Load;
use crate::world::{Statements, plan, tables, takes};

/// In each run of the tests.
const SCHEDULES: u64 = 10_000;
/// A schedule that has not ended by then never will.
const PATIENCE: Duration = Duration::from_secs(600);

/// The servers, and what was chosen for them.
struct World {
    database: Database,
    source_weather: Weather,
    /// One or several, which then share a stream.
    legs: Vec<Leg>,
    room: Room,
    statements: Statements,
    gives: Gives,
    options: Options,
    /// Where the store began.
    from: Position,
}

/// One target.
struct Leg {
    store: Store,
    weather: Weather,
    takes: Takes,
    /// For how long it is there, and away, by turns; then it stays.
    lives: Vec<Duration>,
}

impl World {
    /// With rows in the source, and perhaps transactions that are open.
    fn of(rng: &mut SmallRng) -> (World, Load) {
        let count = [1, 1, 1, 1, 1, 1, 2, 3][rng.random_range(0..8)];
        let mut kind = || takes(rng.random_range(0..4), rng.random_bool(0.4));
        let kinds: Vec<_> = (0..count).map(|_| kind()).collect();
        let gives = Gives { reads: rng.random_bool(0.9) };
        let counted = kinds.iter().all(|takes| takes.transactions) && gives.reads;
        let statements = Statements { counted, read: gives.reads, whole: rng.random_bool(0.25) };
        let database = Database::new(tables(statements));
        let empty = database.end();
        let mut load = Load::of(database.clone(), counted, rng.random());
        (0..rng.random_range(0..12)).for_each(|_| load.step());
        // What cannot be read has to come by the stream.
        let from = if gives.reads { database.end() } else { empty };
        let chances = Chances {
            before: rng.random_range(0..12),
            after: rng.random_range(0..12),
            late: Duration::from_millis([0, 5, 50, 400][rng.random_range(0..4)]),
        };
        let mut leg = |takes| {
            let (plan, targets) = plan(statements);
            let turns = if count > 1 { rng.random_range(0..6) } else { 0 };
            Leg {
                store: Store::new(plan.routes, targets, from.clone()),
                weather: Weather::of_seed(rng.random(), chances),
                takes,
                lives: (0..turns)
                    .map(|_| Duration::from_millis(rng.random_range(0..1500)))
                    .collect(),
            }
        };
        let legs = kinds.into_iter().map(&mut leg).collect();
        let fastest = 1 << rng.random_range(6..12);
        let room = Room { fastest, slower: fastest << rng.random_range(0..3) };
        let options = Options {
            batch_rows: rng.random_range(1..12),
            batch_bytes: 1 << 20,
            batch_age: Duration::from_millis(rng.random_range(0..200)),
            backfill: true,
            readers: rng.random_range(1..4),
            chunk_rows: rng.random_range(1..6),
            chunk_bytes: 1 << rng.random_range(5..12),
            rows_per_second: None,
            until_caught_up: false,
            verify: (gives.reads && rng.random_bool(0.3)).then(|| VerifyOptions {
                enabled: true,
                rows_per_second: 1000,
                source_share: 0.5,
                chunk_rows: rng.random_range(1..6),
                repairs_per_hour: Some(u64::MAX),
                due: Duration::from_secs(60),
                since: SystemTime::now(),
            }),
        };
        let world = World {
            database,
            source_weather: Weather::of_seed(rng.random(), chances),
            legs,
            room,
            statements,
            gives,
            options,
            from,
        };
        (world, load)
    }

    /// A daemon, until it is told to stop, or an error ends one of its pipelines.
    async fn daemon(&self, cancel: &CancellationToken) -> Result<Ending> {
        let names = (0..self.legs.len()).map(|leg| (Some(leg.to_string()), None));
        let fan = Fan::new(names, self.room);
        let legs = (0..self.legs.len()).map(|leg| Box::pin(self.pipeline(leg, &fan, cancel)));
        futures_util::future::select_all(legs).await.0
    }

    /// The pipeline into one of the targets, which is killed and started again.
    async fn pipeline(&self, leg: usize, fan: &Fan, cancel: &CancellationToken) -> Result<Ending> {
        for lives in self.legs[leg].lives.chunks(2) {
            tokio::select! {
                ended = self.attempts(leg, fan, cancel) => return ended,
                () = tokio::time::sleep(lives[0]) => {}
            }
            tokio::time::sleep(lives.get(1).copied().unwrap_or_default()).await;
        }
        self.attempts(leg, fan, cancel).await
    }

    async fn attempts(&self, leg: usize, fan: &Fan, cancel: &CancellationToken) -> Result<Ending> {
        let Leg { store, weather, takes, .. } = &self.legs[leg];
        let mut plan = plan(self.statements).0;
        let source = MemorySource {
            database: self.database.clone(),
            weather: self.source_weather.clone(),
            gives: self.gives,
        };
        let mut ends = Ends {
            source: if self.legs.len() > 1 { fan.tap(leg, source) } else { Tap::alone(source) },
            target: MemoryTarget { store: store.clone(), weather: weather.clone(), takes: *takes },
            pair: MemoryPair {
                database: self.database.clone(),
                store: store.clone(),
                weather: weather.clone(),
            },
        };
        let progress = Progress::new(&plan, Vec::new(), None);
        run(&mut ends, &mut plan, &self.options, &progress.reporter(), cancel).await
    }

    /// The target has everything that the source had at this moment; where somebody has changed its rows, that has
    /// been found and mended, and a comparison that is asked for comes to its end.
    async fn settled(&self, Leg { store, .. }: &Leg) {
        let asked = self
            .options
            .verify
            .is_some()
            .then(|| store.request(Request { repair: true, ..Request::default() }));
        let end = self.database.end();
        let mended = || self.options.verify.is_none() || self.database.expected() == store.rows();
        let copied = || !self.gives.reads || store.is_complete();
        while !(store.position().covers(&end) && copied() && mended()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        while asked.is_some_and(|asked| !matches!(store.verdict(asked), Some(Ok(_)))) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A source table is copied anew from some position on.
    fn recopy(&self, rng: &mut SmallRng) -> Anew {
        let tables = plan(self.statements).0.tables;
        let (table, from) = (&tables[rng.random_range(0..tables.len())].table, self.database.end());
        let leg = rng.random_range(0..self.legs.len());
        self.legs[leg].store.begin_anew(table, from.clone());
        Anew { leg, table: table.clone(), from }
    }

    /// Somebody changes rows of the target: takes one away, changes one, or puts one there that nothing gives.
    fn tamper(&self, rng: &mut SmallRng) {
        let store = &self.legs[rng.random_range(0..self.legs.len())].store;
        // Rows without a key cannot be mended by key.
        let statements = store.rows();
        let at = [0, 1, statements.len() - 1][rng.random_range(0..3)];
        let Some(row) = statements[at].first().cloned() else { return };
        let mut cells: Vec<_> = Row(&row).cells().map(Option::unwrap_or_default).collect();
        let (other, last) = ([rng.random_range(0..16)], cells.len() - 1);
        match rng.random_range(0..3) {
            0 => return store.tamper(at, &row, false),
            1 => cells[last] = &other,
            _ => cells[0] = &other,
        }
        let mut changed = Vec::new();
        cells.into_iter().for_each(|cell| put_value(&mut changed, cell));
        store.tamper(at, &changed, true);
    }
}

/// A source table whose changes before a position do not count any more.
struct Anew {
    leg: usize,
    table: TableName,
    from: Position,
}

/// One schedule. `Err` says what is wrong.
async fn schedule(seed: u64) -> std::result::Result<(), String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let (world, mut load) = World::of(&mut rng);
    let steps = rng.random_range(1..30);
    let pause = [1, 20, 200][rng.random_range(0..3)];
    let application = tokio::spawn(async move {
        for _ in 0..steps {
            load.step();
            tokio::time::sleep(Duration::from_millis(load.below(pause))).await;
        }
        load.ends();
    });
    let failed = |error: Error| Err(format!("the daemon ended: {error:#}"));
    let mut anew = Vec::new();
    for _ in 0..rng.random_range(0..5) {
        let lives = Duration::from_millis(rng.random_range(0..2000));
        let cancel = CancellationToken::new();
        tokio::select! {
            ended = world.daemon(&cancel) => if let Err(error) = ended { return failed(error) },
            () = tokio::time::sleep(lives) => {}
        }
        for leg in &world.legs {
            if rng.random_bool(0.3) {
                leg.store.crash();
            }
        }
        if world.gives.reads && rng.random_bool(0.1) {
            anew.push(world.recopy(&mut rng));
        }
        if world.options.verify.is_some() && rng.random_bool(0.5) {
            world.tamper(&mut rng);
        }
    }
    world.source_weather.clears_up();
    world.legs.iter().for_each(|leg| leg.weather.clears_up());
    let cancel = CancellationToken::new();
    let settled = async {
        application.await.map_err(|error| error.to_string())?;
        futures_util::future::join_all(world.legs.iter().map(|leg| world.settled(leg))).await;
        Ok::<_, String>(())
    };
    tokio::select! {
        ended = world.daemon(&cancel) => match ended {
            Err(error) => return failed(error),
            Ok(ending) => return Err(format!("the daemon ended by itself: {ending:?}")),
        },
        settled = settled => settled?,
        () = tokio::time::sleep(PATIENCE) => {
            let told = |Leg { store, .. }: &Leg| {
                let complete = if store.is_complete() { "" } else { "not " };
                format!("{}, {complete}complete, {:?}", store.position(), store.noted())
            };
            let told: Vec<_> = world.legs.iter().map(told).collect();
            return Err(format!("the source is at {}, targets: {told:?}", world.database.end()));
        }
    }
    world.legs.iter().enumerate().try_for_each(|(at, leg)| {
        let anew: Vec<_> = anew.iter().filter(|anew| anew.leg == at).collect();
        compared(&world, leg, &anew).map_err(|wrong| format!("target {at}: {wrong}"))
    })
}

/// That a target is equal to the source.
fn compared(world: &World, leg: &Leg, anew: &[&Anew]) -> std::result::Result<(), String> {
    let Leg { store, takes, .. } = leg;
    let (expected, rows) = (world.database.expected(), store.rows());
    let Some(at) = expected.iter().zip(&rows).position(|(expected, rows)| expected != rows) else {
        return match takes.form {
            Form::Net => Ok(()),
            Form::Log => history::check(world, leg, anew),
        };
    };
    let only = |of: &[Vec<u8>], others: &[Vec<u8>]| -> Vec<_> {
        let only = of.iter().filter(|row| !others.contains(row));
        only.map(|row| Row(row).cells().map(Option::unwrap_or_default).collect::<Vec<_>>().concat())
            .collect()
    };
    let (missing, surplus) = (only(&expected[at], &rows[at]), only(&rows[at], &expected[at]));
    Err(format!("of statement {at} {missing:?} are missing, {surplus:?} surplus; {takes:?}"))
}

fn run_one(seed: u64) -> std::result::Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(schedule(seed))
}

#[test]
fn every_schedule_ends_equal() {
    if let Some(seed) = number("SCHEDULE") {
        run_one(seed).unwrap();
        return;
    }
    let (next, count) = (AtomicU64::new(0), number("SCHEDULES").unwrap_or(SCHEDULES));
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count {
                        return;
                    }
                    if let Err(wrong) = run_one(seed) {
                        next.store(count, Ordering::Relaxed);
                        panic!("SCHEDULE={seed}: {wrong}");
                    }
                }
            });
        }
    });
}

/// Of a source that cannot be asked, with these statements and a target that takes everything but patches.
async fn unasked(statements: Statements) -> (Result<Ending>, World) {
    let mut rng = SmallRng::seed_from_u64(1);
    let (mut world, _) = World::of(&mut rng);
    let database = Database::new(tables(statements));
    let from = database.end();
    let mut load = Load::of(database.clone(), statements.counted, 1);
    (0..40).for_each(|_| load.step());
    load.ends();
    let (plan, targets) = plan(statements);
    let takes = Takes { patches: false, ..Takes::EVERYTHING };
    let store = Store::new(plan.routes, targets, from.clone());
    world.legs = vec![Leg { store, weather: Weather::calm(), takes, lives: Vec::new() }];
    world.source_weather = Weather::calm();
    (world.database, world.from, world.statements) = (database, from, statements);
    world.gives = Gives { reads: false };
    (world.options.until_caught_up, world.options.verify) = (true, None);
    let ended = world.daemon(&CancellationToken::new()).await;
    (ended, world)
}

#[tokio::test(start_paused = true)]
async fn a_source_that_cannot_be_asked_is_followed_to_where_its_log_ends() {
    let (ended, world) = unasked(Statements { counted: false, read: false, whole: false }).await;
    assert_eq!(ended.unwrap(), Ending::CaughtUp);
    let store = &world.legs[0].store;
    assert_eq!(store.position(), world.database.end());
    assert_eq!(store.rows(), world.database.expected());
    assert!(store.rows().iter().any(|rows| !rows.is_empty()), "there is something to compare");
}

#[tokio::test(start_paused = true)]
async fn what_would_have_to_be_read_is_refused_where_the_source_cannot_be_asked() {
    for statements in [
        Statements { counted: true, read: false, whole: false },
        Statements { counted: false, read: true, whole: false },
    ] {
        let (ended, world) = unasked(statements).await;
        assert_eq!(ended.unwrap_err().code(), regraft_core::Code::SourceCannotGive);
        assert!(world.legs[0].store.rows().iter().all(Vec::is_empty), "before anything runs");
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
