//! Which requests of a session wait for an answer, read from the messages that pass.
//!
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

use std::collections::{HashMap, VecDeque};

/// So much of a message is kept: the beginning of a statement, the names in a Bind.
const KEPT: usize = 512;

/// What is asked of the server and not answered, in order; each by its first words.
#[derive(Default)]
pub(super) struct Requests {
    asked: Cutter,
    answered: Cutter,
    /// The start-up has no tag.
    started: bool,
    /// Statements by their names in the session.
    prepared: HashMap<Vec<u8>, String>,
    /// Of the messages since the last request.
    statement: String,
    open: VecDeque<Request>,
}

struct Request {
    what: String,
    /// By the extended protocol, whose Sync ends it.
    synced: bool,
}

impl Requests {
    /// What the oldest request without an answer is.
    pub(super) fn oldest(&self) -> Option<&str> {
        self.open.front().map(|request| request.what.as_str())
    }

    /// So many bytes of a row are to come.
    pub(super) fn awaited_of_row(&self) -> usize {
        let is_row = self.answered.head.first() == Some(&b'D');
        self.answered.left.filter(|_| is_row).unwrap_or(0)
    }

    /// These bytes were sent.
    pub(super) fn asked(&mut self, bytes: &[u8]) {
        let mut asked = std::mem::take(&mut self.asked);
        asked.untagged = !self.started;
        asked.cut(bytes, |tag, body| match tag {
            b'Q' => {
                let what = summary(text(body));
                self.open.push_back(Request { what, synced: false });
            }
            b'P' => {
                let (name, sql) = split(body);
                self.statement = summary(text(sql));
                self.prepared.insert(name.to_vec(), self.statement.clone());
            }
            b'B' => {
                let (_portal, rest) = split(body);
                let what = self.prepared.get(split(rest).0);
                self.statement = what.cloned().unwrap_or_default();
            }
            b'C' if body.first() == Some(&b'S') => {
                self.prepared.remove(split(body.get(1..).unwrap_or_default()).0);
            }
            b'S' => {
                let what = self.statement.clone();
                self.open.push_back(Request { what, synced: true });
            }
            _ => {}
        });
        self.started = true;
        asked.untagged = false;
        self.asked = asked;
    }

    /// These bytes were received.
    pub(super) fn answered(&mut self, bytes: &[u8]) {
        let open = &mut self.open;
        self.answered.cut(bytes, |tag, _| match tag {
            b'Z' => drop(open.pop_front()),
            // A COPY into the server begins: it passes over the Sync that was sent with it, and another
            // one follows the data.
            b'G' if open.front().is_some_and(|request| request.synced) => drop(open.pop_front()),
            _ => {}
        });
    }
}

/// Cuts messages from pieces of any length.
#[derive(Default)]
struct Cutter {
    untagged: bool,
    head: Vec<u8>,
    body: Vec<u8>,
    /// Bytes of the message that are to come.
    left: Option<usize>,
}

impl Cutter {
    fn cut(&mut self, mut bytes: &[u8], mut message: impl FnMut(u8, &[u8])) {
        loop {
            let Some(left) = self.left else {
                let length = if self.untagged { 4 } else { 5 };
                let take = (length - self.head.len()).min(bytes.len());
                let (head, rest) = bytes.split_at(take);
                self.head.extend_from_slice(head);
                bytes = rest;
                if self.head.len() < length {
                    return;
                }
                let size = self.head.iter().rev().take(4).rev();
                let size = size.fold(0_usize, |size, byte| size << 8 | usize::from(*byte));
                self.left = Some(size.saturating_sub(4));
                continue;
            };
            let (now, rest) = bytes.split_at(left.min(bytes.len()));
            let room = KEPT.saturating_sub(self.body.len());
            self.body.extend_from_slice(now.get(..room.min(now.len())).unwrap_or_default());
            bytes = rest;
            if now.len() < left {
                self.left = Some(left - now.len());
                return;
            }
            let tag = if self.untagged { 0 } else { self.head.first().copied().unwrap_or(0) };
            message(tag, &self.body);
            self.untagged = false;
            self.head.clear();
            self.body.clear();
            self.left = None;
        }
    }
}

/// Up to a zero byte, and what follows it.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    (bytes.get(..end).unwrap_or_default(), bytes.get(end + 1..).unwrap_or_default())
}

fn text(bytes: &[u8]) -> &str {
    let text = split(bytes).0;
    let valid = std::str::from_utf8(text)
        .or_else(|error| std::str::from_utf8(text.get(..error.valid_up_to()).unwrap_or_default()));
    valid.unwrap_or_default()
}

/// What a statement does and to which table, without anything that could be a value: `INSERT INTO goods`.
fn summary(sql: &str) -> String {
    let words: Vec<_> = sql.split_whitespace().collect();
    let after = |at: usize| words.get(at).map_or("", |word| word.trim_end_matches(['(', ';', ',']));
    for (at, word) in words.iter().enumerate() {
        let word = word.trim_start_matches('(');
        match word {
            "INSERT" | "DELETE" | "MERGE" => {
                return format!("{word} {} {}", after(at + 1), after(at + 2));
            }
            "UPDATE" | "COPY" | "TRUNCATE" | "LOCK" | "CREATE" | "ALTER" | "DROP" | "SET" => {
                return format!("{word} {}", after(at + 1));
            }
            "SELECT" => {
                let function = after(at + 1).split('(').next().unwrap_or_default();
                let from = words.iter().position(|word| *word == "FROM");
                return match from.map(|from| after(from + 1)) {
                    // A function of a server, such as pg_create_logical_replication_slot.
                    _ if function.starts_with("pg_") => format!("SELECT {function}"),
                    Some(table) if !table.starts_with(['(', '$']) => {
                        // It may be a function, with its arguments.
                        let name = table.split('(').next().unwrap_or_default();
                        format!("SELECT … FROM {name}")
                    }
                    _ => "SELECT".to_owned(),
                };
            }
            "BEGIN" | "BEGIN;" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" => {
                return word.trim_end_matches(';').to_owned();
            }
            _ => {}
        }
    }
    "a request".to_owned()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use postgres_protocol::IsNull;
    use postgres_protocol::message::frontend;

    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag][..], &length, body].concat()
    }

    fn started() -> Requests {
        let mut requests = Requests::default();
        let mut out = BytesMut::new();
        frontend::startup_message([("user", "me")], &mut out).unwrap();
        requests.asked(&out);
        requests.answered(&message(b'R', &[0; 4]));
        requests.answered(&message(b'Z', b"I"));
        requests
    }

    /// In pieces of this many bytes.
    fn extended(requests: &mut Requests, sql: &str, pieces: usize) {
        let mut out = BytesMut::new();
        frontend::parse("s1", sql, [], &mut out).unwrap();
        frontend::sync(&mut out);
        let none = std::iter::empty::<i16>;
        let values = std::iter::empty::<()>();
        frontend::bind("", "s1", none(), values, |(), _| Ok(IsNull::Yes), none(), &mut out).ok();
        frontend::execute("", 0, &mut out).unwrap();
        frontend::sync(&mut out);
        out.chunks(pieces).for_each(|piece| requests.asked(piece));
    }

    #[test]
    fn a_request_is_open_until_the_server_is_ready_again() {
        for pieces in [1, 3, 1000] {
            let mut requests = started();
            assert_eq!(requests.oldest(), None);
            extended(&mut requests, "INSERT INTO \"public\".\"goods\" (a) VALUES ('x')", pieces);
            assert_eq!(requests.oldest(), Some("INSERT INTO \"public\".\"goods\""));
            requests.answered(&message(b'Z', b"T"));
            assert_eq!(requests.oldest(), Some("INSERT INTO \"public\".\"goods\""));
            let rows = message(b'D', &[7; 5000]);
            rows.chunks(pieces * 7).for_each(|piece| requests.answered(piece));
            assert!(requests.oldest().is_some());
            requests.answered(&message(b'Z', b"I"));
            assert_eq!(requests.oldest(), None);
        }
    }

    #[test]
    fn data_that_is_copied_in_is_no_request_until_it_ends() {
        let mut requests = started();
        extended(&mut requests, "COPY goods FROM STDIN BINARY", 1000);
        requests.answered(&message(b'Z', b"T"));
        requests.answered(&message(b'G', &[0; 3]));
        assert_eq!(requests.oldest(), None);
        let mut out = BytesMut::new();
        frontend::copy_done(&mut out);
        frontend::sync(&mut out);
        requests.asked(&out);
        assert_eq!(requests.oldest(), Some("COPY goods"));
        requests.answered(&message(b'Z', b"T"));
        assert_eq!(requests.oldest(), None);
    }

    #[test]
    fn a_summary_has_no_values() {
        for (sql, want) in [
            ("COMMIT", "COMMIT"),
            ("BEGIN; SET CONSTRAINTS ALL DEFERRED", "BEGIN"),
            (
                "WITH rows AS (UPDATE regraft.statements s SET u = 1) SELECT",
                "UPDATE regraft.statements",
            ),
            (
                "SELECT lsn FROM pg_create_logical_replication_slot($1, 'x')",
                "SELECT … FROM pg_create_logical_replication_slot",
            ),
            ("SELECT pg_try_advisory_lock(1)", "SELECT pg_try_advisory_lock"),
            ("SELECT 'secret' AS x", "SELECT"),
            ("'secret'", "a request"),
        ] {
            assert_eq!(summary(sql), want);
        }
    }
}
