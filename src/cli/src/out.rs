//! What the commands print. Who reads it may go away (`regraft teardown --apply | head -1`): then the
//! printing ends without a word, and the work goes on to its end, with its exit status.
//!
//! On a terminal, lines are wrapped between words and have a little colour ([`crate::look`]). Elsewhere a byte
//! is printed as it is.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

use crate::look::{STDERR, STDOUT};

/// What kept standard output from being written, other than a reader that went away.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Like `print!`, to whoever still reads. Nothing is wrapped: for tables, JSON and what is to be copied.
macro_rules! out {
    ($($text:tt)*) => { $crate::out::stdout(format_args!($($text)*)) };
}

/// Like `println!`, to whoever still reads, for people.
macro_rules! outln {
    () => { $crate::out::stdout(format_args!("\n")) };
    ($($text:tt)*) => { $crate::out::tell(format_args!("{}\n", format_args!($($text)*))) };
}

/// Like `outln!`, of something that is as it should be.
macro_rules! outln_good {
    ($($text:tt)*) => { $crate::out::tell_good(format_args!("{}\n", format_args!($($text)*))) };
}

/// Like `eprintln!`, to whoever still reads.
macro_rules! errln {
    ($($text:tt)*) => { $crate::out::stderr(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use {errln, out, outln, outln_good};

pub(crate) fn stdout(text: fmt::Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_fmt(text).and_then(|()| stdout.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        // The first one is enough.
        drop(FAILED.set(error));
    }
}

pub(crate) fn tell(text: fmt::Arguments<'_>) {
    match STDOUT.is_plain() {
        true => stdout(text),
        false => stdout(format_args!("{}", STDOUT.dress(&text.to_string(), false))),
    }
}

pub(crate) fn tell_good(text: fmt::Arguments<'_>) {
    match STDOUT.is_plain() {
        true => stdout(text),
        false => stdout(format_args!("{}", STDOUT.dress(&text.to_string(), true))),
    }
}

pub(crate) fn stderr(text: fmt::Arguments<'_>) {
    let mut stderr = io::stderr().lock();
    // There is nobody left to tell.
    drop(match STDERR.is_plain() {
        true => stderr.write_fmt(text),
        false => stderr.write_all(STDERR.dress(&text.to_string(), false).as_bytes()),
    });
}

/// What kept standard output from being written: a full disk, for one.
pub(crate) fn failed() -> Option<&'static io::Error> {
    FAILED.get()
}
