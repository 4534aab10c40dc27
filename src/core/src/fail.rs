//! Fail points: named steps at which a test has the daemon end, fail or wait.
//!
//! They exist only with the feature `fail-points`, which no released program has; without it
//! [`fail_point!`](crate::fail_point) is nothing at all. The environment variable
//! `REGRAFT_FAIL_POINTS` says what happens: `NAME=exit`, `NAME=error` or `NAME=pause`, at the first time
//! the step is reached, or at the third by `NAME=exit@3`; several are separated by `;`.

/// The steps, by name, in the order of the life of a pipeline.
pub const POINTS: &[&str] = &[
    // A start.
    "slot.made",
    "publication.made",
    "publication.altered",
    "pipeline.registered",
    "mapping.accepted",
    "standing.accepted",
    "ledger.locked",
    "epoch.raised",
    "stream.proved",
    // The copy.
    "chunk.planned",
    "chunk.opened",
    "chunk.read",
    "chunk.handed",
    "chunk.marked",
    "chunk.joined",
    "chunk.split",
    "trace.split",
    // A batch.
    "batch.begun",
    "batch.written",
    "keys.recorded",
    "chunk.noted",
    "batch.noted",
    "batch.recorded",
    "batch.committed",
    "batch.durable",
    "batch.acknowledged",
    // A comparison.
    "findings.recorded",
    "repair.asked",
    "repair.written",
];

/// A step at which a test may have the daemon end, fail or wait. Inside of an async function that gives a
/// [`Result`](crate::Result); with `exit` behind the name, anywhere.
#[cfg(feature = "fail-points")]
#[macro_export]
macro_rules! fail_point {
    ($name:literal) => {
        $crate::fail::reached($name).await?
    };
    ($name:literal, exit) => {
        $crate::fail::passed($name)
    };
}

/// Nothing: the program is built without the feature `fail-points`.
#[cfg(not(feature = "fail-points"))]
#[macro_export]
macro_rules! fail_point {
    ($name:literal $(, exit)?) => {};
}

#[cfg(feature = "fail-points")]
pub use armed::{passed, reached};

#[cfg(feature = "fail-points")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use crate::{Code, Error, Result};

    struct Armed {
        name: String,
        action: String,
        /// Times that the step is reached before.
        left: AtomicU32,
    }

    fn armed() -> &'static [Armed] {
        static ARMED: OnceLock<Vec<Armed>> = OnceLock::new();
        ARMED.get_or_init(|| {
            let given = std::env::var("REGRAFT_FAIL_POINTS").unwrap_or_default();
            let one = |text: &str| {
                let (name, action) = text.trim().split_once('=')?;
                let (action, at) = action.split_once('@').unwrap_or((action, "1"));
                let left = AtomicU32::new(at.parse().ok()?);
                Some(Armed { name: name.to_owned(), action: action.to_owned(), left })
            };
            given.split(';').filter_map(one).collect()
        })
    }

    /// What is to happen now.
    fn due(name: &str) -> Option<&'static str> {
        let armed = armed().iter().find(|armed| armed.name == name)?;
        let last =
            armed.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        (last == Ok(1)).then(|| {
            tell(name, &armed.action);
            armed.action.as_str()
        })
    }

    /// To standard error, which nobody buffers.
    fn tell(name: &str, action: &str) {
        use std::io::Write as _;
        drop(writeln!(std::io::stderr(), "fail point {name}: {action}"));
    }

    /// See [`fail_point!`](crate::fail_point).
    ///
    /// # Errors
    /// Where the test wants one.
    pub async fn reached(name: &str) -> Result<()> {
        match due(name) {
            Some("exit") => std::process::abort(),
            Some("pause") => std::future::pending().await,
            Some(_) => Err(Error::new(Code::Unreachable, "a test wants an error").at(name)),
            None => Ok(()),
        }
    }

    /// The same, where nothing can be waited for or fail.
    pub fn passed(name: &str) {
        if due(name) == Some("exit") {
            std::process::abort();
        }
    }
}
