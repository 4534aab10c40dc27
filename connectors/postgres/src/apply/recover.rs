//! What is tried when a constraint objects to the order of the writes, not to their result.
//!
//! PostgreSQL checks a foreign key at the end of each statement and a unique index at each row,
//! unless the constraint is deferrable (those are deferred at the start of the transaction). The
//! source satisfied its own constraints in its own order, of which the net effect knows nothing any
//! more. So, in a savepoint:
//!
//! 1. rows go, then rows come, new ones by plain inserts;
//! 2. after a unique violation, or where ranges overlap: the same with upserts, for rows that were in the target
//!    before;
//! 3. after a foreign key violation: rows come, then rows go (the reference moved away);
//! 4. after another unique violation: the segment's own rows let go of their old values first
//!    ("parked"): NULL where the column takes it, else the row is removed and inserted anew, else,
//!    where something references it, a made-up value;
//! 5. after yet another: the value is held by a row that comes later in the same source transaction,
//!    which gets a made-up value. Before the commit, what still has one gets its own value back;
//! 6. after another foreign key violation: rows that go stay until the commit, and rows whose key changes
//!    come as new ones before ([`super::leaving`]): what references them follows later.

use regraft_core::segment::TableWrites;
use regraft_core::{Code, Error, Result, Segment};

use super::lane::{Lane, Refused};
use super::park::{Parking, unresolvable};
use super::target::Target;
use super::write::Order;
use crate::classify;

/// Ways and constraints that may have to be tried for one segment.
const ATTEMPTS_MAX: usize = 12;

/// What the server objected to.
enum Objection {
    ForeignKey,
    Unique(String),
    /// Values of two rows overlap.
    Overlap,
    /// Two rows of one statement have one key.
    Twice,
}

impl Lane {
    /// Writes a segment inside the open transaction.
    pub(super) async fn write_segment(&mut self, segment: &Segment) -> Result<()> {
        // In the middle of a transaction, a key may pass from one row to another one later.
        let midway = segment.commit.is_none();
        let writes = segment.net()?;
        let delicate = writes.iter().any(|writes| {
            let target = &self.targets[writes.statement];
            target.delicate || target.guarded && (midway || !writes.patches.is_empty())
        });
        self.singly = false;
        let fresh = writes.iter().any(|writes| !writes.fresh.is_empty());
        if !delicate && !fresh {
            return self.write_in(segment, Order::RemoveFirst, &[]).await;
        }
        let mut order = match fresh {
            // What comes may take the place of what is leaving.
            _ if !self.leaving.is_empty() => Order::RemoveLast,
            true => Order::InsertFresh,
            false => Order::RemoveFirst,
        };
        let mut parking: Vec<Parking> = Vec::new();
        for _ in 0..ATTEMPTS_MAX {
            self.execute_text("SAVEPOINT regraft").await?;
            let parked_before = self.parked.len();
            let leaving_before = self.leaving.clone();
            let error = match self.write_in(segment, order, &parking).await {
                Ok(()) => return self.execute_text("RELEASE SAVEPOINT regraft").await,
                Err(error) => error,
            };
            let Some(objection) = objection(&error) else { return Err(error) };
            self.execute_text("ROLLBACK TO SAVEPOINT regraft").await?;
            self.parked.truncate(parked_before);
            self.leaving = leaving_before;
            match objection {
                Objection::Unique(_) | Objection::Overlap if order == Order::InsertFresh => {
                    order = Order::RemoveFirst;
                }
                Objection::Overlap => return Err(error),
                Objection::Twice if !midway || self.singly => return Err(error),
                Objection::Twice => self.singly = true,
                Objection::ForeignKey => {
                    order = match order {
                        Order::InsertFresh | Order::RemoveFirst => Order::ArriveFirst,
                        Order::ArriveFirst => Order::RemoveLast,
                        Order::RemoveLast => return Err(error),
                    }
                }
                Objection::Unique(index) => {
                    let names = self.index_names(&index).await?;
                    if !writes.iter().any(|writes| self.parks(writes, &names)) {
                        return Err(error);
                    }
                    match parking.iter_mut().find(|parking| parking.names == names) {
                        None => parking.push(Parking { names, others: false }),
                        Some(parking) if !parking.others => parking.others = true,
                        Some(parking) => {
                            let of_key = |target: &Target| parking.is_of(&target.key_index);
                            return Err(match self.targets.iter().position(of_key) {
                                Some(at) => self.collision(at),
                                None => unresolvable(&self.place, &index).because(error),
                            });
                        }
                    }
                }
            }
        }
        Err(unresolvable(&self.place, "several constraints"))
    }

    /// A unique value may move between rows of these writes. Equal rows without a key are rows each: what objects to
    /// the second one is no matter of the order; nor is a constraint that the statement does not fill.
    fn parks(&self, writes: &TableWrites, names: &[String]) -> bool {
        let Target { unique, key_index, .. } = &self.targets[writes.statement];
        let mut indexes = unique.iter().chain(std::iter::once(key_index));
        !self.routes[writes.statement].keyless && indexes.any(|index| names.contains(&index.name))
    }

    /// The name of an index, and of those that it is a partition of.
    async fn index_names(&self, index: &str) -> Result<Vec<String>> {
        let sql = "WITH RECURSIVE up AS (
                SELECT c.oid, c.relname FROM pg_class c
                WHERE c.relname = $1 AND c.relkind IN ('i', 'I')
                UNION SELECT p.oid, p.relname FROM up JOIN pg_inherits i ON i.inhrelid = up.oid
                JOIN pg_class p ON p.oid = i.inhparent)
            SELECT relname::text FROM up";
        let rows = self.client.query(sql, &[&index]).await;
        let rows = rows.map_err(|error| classify(&error, &self.place))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

fn objection(error: &Error) -> Option<Objection> {
    let source = std::error::Error::source(error)?;
    let refused = source.downcast_ref::<Refused>()?;
    match refused.sqlstate.as_str() {
        "23503" => Some(Objection::ForeignKey),
        "23P01" => Some(Objection::Overlap),
        // What functions raise may have the same one.
        "21000" if error.code() == Code::DuplicateTargetKey => Some(Objection::Twice),
        "23505" => Some(Objection::Unique(refused.constraint.clone().unwrap_or_default())),
        _ => None,
    }
}
