//! The data path: from a change stream to commits in a target.
//!
//! ```text
//!  ChangeStream ──events──▶ Follower ──segments──▶ applier ──▶ Sink
//!       ▲                   (run.rs, batch.rs)     (applier.rs)  │
//!       └───── acknowledge, only what the sink made durable ◀────┘
//!  ChunkReader ──chunks──▶ joins the Follower at its watermark   (backfill.rs, windows.rs)
//! ```
//!
//! This crate knows the traits of `regraft-core` and no server. Open [`run`](mod@run) first: it has
//! the loop, top to bottom.

mod applier;
mod backfill;
mod batch;
mod between;
mod copy;
mod counts;
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

pub use batch::Batch;
pub use plan::{Options, Plan, PlannedTable, Trace, VerifyOptions};
pub use progress::{
    HeldTable, LagSummary, LastError, Progress, Reporter, Status, TableStatus, Verification,
};
pub use run::{Ending, Ends, PATIENCE, run};
