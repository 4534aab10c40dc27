//! What the legs share: the stream, what waits for each of them, and where each of them is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regraft_core::change::OldImage;
use regraft_core::{Change, Code, Error, Event, Position, Result};
use tokio::sync::{Notify, oneshot};

use super::{Gets, Room, least};

/// What an event takes beside its row.
const EVENT_BYTES: usize = size_of::<Event>();

/// See the module.
pub(super) struct Hub {
    state: Mutex<State>,
    room: Room,
    /// Told when something was taken out of a queue, or a queue is gone.
    pub(super) drained: Notify,
    /// Told when there is something to acknowledge.
    pub(super) acknowledge: Notify,
    /// Told when the stream has ended.
    ended: Notify,
}

struct State {
    legs: Vec<Leg>,
    main: Main,
    /// Of the stream, see `Source::scope`.
    scope: String,
    /// Everything before it was given by the stream.
    reached: Option<Position>,
    /// The stream is between a begin and its commit.
    inside: bool,
    /// The end of the source's log, as it was last heard of.
    source_end: Option<Position>,
    /// What the stream was told to acknowledge.
    acknowledged: Option<Position>,
    /// Where the first leg came from: the source has everything that comes then.
    begun: Option<Position>,
}

enum Main {
    None,
    /// A leg opens it.
    Opening,
    Open(oneshot::Sender<Closed>),
    /// Nobody needs it.
    Closing,
}

/// By it is told that the stream is closed.
pub(super) type Closed = oneshot::Sender<Result<()>>;

struct Leg {
    /// Of the target; one has none.
    name: Option<String>,
    /// So many bytes of log are kept for it alone.
    limit: Option<u64>,
    /// Everything before it is durable in its target, as far as it has told.
    position: Option<Position>,
    given_up: bool,
    /// It has a stream, the shared one or its own.
    present: bool,
    /// Which of its attempts it is: what an earlier one has begun is of none any more.
    attempt: u64,
    queue: Option<Queue>,
    /// Told when something is in its queue.
    filled: Arc<Notify>,
}

/// What waits for a leg.
#[derive(Default)]
struct Queue {
    /// Everything before it is in no piece; `None` until the next transaction begins.
    since: Option<Position>,
    pieces: VecDeque<Piece>,
    /// Of all of them.
    bytes: usize,
    /// The leg takes what is there. Else it gets there by a stream of its own.
    live: bool,
    /// Nothing more comes.
    end: Option<End>,
}

/// What came of one read of the stream, for one leg.
struct Piece {
    events: Arc<Vec<Event>>,
    /// Those before are not for it.
    from: usize,
    bytes: usize,
}

enum End {
    /// Too much waited.
    TooSlow,
    Failed(Error),
}

/// What a leg gets out of its queue.
pub(super) enum Taken {
    Events(Vec<Event>),
    /// It has to go on by a stream of its own.
    Detached,
}

/// What came of asking for the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// From the next transaction on all of it waits in the queue.
    Waits,
    /// There is none, and it may be opened.
    None,
    /// Not now.
    Later,
}

impl Hub {
    pub(super) fn new(
        legs: impl IntoIterator<Item = (Option<String>, Option<u64>)>,
        room: Room,
    ) -> Self {
        let leg = |(name, limit)| Leg {
            name,
            limit,
            position: None,
            given_up: false,
            present: false,
            attempt: 0,
            queue: None,
            filled: Arc::default(),
        };
        let state = State {
            legs: legs.into_iter().map(leg).collect(),
            main: Main::None,
            scope: String::new(),
            reached: None,
            inside: false,
            source_end: None,
            acknowledged: None,
            begun: None,
        };
        let (drained, acknowledge, ended) = (Notify::new(), Notify::new(), Notify::new());
        Self { state: Mutex::new(state), room, drained, acknowledge, ended }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state().main, Main::None)
    }

    pub(super) fn gets(&self, leg: usize) -> Gets {
        let leg = &self.state().legs[leg];
        match &leg.queue {
            _ if leg.given_up => Gets::GivenUp,
            Some(queue) if queue.live && queue.end.is_none() => Gets::Shared,
            _ if leg.present => Gets::Detached,
            _ => Gets::Away,
        }
    }

    /// A leg wants to go on from this position: from here on the log is kept for it. Gives the number of its
    /// attempt.
    ///
    /// # Errors
    /// As [`Hub::kept`], and when the source was told already that it may forget what comes then.
    pub(super) fn comes(&self, leg: usize, position: &Position) -> Result<u64> {
        let state = &mut *self.state();
        let leg = &mut state.legs[leg];
        if state.acknowledged.as_ref().is_some_and(|gone| !position.covers(gone)) {
            return Err(leg.lost());
        }
        if std::mem::take(&mut leg.given_up) {
            tracing::warn!(target_name = leg.name(), %position, "the target goes on: the source still has its log");
        }
        leg.position = Some(position.clone());
        leg.attempt += 1;
        state.begun.get_or_insert_with(|| position.clone());
        Ok(leg.attempt)
    }

    /// The source has let go of what a leg has not had: nothing is kept for it in vain.
    pub(super) fn give_up(&self, leg: usize) {
        self.state().legs[leg].given_up = true;
    }

    /// That the log is kept for a leg.
    ///
    /// # Errors
    /// [`Code::PositionGap`]
    pub(super) fn kept(&self, leg: usize) -> Result<()> {
        let leg = &self.state().legs[leg];
        if leg.given_up { Err(leg.lost()) } else { Ok(()) }
    }

    /// Everything before `position` is durable in the target of a leg.
    pub(super) fn durable(&self, leg: usize, position: &Position) {
        let state = &mut *self.state();
        // It only grows.
        let known = &mut state.legs[leg].position;
        if known.as_ref().is_none_or(|known| position.covers(known)) {
            *known = Some(position.clone());
        }
        state.give_up_beyond(position);
        if !matches!(state.main, Main::Open(_)) {
            return;
        }
        let held = state.legs.iter().filter(|leg| !leg.given_up);
        let Some(positions) = held.map(|leg| leg.position.clone()).collect::<Option<Vec<_>>>()
        else {
            return;
        };
        // Positions of one source have a meet.
        let Ok(Some(least)) = least(positions) else { return };
        if state.acknowledged.as_ref().is_none_or(|told| !told.covers(&least)) {
            state.acknowledged = Some(least);
            self.acknowledge.notify_one();
        }
    }

    pub(super) fn source_end(&self) -> Option<Position> {
        self.state().source_end.clone()
    }

    /// So near to the stream that it is worth to wait for it, if the log counts in bytes.
    pub(super) fn is_near(&self, position: &Position) -> bool {
        let state = self.state();
        let behind = state.reached.as_ref().and_then(|reached| reached.bytes_since(position));
        behind.is_some_and(|behind| behind <= self.room.fastest as u64)
    }

    /// A leg wants to have the stream, while it gets there by itself. One of another scope is none for it.
    pub(super) fn join(&self, leg: usize, scope: &str) -> Join {
        let state = &mut *self.state();
        match state.main {
            Main::Open(_) if state.scope != scope => return Join::Later,
            Main::Open(_) => {}
            Main::None => return Join::None,
            Main::Opening | Main::Closing => return Join::Later,
        }
        let since = state.reached.clone().filter(|_| !state.inside);
        state.legs[leg].queue = Some(Queue { since, ..Queue::default() });
        self.drained.notify_one();
        Join::Waits
    }

    /// A leg is to open the stream; false while there is one, or another leg opens it.
    pub(super) fn begins_to_open(&self) -> bool {
        let state = &mut *self.state();
        let none = matches!(state.main, Main::None);
        if none {
            state.main = Main::Opening;
        }
        none
    }

    /// The stream was not opened.
    pub(super) fn is_not_opened(&self) {
        self.state().main = Main::None;
    }

    /// There is a stream of this scope, which gives what comes after `position`, first of all to this leg. Gives by
    /// what it is told to close it; `None` when the attempt of the leg is over, and there is none.
    pub(super) fn is_opened(
        &self,
        (position, scope): (&Position, String),
        (leg, attempt): (usize, u64),
    ) -> Option<oneshot::Receiver<Closed>> {
        let state = &mut *self.state();
        if state.legs[leg].attempt != attempt {
            state.main = Main::None;
            return None;
        }
        let (close, closing) = oneshot::channel();
        state.scope = scope;
        state.main = Main::Open(close);
        state.reached = Some(position.clone());
        state.inside = false;
        state.acknowledged = None;
        let since = state.reached.clone();
        state.legs[leg].queue = Some(Queue { since, live: true, ..Queue::default() });
        Some(closing)
    }

    /// Waits until no stream is being closed.
    pub(super) async fn closed(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if !matches!(self.state().main, Main::Closing) {
                return;
            }
            ended.await;
        }
    }

    /// A leg has a stream.
    pub(super) fn arrived(&self, (leg, attempt): (usize, u64)) {
        let leg = &mut self.state().legs[leg];
        leg.present = leg.attempt == attempt;
    }

    /// Whether a leg that has everything before `done` has nothing to do but to take what is in its queue, which
    /// it does from then on. `None` when there is no queue any more.
    pub(super) fn has_joined(&self, leg: usize, done: &Position) -> Option<bool> {
        let leg = &mut self.state().legs[leg];
        let queue = leg.queue.as_mut().filter(|queue| queue.end.is_none())?;
        queue.live = queue.since.as_ref().is_some_and(|since| done.covers(since));
        let joined = queue.live;
        if joined {
            tracing::info!(
                target_name = leg.name(),
                position = %done,
                "the target has caught up with the stream that all share"
            );
        }
        Some(joined)
    }

    /// A leg needs its queue no more. When no other needs the stream either, it is closed; what that comes to
    /// is heard then.
    pub(super) fn leave(&self, leg: usize) -> Option<oneshot::Receiver<Result<()>>> {
        let state = &mut *self.state();
        state.legs[leg].queue = None;
        self.drained.notify_one();
        let used = state.legs.iter().any(|leg| leg.queue.is_some());
        if used || !matches!(state.main, Main::Open(_)) {
            return None;
        }
        let Main::Open(close) = std::mem::replace(&mut state.main, Main::Closing) else {
            return None;
        };
        let (closed, hears) = oneshot::channel();
        close.send(closed).ok().map(|()| hears)
    }

    /// A leg is gone.
    pub(super) fn gone(&self, leg: usize) {
        drop(self.leave(leg));
        let leg = &mut self.state().legs[leg];
        leg.present = false;
        leg.attempt += 1;
    }

    /// The next events for a leg. Cancel-safe.
    pub(super) async fn take(&self, leg: usize) -> Result<Taken> {
        let filled = Arc::clone(&self.state().legs[leg].filled);
        loop {
            let notified = filled.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if let Some(taken) = self.take_now(leg)? {
                return Ok(taken);
            }
            notified.await;
        }
    }

    fn take_now(&self, leg: usize) -> Result<Option<Taken>> {
        let state = &mut *self.state();
        let Some(queue) = &mut state.legs[leg].queue else { return Ok(Some(Taken::Detached)) };
        if let Some(Piece { events, from, bytes }) = queue.pieces.pop_front() {
            queue.bytes -= bytes;
            self.drained.notify_one();
            let events = match Arc::try_unwrap(events) {
                Ok(events) if from == 0 => events,
                Ok(mut events) => events.split_off(from),
                Err(shared) => shared[from..].to_vec(),
            };
            return Ok(Some(Taken::Events(events)));
        }
        match queue.end.take() {
            None => Ok(None),
            Some(End::TooSlow) => Ok(Some(Taken::Detached)),
            Some(End::Failed(error)) => Err(error),
        }
    }

    /// Something waits for a leg.
    pub(super) fn is_ready(&self, leg: usize) -> bool {
        let state = self.state();
        let queue = state.legs[leg].queue.as_ref();
        queue.is_none_or(|queue| !queue.pieces.is_empty() || queue.end.is_some())
    }

    /// What the stream is to acknowledge.
    pub(super) fn acknowledged(&self) -> Option<Position> {
        self.state().acknowledged.clone()
    }

    /// The fastest leg has room for more.
    pub(super) fn has_room(&self) -> bool {
        let state = self.state();
        let queues = state.legs.iter().filter_map(|leg| leg.queue.as_ref());
        // Those that wait for the next transaction get nothing yet, and say nothing of how fast they are.
        let queues = queues.filter(|queue| queue.end.is_none());
        let begun = |queue: &&Queue| queue.since.is_some();
        if queues.clone().all(|queue| !begun(&queue)) {
            return queues.count() > 0;
        }
        let queues = queues.filter(begun);
        queues.map(|queue| queue.bytes).min().is_some_and(|bytes| bytes < self.room.fastest)
    }

    /// Puts events into the queues.
    pub(super) fn give(&self, events: Vec<Event>, source_end: Position) {
        let all = events.iter().map(size).sum::<usize>();
        let events = Arc::new(events);
        let state = &mut *self.state();
        state.source_end = Some(source_end);
        // A queue that waits for the next transaction begins after the first end of one.
        let mut begins = None;
        for (at, event) in events.iter().enumerate() {
            let position = match event {
                Event::Begin(_) => {
                    state.inside = true;
                    continue;
                }
                Event::Commit { end } => end,
                Event::Progress { position } => position,
                _ => continue,
            };
            state.inside = false;
            state.reached = match state.reached.take().map(|reached| reached.join(position)) {
                Some(Ok(reached)) => Some(reached),
                _ => Some(position.clone()),
            };
            if begins.is_none() {
                begins = state.reached.clone().map(|reached| (at + 1, reached));
            }
        }
        for leg in &mut state.legs {
            let Some(queue) = leg.queue.as_mut().filter(|queue| queue.end.is_none()) else {
                continue;
            };
            let from = match (&queue.since, &begins) {
                (Some(_), _) => 0,
                (None, Some((from, since))) => {
                    queue.since = Some(since.clone());
                    *from
                }
                (None, None) => continue,
            };
            if from == events.len() {
                continue;
            }
            let bytes = all - events[..from].iter().map(size).sum::<usize>();
            queue.bytes += bytes;
            queue.pieces.push_back(Piece { events: Arc::clone(&events), from, bytes });
            leg.filled.notify_one();
        }
        state.detach_slow(self.room.slower);
    }

    /// The stream is gone; of an error all legs hear that take from it.
    pub(super) fn ended(&self, error: Option<&Error>) {
        let state = &mut *self.state();
        (state.main, state.reached, state.inside) = (Main::None, None, false);
        // It may not have come to the source any more, which is asked when the next stream is opened.
        state.acknowledged = None;
        self.ended.notify_waiters();
        for leg in &mut state.legs {
            match leg.queue.as_mut().filter(|queue| queue.end.is_none()) {
                Some(queue) if queue.live => {
                    queue.end = Some(error.map_or(End::TooSlow, |error| End::Failed(again(error))));
                }
                // It goes by itself anyway.
                _ => leg.queue = None,
            }
            leg.filled.notify_one();
        }
    }
}

impl State {
    /// Gives up legs that are too far behind one that is at `ahead`.
    fn give_up_beyond(&mut self, ahead: &Position) {
        let begun = self.begun.as_ref();
        for leg in self.legs.iter_mut().filter(|leg| !leg.given_up) {
            let position = leg.position.as_ref().or(begun);
            let Some((behind, limit)) =
                position.and_then(|position| ahead.bytes_since(position)).zip(leg.limit)
            else {
                continue;
            };
            if behind > limit {
                leg.given_up = true;
                tracing::error!(
                    target_name = leg.name(),
                    behind_bytes = behind,
                    limit_bytes = limit,
                    "the target is given up: the source keeps its log no longer for it, and the others go on"
                );
            }
        }
    }

    /// Detaches legs for which too much waits, while less waits for another one.
    fn detach_slow(&mut self, room: usize) {
        let counts = |queue: &&Queue| queue.end.is_none() && queue.since.is_some();
        let queues = self.legs.iter().filter_map(|leg| leg.queue.as_ref()).filter(counts);
        let least = queues.map(|queue| queue.bytes).min().unwrap_or(0);
        for leg in &mut self.legs {
            let Some(queue) = leg.queue.as_mut().filter(|queue| counts(&&**queue)) else {
                continue;
            };
            if queue.bytes <= room.max(least) {
                continue;
            }
            // What waits is taken first.
            queue.end = Some(End::TooSlow);
            let (live, waiting_bytes) = (queue.live, queue.bytes);
            if live {
                tracing::warn!(
                    target_name = leg.name(),
                    waiting_bytes,
                    "the target is slower than another and is detached: it goes on by a stream of its own until it \
                     has caught up"
                );
            }
        }
    }
}

impl Leg {
    fn lost(&self) -> Error {
        let (name, of) = (self.name(), self.name.as_ref());
        let of = of.map_or("target", |name| name);
        let known = self.position.as_ref().map(ToString::to_string);
        let known = known.as_deref().unwrap_or("its position");
        let what = format!(
            "the source keeps its log no longer for {name}, from {known} on: it was given up, or put back"
        );
        Error::new(Code::PositionGap, what).at("source").remedy(format!(
            "`regraft run --target {of} --resync all` brings its rows in line, `--recopy all` copies them anew"
        ))
    }

    /// As it is called in the configuration.
    fn name(&self) -> String {
        self.name.as_ref().map_or_else(|| "[target]".to_owned(), |name| format!("[targets.{name}]"))
    }
}

/// The same error for another leg.
fn again(error: &Error) -> Error {
    let mut same = Error::new(error.code(), error.what());
    if let Some(place) = error.place() {
        same = same.at(place);
    }
    match error.remedy_text() {
        Some(remedy) => same.remedy(remedy),
        None => same,
    }
}

/// Memory that an event holds, about.
fn size(event: &Event) -> usize {
    let old = |old: &OldImage| old.tuple().size();
    let rows = match event {
        Event::Change(Change::Insert { new, .. }) => new.size(),
        Event::Change(Change::Update { old: before, new, .. }) => {
            new.size() + before.as_ref().map_or(0, old)
        }
        Event::Change(Change::Delete { old: before, .. }) => old(before),
        Event::Message { content, .. } => content.len(),
        _ => 0,
    };
    EVENT_BYTES + rows
}
