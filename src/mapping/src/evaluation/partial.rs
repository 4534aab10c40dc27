//! Images that lack values: what can still be said of the contribution.

use regraft_core::mapper::Patch;
use regraft_core::{Cell, Mapped};

use crate::evaluation::expr::Env;
use crate::evaluation::plan::{Placed, Plan, passes};

impl Plan {
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

    /// Columns that read the same as before the change: those that came without their value, and
    /// the key, whose change the stream reports apart.
    fn is_stable(&self, slot: usize, env: &Env<'_>) -> bool {
        self.is_key(slot) || matches!(env.cell(slot), Ok(Cell::Unchanged))
    }

    fn is_key(&self, slot: usize) -> bool {
        self.columns.get(slot).is_some_and(|column| column.key)
    }
}
