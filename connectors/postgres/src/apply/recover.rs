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
use regraft_core::sql::quote;
use regraft_core::{Code, Error, Result, Rows, Segment};

use super::lane::{Lane, Refused};
use super::target::{Target, Unique};
use super::write::{GivenRows, Order, picked};
use crate::classify;

/// Ways and constraints that may have to be tried for one segment.
const ATTEMPTS_MAX: usize = 12;

/// A unique constraint whose values are parked before rows arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parking {
    /// Names of the index, and of those that it is a partition of.
    names: Vec<String>,
    /// Also rows outside the segment are parked.
    others: bool,
}

impl Parking {
    fn is_of(&self, index: &Unique) -> bool {
        self.names.contains(&index.name)
    }
}

/// Made-up values that stand in for unique values until the end of the transaction.
pub(super) struct Parked {
    pub(super) statement: usize,
    pub(super) column: usize,
    /// Each with the value in whose place it stands.
    pub(super) values: Vec<(String, String)>,
    /// They stand in for values of the target key.
    pub(super) key: bool,
}

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
        let delicate = segment.writes.iter().any(|writes| {
            let target = &self.targets[writes.statement];
            target.delicate || target.guarded && (midway || !writes.patches.is_empty())
        });
        self.singly = false;
        let fresh = segment.writes.iter().any(|writes| !writes.fresh.is_empty());
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
                    if !segment.writes.iter().any(|writes| self.parks(writes, &names)) {
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

    /// Parks values of one constraint, for every statement of the segment that it concerns.
    pub(super) async fn park(&mut self, segment: &Segment, parking: &Parking) -> Result<()> {
        for writes in &segment.writes {
            let target = &self.targets[writes.statement];
            let found = target
                .unique
                .iter()
                .chain(std::iter::once(&target.key_index))
                .find(|index| parking.is_of(index))
                .cloned();
            let Some(unique) = found else { continue };
            for rows in self.rows_to_park(writes, &unique) {
                self.park_own(writes.statement, &unique, &rows).await?;
                if parking.others {
                    self.park_others(writes.statement, &unique, &rows).await?;
                }
            }
        }
        Ok(())
    }

    /// The new unique values of a segment's rows, with what tells the rows: the target key of whole
    /// rows, the owner of patched ones.
    fn rows_to_park(&self, writes: &TableWrites, unique: &Unique) -> Vec<RowsToPark> {
        let key = &self.targets[writes.statement].key;
        let values = unique.columns.iter().chain(&unique.reads);
        let both: Vec<_> = values.clone().chain(key).copied().collect();
        let is_key = unique.name == self.targets[writes.statement].key_index.name;
        // Whole rows are found by their key.
        let arriving = writes.arriving().filter(|_| !is_key);
        let whole = RowsToPark { by: key.clone(), rows: picked(arriving, &both), whole: true };
        let owner: Vec<_> = self.routes[writes.statement].owner.clone().unwrap_or_default();
        let patched = writes.patches.iter().filter_map(|group| {
            // A patch row is the owner, then the columns that are set.
            let place = |column| group.columns.iter().position(|set| set == column);
            let places: Option<Vec<_>> = values.clone().map(place).collect();
            let places = places?.into_iter().map(|at| owner.len() + at).chain(0..owner.len());
            let rows = picked(group.rows.iter(), &places.collect::<Vec<_>>());
            Some(RowsToPark { by: owner.clone(), rows, whole: false })
        });
        std::iter::once(whole).chain(patched).filter(|rows| !rows.rows.is_empty()).collect()
    }

    /// The segment's own rows let go of unique values that they are about to change.
    async fn park_own(&mut self, at: usize, unique: &Unique, rows: &RowsToPark) -> Result<()> {
        let given = self.give_parked(at, unique, rows).await?;
        let target = &self.targets[at];
        let nullable = unique.columns.iter().find(|&&column| !target.not_null[column]);
        let made_up = || {
            // What tells a row that is patched has to stay.
            let parkable = |&&column: &&usize| {
                parking(target, column).is_some() && (rows.whole || !rows.by.contains(&column))
            };
            unique.columns.iter().chain(&unique.reads).find(parkable)
        };
        let Parts { table, from, unchanged, same_key, .. } =
            self.parts(at, unique, rows, &given.select);
        let name = |column: &usize| quote(&self.routes[at].columns[*column].name);
        let sql = if let Some(column) = nullable {
            format!("UPDATE {table} AS t SET {} = NULL {from}", name(column))
        } else if rows.whole && target.referenced.is_empty() {
            format!("DELETE FROM {table} AS t {}", from.replacen("FROM", "USING", 1))
        } else if let Some(column) = made_up() {
            let value = parking(target, *column).unwrap_or_default();
            format!("UPDATE {table} AS t SET {} = {value} {from}", name(column))
        } else {
            return Err(unresolvable(&self.route_place(at), &unique.name));
        };
        // Values may be NULL: a row whose value is not certainly the same lets go of it.
        let sql = format!("{sql} WHERE {same_key} AND ({unchanged}) IS NOT TRUE");
        self.run(&sql, at, &given.arrays).await.map(drop)
    }

    /// Rows outside the segment that hold a value get a made-up one.
    async fn park_others(&mut self, at: usize, unique: &Unique, rows: &RowsToPark) -> Result<()> {
        let given = self.give_parked(at, unique, rows).await?;
        let target = &self.targets[at];
        // Which rows hold the value of an expression is not known.
        let found = unique.columns.iter().find_map(|&c| Some((c, parking(target, c)?)));
        let Some((column, value)) = found else {
            return Err(unresolvable(&self.route_place(at), &unique.name));
        };
        let name = quote(&self.routes[at].columns[column].name);
        let Parts { table, from, same_value, same_key, same_row, .. } =
            self.parts(at, unique, rows, &given.select);
        let sql = format!(
            "UPDATE {table} AS t SET {name} = {value} {from}, {table} AS o WHERE {same_value} \
             AND {same_row} AND ({same_key}) IS NOT TRUE RETURNING t.{name}::text, o.{name}::text"
        );
        let key = unique.name == self.targets[at].key_index.name;
        let values = self.pairs(&sql, at, &given.arrays).await?;
        self.parked.push(Parked { statement: at, column, values, key });
        Ok(())
    }

    async fn give_parked(
        &mut self,
        at: usize,
        unique: &Unique,
        rows: &RowsToPark,
    ) -> Result<GivenRows> {
        let both = rows.columns(unique);
        let all: Vec<_> = (0..both.len()).collect();
        self.give(at, "parked", &both, (rows.rows.iter().collect(), &all), 1).await
    }

    fn parts(&self, at: usize, unique: &Unique, rows: &RowsToPark, given: &str) -> Parts {
        let (route, target) = (&self.routes[at], &self.targets[at]);
        let Unique { columns, reads, .. } = unique;
        let both = rows.columns(unique);
        let equal = |(n, &column): (usize, &usize)| {
            format!("t.{} = u.c{n}::{}", quote(&route.columns[column].name), target.types[column])
        };
        let conditions: Vec<_> = both.iter().enumerate().map(equal).collect();
        let (unchanged, same_key) = conditions.split_at(columns.len() + reads.len());
        Parts {
            table: route.target.quoted(),
            from: format!("FROM ({given}) AS u"),
            same_row: target
                .key
                .iter()
                .map(|&at| quote(&route.columns[at].name))
                .map(|name| format!("t.{name} = o.{name}"))
                .collect::<Vec<_>>()
                .join(" AND "),
            same_value: unchanged[..columns.len()].join(" AND "),
            unchanged: unchanged.join(" AND "),
            same_key: same_key.join(" AND "),
        }
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

    /// Before the commit: rows that still have a made-up value get their own back, which has to be free.
    pub(super) async fn settle_parked(&mut self) -> Result<()> {
        for parked in std::mem::take(&mut self.parked).iter().rev() {
            let at = parked.statement;
            if parked.key {
                self.drop_pending(parked).await?;
            }
            let (route, target) = (&self.routes[at], &self.targets[at]);
            let name = quote(&route.columns[parked.column].name);
            let sql_type = &target.types[parked.column];
            let sql = format!(
                "UPDATE {} AS t SET {name} = v.own::{sql_type} \
                 FROM unnest($1::text[], $2::text[]) AS v(made_up, own) \
                 WHERE t.{name} = v.made_up::{sql_type}",
                route.target.quoted(),
            );
            let place = self.route_place(at);
            let (made_up, own): (Vec<_>, Vec<_>) = parked.values.iter().cloned().unzip();
            let Err(error) = self.client.execute(&sql, &[&made_up, &own]).await else { continue };
            return Err(match Refused::of(&error) {
                Some(refused) if refused.sqlstate == "23505" && parked.key => self.collision(at),
                Some(refused) if refused.sqlstate == "23505" => {
                    let index = refused.constraint.as_deref().unwrap_or("an index");
                    let what = format!("unique values of {index} are taken by other rows");
                    Error::new(Code::UniqueExchange, what).at(place).remedy(
                        "find out why source and target disagree on who has the value: rows that \
                         were in the target before, or a unique constraint that the source does not \
                         have",
                    )
                }
                _ => self.failed(&error, &place),
            });
        }
        Ok(())
    }
}

/// Rows whose unique values may have to be put aside.
struct RowsToPark {
    /// Output columns that tell the rows.
    by: Vec<usize>,
    /// The new unique values, then the values of `by`.
    rows: Rows,
    /// The rows come whole, so that they may be removed before.
    whole: bool,
}

impl RowsToPark {
    /// The output columns that `rows` have.
    fn columns(&self, unique: &Unique) -> Vec<usize> {
        unique.columns.iter().chain(&unique.reads).chain(&self.by).copied().collect()
    }
}

/// Pieces of the statements that park values.
struct Parts {
    table: String,
    from: String,
    same_value: String,
    unchanged: String,
    same_key: String,
    /// `t` is the row `o` as it was.
    same_row: String,
}

/// A value that no row has, in the type of a column; `None` where none can be made up.
pub(super) fn parking(target: &Target, column: usize) -> Option<String> {
    /// What the length of a `varchar` is counted from in a modifier.
    const HEADER: i32 = 4;
    const MARKED: &str = "'regraft-parked-' || gen_random_uuid()";
    const MARKED_LENGTH: i32 = 51;
    /// Of random digits, so that two do not meet.
    const SHORTEST: i32 = 12;
    if target.identity.contains(&column) {
        return None;
    }
    let made_up = match target.types[column].as_str() {
        "text" => MARKED.to_owned(),
        "character varying" => match target.modifiers[column] - HEADER {
            room if !(0..MARKED_LENGTH).contains(&room) => MARKED.to_owned(),
            room if room >= SHORTEST => {
                format!("left(replace(gen_random_uuid()::text, '-', ''), {room})")
            }
            _ => return None,
        },
        "uuid" => "gen_random_uuid()".to_owned(),
        "bigint" | "numeric" => "-4611686018427387904 - floor(random() * 1e15)::bigint".to_owned(),
        "integer" => "-1073741824 - floor(random() * 1e9)::integer".to_owned(),
        _ => return None,
    };
    Some(made_up)
}

fn unresolvable(place: &str, what: &str) -> Error {
    let message = format!("unique values of {what} move between rows of one source transaction");
    Error::new(Code::UniqueExchange, message).at(place).remedy(
        "make the unique constraint of the target deferrable: ALTER TABLE … DROP CONSTRAINT …, ADD \
         CONSTRAINT … UNIQUE (…) DEFERRABLE",
    )
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
