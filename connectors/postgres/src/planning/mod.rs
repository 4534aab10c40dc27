//! What a plan is made from: what the servers say of the statements of a mapping, of the names and types in them,
//! and of what the role may do.
//!
//! Each function asks one thing and gives plain values. What follows from an answer is for its caller to judge.

mod ddl;
mod described;
mod made;
mod names;
mod read;
mod sample;
mod tables;
mod types;

pub use ddl::{MissingColumn, MissingTarget, ddl, lacking};
pub use described::{
    Described, DescribedColumn, Refusal, Said, describe_all, fix_names, free_names, refusal, takes,
};
pub use made::{drop_publication, drop_slot, may_publish, standbys, there};
pub use names::{Own, own, schemas_of, unstable};
pub use read::{reading, selecting};
pub use sample::{
    Cells, Outcome, Raw, SampledRow, SampledSelect, begin_sample, end_sample, image, sample_rows,
};
pub use tables::{assignable, has_large_objects, hold_rows, is_empty};
pub use types::{Kind, kind, printed, printed_without_modifier};
