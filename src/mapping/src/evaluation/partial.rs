//! Images that lack values: what can still be said of the contribution.

use regraft_core::Mapped;
use regraft_core::mapper::Patch;

use crate::evaluation::expr::{Env, Expr};
use crate::evaluation::mapper::{CompiledMapper, Placed, passes};

/// What an expression reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    pub(crate) slots: Vec<usize>,
    pub(crate) levels: Vec<usize>,
}

impl Reads {
    pub(crate) fn of(expr: &Expr) -> Self {
        let mut reads = Reads::default();
        expr.walk(&mut |part| match part {
            Expr::Column { slot, .. } if !reads.slots.contains(slot) => reads.slots.push(*slot),
            Expr::Lateral { level, .. } if !reads.levels.contains(level) => {
                reads.levels.push(*level)
            }
            _ => {}
        });
        reads
    }
}

impl CompiledMapper {
    /// The answer for an image that lacks values which the mapping needs.
    ///
    /// A patch is right only when the contribution has the rows that it had before. So every part of
    /// WHERE and every lateral function must read the same as before: it reads only columns that the
    /// change left alone. A condition on a column that came with its value is true now and may have
    /// been false before, in which case there is no row to patch.
    pub(crate) fn partial(&self, env: &Env<'_>) -> Mapped {
        if matches!(passes(&self.filters, env), Ok(false)) {
            return Mapped::Rows(0);
        }
        let levels = self.levels.iter();
        let rows_stay = self.filters.iter().all(|filter| self.stays(filter, env))
            && levels.clone().all(|level| {
                level.inputs.iter().all(|input| self.stays(input, env))
                    && level.condition.iter().all(|condition| self.stays(condition, env))
                    && level.filters.iter().all(|filter| self.stays(filter, env))
            });
        if !rows_stay {
            return Mapped::Read;
        }
        let mut patch = Patch::default();
        let reads_key = |part: &Placed| part.reads.slots.iter().any(|slot| self.is_key(*slot));
        patch.assumes_key = self.filters.iter().any(reads_key)
            || self.levels.iter().any(|level| {
                level.inputs.iter().any(reads_key)
                    || level.condition.iter().any(reads_key)
                    || level.filters.iter().any(reads_key)
            });
        for (i, output) in self.outputs.iter().enumerate() {
            let start = patch.cells.len();
            if output.write(env, &mut patch.cells).is_ok() {
                patch.columns.push(i);
                continue;
            }
            patch.cells.truncate(start);
            // Not computable, or failing in a row that may not exist.
            if !self.stays(output, env) {
                return Mapped::Read;
            }
            patch.assumes_key |= reads_key(output);
        }
        Mapped::Patch(patch)
    }

    /// True when the expression reads the same as before the change.
    fn stays(&self, part: &Placed, env: &Env<'_>) -> bool {
        part.reads.slots.iter().all(|slot| self.is_stable(*slot, env))
            && part.reads.levels.iter().all(|level| {
                let inputs = self.levels.get(*level).map(|level| &level.inputs);
                inputs.is_some_and(|inputs| inputs.iter().all(|input| self.stays(input, env)))
            })
    }
}
