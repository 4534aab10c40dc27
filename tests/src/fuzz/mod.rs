//! Fuzzing: what reads bytes or texts that others wrote gets those that nobody would write, and neither
//! panics, nor hangs, nor takes the machine's memory.
//!
//! Inputs are kept ones (`tests/fuzz/TARGET/`), those that are made up in the code, and both of them spoilt
//! at random. That is no search along the branches of the program, which would need a compiler made for it:
//! what it reaches it reaches because the seeds are there already (every expression that the differential
//! tests know, rows of every type, messages of every kind).

mod seeds;
mod spoil;
mod targets;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub use spoil::Spoiler;
pub use targets::{TARGETS, Target};

/// That of a task's thread.
const STACK: usize = 2 << 20;
/// An input that takes longer hangs.
pub const HANGS: Duration = Duration::from_secs(30);

/// The folder of the kept inputs of a target.
pub fn kept(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(target.name)
}

/// The inputs that a run begins with: kept ones with the names of their files, and those of the code.
///
/// # Errors
/// When a file cannot be read.
pub fn inputs(target: &Target) -> std::io::Result<Vec<Vec<u8>>> {
    let mut inputs = (target.seeds)();
    let folder = kept(target);
    if folder.is_dir() {
        let files = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
        let mut files = files.collect::<std::io::Result<Vec<_>>>()?;
        files.sort();
        for file in files {
            inputs.push(std::fs::read(file)?);
        }
    }
    Ok(inputs)
}

/// Gives a target an input; how long it took.
///
/// # Errors
/// When it panicked or hangs.
pub fn give(target: &'static Target, input: Vec<u8>) -> Result<Duration, String> {
    let (done, is_done) = mpsc::channel();
    let begun = Instant::now();
    let work = move || {
        (target.run)(&input);
        done.send(()).ok();
    };
    let builder = std::thread::Builder::new().name(target.name.to_owned()).stack_size(STACK);
    let thread = builder.spawn(work).map_err(|error| error.to_string())?;
    match is_done.recv_timeout(HANGS) {
        Ok(()) => {}
        Err(mpsc::RecvTimeoutError::Timeout) => {
            return Err(format!("it has not ended within {} s", HANGS.as_secs()));
        }
        // The panic has been printed.
        Err(mpsc::RecvTimeoutError::Disconnected) => return Err("it panics".to_owned()),
    }
    thread.join().map_err(|_| "it panics".to_owned())?;
    Ok(begun.elapsed())
}
