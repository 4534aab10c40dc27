//! The rules, each as a function of a mapper and a case.

use regraft_core::mapper::{Count, Source};
use regraft_core::{Column, Declaration, Mapper, Relation, Row, oid};

use crate::Suite;
use crate::image::{Case, Given, Image, tuple};
use crate::outcome::{Cells, Outcome, cells, outcome};
use crate::value::is_well_formed;

/// What a mapper promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// It says the same of itself at any time, and nothing that contradicts itself.
    Declared,
    /// `bind` refuses a table without a column that is read, or with another type in it, and takes
    /// one with other columns besides, in any order.
    Bound,
    /// The same image gives the same rows, whatever was mapped before, in a clone as well.
    Pure,
    /// The same at the same time in two threads.
    Threads,
    /// Columns that are not declared as read change nothing, nor does the order of columns.
    Reads,
    /// Copies are the source's bytes.
    Copies,
    /// Rows have the declared number of columns, their values are valid for their types, there are as
    /// many as declared, and a whole image is answered by rows.
    Formed,
    /// Values that the stream did not carry become neither values nor NULL, and a patch leads to the
    /// rows that the whole image gives.
    Unchanged,
    /// No bytes make it panic, or leave half a row in the output.
    Panics,
    /// Messages hold no values of the row.
    Discreet,
}

impl Rule {
    pub(crate) fn says(self) -> &'static str {
        match self {
            Rule::Declared => "a declaration is constant and consistent",
            Rule::Bound => "bind takes the columns that are declared, and no others in their place",
            Rule::Pure => "the same image gives the same rows",
            Rule::Threads => "the same image gives the same rows in every thread",
            Rule::Reads => "rows depend on nothing but the columns that are read",
            Rule::Copies => "copies are the source's bytes",
            Rule::Formed => "rows are what is declared",
            Rule::Unchanged => "unchanged is neither a value nor NULL",
            Rule::Panics => "no bytes break it",
            Rule::Discreet => "messages hold no values",
        }
    }
}

type Held = Result<(), String>;

/// A rule as a function; it says how it is broken.
pub(crate) type Holds = fn(&Subject<'_>, &Case) -> Held;

/// Rules that hold for each row.
pub(crate) const ROW_BY_ROW: &[(Rule, Holds)] = &[
    (Rule::Pure, pure),
    (Rule::Threads, threads),
    (Rule::Reads, reads),
    (Rule::Copies, copies),
    (Rule::Formed, formed),
    (Rule::Unchanged, unchanged),
    (Rule::Panics, panics),
    (Rule::Discreet, discreet),
];

/// A column that no mapper reads.
const STRAY: &str = "regraft conformance";

/// A mapper that is bound, in several ways.
pub(crate) struct Subject<'s> {
    declaration: Declaration,
    relation: &'s Relation,
    asks_the_server: bool,
    mapper: Box<dyn Mapper + 's>,
    clone: Box<dyn Mapper + 's>,
    /// Bound to the columns in reverse, behind one that it does not know.
    reversed: Box<dyn Mapper + 's>,
}

impl<'s> Subject<'s> {
    pub(crate) fn new<M: Mapper + Clone>(suite: &'s Suite<M>) -> Result<Self, String> {
        let Suite { mapper, relation, .. } = suite;
        let bound = |mapper: &M, relation: &Relation| {
            let mut mapper = mapper.clone();
            mapper.bind(relation).map_err(|error| format!("the table is refused: {error}"))?;
            Ok::<_, String>(mapper)
        };
        let first = bound(mapper, relation)?;
        Ok(Self {
            declaration: mapper.declaration(),
            relation,
            asks_the_server: suite.asks_the_server,
            clone: Box::new(first.clone()),
            mapper: Box::new(first),
            reversed: Box::new(bound(mapper, &reversed(relation))?),
        })
    }

    fn map(&self, image: &Image) -> Outcome {
        outcome(self.mapper.as_ref(), &tuple(image.iter()))
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.relation.column(name)
    }

    fn is_read(&self, at: usize) -> bool {
        self.declaration.reads.iter().any(|read| self.place(&read.name) == Some(at))
    }

    fn is_key(&self, at: usize) -> bool {
        self.relation.columns[at].key
    }

    /// An image with the values of `from` where `takes` says so.
    fn mixed(&self, image: &Image, from: &Image, takes: impl Fn(usize) -> bool) -> Image {
        let pick = |at: usize| if takes(at) { from[at].clone() } else { image[at].clone() };
        (0..image.len()).map(pick).collect()
    }

    pub(crate) fn describe(&self, case: &Case) -> String {
        let named = |image: &Image| {
            let columns = self.relation.columns.iter().zip(image);
            let columns: Vec<_> =
                columns.map(|(c, given)| format!("{} = {given:?}", c.name)).collect();
            columns.join(", ")
        };
        let some = self.relation.columns.iter().zip(&case.some).filter(|(_, some)| **some);
        let some: Vec<_> = some.map(|(column, _)| column.name.as_str()).collect();
        format!(
            "row ({}), other ({}), bytes ({}), some columns ({})",
            named(&case.row),
            named(&case.other),
            named(&case.wild),
            some.join(", ")
        )
    }
}

fn reversed(relation: &Relation) -> Relation {
    let stray =
        Column { name: STRAY.to_owned(), type_oid: oid::TEXT, type_modifier: -1, key: false };
    let columns = std::iter::once(stray).chain(relation.columns.iter().rev().cloned());
    Relation { columns: columns.collect(), ..relation.clone() }
}

fn hold(condition: bool, what: impl FnOnce() -> String) -> Held {
    if condition { Ok(()) } else { Err(what()) }
}

fn same(left: &Outcome, right: &Outcome, when: &str) -> Held {
    hold(left == right, || format!("{when}: {left:?} is not {right:?}"))
}

pub(crate) fn declaration<M: Mapper + Clone>(mapper: &M, relation: &Relation) -> Held {
    let declared = mapper.declaration();
    let mut bound = mapper.clone();
    // Whether it fits is another rule's.
    drop(bound.bind(relation));
    let later = bound.declaration();
    hold(declared == later, || "it declares something else once it is bound".to_owned())?;
    hold(!declared.version.is_empty(), || "it has no version".to_owned())?;
    let names: Vec<_> = declared.reads.iter().map(|read| read.name.as_str()).collect();
    let twice = (1..names.len()).find(|&at| names[..at].contains(&names[at]));
    hold(twice.is_none(), || "it declares to read a column twice".to_owned())?;
    let stray = declared.outputs.iter().filter_map(|output| output.copies());
    match stray.into_iter().find(|column| !names.contains(column)) {
        Some(column) => Err(format!("it copies {column}, which it does not declare to read")),
        None => Ok(()),
    }
}

pub(crate) fn bind<M: Mapper + Clone>(mapper: &M, relation: &Relation) -> Held {
    let mut bound = mapper.clone();
    bound.bind(relation).map_err(|error| format!("the table is refused: {error}"))?;
    let mut other_order = bound.clone();
    other_order
        .bind(&reversed(relation))
        .map_err(|error| format!("other columns, in another order, are refused: {error}"))?;
    for read in &mapper.declaration().reads {
        let name = &read.name;
        let accepts = |relation: &Relation| bound.clone().bind(relation).is_ok();
        let columns = relation.columns.iter().filter(|column| column.name != *name).cloned();
        let without = Relation { columns: columns.collect(), ..relation.clone() };
        hold(!accepts(&without), || format!("a table without {name} is taken"))?;
        let mut retyped = relation.clone();
        for column in retyped.columns.iter_mut().filter(|column| column.name == *name) {
            column.type_oid = if column.type_oid == oid::INT8 { oid::TIMESTAMP } else { oid::INT8 };
        }
        hold(!accepts(&retyped), || format!("another type of {name} is taken"))?;
    }
    Ok(())
}

fn pure(subject: &Subject<'_>, case: &Case) -> Held {
    for image in [&case.row, &case.wild] {
        let first = subject.map(image);
        same(&first, &subject.map(image), "the second time")?;
        subject.map(&case.other);
        same(&first, &subject.map(image), "after another row")?;
        let clone = outcome(subject.clone.as_ref(), &tuple(image.iter()));
        same(&first, &clone, "in a clone")?;
    }
    Ok(())
}

fn threads(subject: &Subject<'_>, case: &Case) -> Held {
    let images = [&case.row, &case.other, &case.wild];
    let all = || images.map(|image| subject.map(image));
    let expected = all();
    let found = std::thread::scope(|scope| {
        // Each image many times, so that the two meet.
        let work = || (0..4).map(|_| all()).collect::<Vec<_>>();
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.map(|thread| thread.join().unwrap_or_default())
    });
    let same = found.iter().flatten().all(|found| *found == expected);
    hold(same && !found.iter().any(Vec::is_empty), || {
        format!("beside another thread it does not give {expected:?}")
    })
}

fn reads(subject: &Subject<'_>, case: &Case) -> Held {
    let expected = subject.map(&case.row);
    let unread = |at: usize| !subject.is_read(at);
    let others = subject.mixed(&case.row, &case.other, unread);
    same(&expected, &subject.map(&others), "with other values in columns that are not read")?;
    let gone = vec![Given::Unchanged; case.row.len()];
    let lacking = subject.mixed(&case.row, &gone, unread);
    same(&expected, &subject.map(&lacking), "without columns that are not read")?;
    let stray = [Given::Value(b"stray".to_vec())];
    let image: Image = stray.into_iter().chain(case.row.iter().rev().cloned()).collect();
    let found = outcome(subject.reversed.as_ref(), &tuple(image.iter()));
    same(&expected, &found, "with the columns in another order")
}

fn copies(subject: &Subject<'_>, case: &Case) -> Held {
    let Outcome::Rows(rows) = subject.map(&case.row) else { return Ok(()) };
    for (number, output) in subject.declaration.outputs.iter().enumerate() {
        let Some(at) = output.copies().and_then(|column| subject.place(column)) else { continue };
        let value = case.row[at].bytes();
        let copied = |row: &Cells| row.get(number).is_some_and(|cell| cell.as_deref() == value);
        hold(rows.iter().all(copied), || {
            let column = &subject.relation.columns[at].name;
            format!("the output {} is no copy of {column}", output.name)
        })?;
    }
    Ok(())
}

fn formed(subject: &Subject<'_>, case: &Case) -> Held {
    let rows = match subject.map(&case.row) {
        Outcome::Rows(rows) => rows,
        Outcome::Read if subject.asks_the_server => return Ok(()),
        // Some rows cannot be mapped; the others are another rule's.
        Outcome::Failed(_) | Outcome::Panicked => return Ok(()),
        other => return Err(format!("a whole image is answered by {other:?}")),
    };
    let outputs = &subject.declaration.outputs;
    for row in &rows {
        let width = row.len();
        hold(width == outputs.len(), || format!("a row has {width} columns"))?;
        for (output, cell) in outputs.iter().zip(row) {
            let Source::Made(type_oid) = output.source else { continue };
            let valid = cell.as_ref().is_none_or(|bytes| is_well_formed(type_oid, bytes));
            hold(valid, || {
                format!("the output {} is no value of its type: {cell:?}", output.name)
            })?;
        }
    }
    let right = match subject.declaration.rows {
        Count::One => rows.len() == 1,
        Count::AtMostOne => rows.len() <= 1,
        Count::Any => true,
    };
    hold(right, || format!("{} rows come from a row", rows.len()))
}

fn unchanged(subject: &Subject<'_>, case: &Case) -> Held {
    // A value that is not in the stream is not NULL; the key always is there.
    let hidden = |at: usize| case.some[at] && case.row[at] != Given::Null && !subject.is_key(at);
    let gone = vec![Given::Unchanged; case.row.len()];
    let image = subject.mixed(&case.row, &gone, hidden);
    let whole = subject.map(&case.row);
    match subject.map(&image) {
        Outcome::Rows(rows) => {
            let rows = Outcome::Rows(rows);
            same(&rows, &whole, "with the values that are missing")?;
            let there = |at: usize| hidden(at) && case.other[at] != Given::Null;
            let others = subject.mixed(&case.row, &case.other, there);
            same(&rows, &subject.map(&others), "with other values in their place")
        }
        Outcome::Patch(patch) => {
            let last = subject.declaration.outputs.len();
            let ascending = patch.columns.windows(2).all(|pair| pair[0] < pair[1]);
            hold(ascending && patch.columns.iter().all(|&column| column < last), || {
                format!("a patch has the columns {:?}", patch.columns)
            })?;
            let new = cells(Row(&patch.cells)).filter(|new| new.len() == patch.columns.len());
            let Some(new) = new else { return Err("a patch has not a cell per column".to_owned()) };
            let keep_key = |at: usize| hidden(at) || subject.is_key(at);
            let mut earlier = vec![subject.mixed(&case.other, &case.row, keep_key)];
            if !patch.assumes_key {
                earlier.push(subject.mixed(&case.other, &case.row, hidden));
            }
            for before in earlier {
                // A row that could not be mapped was never in the target.
                let Outcome::Rows(mut rows) = subject.map(&before) else { continue };
                for row in &mut rows {
                    for (&column, cell) in patch.columns.iter().zip(&new) {
                        if let Some(place) = row.get_mut(column) {
                            place.clone_from(cell);
                        }
                    }
                }
                rows.sort();
                same(&Outcome::Rows(rows), &whole, "the rows of the row before, patched")?;
            }
            Ok(())
        }
        Outcome::Failed(_) => hold(matches!(whole, Outcome::Failed(_)), || {
            "it fails only because values are missing".to_owned()
        }),
        _ => Ok(()),
    }
}

fn panics(subject: &Subject<'_>, case: &Case) -> Held {
    for image in [&case.wild, &case.row] {
        for takes in [false, true] {
            let image = subject.mixed(image, &case.other, |at| takes && case.some[at]);
            let found = subject.map(&image);
            hold(!matches!(found, Outcome::Panicked | Outcome::Spoilt(_)), || {
                format!("{found:?}")
            })?;
        }
    }
    Ok(())
}

fn discreet(subject: &Subject<'_>, case: &Case) -> Held {
    for image in [&case.wild, &case.row] {
        let Outcome::Failed(message) = subject.map(image) else { continue };
        // Shorter ones are in any text.
        let texts = image.iter().filter_map(|given| std::str::from_utf8(given.bytes()?).ok());
        let long = texts.map(str::trim).filter(|text| text.len() >= 6);
        let told = long.into_iter().find(|text| message.contains(text));
        hold(told.is_none(), || format!("it says: {message}"))?;
    }
    Ok(())
}
