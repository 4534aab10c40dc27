//! Waiting for a condition, instead of sleeping and hoping.

use std::time::{Duration, Instant};

/// Looks until the closure gives `Ok`; its `Err` says what is seen instead.
///
/// # Panics
/// After the deadline, with what was awaited and what was seen last.
pub async fn wait_until<T>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let begin = Instant::now();
    let mut seen = "nothing: the first look did not end".to_owned();
    loop {
        // A look that hangs must not outlast the deadline either.
        let left = deadline.saturating_sub(begin.elapsed());
        match tokio::time::timeout(left, look()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(text)) => seen = text,
            Err(_) => {}
        }
        if begin.elapsed() >= deadline {
            panic!("{what}: not within {deadline:?}; seen last: {seen}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_returns_what_the_closure_found() {
        let mut count = 0;
        let found = wait_until("three looks", Duration::from_secs(5), async || {
            count += 1;
            if count == 3 { Ok(count) } else { Err(format!("{count} looks")) }
        });
        assert_eq!(found.await, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "the first look did not end")]
    async fn a_look_that_hangs_ends_with_the_deadline() {
        let look = async || std::future::pending::<Result<(), String>>().await;
        wait_until("nothing", Duration::from_millis(50), look).await;
    }

    #[tokio::test]
    #[should_panic(expected = "the moon: not within 50ms; seen last: clouds")]
    async fn it_says_what_was_seen_last() {
        let look = async || Err::<(), _>("clouds".to_owned());
        wait_until("the moon", Duration::from_millis(50), look).await;
    }
}
