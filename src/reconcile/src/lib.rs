//! Are the rows of the target what the SELECTs give? The parts of that question that need no server:
//! digests, the comparison of two sets of rows, and the list of keys that are still to be looked at.

mod compare;
mod digest;
mod looks;

pub use compare::{Comparison, Left, Pair};
pub use digest::{Sum, row_digest};
pub use looks::{Due, Look, Looks};
