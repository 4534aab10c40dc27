//! What the daemon tells over HTTP, from its first moment on: before the servers were asked, while the
//! slot is being made, and while it runs. All of it is computed when it is asked for.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use regraft_core::contract::Phase;
use regraft_core::{Error, Result};
use regraft_pipeline::{Fan, Gets, LastError, Progress, Status};
use regraft_postgres::sessions::{Needed, Sessions};
use regraft_settings::{Http, Settings, format_duration};
use regraft_telemetry::{Recorder, StatusSource};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::legs::of_target;
use crate::told::Told;

/// See the module.
#[derive(Clone)]
pub struct Board(Arc<Inner>);

struct Inner {
    name: String,
    limits: Http,
    sessions: Sessions,
    /// Once the pipeline is set up; of the newest plan.
    progress: Mutex<Option<Progress>>,
    /// Before that.
    last_error: Mutex<Option<LastError>>,
    /// It has ended, while those of other targets go on.
    ended: AtomicBool,
}

/// Sessions of a pipeline at the source and at the target.
pub fn needed(settings: &Settings) -> [Needed; 2] {
    let targets = settings.targets.len();
    [
        Needed::at_source(settings.backfill.readers, targets),
        Needed::at_target(settings.target.sessions),
    ]
}

impl Board {
    /// Of a daemon that has not asked anybody yet.
    pub fn new(settings: &Settings) -> Self {
        Self(Arc::new(Inner {
            name: settings.name.clone(),
            limits: settings.http.clone(),
            sessions: Sessions::needing(needed(settings)),
            progress: Mutex::default(),
            last_error: Mutex::default(),
            ended: AtomicBool::new(false),
        }))
    }

    /// The sessions with both servers.
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// The set-up failed, and is tried again.
    pub fn failed(&self, error: &Error) {
        self.is(error, Phase::Held);
    }

    /// The pipeline has ended, while those of other targets go on.
    pub(crate) fn ended(&self, error: &Error) {
        self.0.ended.store(true, Ordering::Relaxed);
        self.is(error, Phase::Stopped);
    }

    fn is(&self, error: &Error, phase: Phase) {
        if let Some(progress) = self.progress() {
            let reporter = progress.reporter();
            reporter.failed(error);
            reporter.phase(phase);
        }
        let mut last = self.0.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(LastError::of(error));
    }

    /// Both servers were reached: what kept the set-up from that is over, and is not the cause of a wait that
    /// follows.
    pub fn reached(&self) {
        let mut last = self.0.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        *last = None;
    }

    /// The pipeline is set up.
    pub fn opened(&self, progress: &Progress) {
        let mut shown = self.0.progress.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Some(progress.clone());
    }

    /// What the pipeline is doing, once it is set up.
    pub fn progress(&self) -> Option<Progress> {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn status_now(&self) -> Status {
        match self.progress() {
            Some(progress) => progress.status(),
            None => {
                let last = self.0.last_error.lock().unwrap_or_else(PoisonError::into_inner);
                let mut status = Status::starting(&self.0.name, last.clone());
                if self.0.ended.load(Ordering::Relaxed) {
                    status.phase = Phase::Stopped;
                }
                status
            }
        }
    }

    /// Why the pipeline is not ready.
    fn unready(&self) -> Result<(), String> {
        let status = self.status_now();
        if let Some(error) = status.last_error {
            return Err(format!("{} {}", error.code, error.what));
        }
        if let Some(held) = status.held.first() {
            return Err(held.to_string());
        }
        let limits = &self.0.limits;
        let limit = limits.ready_lag;
        match (status.phase, status.lag_seconds) {
            (Phase::CatchingUp | Phase::Streaming, Some(_)) if !status.caught_up => {
                return Err("catching_up: the target has not had everything yet".to_owned());
            }
            (Phase::CatchingUp | Phase::Streaming, Some(lag)) if lag > limit.as_secs_f64() => {
                let limit = format_duration(limit);
                return Err(format!("{lag:.0} s behind, http.ready_lag is {limit}"));
            }
            (Phase::CatchingUp | Phase::Streaming, Some(_)) => {}
            (phase, _) => return Err(phase.as_str().to_owned()),
        }
        if self.progress().is_some_and(|progress| progress.is_mending()) {
            let what = "mending: rows that may be stale are compared, and mended where they differ";
            return Err(what.to_owned());
        }
        if let Some(limit) = limits.ready_unverified {
            let age = status.verification.oldest_seconds;
            let limit_text = format_duration(limit);
            match age {
                Some(age) if age <= limit.as_secs_f64() => {}
                Some(age) => {
                    let stopped = status.verification.stopped.as_ref();
                    let stopped = stopped.map_or_else(String::new, |why| format!("; {why}"));
                    return Err(format!(
                        "some row was compared {age:.0} s ago, http.ready_unverified is {limit_text}{stopped}"
                    ));
                }
                None => return Err("nothing was compared yet".to_owned()),
            }
        }
        Ok(())
    }
}

impl Board {
    fn told(&self, stream: Option<Gets>) -> Told {
        // The page says the same as `/readyz`, which a browser would take for a fault.
        let unready = self.unready().err();
        Told::by_daemon(self.status_now(), self.0.sessions.waiting(), unready, stream)
    }

    fn healthy(&self) -> Result<(), String> {
        let status = self.status_now();
        match (status.last_error, status.held.first()) {
            (Some(error), _) => Err(format!("{} {}", error.code, error.what)),
            (None, Some(held)) => Err(held.to_string()),
            (None, None) => Ok(()),
        }
    }

    fn ready(&self) -> Result<(), String> {
        self.unready().map_err(|why| match self.0.sessions.waiting().first() {
            Some(waiting) => format!("{why}; {waiting}"),
            None => why,
        })
    }

    fn measure(&self, stream: Option<Gets>) {
        let record = Recorder::of(&self.0.name);
        match self.progress() {
            Some(progress) => progress.record(),
            None => record.phase(self.status_now().phase),
        }
        let waiting = self.0.sessions.waiting();
        for server in ["source", "target"] {
            let of_it = waiting.iter().filter(|waiting| waiting.server.starts_with(server));
            record.waiting(server, of_it.map(|waiting| waiting.seconds).fold(0.0, f64::max));
        }
        if let Some(stream) = stream {
            record.detached(stream == Gets::Detached, stream == Gets::GivenUp);
        }
    }
}

/// What the daemon tells of all its targets.
#[derive(Clone)]
pub(crate) struct Boards {
    /// With their settings, in order.
    legs: Arc<Vec<(Settings, Board)>>,
    /// What they share.
    fan: Option<Fan>,
}

impl Boards {
    /// Of a daemon that has not asked anybody yet.
    pub(crate) fn new(legs: &[Settings], fan: Option<Fan>) -> Self {
        let legs = legs.iter().map(|leg| (leg.clone(), Board::new(leg)));
        Self { legs: Arc::new(legs.collect()), fan }
    }

    /// That of one target.
    pub(crate) fn leg(&self, leg: usize) -> &Board {
        &self.legs[leg].1
    }

    /// Listens, where the settings say so.
    ///
    /// # Errors
    /// When the address is taken.
    pub(crate) async fn serve(&self, shutdown: CancellationToken) -> Result<()> {
        let limits = self.legs.first().map(|(settings, _)| &settings.http);
        let Some(limits) = limits.filter(|limits| limits.enabled) else {
            return Ok(());
        };
        let (address, _) = regraft_telemetry::serve(limits.listen, self.clone(), shutdown).await?;
        tracing::info!(%address, "listening for HTTP");
        let loopback = match address.ip() {
            IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(ip.is_loopback(), |ip| ip.is_loopback()),
            IpAddr::V4(ip) => ip.is_loopback(),
        };
        if !loopback {
            tracing::warn!(
                %address,
                "HTTP is open to other machines, without a login: names of tables and the texts of \
                 errors can be read there; keep it on an internal network"
            );
        }
        Ok(())
    }

    fn streams(&self) -> impl Iterator<Item = (&Settings, &Board, Option<Gets>)> {
        let gets = |leg| self.fan.as_ref().map(|fan| fan.gets(leg));
        self.legs.iter().enumerate().map(move |(at, (leg, board))| (leg, board, gets(at)))
    }

    /// What is wrong with a target, or another one.
    fn all(&self, verdict: impl Fn(&Board) -> Result<(), String>) -> Result<(), String> {
        let wrong = |(leg, board, _): (&Settings, &Board, _)| {
            let wrong = verdict(board).err()?;
            Some(if leg.is_shared() { format!("{}: {wrong}", leg.target.table()) } else { wrong })
        };
        let wrong: Vec<_> = self.streams().filter_map(wrong).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

impl StatusSource for Boards {
    fn status(&self) -> serde_json::Value {
        let told = |(leg, board, stream): (&Settings, &Board, _)| {
            let told = serde_json::to_value(board.told(stream)).unwrap_or_default();
            if leg.is_shared() { of_target(leg, told) } else { told }
        };
        let mut all: Vec<_> = self.streams().map(told).collect();
        match self.legs.as_slice() {
            [_] => all.remove(0),
            legs => {
                let name = legs.first().map(|(leg, _)| leg.pipeline());
                json!({ "name": name, "targets": all })
            }
        }
    }

    fn healthy(&self) -> Result<(), String> {
        self.all(Board::healthy)
    }

    fn ready(&self) -> Result<(), String> {
        self.all(Board::ready)
    }

    fn measure(&self) {
        self.streams().for_each(|(_, board, stream)| board.measure(stream));
    }
}
