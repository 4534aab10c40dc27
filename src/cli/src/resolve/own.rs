//! Statements whose rows a mapper of the program makes: does it fit, and does it keep its word?

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use regraft_core::mapper::{Binding, Input, Output, Source};
use regraft_core::sql::quote;
use regraft_core::{
    Cell, Code, Declaration, Error, Mapped, Mapper, Oid, Relation, Result, Row, Rows, Tuple,
};
use regraft_mapping::{NamedMapper, Statement, WRAPPED};
use regraft_postgres::catalog::Table;
use regraft_postgres::chunks::{KeyColumn, ReadStatement};
use regraft_postgres::planning::reading;

use super::key_column;
use crate::mappers::Mappers;

const CORRECT: &str = "correct the mapper; regraft-conformance finds the row image that shows it";

/// A mapper of the program, for one statement.
pub(super) struct Own {
    name: String,
    declaration: Declaration,
    stream: Guard,
    /// Bound to the columns that it reads, in their order.
    reader: Arc<Guard>,
}

impl Own {
    /// The mapper that a statement names, bound to its source table.
    pub(super) fn new(
        mappers: &Mappers,
        statement: &Statement,
        named: &NamedMapper,
        table: &Table,
    ) -> Result<Own> {
        let place = statement.place_of_mapper(named);
        let fail = |code, what: String, remedy: &str| {
            Err(Error::new(code, what).at(place.clone()).remedy(remedy))
        };
        let name = &named.name;
        let (Some(stream), Some(reader)) = (mappers.make(name), mappers.make(name)) else {
            let what = format!("this program has no mapper {name}");
            let known = match mappers.names().join(", ") {
                none if none.is_empty() => "it has none at all: run the program that has it, see \
                                            \"A mapper of your own\" in docs/guide.md"
                    .to_owned(),
                names => format!("name one of its mappers: {names}"),
            };
            return fail(Code::MapperUnknown, what, &known);
        };
        let declaration = stream.declaration();
        let reads: Vec<_> = declaration.reads.iter().map(|read| read.name.clone()).collect();
        let twice = (1..reads.len()).find(|&at| reads[..at].contains(&reads[at]));
        let stray = declaration.outputs.iter().filter_map(|output| output.copies());
        let stray = stray.map(str::to_owned).find(|column| !reads.contains(column));
        if let Some(column) = twice.map(|at| reads[at].clone()).or(stray) {
            let what = format!(
                "the mapper {name} declares {} twice, or copies it without reading it",
                quote(&column)
            );
            return fail(Code::MapperUnfit, what, "correct the mapper's declaration");
        }
        if let Some(given) = &named.columns {
            let other = reads.iter().find(|read| !given.contains(read));
            let other = other.or_else(|| given.iter().find(|given| !reads.contains(given)));
            if let Some(column) = other {
                let list = reads.iter().map(|read| quote(read)).collect::<Vec<_>>().join(", ");
                let what = format!(
                    "the mapper {name} reads other columns than those selected: {} is in one of the two",
                    quote(column)
                );
                return fail(Code::MapperUnfit, what, &format!("SELECT {list}, or SELECT *"));
            }
        }
        let of_table = table.stream_columns();
        let whole = Relation {
            oid: table.oid,
            table: table.name.clone(),
            identity: table.identity,
            columns: of_table.clone(),
        };
        let narrow = |relation: &Relation| Relation {
            columns: reads
                .iter()
                .filter_map(|read| of_table.iter().find(|column| column.name == *read).cloned())
                .collect(),
            ..relation.clone()
        };
        let guard = |inner: Box<dyn Mapper>| Guard {
            inner,
            place: format!("{}, mapper {name}, a row of {}", statement.place(), table.name),
            width: declaration.outputs.len(),
            reads: declaration.reads.clone(),
            binding: Binding::default(),
        };
        let (mut stream, mut reader) = (guard(stream), guard(reader));
        let unfit = |error: Error| {
            let what = format!("the mapper {name} does not fit {}: {}", table.name, error.what());
            Error::new(Code::MapperUnfit, what).at(place.clone()).remedy(
                "use the mapper for a table that has the columns and types that it declares",
            )
        };
        stream.bind(&whole).map_err(unfit)?;
        reader.bind(&narrow(&whole)).map_err(unfit)?;
        Ok(Own { name: name.clone(), declaration, stream, reader: Arc::new(reader) })
    }

    /// Names, OIDs and modifiers of the output columns.
    pub(super) fn columns(&self, table: &Table) -> Vec<(String, Oid, i32)> {
        let column = |output: &Output| {
            let (oid, modifier) = match &output.source {
                Source::Made(oid) => (*oid, -1),
                Source::Copy(column) => {
                    table.column(column).map_or((0, -1), |c| (c.type_oid, c.type_modifier))
                }
            };
            (output.name.clone(), oid, modifier)
        };
        self.declaration.outputs.iter().map(column).collect()
    }

    /// As in messages and in the ledger.
    pub(super) fn title(&self) -> String {
        format!("mapper {}, version {}", self.name, self.declaration.version)
    }

    /// How source rows are read for it.
    pub(super) fn read(&self, table: &Table, key: &[KeyColumn]) -> ReadStatement {
        let reads = self.declaration.reads.iter().map(|read| key_column(table, &read.name));
        let reads: Vec<_> = reads.collect();
        let mapper = Arc::clone(&self.reader) as Arc<dyn Mapper>;
        reading((&table.name, WRAPPED), key, &reads, mapper)
    }
}

impl Mapper for Own {
    fn declaration(&self) -> Declaration {
        self.declaration.clone()
    }

    fn bind(&mut self, relation: &Relation) -> Result<()> {
        self.stream.bind(relation)
    }

    fn map(&self, image: &Tuple, out: &mut Rows) -> Result<Mapped> {
        self.stream.map(image, out)
    }
}

/// Looks at what a mapper gives before it goes anywhere: a row with a cell too few would shift all
/// others, and a `Read` that nobody can answer would be asked for ever.
struct Guard {
    inner: Box<dyn Mapper>,
    place: String,
    width: usize,
    reads: Vec<Input>,
    binding: Binding,
}

impl Guard {
    fn judge(&self, image: &Tuple, mapped: &Mapped, out: &mut Rows, before: usize) -> Option<&str> {
        let whole =
            || (0..self.reads.len()).all(|r| self.binding.cell(image, r) != Cell::Unchanged);
        match mapped {
            Mapped::Rows(count) => {
                let size = out.size();
                out.abandon_row();
                if out.len() != before + count || out.size() != size {
                    return Some("other rows are in the output than it says");
                }
                let full = |row| cells(row) == Some(self.width);
                let all = (before..out.len()).filter_map(|at| out.get(at)).all(full);
                (!all).then_some("a row has not the declared number of columns")
            }
            Mapped::Patch(_) | Mapped::Read if whole() => {
                Some("it leaves a row to the source that it was given whole")
            }
            Mapped::Patch(patch) => {
                let ascending = patch.columns.windows(2).all(|pair| pair[0] < pair[1]);
                let inside = patch.columns.last().is_none_or(|last| *last < self.width);
                let full = cells(Row(&patch.cells)) == Some(patch.columns.len());
                (!(ascending && inside && full)).then_some("a patch is not well-formed")
            }
            Mapped::Read => None,
        }
    }
}

/// Number of cells; `None` when there is more than cells.
fn cells(row: Row<'_>) -> Option<usize> {
    let mut cells = row.cells();
    let count = cells.by_ref().count();
    cells.rest().is_empty().then_some(count)
}

impl Mapper for Guard {
    fn declaration(&self) -> Declaration {
        self.inner.declaration()
    }

    fn bind(&mut self, relation: &Relation) -> Result<()> {
        // Whatever the mapper overlooks: its columns keep the types that the target was made ready for.
        self.binding.bind(&self.reads, relation)?;
        self.inner.bind(relation)
    }

    fn map(&self, image: &Tuple, out: &mut Rows) -> Result<Mapped> {
        let before = out.len();
        // What was written before a panic is taken back below; the mapper keeps no state to spoil.
        let answer = catch_unwind(AssertUnwindSafe(|| self.inner.map(image, out)));
        let panicked = || Err(Error::new(Code::MapperBroken, "it panicked").remedy(CORRECT));
        let mapped = answer.unwrap_or_else(|_| panicked()).and_then(|mapped| {
            match self.judge(image, &mapped, out, before) {
                None => Ok(mapped),
                Some(what) => Err(Error::new(Code::MapperBroken, what).remedy(CORRECT)),
            }
        });
        mapped.map_err(|error| {
            out.truncate(before);
            if error.place().is_some() { error } else { error.at(self.place.clone()) }
        })
    }
}

#[cfg(test)]
mod tests {
    use regraft_core::mapper::{Count, Patch};
    use regraft_core::row::put_value;
    use regraft_core::{Column, ReplicaIdentity, TableName, TupleBuilder, oid};

    use super::*;

    /// Does what the function says, with an id and a text.
    struct Any(Map);

    type Map = fn(&mut Rows) -> Result<Mapped>;

    impl Mapper for Any {
        fn declaration(&self) -> Declaration {
            Declaration {
                version: "1".to_owned(),
                reads: vec![Input::any("id"), Input::of("t", oid::TEXT)],
                outputs: vec![Output::copy("id", "id"), Output::copy("t", "t")],
                rows: Count::Any,
            }
        }

        fn bind(&mut self, _: &Relation) -> Result<()> {
            Ok(())
        }

        fn map(&self, _: &Tuple, out: &mut Rows) -> Result<Mapped> {
            self.0(out)
        }
    }

    fn relation(type_oid: Oid) -> Relation {
        let column = |name: &str| Column {
            name: name.to_owned(),
            type_oid,
            type_modifier: -1,
            key: name == "id",
        };
        Relation {
            oid: 1,
            table: TableName::new("public", "s"),
            identity: ReplicaIdentity::Default,
            columns: vec![column("id"), column("t")],
        }
    }

    fn guard(map: Map) -> Guard {
        let inner = Box::new(Any(map));
        let declaration = inner.declaration();
        let binding = Binding::default();
        Guard { inner, place: "m.sql:1:1".into(), width: 2, reads: declaration.reads, binding }
    }

    /// The answer to an image, whole or without its text, behind a row that is there already.
    fn answer(map: Map, text: Cell<'_>) -> Result<(Mapped, usize)> {
        let mut guard = guard(map);
        guard.bind(&relation(oid::TEXT))?;
        let mut image = TupleBuilder::with_capacity(2, 8);
        [Cell::Binary(b"1"), text].into_iter().for_each(|cell| image.push(cell));
        let mut out = Rows::new();
        two(&mut out);
        let mapped = guard.map(&image.finish(), &mut out);
        if mapped.is_err() {
            assert_eq!((out.len(), out.size()), (1, 10), "all of it is taken back");
        }
        mapped.map(|mapped| (mapped, out.len()))
    }

    fn two(out: &mut Rows) {
        put_value(out.buffer(), b"1");
        put_value(out.buffer(), b"x");
        out.end_row();
    }

    #[test]
    fn what_is_declared_passes() {
        let rows = |out: &mut Rows| {
            two(out);
            Ok(Mapped::Rows(1))
        };
        assert_eq!(answer(rows, Cell::Null).unwrap(), (Mapped::Rows(1), 2));
        assert_eq!(answer(|_| Ok(Mapped::Read), Cell::Unchanged).unwrap(), (Mapped::Read, 1));
    }

    #[test]
    fn what_is_not_declared_is_refused_and_taken_back() {
        let cases: [(Map, _, &str); 8] = [
            (
                |out| {
                    two(out);
                    Ok(Mapped::Rows(2))
                },
                Cell::Null,
                "other rows",
            ),
            (
                |out| {
                    two(out);
                    put_value(out.buffer(), b"1");
                    Ok(Mapped::Rows(1))
                },
                Cell::Null,
                "other rows",
            ),
            (
                |out| {
                    put_value(out.buffer(), b"1");
                    out.end_row();
                    Ok(Mapped::Rows(1))
                },
                Cell::Null,
                "number of columns",
            ),
            (
                |out| {
                    two(out);
                    out.buffer().push(0);
                    out.end_row();
                    Ok(Mapped::Rows(2))
                },
                Cell::Null,
                "number of columns",
            ),
            (|_| Ok(Mapped::Read), Cell::Null, "given whole"),
            (|_| Ok(Mapped::Patch(Patch::default())), Cell::Null, "given whole"),
            (
                |_| {
                    Ok(Mapped::Patch(Patch {
                        columns: vec![2],
                        cells: vec![255; 4],
                        assumes_key: false,
                    }))
                },
                Cell::Unchanged,
                "patch",
            ),
            (
                |out| {
                    two(out);
                    panic!("on purpose")
                },
                Cell::Null,
                "panicked",
            ),
        ];
        for (map, text, part) in cases {
            let error = answer(map, text).unwrap_err();
            assert_eq!(error.code(), Code::MapperBroken, "{error}");
            assert!(error.what().contains(part), "{part}: {error}");
            assert_eq!(error.place(), Some("m.sql:1:1"));
        }
    }

    #[test]
    fn its_columns_keep_their_types_whatever_the_mapper_says() {
        let mut guard = guard(|_| Ok(Mapped::Rows(0)));
        let refused = guard.bind(&relation(oid::INT8)).unwrap_err();
        assert_eq!(refused.code(), Code::ShapeChanged);
        guard.bind(&relation(oid::TEXT)).unwrap();
        let mut retyped = relation(oid::TEXT);
        retyped.columns[0].type_oid = oid::INT8;
        assert!(guard.bind(&retyped).is_err(), "any type, and then the same one");
    }
}
