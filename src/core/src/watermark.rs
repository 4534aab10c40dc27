//! Watermarks: what regraft writes into the change stream, to find the place again.
//!
//! One writer and one parser. The text has the name of the pipeline, a nonce of the attempt and the mark; those of
//! other pipelines, and of attempts before, are not ours.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Names a window of an attempt. Only [`Watermarks::token`] makes them: no two are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

/// What a watermark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// What comes was written after the attempt began.
    Start,
    /// Everything was copied, and so many segments with keys to read had been sent: the run is over if no
    /// more have been since.
    End {
        /// Segments.
        key_segments: u64,
    },
    /// What a window was opened for was read.
    Window(Token),
}

/// The text of a watermark, for [`crate::contract::ChunkReader::mark`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark(String);

impl Watermark {
    /// As it stands in the stream.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The watermarks of one attempt.
#[derive(Clone, Debug)]
pub struct Watermarks {
    attempt: Arc<str>,
    next: Arc<AtomicU64>,
}

impl Watermarks {
    /// Of an attempt that begins now.
    pub fn of_attempt(pipeline: &str) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let attempt = format!("{pipeline}:{:x}-{:x}:", std::process::id(), now.as_nanos());
        Self { attempt: attempt.into(), next: Arc::default() }
    }

    /// A token that no other window of the attempt has.
    pub fn token(&self) -> Token {
        Token(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The watermark that says it.
    pub fn write(&self, mark: Mark) -> Watermark {
        Watermark(format!("{}{mark}", self.attempt))
    }

    /// What a logical message says; `None` if it is not of this attempt.
    pub fn read(&self, content: &[u8]) -> Option<Mark> {
        let mark = std::str::from_utf8(content).ok()?.strip_prefix(&*self.attempt)?;
        match mark.split_once(' ') {
            None if mark == START => Some(Mark::Start),
            Some((END, number)) => Some(Mark::End { key_segments: number.parse().ok()? }),
            Some((WINDOW, number)) => Some(Mark::Window(Token(number.parse().ok()?))),
            _ => None,
        }
    }
}

const START: &str = "start";
const END: &str = "end";
const WINDOW: &str = "window";

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::Start => f.write_str(START),
            Mark::End { key_segments } => write!(f, "{END} {key_segments}"),
            Mark::Window(Token(number)) => write!(f, "{WINDOW} {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let of = Watermarks::of_attempt("a:b 7");
        for mark in [Mark::Start, Mark::End { key_segments: 7 }, Mark::Window(of.token())] {
            assert_eq!(of.read(of.write(mark).as_str().as_bytes()), Some(mark));
        }
    }

    #[test]
    fn tokens_of_clones_are_different() {
        let of = Watermarks::of_attempt("a");
        let other = of.clone();
        assert_ne!(of.token(), other.token());
        assert_ne!(of.token(), other.token());
    }

    #[test]
    fn what_others_write_is_not_ours() {
        let (of, other) = (Watermarks::of_attempt("a"), Watermarks::of_attempt("a:"));
        let own = of.write(Mark::Start);
        assert_eq!(other.read(own.as_str().as_bytes()), None);
        for broken in ["", "start", "a:"] {
            assert_eq!(of.read(broken.as_bytes()), None);
        }
        let text = own.as_str();
        for broken in ["window", "window x", "end", "end -1", "other 1", " "] {
            let text = text.replace(START, broken);
            assert_eq!(of.read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(of.read(&[0xFF]), None);
    }
}
