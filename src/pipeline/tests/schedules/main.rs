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
use regraft_core::{Error, Form, Position, Result, Row, TableName};
use regraft_memory::{Chances, Database, MemoryPair, MemorySource, MemoryTarget, Store, Weather};
use regraft_pipeline::{Ending, Ends, Options, Progress, VerifyOptions, run};
use tokio_util::sync::CancellationToken;

use crate::load::Load;
use crate::world::{plan, tables, takes};

/// In each run of the tests.
const SCHEDULES: u64 = 10_000;
/// A schedule that has not ended by then never will.
const PATIENCE: Duration = Duration::from_secs(600);

/// Both servers, and what was chosen for them.
struct World {
    database: Database,
    store: Store,
    source_weather: Weather,
    target_weather: Weather,
    takes: regraft_core::Takes,
    counted: bool,
    /// Old images of lists are whole.
    whole: bool,
    options: Options,
    /// Where the store began.
    from: Position,
}

impl World {
    /// With rows in the source, and perhaps transactions that are open.
    fn of(rng: &mut SmallRng) -> (World, Load) {
        let takes = takes(rng.random_range(0..4), rng.random_bool(0.4));
        let (counted, whole) = (takes.transactions, rng.random_bool(0.25));
        let database = Database::new(tables(counted, whole));
        let mut load = Load::of(database.clone(), counted, rng.random());
        (0..rng.random_range(0..12)).for_each(|_| load.step());
        let (plan, targets) = plan(counted);
        let from = database.end();
        let store = Store::new(plan.routes, targets, from.clone());
        let chances = Chances {
            before: rng.random_range(0..12),
            after: rng.random_range(0..12),
            late: Duration::from_millis([0, 5, 50, 400][rng.random_range(0..4)]),
        };
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
            verify: rng.random_bool(0.3).then(|| VerifyOptions {
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
            store,
            source_weather: Weather::of_seed(rng.random(), chances),
            target_weather: Weather::of_seed(rng.random(), chances),
            takes,
            counted,
            whole,
            options,
            from,
        };
        (world, load)
    }

    /// A daemon, until it is told to stop, or an error ends it.
    async fn daemon(&self, cancel: &CancellationToken) -> Result<Ending> {
        let mut plan = plan(self.counted).0;
        let mut ends = Ends {
            source: MemorySource {
                database: self.database.clone(),
                weather: self.source_weather.clone(),
            },
            target: MemoryTarget {
                store: self.store.clone(),
                weather: self.target_weather.clone(),
                takes: self.takes,
            },
            pair: MemoryPair {
                database: self.database.clone(),
                store: self.store.clone(),
                weather: self.target_weather.clone(),
            },
        };
        let progress = Progress::new(&plan, Vec::new(), None);
        run(&mut ends, &mut plan, &self.options, &progress.reporter(), cancel).await
    }

    /// The target has everything that the source had at this moment; where somebody has changed its rows, that has
    /// been found and mended, and a comparison that is asked for comes to its end.
    async fn settled(&self) {
        let asked = self
            .options
            .verify
            .is_some()
            .then(|| self.store.request(Request { repair: true, ..Request::default() }));
        let end = self.database.end();
        let mended =
            || self.options.verify.is_none() || self.database.expected() == self.store.rows();
        while !(self.store.position().covers(&end) && self.store.is_complete() && mended()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        while asked.is_some_and(|asked| !matches!(self.store.verdict(asked), Some(Ok(_)))) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A source table is copied anew from some position on.
    fn recopy(&self, rng: &mut SmallRng) -> Anew {
        let tables = plan(self.counted).0.tables;
        let (table, from) = (&tables[rng.random_range(0..tables.len())].table, self.database.end());
        self.store.begin_anew(table, from.clone());
        Anew { table: table.clone(), from }
    }

    /// Somebody changes rows of the target: takes one away, changes one, or puts one there that nothing gives.
    fn tamper(&self, rng: &mut SmallRng) {
        // Rows without a key cannot be mended by key.
        let statements = self.store.rows();
        let at = [0, 1, statements.len() - 1][rng.random_range(0..3)];
        let Some(row) = statements[at].first().cloned() else { return };
        let mut cells: Vec<_> = Row(&row).cells().map(Option::unwrap_or_default).collect();
        let (other, last) = ([rng.random_range(0..16)], cells.len() - 1);
        match rng.random_range(0..3) {
            0 => return self.store.tamper(at, &row, false),
            1 => cells[last] = &other,
            _ => cells[0] = &other,
        }
        let mut changed = Vec::new();
        cells.into_iter().for_each(|cell| put_value(&mut changed, cell));
        self.store.tamper(at, &changed, true);
    }
}

/// A source table whose changes before a position do not count any more.
struct Anew {
    table: TableName,
    from: Position,
}

/// One schedule. `Err` says what is wrong.
async fn schedule(seed: u64) -> std::result::Result<(), String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let (world, mut load) = World::of(&mut rng);
    let steps = rng.random_range(1..40);
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
        if rng.random_bool(0.3) {
            world.store.crash();
        }
        if rng.random_bool(0.1) {
            anew.push(world.recopy(&mut rng));
        }
        if world.options.verify.is_some() && rng.random_bool(0.5) {
            world.tamper(&mut rng);
        }
    }
    world.source_weather.clears_up();
    world.target_weather.clears_up();
    let cancel = CancellationToken::new();
    let settled = async {
        application.await.map_err(|error| error.to_string())?;
        world.settled().await;
        Ok::<_, String>(())
    };
    tokio::select! {
        ended = world.daemon(&cancel) => match ended {
            Err(error) => return failed(error),
            Ok(ending) => return Err(format!("the daemon ended by itself: {ending:?}")),
        },
        settled = settled => settled?,
        () = tokio::time::sleep(PATIENCE) => {
            let (at, end) = (world.store.position(), world.database.end());
            let complete = world.store.is_complete();
            return Err(format!(
                "the target is at {at} of {end}, {}complete, {:?}",
                if complete { "" } else { "not " },
                world.store.noted()
            ));
        }
    }
    let (expected, rows) = (world.database.expected(), world.store.rows());
    let Some(at) = expected.iter().zip(&rows).position(|(expected, rows)| expected != rows) else {
        return match world.takes.form {
            Form::Net => Ok(()),
            Form::Log => history::check(&world, &anew),
        };
    };
    let only = |of: &[Vec<u8>], others: &[Vec<u8>]| -> Vec<_> {
        let only = of.iter().filter(|row| !others.contains(row));
        only.map(|row| Row(row).cells().map(Option::unwrap_or_default).collect::<Vec<_>>().concat())
            .collect()
    };
    let (missing, surplus) = (only(&expected[at], &rows[at]), only(&rows[at], &expected[at]));
    let takes = world.takes;
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

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
