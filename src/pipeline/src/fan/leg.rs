//! The stream of one leg: the shared one, or one of its own where it is behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use regraft_core::contract::{ChangeStream, Opened, Past, Source};
use regraft_core::{Change, Code, Error, Event, Oid, Position, Relation, Result, Transaction};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::hub::{Hub, Join, Taken};
use super::pump::Opening;

/// A leg that goes by itself, though there is no other, has found the slot in use: it is tried again after this.
const APART: Duration = Duration::from_secs(10);

/// How a leg gets at what it shares.
pub(super) struct Port<S> {
    pub(super) hub: Arc<Hub>,
    pub(super) leg: usize,
    /// See `Hub::comes`.
    pub(super) attempt: u64,
    pub(super) source: S,
}

impl<S: Source + Clone> Port<S> {
    /// Opens the stream that all share where there is none, else one of its own, which it gives then.
    pub(super) async fn open(&self, past: &Past) -> Result<Opened<Option<S::Stream>>> {
        let opened = self.open_either(past).await;
        if opened.as_ref().is_err_and(|error| error.code() == Code::PositionGap) {
            self.hub.give_up(self.leg);
        }
        opened
    }

    async fn open_either(&self, past: &Past) -> Result<Opened<Option<S::Stream>>> {
        self.hub.closed().await;
        let mut source = self.source.clone();
        if let Some(opening) = Opening::begin(&self.hub) {
            match source.stream(past).await {
                Ok(Opened { stream, history }) => {
                    let of = (&past.position, source.scope());
                    opening.opened(stream, of, (self.leg, self.attempt));
                    self.hub.arrived((self.leg, self.attempt));
                    return Ok(Opened { stream: None, history });
                }
                // Another daemon has it, with the other targets.
                Err(error) if error.code() == Code::SlotInUse => tracing::info!("{error:#}"),
                Err(error) => return Err(error),
            }
        }
        let Opened { stream, history } = source.beside(past).await?;
        self.hub.arrived((self.leg, self.attempt));
        Ok(Opened { stream: Some(stream), history })
    }
}

/// A [`ChangeStream`] that may come from several, one after the other; it gives each transaction once, whole and in
/// order.
pub struct LegStream<S: Source>(Inner<S>);

#[allow(clippy::large_enum_variant, reason = "there is one for each target")]
enum Inner<S: Source> {
    Alone(S::Stream),
    Shared(Shared<S>),
}

struct Shared<S: Source> {
    from: From<S>,
    given: Given,
    port: Arc<Port<S>>,
    /// Since when it has a stream of its own.
    apart: Instant,
    /// Leaves the hub when the stream is dropped.
    _present: Present,
}

struct Present(Arc<Hub>, usize);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.gone(self.1);
    }
}

#[allow(clippy::large_enum_variant, reason = "there is one for each target")]
enum From<S: Source> {
    /// The hub.
    Queue,
    /// What is being opened: a stream of its own, or none where it is the one that all share.
    Opening(AbortOnDropHandle<Result<Opened<Option<S::Stream>>>>),
    /// A stream of its own. True: what the others get waits in the queue.
    Own(S::Stream, bool),
}

impl<S: Source> From<S> {
    fn opened(stream: Option<S::Stream>) -> Self {
        stream.map_or(From::Queue, |stream| From::Own(stream, false))
    }
}

impl<S: Source> LegStream<S> {
    pub(super) fn alone(stream: S::Stream) -> Self {
        Self(Inner::Alone(stream))
    }

    /// Comes by its own stream first where it has one.
    pub(super) fn shared(port: Port<S>, past: Past, stream: Option<S::Stream>) -> Self {
        Self(Inner::Shared(Shared {
            from: From::opened(stream),
            given: Given::until(past),
            _present: Present(Arc::clone(&port.hub), port.leg),
            port: Arc::new(port),
            apart: Instant::now(),
        }))
    }
}

impl<S: Source + Clone + Sync + 'static> ChangeStream for LegStream<S> {
    async fn next(&mut self) -> Result<Vec<Event>> {
        match &mut self.0 {
            Inner::Alone(stream) => stream.next().await,
            Inner::Shared(shared) => shared.next().await,
        }
    }

    fn ready(&self) -> bool {
        match &self.0 {
            Inner::Alone(stream) => stream.ready(),
            Inner::Shared(shared) => match &shared.from {
                From::Queue => shared.port.hub.is_ready(shared.port.leg),
                From::Opening(opening) => opening.is_finished(),
                From::Own(stream, _) => stream.ready(),
            },
        }
    }

    fn acknowledge(&self, position: Position) {
        match &self.0 {
            Inner::Alone(stream) => stream.acknowledge(position),
            Inner::Shared(shared) => {
                shared.port.hub.durable(shared.port.leg, &position);
                if let From::Own(stream, _) = &shared.from {
                    stream.acknowledge(position);
                }
            }
        }
    }

    fn source_end(&self) -> Position {
        let shared = match &self.0 {
            Inner::Alone(stream) => return stream.source_end(),
            Inner::Shared(shared) => shared,
        };
        match &shared.from {
            From::Own(stream, _) => stream.source_end(),
            _ => shared.port.hub.source_end().unwrap_or_else(|| shared.given.past.position.clone()),
        }
    }

    async fn close(self) -> Result<()> {
        let shared = match self.0 {
            Inner::Alone(stream) => return stream.close().await,
            Inner::Shared(shared) => shared,
        };
        let closed = shared.port.hub.leave(shared.port.leg);
        if let From::Own(stream, _) = shared.from {
            stream.close().await?;
        }
        match closed {
            Some(closed) => closed.await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }
}

impl<S: Source + Clone + Sync + 'static> Shared<S> {
    /// Cancel-safe: it waits only for what is.
    async fn next(&mut self) -> Result<Vec<Event>> {
        let Port { hub, leg, .. } = &*Arc::clone(&self.port);
        hub.kept(*leg)?;
        // Perhaps nothing that was not given before: who asks waits for no more than `ready` has told.
        match &mut self.from {
            From::Queue => match hub.take(*leg).await? {
                Taken::Events(events) => return self.given.pass(events, |_| false),
                Taken::Detached => {
                    drop(hub.leave(*leg));
                    self.open();
                }
            },
            From::Opening(opening) => {
                let opened = opening.await.map_err(|error| {
                    let what = "a stream could not be opened";
                    Error::new(Code::Internal, what).because(error)
                })??;
                if let Some(history) = opened.history {
                    let what = format!("the source goes on in another history, {history}");
                    return Err(Error::new(Code::Unreachable, what).at("source"));
                }
                self.from = From::opened(opened.stream);
                self.apart = Instant::now();
                self.given.goes_on();
            }
            From::Own(stream, waits) => {
                let events = stream.next().await?;
                let mut joined = false;
                let events = self.given.pass(events, |done| {
                    if *waits {
                        match hub.has_joined(*leg, done) {
                            Some(all) => joined = all,
                            None => *waits = false,
                        }
                    }
                    joined
                })?;
                if joined {
                    self.from = From::Queue;
                } else if !*waits {
                    self.join();
                }
                return Ok(events);
            }
        }
        Ok(Vec::new())
    }

    /// Asks for what all share, when it is near.
    fn join(&mut self) {
        let From::Own(stream, waits) = &mut self.from else { return };
        let Port { hub, leg, source, .. } = &*self.port;
        if stream.ready() && !hub.is_near(&self.given.past.position) {
            return;
        }
        match hub.join(*leg, &source.scope()) {
            Join::Waits => *waits = true,
            // Between two transactions nothing of it comes again.
            Join::None if self.given.open.is_none() && self.apart.elapsed() >= APART => self.open(),
            Join::None | Join::Later => {}
        }
    }

    fn open(&mut self) {
        let (port, past) = (Arc::clone(&self.port), self.given.past.clone());
        let opening = tokio::spawn(async move { port.open(&past).await });
        self.from = From::Opening(AbortOnDropHandle::new(opening));
    }
}

/// What was given so far.
struct Given {
    /// Up to which position, and the last transaction; the history is that of the attempt.
    past: Past,
    /// The transaction that is open, and how many of its events were given.
    open: Option<(Transaction, u64)>,
    /// The open transaction comes again: so many of its events are left out, from its begin on.
    repeats: Option<u64>,
    /// The transaction was given before, by another stream.
    skipping: bool,
    /// Shapes as they were told last. A stream tells them once, which may be before the leg came to it.
    shapes: HashMap<Oid, Arc<Relation>>,
}

impl Given {
    fn until(past: Past) -> Self {
        Self { past, open: None, repeats: None, skipping: false, shapes: HashMap::new() }
    }

    /// Another stream begins, behind the last transaction that is complete.
    fn goes_on(&mut self) {
        self.skipping = false;
        self.repeats = self.open.as_ref().map(|(_, given)| *given);
    }

    /// What of the events was not given before. `ends` is asked with each position up to which everything was
    /// given then; what comes after it is left.
    fn pass(
        &mut self,
        events: Vec<Event>,
        mut ends: impl FnMut(&Position) -> bool,
    ) -> Result<Vec<Event>> {
        let mut passed = Vec::with_capacity(events.len());
        for event in events {
            match event {
                Event::Begin(transaction) => self.begin(transaction, &mut passed)?,
                Event::Commit { end } => {
                    self.past.position = self.past.position.join(&end)?;
                    if !std::mem::take(&mut self.skipping) {
                        if let Some(missing) = self.repeats.take().filter(|left| *left > 0) {
                            let what = format!(
                                "a transaction came again without {missing} of its changes"
                            );
                            return Err(Error::new(Code::Protocol, what).at("source"));
                        }
                        self.past.last = self.open.take().map(|(transaction, _)| transaction);
                        passed.push(Event::Commit { end });
                    }
                    if ends(&self.past.position) {
                        break;
                    }
                }
                Event::Progress { position } => {
                    self.past.position = self.past.position.join(&position)?;
                    passed.push(Event::Progress { position });
                    if ends(&self.past.position) {
                        break;
                    }
                }
                // Told with the change that needs it.
                Event::Relation(_) => {}
                // These come to each stream in its own way: they are nobody's, and do not count.
                Event::Type { .. } | Event::Message { transactional: false, .. } => {}
                _ if self.skipping || self.is_repeated() => {}
                event => {
                    if let Event::Change(change) = &event {
                        self.tell_shapes(change, &mut passed);
                    }
                    passed.push(event);
                }
            }
        }
        Ok(passed)
    }

    fn begin(&mut self, transaction: Transaction, passed: &mut Vec<Event>) -> Result<()> {
        if self.past.position.has(&transaction.at) {
            self.skipping = true;
            return Ok(());
        }
        match &self.open {
            None => {
                self.open = Some((transaction.clone(), 0));
                passed.push(Event::Begin(transaction));
                Ok(())
            }
            Some((open, _)) if self.repeats.is_some() && *open == transaction => Ok(()),
            Some((open, _)) => {
                let what = format!(
                    "the transaction committed at {} did not come again, but one committed at {}",
                    open.at, transaction.at
                );
                Err(Error::new(Code::Unreachable, what).at("source"))
            }
        }
    }

    /// Whether an event of the open transaction was given before; counts it if not.
    fn is_repeated(&mut self) -> bool {
        match &mut self.repeats {
            Some(0) | None => {
                self.repeats = None;
                if let Some((_, given)) = &mut self.open {
                    *given += 1;
                }
                false
            }
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    fn tell_shapes(&mut self, change: &Change, passed: &mut Vec<Event>) {
        let relations = match change {
            Change::Insert { relation, .. }
            | Change::Update { relation, .. }
            | Change::Delete { relation, .. } => std::slice::from_ref(relation),
            Change::Truncate { relations } => relations,
        };
        for relation in relations {
            let known = self.shapes.get(&relation.oid);
            if known.is_some_and(|known| Arc::ptr_eq(known, relation)) {
                continue;
            }
            if known.is_none_or(|known| known != relation) {
                passed.push(Event::Relation(Arc::clone(relation)));
            }
            self.shapes.insert(relation.oid, Arc::clone(relation));
        }
    }
}
