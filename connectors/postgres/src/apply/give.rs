//! How rows reach a statement: as arrays, in a temporary table, or by COPY.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use regraft_core::row::{self, Row};
use regraft_core::segment::PatchGroup;
use regraft_core::{Result, Rows, WIDE};

use super::lane::Lane;
use super::statements;
use crate::given::{Carried, unnested};
use crate::raw::RawArray;

/// The header and end of a binary COPY: signature, flags, extension length; -1 columns.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_END: &[u8] = &[0xff, 0xff];
/// A message of a COPY is about so long.
const COPY_PART: usize = 1 << 18;

/// Rows that are given to a statement.
pub(super) struct GivenRows {
    /// A subselect that gives them, as columns `c0, c1, …`.
    pub(super) select: String,
    /// Its parameters.
    pub(super) arrays: Vec<RawArray>,
}

impl Lane {
    /// Gives rows to a statement: as one array per column, or in a temporary table of the session, where `unnest`
    /// would take the values apart, and where arrays would be copies of wide rows. `of` are the output columns that the `wanted` ones of the rows are, and
    /// `name` tells sets of rows of one statement from each other.
    pub(super) async fn give(
        &mut self,
        at: usize,
        name: &str,
        of: &[usize],
        (rows, wanted): (Vec<Row<'_>>, &[usize]),
        first: usize,
    ) -> Result<GivenRows> {
        let carried = of.iter().map(|&column| Carried::from(&self.routes[at].columns[column]));
        let staged = carried.clone().any(Carried::is_array)
            || self.stages && rows.iter().any(|row| is_wide(*row, wanted));
        if !staged {
            let select = unnested(carried, first);
            return Ok(GivenRows { select, arrays: columns(rows.into_iter(), wanted) });
        }
        // Names of the server are short, lists of columns may be long.
        let mut shape = DefaultHasher::new();
        of.hash(&mut shape);
        let table = format!("regraft_{name}_{at}_{:x}", shape.finish());
        let create = statements::create_staging(&table, carried.clone());
        self.run(&create, at, &[]).await?;
        self.run(&format!("DELETE FROM pg_temp.{table}"), at, &[]).await?;
        let copy = format!("COPY pg_temp.{table} FROM STDIN (FORMAT binary)");
        let whole = rows.first().is_none_or(|row| row.cells().count() == of.len());
        if whole && wanted.iter().copied().eq(0..of.len()) {
            self.copy(at, &copy, of.len(), rows).await?;
        } else {
            let picked = picked(rows.into_iter(), wanted);
            self.copy(at, &copy, of.len(), picked.iter().collect()).await?;
        }
        let carried = of.iter().map(|&column| Carried::from(&self.routes[at].columns[column]));
        let typed = carried.enumerate().map(|(n, column)| column.cast(&format!("c{n}")));
        let typed: Vec<_> =
            typed.enumerate().map(|(n, value)| format!("{value} AS c{n}")).collect();
        let select = format!("SELECT {} FROM pg_temp.{table}", typed.join(", "));
        Ok(GivenRows { select, arrays: Vec::new() })
    }

    pub(super) async fn give_whole(&mut self, at: usize, rows: Vec<Row<'_>>) -> Result<GivenRows> {
        let all: Vec<_> = (0..self.routes[at].columns.len()).collect();
        self.give(at, "new", &all, (rows, &all), 1).await
    }

    /// The rows of a patch: the owner, then the columns that are set.
    pub(super) async fn give_patch(
        &mut self,
        at: usize,
        group: &PatchGroup,
        rows: Vec<Row<'_>>,
    ) -> Result<GivenRows> {
        let owner = self.routes[at].owner.iter().flatten();
        let of: Vec<_> = owner.chain(&group.columns).copied().collect();
        let all: Vec<_> = (0..of.len()).collect();
        self.give(at, "patch", &of, (rows, &all), 1).await
    }

    pub(super) async fn copy(
        &mut self,
        at: usize,
        sql: &str,
        width: usize,
        rows: Vec<Row<'_>>,
    ) -> Result<u64> {
        let place = self.route_place(at);
        let statement = self.prepare(sql, &place).await?;
        let sink = self.client.copy_in::<_, Bytes>(&statement).await;
        let mut sink = std::pin::pin!(sink.map_err(|error| self.refused(at, &error))?);
        let mut out = BytesMut::from(COPY_HEADER);
        let width = i16::try_from(width).unwrap_or(i16::MAX);
        for row in rows {
            out.put_i16(width);
            // A wide row is not had twice: the server takes its parts as they come.
            for part in row.0.chunks(COPY_PART) {
                out.put_slice(part);
                if out.len() > COPY_PART {
                    let part = out.split().freeze();
                    sink.feed(part).await.map_err(|error| self.refused(at, &error))?;
                }
            }
        }
        out.put_slice(COPY_END);
        sink.feed(out.freeze()).await.map_err(|error| self.refused(at, &error))?;
        sink.finish().await.map_err(|error| self.refused(at, &error))
    }
}

/// Some columns of rows.
pub(super) fn picked<'r>(rows: impl Iterator<Item = Row<'r>>, wanted: &[usize]) -> Rows {
    let mut picked = Rows::new();
    for row in rows {
        let cells: Vec<_> = row.cells().collect();
        for &column in wanted {
            row::put(picked.buffer(), cells.get(column).copied().flatten());
        }
        picked.end_row();
    }
    picked
}

/// The wanted columns of the row alone make it wide.
fn is_wide(row: Row<'_>, wanted: &[usize]) -> bool {
    let size = |cell: Option<Option<&[u8]>>| cell.flatten().map_or(0, <[u8]>::len);
    row.0.len() >= WIDE && wanted.iter().map(|&at| size(row.cell(at))).sum::<usize>() >= WIDE
}

/// One array per wanted column.
fn columns<'r>(rows: impl Iterator<Item = Row<'r>>, wanted: &[usize]) -> Vec<RawArray> {
    let mut arrays = vec![RawArray::default(); wanted.len()];
    let in_order = wanted.iter().enumerate().all(|(at, &column)| at == column);
    for row in rows {
        if in_order {
            arrays.iter_mut().zip(row.cells()).for_each(|(array, cell)| array.push(cell));
        } else {
            let cells: Vec<_> = row.cells().collect();
            for (array, &column) in arrays.iter_mut().zip(wanted) {
                array.push(cells.get(column).copied().flatten());
            }
        }
    }
    arrays
}
