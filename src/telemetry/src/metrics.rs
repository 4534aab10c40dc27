//! Every metric of regraft, and one function per event that changes it.
//!
//! Names follow <https://prometheus.io/docs/practices/naming/>: base units, `_total` for counters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};

use std::time::Duration;

use ::metrics::{
    Label, SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use regraft_core::contract::Phase;
use regraft_core::verify::Recorded;
use regraft_core::{Code, Error, Result, TableName};

/// At most so many tables have a label value of their own; the others share [`OTHER`]. Each label
/// value costs the monitoring about 12 series here.
pub const TABLES_MAX: usize = 1000;

/// Label value of the tables beyond [`TABLES_MAX`].
pub const OTHER: &str = "other";

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations up to each of these bounds.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name, as it is scraped.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Unit of the value.
    pub unit: Unit,
    /// Description, as it is scraped.
    pub help: &'static str,
}

/// Powers of about 2.5 around the default batch of 5,000 rows.
const ROWS_BOUNDS: &[f64] = &[1., 10., 50., 100., 250., 500., 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 1e5];
/// 1 KiB to 64 MiB by powers of 4, with the default batch of 8 MiB.
const BYTES_BOUNDS: &[f64] = &[
    1024.,
    4096.,
    16384.,
    65536.,
    262_144.,
    1_048_576.,
    4_194_304.,
    8_388_608.,
    16_777_216.,
    67_108_864.,
];
/// A local commit takes 1 ms; a batch of a minute has met a lock.
const SECONDS_BOUNDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 30., 60.];
/// From a quiet stream to the catching up after a night's outage.
const LAG_BOUNDS: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 30., 60., 300., 1800., 3600., 14_400.];

macro_rules! metrics {
    ($($(#[$doc:meta])* $id:ident = $name:literal, $kind:expr, $unit:ident, $help:literal;)*) => {
        $($(#[$doc])* #[doc = $help] pub const $id: &str = $name;)*

        /// Every metric, in the order of the documentation.
        pub const METRICS: &[Metric] =
            &[$(Metric { name: $name, kind: $kind, unit: Unit::$unit, help: $help },)*];
    };
}

metrics! {
    LAG_BYTES = "regraft_lag_bytes", Kind::Gauge, Bytes,
        "WAL between the position in the target and the end of the source's log.";
    LAG_SECONDS = "regraft_lag_seconds", Kind::Gauge, Seconds,
        "For how long something has been in the source that is not in the target, when asked; 0 if nothing.";
    APPLY_LAG_SECONDS = "regraft_apply_lag_seconds", Kind::Histogram(LAG_BOUNDS), Seconds,
        "Time from the commit at the source to the commit at the target, per source transaction.";
    WAL_HELD_BYTES = "regraft_wal_held_bytes", Kind::Gauge, Bytes,
        "WAL that the source keeps for the replication slot.";
    ROWS_TOTAL = "regraft_rows_total", Kind::Counter, Count,
        "Rows written to a target table.";
    CHANGES_TOTAL = "regraft_changes_total", Kind::Counter, Count,
        "Changes read from the stream of a source table, before the net effect was taken.";
    TRANSACTIONS_TOTAL = "regraft_transactions_total", Kind::Counter, Count,
        "Source transactions applied to the target.";
    BATCH_ROWS = "regraft_batch_rows", Kind::Histogram(ROWS_BOUNDS), Count,
        "Target rows per batch.";
    BATCH_BYTES = "regraft_batch_bytes", Kind::Histogram(BYTES_BOUNDS), Bytes,
        "Size of a batch.";
    BATCH_SECONDS = "regraft_batch_seconds", Kind::Histogram(SECONDS_BOUNDS), Seconds,
        "Time to write and commit a batch.";
    CHUNKS_DONE = "regraft_chunks_done", Kind::Gauge, Count,
        "Chunks of a source table that are in the target.";
    CHUNKS_PLANNED = "regraft_chunks_planned", Kind::Gauge, Count,
        "Chunks of a source table that are planned, including those done.";
    CHUNK_REREADS_TOTAL = "regraft_chunk_rereads_total", Kind::Counter, Count,
        "Chunks read again because a commit in the stream was not yet visible in their snapshot.";
    RECONNECTS_TOTAL = "regraft_reconnects_total", Kind::Counter, Count,
        "Times that a pipeline started anew after an error, by the server that the error is about.";
    PHASE = "regraft_phase", Kind::Gauge, Count,
        "1 for the phase that the pipeline is in, 0 for the others.";
    WAITING_SECONDS = "regraft_waiting_seconds", Kind::Gauge, Seconds,
        "For how long a server has owed an answer; 0 as long as it answers within seconds.";
    HELD_TABLES = "regraft_held_tables", Kind::Gauge, Count,
        "Source tables that are held while the others go on.";
    DETACHED = "regraft_detached", Kind::Gauge, Count,
        "Of several targets: 1 while this one goes by a stream of its own, until it has caught up with the others.";
    GIVEN_UP = "regraft_given_up", Kind::Gauge, Count,
        "Of several targets: 1 while the source keeps its log no longer for this one.";
    ERRORS_TOTAL = "regraft_errors_total", Kind::Counter, Count,
        "Errors that ended an attempt, by code.";
    VERIFIED_ROWS_TOTAL = "regraft_verified_rows_total", Kind::Counter, Count,
        "Rows of a target table that were compared with the source and were equal.";
    UNVERIFIED_SECONDS = "regraft_unverified_seconds", Kind::Gauge, Seconds,
        "Every row was compared with the source at most this long ago; since the start where never.";
    FINDINGS_OPEN = "regraft_findings_open", Kind::Gauge, Count,
        "Rows that differ from what the source gives.";
    FINDINGS_TOTAL = "regraft_findings_total", Kind::Counter, Count,
        "Rows that were found to differ, and findings that ended by themselves or by a repair.";
    BUILD_INFO = "regraft_build_info", Kind::Gauge, Count,
        "Always 1; the version is a label.";
}

/// Starts collecting in this process and gives the handle that renders the text for Prometheus. Later
/// calls give the same handle. Before the first one the functions of [`record`] do nothing.
///
/// [`crate::serve`] calls this, and does the upkeep that bounds the memory of histograms.
///
/// # Errors
/// [`Code::Internal`] when a program that embeds regraft has installed a recorder of its own, which
/// then gets these metrics.
pub fn install() -> Result<PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(Code::Internal, "the metrics recorder cannot be installed").because(error)
    };
    let builder = builder().map_err(|error| failed(error.into()))?;
    let handle = builder.install_recorder().map_err(|error| failed(error.into()))?;
    describe();
    Ok(HANDLE.get_or_init(|| handle).clone())
}

fn builder() -> Result<PrometheusBuilder, metrics_exporter_prometheus::BuildError> {
    METRICS.iter().try_fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
        Kind::Histogram(bounds) => {
            builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)
        }
        Kind::Counter | Kind::Gauge => Ok(builder),
    })
}

/// Describes every metric, and lets those whose labels are known start at 0: the first event would
/// otherwise be invisible to `rate()`.
fn describe() {
    for Metric { name, kind, unit, help } in METRICS {
        match kind {
            Kind::Counter => describe_counter!(*name, *unit, *help),
            Kind::Gauge => describe_gauge!(*name, *unit, *help),
            Kind::Histogram(_) => describe_histogram!(*name, *unit, *help),
        }
    }
    Recorder::default().transactions(0);
    counter!(CHUNK_REREADS_TOTAL).absolute(0);
    for server in ["source", "target"] {
        counter!(RECONNECTS_TOTAL, "server" => server).absolute(0);
    }
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// A change of a row of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOperation {
    /// A new row.
    Insert,
    /// A changed row.
    Update,
    /// A deleted row.
    Delete,
    /// All rows are gone.
    Truncate,
}

impl ChangeOperation {
    /// Every operation, in the order of their numbers.
    pub const ALL: [ChangeOperation; 4] =
        [Self::Insert, Self::Update, Self::Delete, Self::Truncate];
}

/// Label value of the server that an error is about. Connectors start the place of such an error with
/// the role of the server, `source (host:5432)`.
fn server(error: &Error) -> &'static str {
    let role = error.place().and_then(|place| place.split([' ', ':']).next());
    match role {
        Some("source") => "source",
        Some("target") => "target",
        _ => "unknown",
    }
}

/// A table of a target, where there are several.
type OfTarget = (Option<SharedString>, TableName);

/// The tables that have a label value of their own, and the chunks of those that have not.
struct Labels {
    max: usize,
    known: Mutex<BTreeSet<TableName>>,
    others: Mutex<BTreeMap<OfTarget, (u64, u64)>>,
}

static TABLES: Labels = Labels::new(TABLES_MAX);

impl Labels {
    const fn new(max: usize) -> Self {
        Self { max, known: Mutex::new(BTreeSet::new()), others: Mutex::new(BTreeMap::new()) }
    }

    fn has(&self, table: &TableName) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(table) || (known.len() < self.max && known.insert(table.clone()))
    }

    fn of(&self, table: &TableName) -> String {
        if self.has(table) { table.to_string() } else { OTHER.to_owned() }
    }

    /// Label and figures: those of the tables of a target that share a label are added up.
    fn chunks(
        &self,
        target: Option<&SharedString>,
        table: &TableName,
        (done, planned): (u64, u64),
    ) -> (String, u64, u64) {
        if self.has(table) {
            return (table.to_string(), done, planned);
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.insert((target.cloned(), table.clone()), (done, planned));
        let of_target = others.iter().filter(|((of, _), _)| of.as_ref() == target);
        let (done, planned) = of_target.fold((0, 0), |sum, (_, (d, p))| (sum.0 + d, sum.1 + p));
        (OTHER.to_owned(), done, planned)
    }
}

/// The phases, each a series.
const PHASES: [Phase; 6] = [
    Phase::Starting,
    Phase::Backfill,
    Phase::CatchingUp,
    Phase::Streaming,
    Phase::Held,
    Phase::Stopped,
];

/// One function per event, of one pipeline. They are cheap enough for every batch, not for every row.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    /// Label of all its series: the name of the target, where there are several.
    target: Option<SharedString>,
}

impl Recorder {
    /// Of a pipeline, which is called after its target where that has a name: `orders.replica`.
    pub fn of(pipeline: &str) -> Self {
        let target = pipeline.split_once('.').map(|(_, target)| target.to_owned().into());
        Self { target }
    }

    fn labels<const N: usize>(&self, own: [(&'static str, SharedString); N]) -> Vec<Label> {
        let target = self.target.iter().map(|target| Label::new("target", target.clone()));
        target.chain(own.map(|(key, value)| Label::new(key, value))).collect()
    }

    /// The target is behind by so many bytes of WAL, and by so many seconds.
    pub fn lag(&self, bytes: u64, seconds: f64) {
        gauge!(LAG_BYTES, self.labels([])).set(bytes as f64);
        gauge!(LAG_SECONDS, self.labels([])).set(seconds);
    }

    /// The source keeps so many bytes of WAL for the slot.
    pub fn wal_held(&self, bytes: u64) {
        gauge!(WAL_HELD_BYTES, self.labels([])).set(bytes as f64);
    }

    /// A source transaction was committed at the target, this long after its own commit.
    pub fn apply_lag(&self, time: Duration) {
        histogram!(APPLY_LAG_SECONDS, self.labels([])).record(time);
    }

    /// Rows of a target table were inserted or updated, and deleted.
    pub fn rows(&self, table: &TableName, upserted: u64, deleted: u64) {
        let table = TABLES.of(table);
        for (operation, rows) in [("upsert", upserted), ("delete", deleted)] {
            counter!(
                ROWS_TOTAL,
                self.labels([("table", table.clone().into()), ("operation", operation.into())])
            )
            .increment(rows);
        }
    }

    /// Changes of a source table came in the stream.
    pub fn changes(&self, table: &TableName, operation: ChangeOperation, changes: u64) {
        let operation = match operation {
            ChangeOperation::Insert => "insert",
            ChangeOperation::Update => "update",
            ChangeOperation::Delete => "delete",
            ChangeOperation::Truncate => "truncate",
        };
        let table = TABLES.of(table);
        counter!(
            CHANGES_TOTAL,
            self.labels([("table", table.into()), ("operation", operation.into())])
        )
        .increment(changes);
    }

    /// Source transactions were applied.
    pub fn transactions(&self, transactions: u64) {
        counter!(TRANSACTIONS_TOTAL, self.labels([])).increment(transactions);
    }

    /// A batch was committed at the target; `time` is from its first statement to its commit.
    pub fn batch(&self, rows: usize, bytes: usize, time: Duration) {
        histogram!(BATCH_ROWS, self.labels([])).record(rows as f64);
        histogram!(BATCH_BYTES, self.labels([])).record(bytes as f64);
        histogram!(BATCH_SECONDS, self.labels([])).record(time);
    }

    /// The backfill of a source table stands so.
    pub fn chunks(&self, table: &TableName, done: u64, planned: u64) {
        let (label, done, planned) = TABLES.chunks(self.target.as_ref(), table, (done, planned));
        gauge!(CHUNKS_DONE, self.labels([("table", label.clone().into())])).set(done as f64);
        gauge!(CHUNKS_PLANNED, self.labels([("table", label.into())])).set(planned as f64);
    }

    /// A chunk has to be read again.
    pub fn chunk_reread(&self) {
        counter!(CHUNK_REREADS_TOTAL, self.labels([])).increment(1);
    }

    /// The pipeline starts anew after this error.
    pub fn reconnect(&self, error: &Error) {
        counter!(RECONNECTS_TOTAL, self.labels([("server", server(error).into())])).increment(1);
    }

    /// The pipeline is in this phase.
    pub fn phase(&self, phase: Phase) {
        for each in PHASES {
            let value = if each == phase { 1.0 } else { 0.0 };
            gauge!(PHASE, self.labels([("phase", each.as_str().into())])).set(value);
        }
    }

    /// The source, or the target, has owed an answer for so many seconds.
    pub fn waiting(&self, server: &'static str, seconds: f64) {
        gauge!(WAITING_SECONDS, self.labels([("server", server.into())])).set(seconds);
    }

    /// So many source tables are held while the others go on.
    pub fn held_tables(&self, count: usize) {
        gauge!(HELD_TABLES, self.labels([])).set(count as f64);
    }

    /// Of several targets: whether this one goes by a stream of its own, and whether it is given up.
    pub fn detached(&self, detached: bool, given_up: bool) {
        gauge!(DETACHED, self.labels([])).set(f64::from(u8::from(detached)));
        gauge!(GIVEN_UP, self.labels([])).set(f64::from(u8::from(given_up)));
    }

    /// Rows of a target table were equal.
    pub fn verified(&self, table: &TableName, rows: u64) {
        counter!(VERIFIED_ROWS_TOTAL, self.labels([("table", TABLES.of(table).into())]))
            .increment(rows);
    }

    /// Every row was compared at most this long ago.
    pub fn unverified(&self, age: Duration) {
        gauge!(UNVERIFIED_SECONDS, self.labels([])).set(age.as_secs_f64());
    }

    /// Findings were recorded.
    pub fn findings(&self, recorded: &Recorded) {
        let Recorded { new, gone, repaired, open } = *recorded;
        for (event, count) in [("found", new), ("gone", gone), ("repaired", repaired)] {
            counter!(FINDINGS_TOTAL, self.labels([("event", event.into())])).increment(count);
        }
        gauge!(FINDINGS_OPEN, self.labels([])).set(open as f64);
    }

    /// An error ended an attempt.
    pub fn error(&self, code: Code) {
        counter!(ERRORS_TOTAL, self.labels([("code", code.as_str().into())])).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is scraped after `events`, and nothing else, happened.
    fn scraped(events: impl FnOnce()) -> String {
        let recorder = builder().unwrap().build_recorder();
        ::metrics::with_local_recorder(&recorder, || {
            describe();
            events();
        });
        recorder.handle().render()
    }

    fn every_event() {
        let record = Recorder::default();
        let table = TableName::new("public", "to\"dos");
        record.lag(1024, 1.5);
        record.wal_held(4096);
        record.apply_lag(Duration::from_millis(20));
        record.rows(&table, 5, 2);
        record.changes(&table, ChangeOperation::Insert, 3);
        record.changes(&table, ChangeOperation::Update, 4);
        record.changes(&table, ChangeOperation::Delete, 5);
        record.changes(&table, ChangeOperation::Truncate, 1);
        record.transactions(7);
        record.batch(4000, 1 << 20, Duration::from_millis(30));
        record.chunks(&table, 3, 9);
        record.chunk_reread();
        record.reconnect(&Error::new(Code::Unreachable, "gone").at("target (host:5432)"));
        record.phase(Phase::CatchingUp);
        record.held_tables(1);
        record.detached(true, false);
        record.waiting("source", 3.5);
        record.error(Code::SlotMissing);
        record.verified(&table, 11);
        record.unverified(Duration::from_secs(90));
        record.findings(&Recorded { new: 3, gone: 1, repaired: 2, open: 4 });
    }

    /// Name and labels, and the value, of a line that is no comment.
    fn sample(line: &str) -> (&str, f64) {
        let (series, value) = line.rsplit_once(' ').expect(line);
        let name = series.split_once('{').map_or(series, |(name, labels)| {
            assert!(labels.ends_with("\"}"), "{line}");
            name
        });
        let word = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.starts_with("regraft_") && name.chars().all(word), "{line}");
        (series, value.parse().expect(line))
    }

    #[test]
    fn every_metric_has_help_and_type_and_parses() {
        let text = scraped(every_event);
        for metric in METRICS {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            let name = metric.name;
            assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}: {text}");
            assert!(text.contains(&format!("# HELP {name} {}\n", metric.help)), "{name}: {text}");
        }
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert!(samples.map(sample).count() > METRICS.len());
    }

    #[test]
    fn every_event_is_counted_under_its_name_and_labels() {
        let text = scraped(every_event);
        let want = [
            "regraft_lag_bytes 1024",
            "regraft_lag_seconds 1.5",
            "regraft_wal_held_bytes 4096",
            "regraft_apply_lag_seconds_bucket{le=\"0.025\"} 1",
            "regraft_rows_total{table=\"public.to\\\"dos\",operation=\"upsert\"} 5",
            "regraft_rows_total{table=\"public.to\\\"dos\",operation=\"delete\"} 2",
            "regraft_changes_total{table=\"public.to\\\"dos\",operation=\"insert\"} 3",
            "regraft_changes_total{table=\"public.to\\\"dos\",operation=\"truncate\"} 1",
            "regraft_transactions_total 7",
            "regraft_batch_rows_bucket{le=\"2500\"} 0",
            "regraft_batch_rows_bucket{le=\"5000\"} 1",
            "regraft_batch_bytes_sum 1048576",
            "regraft_batch_seconds_bucket{le=\"0.05\"} 1",
            "regraft_chunks_done{table=\"public.to\\\"dos\"} 3",
            "regraft_chunks_planned{table=\"public.to\\\"dos\"} 9",
            "regraft_chunk_rereads_total 1",
            "regraft_reconnects_total{server=\"source\"} 0",
            "regraft_reconnects_total{server=\"target\"} 1",
            "regraft_phase{phase=\"catching_up\"} 1",
            "regraft_phase{phase=\"streaming\"} 0",
            "regraft_errors_total{code=\"RG2008\"} 1",
            "regraft_verified_rows_total{table=\"public.to\\\"dos\"} 11",
            "regraft_unverified_seconds 90",
            "regraft_findings_total{event=\"found\"} 3",
            "regraft_findings_total{event=\"gone\"} 1",
            "regraft_findings_total{event=\"repaired\"} 2",
            "regraft_findings_open 4",
            "regraft_waiting_seconds{server=\"source\"} 3.5",
        ];
        for line in want {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert_eq!(text.lines().filter(|line| line.starts_with("regraft_phase{")).count(), 6);
    }

    #[test]
    fn one_of_several_targets_is_a_label() {
        let text = scraped(|| {
            let record = Recorder::of("orders.replica");
            record.lag(5, 1.0);
            record.rows(&TableName::new("s", "t"), 3, 0);
            record.chunks(&TableName::new("s", "t"), 1, 2);
            Recorder::of("orders").lag(7, 1.0);
        });
        for line in [
            "regraft_lag_bytes{target=\"replica\"} 5",
            "regraft_lag_bytes 7",
            "regraft_rows_total{target=\"replica\",table=\"s.t\",operation=\"upsert\"} 3",
            "regraft_chunks_done{target=\"replica\",table=\"s.t\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn known_series_start_at_zero() {
        let text = scraped(|| ());
        for line in ["regraft_transactions_total 0", "regraft_chunk_rereads_total 0"] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.contains("regraft_build_info{version=\""), "{text}");
    }

    #[test]
    fn tables_beyond_the_budget_share_a_label() {
        let labels = Labels::new(2);
        let label = |name: &str| labels.of(&TableName::new("s", name));
        assert_eq!([label("a"), label("b"), label("c")], ["s.a", "s.b", "other"]);
        assert_eq!([label("b"), label("c")], ["s.b", "other"]);
    }

    #[test]
    fn chunks_of_tables_that_share_a_label_are_added_up() {
        let labels = Labels::new(1);
        let chunks = |name: &str, done| labels.chunks(None, &TableName::new("s", name), (done, 10));
        assert_eq!(chunks("a", 1), ("s.a".to_owned(), 1, 10));
        assert_eq!(chunks("b", 2), ("other".to_owned(), 2, 10));
        assert_eq!(chunks("c", 3), ("other".to_owned(), 5, 20));
        assert_eq!(chunks("b", 4), ("other".to_owned(), 7, 20));
    }

    #[test]
    fn an_error_tells_the_server_by_its_place() {
        let at = |place: &str| server(&Error::new(Code::Unreachable, "gone").at(place));
        assert_eq!([at("source (h:1)"), at("target: slot")], ["source", "target"]);
        assert_eq!([at("sources"), at("h:1")], ["unknown", "unknown"]);
    }

    #[test]
    fn installing_twice_gives_the_same_metrics() {
        let first = install().unwrap();
        let second = install().unwrap();
        Recorder::default().error(Code::LedgerNewer);
        let line = "regraft_errors_total{code=\"RG5001\"} 1";
        assert!(first.render().contains(line) && second.render().contains(line));
    }
}
