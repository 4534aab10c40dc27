//! Unique values that move between rows of one segment, or of one source transaction: those that are in the way are
//! *parked* before rows come, and the commit makes sure that none is left there. When it has to be, see
//! [`super::recover`].

use regraft_core::segment::TableWrites;
use regraft_core::sql::quote;
use regraft_core::{Code, Error, Result, Rows, Segment};

use super::give::{GivenRows, picked};
use super::lane::{Lane, Refused};
use super::owed::{Parked, made_up};
use super::target::Unique;

/// A unique constraint whose values are parked before rows arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parking {
    /// Names of the index, and of those that it is a partition of.
    pub(super) names: Vec<String>,
    /// Also rows outside the segment are parked.
    pub(super) others: bool,
}

impl Parking {
    pub(super) fn is_of(&self, index: &Unique) -> bool {
        self.names.contains(&index.name)
    }
}

impl Lane {
    /// Parks values of one constraint, for every statement of the segment that it concerns.
    pub(super) async fn park(&mut self, segment: &Segment, parking: &Parking) -> Result<()> {
        for writes in segment.net()? {
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
        let free = || {
            // What tells a row that is patched has to stay.
            let parkable = |&&column: &&usize| {
                made_up(target, column).is_some() && (rows.whole || !rows.by.contains(&column))
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
        } else if let Some(column) = free() {
            let value = made_up(target, *column).unwrap_or_default();
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
        let found = unique.columns.iter().find_map(|&c| Some((c, made_up(target, c)?)));
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

pub(super) fn unresolvable(place: &str, what: &str) -> Error {
    let message = format!("unique values of {what} move between rows of one source transaction");
    Error::new(Code::UniqueExchange, message).at(place).remedy(
        "make the unique constraint of the target deferrable: ALTER TABLE … DROP CONSTRAINT …, ADD \
         CONSTRAINT … UNIQUE (…) DEFERRABLE",
    )
}
