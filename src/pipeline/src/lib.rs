//! The data path: from a change stream to commits in a target.
//!
//! ```text
//!  ChangeStream ──events──▶ Follower ──segments──▶ applier ──▶ Sink
//!       ▲                   (follow, fold)         (applier.rs)  │
//!       └───── acknowledge, only what the sink made durable ◀────┘
//!  ChunkReader ──chunks──▶ joins the Follower at its watermark   (backfill, windows.rs)
//! ```
//!
//! This crate knows the traits of `regraft-core` and no server. Open `attempt.rs` first: it has
//! one attempt, top to bottom; [`run`](mod@run) makes one after the other.

mod applier;
mod attempt;
mod backfill;
mod between;
mod copy;
mod fan;
mod fold;
mod follow;
mod lag;
mod plan;
mod progress;
mod pulse;
mod refused;
pub mod run;
mod traces;
mod verify;
mod windows;

pub use attempt::{Ending, Ends};
pub use fan::{Fan, Gets, LegStream, Room, Tap};
pub use plan::{Options, Plan, PlannedTable, Trace, VerifyOptions};
pub use progress::{
    HeldTable, LagSummary, LastError, Progress, Reporter, Status, TableStatus, Verification,
};
pub use run::{PATIENCE, run};

/// The example of the page.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/connectors.md")]
pub struct WriteAConnector;
