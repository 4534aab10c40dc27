//! The sessions of a program with its servers: who is waited for, since when, and for how long at most.
//!
//! Every answer is waited for with an end. A server that is silent for some seconds is asked, on a
//! connection of its own, what the session does there: whether it is at work, waits for a lock (and who
//! holds it), or knows nothing of a request, as after packets were lost. What it says decides how long
//! the silence may last, and is what the status shows.

mod frames;
mod look;
mod room;
mod socket;
mod wait;
mod wide;

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use regraft_core::{Code, Error, WIDE};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::frames::Requests;
use self::look::Looks;
pub(crate) use self::look::{guard, standby_remedy};
pub use self::look::{process, stalled};
pub use self::room::Needed;
pub(crate) use self::socket::{AsItIs, Watched};
pub use self::wait::Wait;
pub(crate) use self::wide::Wide;

/// So long the reason for which a session was given up explains errors.
const EXPLAINS: Duration = Duration::from_secs(10);

/// How long servers are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For an answer on which the server is not seen to work.
    pub answer: Duration,
    /// For an answer on which it works; `None`: a person watches.
    pub statement: Option<Duration>,
    /// For a lock that another session holds.
    pub lock: Duration,
    /// A server that is silent for longer is asked why, and named. Short where a person has just started
    /// something, longer where a busy server may be slow for a moment.
    pub notice: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(60),
            statement: None,
            lock: Duration::from_secs(300),
            notice: Duration::from_secs(5),
        }
    }
}

/// The sessions of one program, or of one pipeline in it.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Inner>);

#[derive(Default)]
struct Inner {
    open: Mutex<Vec<Weak<Session>>>,
    /// What is waited for although every server answers.
    waits: Mutex<Vec<Weak<wait::Known>>>,
    /// Places and reasons of the sessions given up last.
    given_up: Mutex<Vec<(String, String, Instant)>>,
    looks: Looks,
    /// What a pipeline needs at the source and at the target.
    needed: Option<[Needed; 2]>,
}

/// Something that is waited for.
#[derive(Clone, Debug, Serialize)]
pub struct Waiting {
    /// The server.
    pub server: String,
    /// What it is to answer: the kind of a statement and its table.
    #[serde(rename = "for")]
    pub request: String,
    /// Since when, in seconds since 1970 on this machine's clock.
    pub since: u64,
    /// For how long.
    pub seconds: f64,
    /// What the server says of it, asked on another connection.
    pub seen: Option<String>,
}

impl Waiting {
    /// `None` before 1970.
    fn now(server: &str, request: &str, silence: Duration, seen: Option<String>) -> Option<Self> {
        let since = SystemTime::now().checked_sub(silence)?;
        Some(Self {
            server: server.to_owned(),
            request: request.to_owned(),
            since: since.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            seconds: silence.as_secs_f64(),
            seen,
        })
    }
}

impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "waiting for {} to answer {} for {:.0} s",
            self.server, self.request, self.seconds
        )?;
        match &self.seen {
            Some(seen) => write!(f, ": {seen}"),
            None => Ok(()),
        }
    }
}

impl Sessions {
    /// Of a pipeline that needs so many at the source, and at the target.
    pub fn needing(needed: [Needed; 2]) -> Self {
        Self(Arc::new(Inner { needed: Some(needed), ..Inner::default() }))
    }

    pub(crate) fn open(&self, place: &str, notice: Duration) -> Arc<Session> {
        let session = Arc::new(Session {
            place: place.to_owned(),
            notice,
            pid: AtomicI32::new(0),
            state: Mutex::default(),
            given_up: CancellationToken::new(),
        });
        let mut open = lock(&self.0.open);
        open.retain(|session| session.strong_count() > 0);
        open.push(Arc::downgrade(&session));
        session
    }

    fn list(&self) -> Vec<Arc<Session>> {
        lock(&self.0.open).iter().filter_map(Weak::upgrade).collect()
    }

    /// Whom is waited for, for more than a few seconds; the longest first.
    pub fn waiting(&self) -> Vec<Waiting> {
        let mut waiting: Vec<_> =
            self.list().iter().filter_map(|session| session.waiting()).collect();
        let known = lock(&self.0.waits);
        waiting.extend(known.iter().filter_map(Weak::upgrade).filter_map(|wait| wait.waiting()));
        waiting.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        waiting
    }

    /// An error of a session that was given up a moment ago says why, and one that could not be had how many
    /// there have to be.
    pub fn explain(&self, error: Error) -> Error {
        if error.code() != Code::Unreachable {
            return error;
        }
        if let Some(needed) = &self.0.needed
            && room::is_full(&error)
        {
            let at_source = error.place().is_some_and(|place| place.starts_with("source"));
            let (role, needed) =
                if at_source { ("source", &needed[0]) } else { ("target", &needed[1]) };
            return error.remedy(needed.remedy(role));
        }
        let given_up = lock(&self.0.given_up);
        let place = error.place().unwrap_or_default();
        let why = given_up.iter().find(|(server, _, at)| {
            at.elapsed() < EXPLAINS && (place.starts_with(server.as_str()) || place == "ledger")
        });
        match why {
            Some((server, reason, _)) => {
                let error = Error::new(Code::Unreachable, reason).at(server);
                error.remedy(standby_remedy(reason).unwrap_or(
                    "look at the network between the two, and at what the server does; how long it is \
                     waited for is set by [deadlines]",
                ))
            }
            None => error,
        }
    }

    fn give_up(&self, session: &Session, reason: String) {
        tracing::warn!("{}: {reason}; the connection is given up", session.place);
        let mut given_up = lock(&self.0.given_up);
        given_up.retain(|(_, _, at)| at.elapsed() < EXPLAINS);
        given_up.push((session.place.clone(), reason.clone(), Instant::now()));
        session.state().reason = reason;
        session.given_up.cancel();
    }
}

/// One session, as far as it is watched.
pub(crate) struct Session {
    /// How its server is called in messages.
    place: String,
    /// A silence that is longer is named.
    notice: Duration,
    /// Its process at the server; 0 as long as it is not known.
    pid: AtomicI32,
    state: Mutex<State>,
    given_up: CancellationToken,
}

#[derive(Default)]
struct State {
    requests: Requests,
    /// Since when nothing was heard, although this side listens, or nothing could be said.
    silent: Option<Instant>,
    /// The server takes nothing more at the moment.
    unheard: bool,
    /// It is a stream, and a sign of life was asked for.
    sign: bool,
    seen: Option<String>,
    /// The log has told of this silence, and of these processes that hold it up.
    told: Option<Vec<i32>>,
    reason: String,
}

impl State {
    /// Since when an answer is waited for.
    fn waits_since(&self) -> Option<Instant> {
        self.silent.filter(|_| self.unheard || self.sign || self.requests.oldest().is_some())
    }

    fn awaited(&self) -> &str {
        let other =
            if self.sign { "for a sign of life of the stream" } else { "data that is sent" };
        self.requests.oldest().unwrap_or(other)
    }

    fn speaks(&mut self) {
        self.seen = None;
        self.told = None;
    }
}

impl Session {
    pub(crate) fn is_process(&self, pid: i32) {
        self.pid.store(pid, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Most of a wide row is to come.
    fn awaits_wide(&self) -> bool {
        self.state().requests.awaited_of_row() >= WIDE
    }

    fn reason(&self) -> String {
        self.state().reason.clone()
    }

    fn heard(&self, bytes: &[u8]) {
        let mut state = self.state();
        state.requests.answered(bytes);
        state.silent = None;
        state.speaks();
    }

    /// Whoever reads has read all there was.
    fn listens(&self) {
        let mut state = self.state();
        if state.requests.oldest().is_some() {
            state.silent.get_or_insert_with(Instant::now);
        }
    }

    fn said(&self, bytes: &[u8]) {
        let mut state = self.state();
        state.requests.asked(bytes);
        state.silent = Some(Instant::now());
        state.unheard = false;
        state.speaks();
    }

    /// The stream has said nothing for so long, and was asked to.
    pub(crate) fn awaits_a_sign(&self, silence: Duration) {
        let mut state = self.state();
        state.sign = true;
        state.silent = Instant::now().checked_sub(silence);
    }

    /// The stream has said something.
    pub(crate) fn gave_a_sign(&self) {
        let mut state = self.state();
        if std::mem::take(&mut state.sign) {
            state.silent = None;
            state.speaks();
        }
    }

    fn is_not_heard(&self) {
        let mut state = self.state();
        state.unheard = true;
        state.silent.get_or_insert_with(Instant::now);
    }

    fn waiting(&self) -> Option<Waiting> {
        let state = self.state();
        let silence = state.waits_since()?.elapsed();
        let (request, seen) = (state.awaited(), state.seen.clone());
        (silence > self.notice).then(|| Waiting::now(&self.place, request, silence, seen))?
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
