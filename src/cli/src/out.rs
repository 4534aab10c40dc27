//! What the commands print. Who reads it may go away (`regraft teardown --apply | head -1`): then the
//! printing ends without a word, and the work goes on to its end, with its exit status.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

/// What kept standard output from being written, other than a reader that went away.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Like `print!`, to whoever still reads.
macro_rules! out {
    ($($text:tt)*) => { $crate::out::stdout(format_args!($($text)*)) };
}

/// Like `println!`, to whoever still reads.
macro_rules! outln {
    () => { $crate::out::stdout(format_args!("\n")) };
    ($($text:tt)*) => { $crate::out::stdout(format_args!("{}\n", format_args!($($text)*))) };
}

/// Like `eprintln!`, to whoever still reads.
macro_rules! errln {
    ($($text:tt)*) => { $crate::out::stderr(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use {errln, out, outln};

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

pub(crate) fn stderr(text: fmt::Arguments<'_>) {
    // There is nobody left to tell.
    drop(io::stderr().lock().write_fmt(text));
}

/// What kept standard output from being written: a full disk, for one.
pub(crate) fn failed() -> Option<&'static io::Error> {
    FAILED.get()
}
