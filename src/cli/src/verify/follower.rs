//! Somebody has to follow the source while it is verified: the daemon, or this process.

use std::path::Path;
use std::time::{Duration, Instant};

use regraft_core::{Code, Error, Result};
use regraft_pipeline::Ending;
use regraft_postgres::ledger::PgLedger;
use regraft_settings::{HeldOnDrift, Settings};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::board::Board;
use crate::mappers::Mappers;
use crate::resolve::Side;
use crate::run::{Patience, prepare, run_args};
use crate::share::Share;

/// Servers that went away are waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// A pipeline that is held for longer is given up.
const HELD_MAX: Duration = Duration::from_secs(10);
/// A daemon that makes its plan again has no lock for so long, at most.
const AWAY_MAX: Duration = Duration::from_secs(20);

/// The pipeline that follows.
pub(super) struct Follower {
    name: String,
    /// It runs here: no daemon does.
    here: Option<AbortOnDropHandle<Result<Ending>>>,
    cancel: CancellationToken,
    /// Since when an error holds it.
    held: Option<Instant>,
    /// Since when no daemon has its lock.
    away: Option<Instant>,
}

impl Follower {
    /// Runs the pipeline here where no daemon does.
    pub(super) async fn start(
        (settings, mappers): (&Settings, &Mappers),
        target: &Side,
        config: &Path,
    ) -> Result<Self, Vec<Error>> {
        let one = |error| vec![error];
        let cancel = CancellationToken::new();
        crate::on_signal(cancel.clone());
        let mut here = None;
        let (client, place) = (&target.client, target.place.as_str());
        if PgLedger::lock_if_free(client, place, &settings.name).await.map_err(one)? {
            PgLedger::unlock(client, place, &settings.name).await.map_err(one)?;
            let mut settings = settings.clone();
            settings.http.enabled = false;
            settings.verify.enabled = false;
            // What drifts meanwhile is for the daemon to answer.
            settings.drift.held = HeldOnDrift::All;
            let (args, board) = (run_args(config.to_owned()), Board::new(&settings));
            let share = Share::alone(&settings);
            let patience = Patience::For(PATIENCE);
            let pipeline =
                prepare(&settings, &args, mappers, (&board, share.as_ref()), patience).await?;
            let cancel = cancel.clone();
            let run = async move { pipeline.run(&settings, false, cancel).await };
            here = Some(AbortOnDropHandle::new(tokio::spawn(run)));
        }
        Ok(Self { name: settings.name.clone(), here, cancel, held: None, away: None })
    }

    /// Waits a little.
    ///
    /// # Errors
    /// When nobody follows any more, or this process is told to stop.
    pub(super) async fn pause(&mut self, target: &Side, time: Duration) -> Result<()> {
        tokio::select! {
            () = self.cancel.cancelled() => {
                let what = "stopped before it was done";
                return Err(Error::new(Code::VerificationRefused, what).at("verification"));
            }
            () = tokio::time::sleep(time) => {}
        }
        let held = PgLedger::held_by(&target.client, &target.place, &self.name).await?;
        self.held = held.as_ref().map(|_| self.held.unwrap_or_else(Instant::now));
        if let Some(error) = held.filter(|_| self.held.is_some_and(|s| s.elapsed() > HELD_MAX)) {
            let what =
                format!("an error holds the pipeline, so that nothing can be compared{error}");
            return Err(Error::new(Code::VerificationRefused, what)
                .at(target.place.clone())
                .remedy("see `regraft status`; once it is mended, verify again"));
        }
        let ended = self.here.as_ref().is_some_and(AbortOnDropHandle::is_finished);
        if let Some(run) = self.here.take_if(|_| ended) {
            let result = run.await;
            result.map_err(|error| {
                Error::new(Code::Internal, "the pipeline ended").because(error)
            })??;
            return Ok(());
        }
        // Between two attempts, nobody has the lock.
        if self.here.is_some()
            || self.held.is_some()
            || PgLedger::is_running(&target.client, &target.place, &self.name).await?
        {
            self.away = None;
        } else if self.away.get_or_insert_with(Instant::now).elapsed() > AWAY_MAX {
            let what = "the daemon ended before it was done";
            return Err(Error::new(Code::VerificationRefused, what)
                .at(target.place.clone())
                .remedy("start it again: it goes on with what was asked for"));
        }
        Ok(())
    }

    /// Ends what runs here.
    pub(super) async fn stop(self) {
        self.cancel.cancel();
        if let Some(run) = self.here {
            drop(run.await);
        }
    }
}
