//! Streams against a scripted server.

use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use regraft_core::contract::ChangeStream;
use regraft_core::{Change, Code, Event, Lsn, Position, Transaction};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

use super::connection::{StreamOptions, WireConnection};
use super::replay::Replay;
use super::stream::PgStream;

const START: Lsn = Lsn(0x100);
/// For a timer that is not to fire.
const NEVER: Duration = Duration::from_secs(3600);

/// The other end of the connection.
struct Server(DuplexStream);

/// A standby status update.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    flushed: Lsn,
    wants_reply: bool,
}

impl Server {
    async fn send(&mut self, tag: u8, body: &[u8]) {
        let mut out = BytesMut::new();
        out.put_u8(tag);
        out.put_i32(body.len() as i32 + 4);
        out.put_slice(body);
        self.0.write_all(&out).await.unwrap();
    }

    async fn keepalive(&mut self, end: u64, wants_reply: bool) {
        let mut body = BytesMut::new();
        body.put_u8(b'k');
        body.put_u64(end);
        body.put_u64(0);
        body.put_u8(u8::from(wants_reply));
        self.send(b'd', &body).await;
    }

    async fn data(&mut self, lsn: u64, payload: &[u8]) {
        let mut body = BytesMut::new();
        body.put_u8(b'w');
        body.put_u64(lsn);
        body.put_u64(lsn);
        body.put_u64(0);
        body.put_slice(payload);
        self.send(b'd', &body).await;
    }

    async fn begin(&mut self, lsn: u64) {
        let mut body = BytesMut::from(&b"B"[..]);
        body.put_u64(lsn);
        body.put_u64(0);
        body.put_u32(7);
        self.data(lsn, &body).await;
    }

    async fn insert(&mut self, value: &[u8]) {
        self.data(0, b"R\0\0\0\x01s\0t\0d\0\x01\x01a\0\0\0\0\x19\xFF\xFF\xFF\xFF").await;
        let mut body = BytesMut::from(&b"I\0\0\0\x01N\0\x01t"[..]);
        body.put_u32(value.len() as u32);
        body.put_slice(value);
        self.data(0, &body).await;
    }

    async fn commit(&mut self, end: u64) {
        let mut body = BytesMut::from(&b"C\0"[..]);
        body.put_u64(end - 1);
        body.put_u64(end);
        body.put_u64(0);
        self.data(end, &body).await;
    }

    async fn receive(&mut self) -> (u8, Bytes) {
        let tag = self.0.read_u8().await.unwrap();
        let length = self.0.read_u32().await.unwrap() as usize;
        let mut body = vec![0; length - 4];
        self.0.read_exact(&mut body).await.unwrap();
        (tag, body.into())
    }

    async fn status(&mut self) -> Status {
        let (tag, mut body) = self.receive().await;
        assert_eq!((tag, body.get_u8(), body.len()), (b'd', b'r', 33));
        let (written, flushed, applied) = (body.get_u64(), body.get_u64(), body.get_u64());
        assert_eq!((written, applied), (flushed, flushed));
        assert!(body.get_u64() > 0);
        Status { flushed: Lsn(flushed), wants_reply: body.get_u8() == 1 }
    }
}

fn quiet() -> StreamOptions {
    StreamOptions { status_interval: NEVER, ..StreamOptions::default() }
}

fn connected() -> (WireConnection, Server) {
    let (near, far) = tokio::io::duplex(1 << 20);
    (WireConnection::new(Box::new(near), "here"), Server(far))
}

async fn begin_with(
    command_reply: &[(u8, &[u8])],
    options: StreamOptions,
) -> (regraft_core::Result<PgStream>, Server) {
    let (connection, mut server) = connected();
    let names = ["p".to_owned()];
    let start = connection.start("s", START, &names, options);
    let answer = async {
        assert_eq!(server.receive().await.0, b'Q');
        for (tag, body) in command_reply {
            server.send(*tag, body).await;
        }
        server
    };
    tokio::join!(start, answer)
}

/// A started stream, whose first status message has been read.
async fn streaming(options: StreamOptions) -> (PgStream, Server) {
    let (stream, mut server) = begin_with(&[(b'W', b"\0\0\0")], options).await;
    let first = server.status().await;
    assert_eq!(first, Status { flushed: START, wants_reply: false });
    (stream.unwrap(), server)
}

/// Events up to the first one that `last` is true for.
async fn events_until(stream: &mut PgStream, last: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut events = Vec::new();
    while !events.last().is_some_and(&last) {
        events.extend(stream.next().await.unwrap());
    }
    events
}

fn is_commit(event: &Event) -> bool {
    matches!(event, Event::Commit { .. })
}

#[tokio::test]
async fn the_connection_is_kept_alive_while_nobody_takes_events() {
    let options = StreamOptions {
        status_interval: Duration::from_millis(5),
        waiting_bytes_max: 1,
        ..StreamOptions::default()
    };
    let (mut stream, mut server) = streaming(options).await;
    // The first fills the window, the second waits for room, the third stays in the socket.
    for (begin, end) in [(0x200, 0x210), (0x300, 0x310), (0x400, 0x410)] {
        server.begin(begin).await;
        server.insert(b"row").await;
        server.commit(end).await;
        server.status().await;
        server.status().await;
    }
    for _ in 0..5 {
        assert_eq!(server.status().await.flushed, START, "nothing was acknowledged");
    }
    for end in [0x210, 0x310, 0x410] {
        let events = events_until(&mut stream, is_commit).await;
        assert!(matches!(events.last(), Some(Event::Commit { end: at }) if *at == Lsn(end).into()));
        let rows = events.iter().filter(|e| matches!(e, Event::Change(Change::Insert { .. })));
        assert_eq!(rows.count(), 1);
    }
}

#[tokio::test]
async fn a_keepalive_that_wants_an_answer_gets_it_at_once() {
    let (_stream, mut server) = streaming(quiet()).await;
    server.keepalive(0x50, true).await;
    assert_eq!(server.status().await, Status { flushed: START, wants_reply: false });
}

#[tokio::test]
async fn an_acknowledged_position_is_sent_and_never_taken_back() {
    let (stream, mut server) = streaming(quiet()).await;
    stream.acknowledge(Position::Lsn(Lsn(0x500)));
    assert_eq!(server.status().await.flushed, Lsn(0x500));
    stream.acknowledge(Position::Lsn(Lsn(0x400)));
    stream.acknowledge(Position::Lsn(Lsn(0x600)));
    assert_eq!(server.status().await.flushed, Lsn(0x600));
    server.keepalive(0x50, true).await;
    assert_eq!(server.status().await.flushed, Lsn(0x600));
}

#[tokio::test]
async fn a_refusal_in_the_stream_comes_after_the_events_before_it() {
    let (mut stream, mut server) = streaming(quiet()).await;
    server.begin(0x200).await;
    server.commit(0x210).await;
    server.send(b'E', b"SFATAL\0C57P01\0Mterminating connection\0\0").await;
    let events = events_until(&mut stream, is_commit).await;
    assert!(matches!(events[..], [Event::Begin(_), Event::Commit { .. }]));
    let error = stream.next().await.unwrap_err();
    assert_eq!(error.code(), Code::Unreachable);
    assert!(error.to_string().contains("here, slot \"s\": terminating connection"), "{error}");
    assert!(stream.ready());
    assert_eq!(stream.next().await.unwrap_err().code(), Code::Unreachable);
}

#[tokio::test]
async fn a_warning_of_a_missing_publication_ends_the_stream_and_others_do_not() {
    let (mut stream, mut server) = streaming(quiet()).await;
    server.send(b'N', b"SWARNUNG\0VWARNING\0C01000\0Mhm\0Rsomewhere\0\0").await;
    server.send(b'N', b"SWARNUNG\0VWARNING\0C55000\0Mkeine \"p\"\0RLoadPublications\0\0").await;
    let error = stream.next().await.unwrap_err();
    assert_eq!(error.code(), Code::PublicationUnfit);
    assert!(error.to_string().contains("keine \"p\""), "{error}");
}

#[tokio::test]
async fn a_connection_that_ends_is_unreachable() {
    let (mut stream, server) = streaming(quiet()).await;
    drop(server);
    assert_eq!(stream.next().await.unwrap_err().code(), Code::Unreachable);
}

/// A server that shuts down, and has sent everything, ends a stream like that.
#[tokio::test]
async fn a_stream_that_the_server_ends_is_unreachable() {
    for (tag, body) in [(b'C', &b"COPY 0\0"[..]), (b'c', b"")] {
        let (mut stream, mut server) = streaming(quiet()).await;
        server.send(tag, body).await;
        assert_eq!(stream.next().await.unwrap_err().code(), Code::Unreachable);
    }
}

#[tokio::test]
async fn a_refusal_that_comes_with_the_answer_to_the_start_is_heard() {
    let both = [(b'W', &b"\0\0\0"[..]), (b'E', b"C42704\0Mno such publication\0\0")];
    let (stream, server) = begin_with(&both, quiet()).await;
    assert_eq!(stream.unwrap().next().await.unwrap_err().code(), Code::PublicationUnfit);
    drop(server);
}

#[tokio::test]
async fn an_impossible_length_ends_the_stream() {
    let (mut stream, mut server) = streaming(quiet()).await;
    server.0.write_all(b"d\x7F\xFF\xFF\xFF").await.unwrap();
    assert_eq!(stream.next().await.unwrap_err().code(), Code::Protocol);
}

#[tokio::test]
async fn broken_messages_end_the_stream() {
    for body in
        [&b""[..], b"w", b"k\0\0", b"?", b"w\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0!"]
    {
        let (mut stream, mut server) = streaming(quiet()).await;
        server.send(b'd', body).await;
        assert_eq!(stream.next().await.unwrap_err().code(), Code::Protocol);
    }
}

#[tokio::test]
async fn progress_is_told_outside_of_transactions_and_only_forwards() {
    let (mut stream, mut server) = streaming(quiet()).await;
    server.keepalive(0x90, false).await;
    server.begin(0x200).await;
    server.keepalive(0x180, false).await;
    server.commit(0x210).await;
    server.keepalive(0x210, false).await;
    server.keepalive(0x300, false).await;
    server.keepalive(0x300, false).await;
    server.begin(0x400).await;
    server.commit(0x410).await;
    let events = events_until(&mut stream, |e| {
        matches!(e, Event::Commit { end: Position::Lsn(Lsn(0x410)) })
    })
    .await;
    let progress: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Progress { position: Position::Lsn(lsn) } => Some(lsn.0),
            _ => None,
        })
        .collect();
    assert_eq!(progress, [0x300]);
    assert_eq!(stream.source_end(), Position::Lsn(Lsn(0x410)));
}

#[tokio::test]
async fn a_message_larger_than_the_window_passes() {
    let options = StreamOptions { waiting_bytes_max: 1000, ..quiet() };
    let (mut stream, mut server) = streaming(options).await;
    let value = vec![b'x'; 3_000_000];
    let sending = async {
        server.begin(0x200).await;
        server.insert(&value).await;
        server.commit(0x210).await;
    };
    let (events, ()) = tokio::join!(events_until(&mut stream, is_commit), sending);
    let Some(Event::Change(Change::Insert { new, .. })) =
        events.iter().find(|event| matches!(event, Event::Change(_)))
    else {
        panic!()
    };
    assert_eq!(new.get(0).unwrap().bytes().unwrap().len(), value.len());
}

#[tokio::test]
async fn a_silent_server_is_asked_and_then_given_up() {
    let options = StreamOptions {
        status_interval: Duration::from_millis(5),
        silence_max: Duration::from_millis(100),
        ..StreamOptions::default()
    };
    let (mut stream, mut server) = streaming(options).await;
    while !server.status().await.wants_reply {}
    let error = stream.next().await.unwrap_err();
    assert_eq!(error.code(), Code::Unreachable);
    assert!(error.what().contains("silent"), "{error}");
}

#[tokio::test]
async fn closing_sends_the_last_acknowledgement_and_says_goodbye() {
    let (stream, mut server) = streaming(quiet()).await;
    stream.acknowledge(Position::Lsn(Lsn(0x500)));
    let script = async {
        while server.status().await.flushed != Lsn(0x500) {}
        // The acknowledgement may have been sent before the stream was closed, too.
        let mut received = server.receive().await;
        while received.0 == b'd' {
            received = server.receive().await;
        }
        assert_eq!(received.0, b'c');
        server.begin(0x600).await;
        server.send(b'c', b"").await;
        server.send(b'C', b"COPY 0\0").await;
        server.send(b'Z', b"I").await;
        assert_eq!(server.receive().await.0, b'X');
        assert_eq!(server.0.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    };
    let (closed, ()) = tokio::join!(stream.close(), script);
    closed.unwrap();
}

#[tokio::test]
async fn a_dropped_stream_closes_the_connection() {
    let (stream, mut server) = streaming(quiet()).await;
    drop(stream);
    assert_eq!(server.0.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn refusals_of_the_start_have_their_codes() {
    let cases = [
        (&b"C55006\0Mreplication slot \"s\" is active for PID 1\0\0"[..], Code::SlotInUse),
        (b"C42704\0Mreplication slot \"s\" does not exist\0\0", Code::SlotMissing),
        (b"C55000\0Mcan no longer get changes from replication slot \"s\"\0\0", Code::SlotLost),
    ];
    for (body, code) in cases {
        let (stream, _server) = begin_with(&[(b'E', body), (b'Z', b"I")], quiet()).await;
        assert_eq!(stream.err().unwrap().code(), code);
    }
}

#[tokio::test]
async fn a_query_gives_rows_and_the_connection_outlives_a_refusal() {
    let (mut connection, mut server) = connected();
    let script = async {
        server.receive().await;
        server.send(b'E', b"C42501\0Mno\0\0").await;
        server.send(b'Z', b"I").await;
        server.receive().await;
        server.send(b'T', b"\0\0").await;
        server.send(b'D', b"\0\x02\0\0\0\x02ab\xFF\xFF\xFF\xFF").await;
        server.send(b'C', b"SELECT 1\0").await;
        server.send(b'Z', b"I").await;
        server.receive().await;
        server.send(b'D', b"\0\x02\0\0\0\x09ab").await;
    };
    let queries = async {
        let refusal = connection.simple_query("SHOW a").await.unwrap_err();
        assert_eq!(refusal.code(), Code::PrivilegeMissing);
        let rows = connection.simple_query("SHOW a").await.unwrap();
        assert_eq!(rows, [[Some("ab".to_owned()), None]]);
        let cut = connection.simple_query("SHOW a").await.unwrap_err();
        assert_eq!(cut.code(), Code::Protocol);
    };
    tokio::join!(script, queries);
}

#[tokio::test]
async fn a_copy_gives_its_rows_tells_errors_among_them_and_what_comes_after_is_done_at_its_end() {
    const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    const ROW: &[u8] = b"\0\x01\0\0\0\x01x";
    let (mut connection, mut server) = connected();
    let script = async {
        let (tag, sql) = server.receive().await;
        assert_eq!(tag, b'Q');
        assert!(sql.starts_with(b"COPY (SELECT 1) TO STDOUT (FORMAT binary); COMMIT"), "{sql:?}");
        server.send(b'H', b"\x01\0\x01\0\x01").await;
        // The header alone, and with a row.
        server.send(b'd', HEADER).await;
        server.send(b'd', ROW).await;
        server.send(b'd', b"\xFF\xFF").await;
        server.send(b'c', b"").await;
        server.send(b'C', b"COPY 1\0").await;
        server.send(b'C', b"COMMIT\0").await;
        server.send(b'Z', b"I").await;
        server.receive().await;
        server.send(b'H', b"\x01\0\x01\0\x01").await;
        server.send(b'd', &[HEADER, ROW].concat()).await;
        server.send(b'E', b"C22012\0Mdivision by zero\0\0").await;
        server.receive().await;
        server.send(b'd', b"\0").await;
        drop(server);
    };
    let copies = async {
        let mut rows = Vec::new();
        let mut copy = connection.copy_out("SELECT 1", "COMMIT").await.unwrap();
        while !copy.is_ended() {
            copy.read(&mut rows).await.unwrap();
        }
        assert_eq!(rows, [&ROW[2..]]);
        let mut copy = connection.copy_out("SELECT 1 / 0", "COMMIT").await.unwrap();
        let refusal = loop {
            if let Err(refusal) = copy.read(&mut rows).await {
                break refusal;
            }
        };
        assert_eq!((refusal.code(), rows.len()), (Code::RowRefused, 2));
        let mut copy = connection.copy_out("SELECT 1", "COMMIT").await.unwrap();
        assert_eq!(copy.read(&mut rows).await.unwrap_err().code(), Code::Protocol);
        assert_eq!(copy.read(&mut rows).await.unwrap_err().code(), Code::Unreachable);
    };
    tokio::join!(script, copies);
}

/// The transaction of [`Server::begin`].
fn committed_at(commit_lsn: u64) -> Transaction {
    let commit_time = SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_800);
    Transaction { at: Lsn(commit_lsn).into(), commit_time, xid: Some(7), origin: None }
}

/// A stream from [`START`], before which the target's last commit is at 0xF0.
async fn replaying(confirmed: u64) -> (PgStream, Server) {
    let (connection, mut server) = connected();
    let replay = Replay::new(committed_at(0xF0), Lsn(confirmed), START);
    let stream = PgStream::spawn(connection, (START, START), Some(replay), quiet());
    assert_eq!(server.status().await.flushed, Lsn(0), "nothing is acknowledged of a log like that");
    (stream, server)
}

#[tokio::test]
async fn a_log_is_proved_by_the_last_commit_and_only_then_acknowledged() {
    let (mut stream, mut server) = replaying(0xE0).await;
    server.begin(0xF0).await;
    server.insert(b"before").await;
    server.commit(0xF8).await;
    server.keepalive(0xFF, true).await;
    assert_eq!(server.status().await.flushed, Lsn(0));
    server.keepalive(0x100, false).await;
    assert_eq!(server.status().await.flushed, START);
    server.begin(0x110).await;
    let insert = b"I\0\0\0\x01N\0\x01t\0\0\0\x05after";
    server.data(0, insert).await;
    server.data(0, insert).await;
    server.commit(0x118).await;
    let events = events_until(&mut stream, is_commit).await;
    // The shape that the server told in what was replayed comes with the first change that needs it.
    let kinds: Vec<_> = events.iter().map(|event| format!("{event:?}")).collect();
    let kinds: Vec<_> = kinds.iter().map(|text| text.split(['(', ' ']).next().unwrap()).collect();
    assert_eq!(kinds, ["Begin", "Relation", "Change", "Change", "Commit"]);
    assert!(matches!(&events[0], Event::Begin(begun) if *begun == committed_at(0x110)));
}

#[tokio::test]
async fn a_shape_of_the_past_is_not_told_where_a_later_one_came() {
    let (mut stream, mut server) = replaying(0xE0).await;
    server.begin(0xF0).await;
    server.insert(b"before").await;
    server.commit(0xF8).await;
    server.begin(0x110).await;
    server.insert(b"after").await;
    server.commit(0x118).await;
    let events = events_until(&mut stream, is_commit).await;
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Relation(_))).count(), 1);
}

/// A log with another past.
async fn another(confirmed: u64, begins: &[u64], reached: u64, says: &str) {
    let (mut stream, mut server) = replaying(confirmed).await;
    for &at in begins {
        server.begin(at).await;
        server.commit(at + 8).await;
    }
    server.keepalive(reached, false).await;
    let next = timeout(Duration::from_secs(10), stream.next()).await;
    let error = next.expect("an error").unwrap_err();
    assert_eq!(error.code(), Code::SourceRewound);
    assert!(error.what().contains(says), "{error}");
}

#[tokio::test]
async fn a_log_without_the_last_commit_is_another_one() {
    another(0xE0, &[], 0x100, "transaction 7 at 0/F0, is not in the source's log").await;
    another(0xE0, &[0xE4, 0xF4], 0x100, "is not in the source's log: transaction 7 at 0/F4").await;
    another(0xE0, &[0x110], 0x200, "is not in the source's log").await;
}

#[tokio::test]
async fn a_commit_that_the_target_does_not_know_is_of_another_log() {
    another(0xE0, &[0xF0, 0xF9], 0x100, "has a commit at 0/F9").await;
    // What is confirmed does not come again.
    another(0xF8, &[0xF9], 0x100, "has a commit at 0/F9").await;
}
