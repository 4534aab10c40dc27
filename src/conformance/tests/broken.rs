//! Each rule catches its offender: a mapper that is right but for one thing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use regraft_conformance::{Rule, Suite, relation};
use regraft_core::mapper::{Binding, Count, Input, Output, Patch};
use regraft_core::row::{put, put_null, put_value};
use regraft_core::{
    Cell, Code, Declaration, Error, Mapped, Mapper, Relation, Result, Rows, Tuple, oid,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    NoVersion,
    OtherDeclarationOnceBound,
    CopiesUnread,
    BindsByPlace,
    TakesAnyType,
    Counts,
    RemembersRow,
    SharesScratch,
    ReadsMore,
    ReadsPlace,
    ChangesKey,
    TooFewColumns,
    ShortValue,
    TwoRows,
    LeavesWholeRows,
    UnchangedIsNull,
    PatchesTooMuch,
    PatchForgetsKey,
    PatchesCopyOnly,
    FailsWhenLacking,
    IndexesEmpty,
    LeavesHalfRow,
    TellsValue,
}

/// A note with its length, its first character, and who wrote it: (id, length, initial, author).
#[derive(Clone)]
struct Notes {
    fault: Fault,
    binding: Binding,
    bound: bool,
    /// By name, what is not declared.
    secret: Option<usize>,
    state: Arc<AtomicU64>,
}

const ID: usize = 0;
const NOTE: usize = 1;
const AUTHOR: usize = 2;

impl Notes {
    fn new(fault: Fault) -> Self {
        let (binding, state) = (Binding::default(), Arc::default());
        Self { fault, binding, bound: false, secret: None, state }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn length(&self, note: &[u8], image: &Tuple) -> u64 {
        let length = note.len() as u64;
        match self.fault {
            Fault::Counts => length + self.state.fetch_add(1, Ordering::Relaxed),
            Fault::RemembersRow => length + self.state.swap(length, Ordering::Relaxed) % 2,
            Fault::SharesScratch => {
                self.state.store(length, Ordering::Relaxed);
                std::thread::yield_now();
                self.state.load(Ordering::Relaxed)
            }
            Fault::ReadsMore => {
                let more = self.secret.and_then(|at| image.get(at)?.bytes());
                length + more.map_or(0, |more| more.len() as u64)
            }
            Fault::ReadsPlace => {
                let first = image.get(0).and_then(Cell::bytes);
                length + first.map_or(0, |first| first.len() as u64)
            }
            _ => length,
        }
    }

    fn patch(&self, author: Cell<'_>) -> Mapped {
        let mut patch = Patch { columns: vec![3], ..Patch::default() };
        if self.has(Fault::PatchesTooMuch) {
            patch.columns.insert(0, 1);
            put_value(&mut patch.cells, &0_u64.to_be_bytes());
        }
        // The id is left out: after a move the rows would keep the old one.
        patch.assumes_key = !self.has(Fault::PatchForgetsKey);
        put(&mut patch.cells, author.bytes());
        if self.has(Fault::PatchesCopyOnly) {
            (patch.columns, patch.cells) = (Vec::new(), Vec::new());
        }
        Mapped::Patch(patch)
    }
}

impl Mapper for Notes {
    fn declaration(&self) -> Declaration {
        let version = if self.has(Fault::NoVersion) { "" } else { "1" };
        let copied = if self.has(Fault::CopiesUnread) { "secret" } else { "author" };
        let changed = self.has(Fault::OtherDeclarationOnceBound) && self.bound;
        Declaration {
            version: version.to_owned(),
            reads: vec![Input::any("id"), Input::of("note", oid::TEXT), Input::any("author")],
            outputs: vec![
                Output::copy("id", "id"),
                Output::made("length", oid::INT8),
                Output::made("initial", if changed { oid::BYTEA } else { oid::TEXT }),
                Output::copy("author", copied),
            ],
            rows: Count::AtMostOne,
        }
    }

    fn bind(&mut self, relation: &Relation) -> Result<()> {
        self.bound = true;
        self.secret = relation.column("secret");
        let mut reads = self.declaration().reads;
        match self.fault {
            Fault::BindsByPlace => {
                let names = relation.columns.iter().map(|column| Input::any(&column.name));
                reads = names.take(3).collect();
                self.binding = Binding::default();
            }
            Fault::TakesAnyType => {
                reads.iter_mut().for_each(|read| read.type_oid = None);
                self.binding = Binding::default();
            }
            _ => {}
        }
        self.binding.bind(&reads, relation)
    }

    fn map(&self, image: &Tuple, out: &mut Rows) -> Result<Mapped> {
        let [id, note, author] = [ID, NOTE, AUTHOR].map(|read| self.binding.cell(image, read));
        let lacking = [id, note, author].contains(&Cell::Unchanged);
        let note = match note {
            _ if self.has(Fault::FailsWhenLacking) && lacking => {
                return Err(Error::new(Code::ExpressionFailed, "a value is missing"));
            }
            Cell::Unchanged if self.has(Fault::UnchangedIsNull) => return Ok(Mapped::Rows(0)),
            Cell::Null => return Ok(Mapped::Rows(0)),
            Cell::Unchanged if author == Cell::Unchanged || id == Cell::Unchanged => {
                return Ok(Mapped::Read);
            }
            Cell::Unchanged => return Ok(self.patch(author)),
            Cell::Binary(note) | Cell::Text(note) => note,
        };
        if lacking || (self.has(Fault::LeavesWholeRows) && note.len() == 3) {
            return Ok(Mapped::Read);
        }
        let text = std::str::from_utf8(note).map_err(|_| {
            let what = match self.fault {
                Fault::TellsValue => {
                    format!("{} is no text", author.bytes().unwrap_or(b"").escape_ascii())
                }
                _ => "the note is no text".to_owned(),
            };
            if self.has(Fault::LeavesHalfRow) {
                put(out.buffer(), id.bytes());
            }
            Error::new(Code::ExpressionFailed, what)
        })?;
        if self.has(Fault::IndexesEmpty) {
            assert!(!note.is_empty(), "an index that is out of bounds");
        }
        match id.bytes() {
            Some(id) if self.has(Fault::ChangesKey) => {
                put_value(out.buffer(), &id.iter().rev().copied().collect::<Vec<_>>());
            }
            id => put(out.buffer(), id),
        }
        let length = self.length(note, image).to_be_bytes();
        let short = if self.has(Fault::ShortValue) { 4 } else { 0 };
        put_value(out.buffer(), &length[short..]);
        match text.chars().next() {
            Some(initial) => put_value(out.buffer(), initial.to_string().as_bytes()),
            None => put_null(out.buffer()),
        }
        if !self.has(Fault::TooFewColumns) {
            put(out.buffer(), author.bytes());
        }
        out.end_row();
        if self.has(Fault::TwoRows) && note.len() > 5 {
            out.push(regraft_core::Row(&[
                0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ]));
            return Ok(Mapped::Rows(2));
        }
        Ok(Mapped::Rows(1))
    }
}

fn broken(fault: Fault) -> Vec<Rule> {
    let columns =
        [("id", oid::INT8), ("secret", oid::TEXT), ("note", oid::TEXT), ("author", oid::TEXT)];
    let suite = Suite::new(Notes::new(fault), relation("notes", &columns, &["id"]));
    let violations = suite.check().err().unwrap_or_default();
    violations.into_iter().map(|violation| violation.rule).collect()
}

#[test]
fn a_mapper_without_fault_breaks_no_rule() {
    assert_eq!(broken(Fault::None), []);
}

#[test]
fn each_rule_catches_its_offender() {
    for (fault, rule) in [
        (Fault::NoVersion, Rule::Declared),
        (Fault::OtherDeclarationOnceBound, Rule::Declared),
        (Fault::CopiesUnread, Rule::Declared),
        (Fault::BindsByPlace, Rule::Bound),
        (Fault::TakesAnyType, Rule::Bound),
        (Fault::Counts, Rule::Pure),
        (Fault::RemembersRow, Rule::Pure),
        (Fault::SharesScratch, Rule::Threads),
        (Fault::ReadsMore, Rule::Reads),
        (Fault::ReadsPlace, Rule::Reads),
        (Fault::ChangesKey, Rule::Copies),
        (Fault::TooFewColumns, Rule::Formed),
        (Fault::ShortValue, Rule::Formed),
        (Fault::TwoRows, Rule::Formed),
        (Fault::LeavesWholeRows, Rule::Formed),
        (Fault::UnchangedIsNull, Rule::Unchanged),
        (Fault::PatchesTooMuch, Rule::Unchanged),
        (Fault::PatchForgetsKey, Rule::Unchanged),
        (Fault::PatchesCopyOnly, Rule::Unchanged),
        (Fault::FailsWhenLacking, Rule::Unchanged),
        (Fault::IndexesEmpty, Rule::Panics),
        (Fault::LeavesHalfRow, Rule::Panics),
        (Fault::TellsValue, Rule::Discreet),
    ] {
        let found = broken(fault);
        assert!(found.contains(&rule), "{fault:?} breaks {rule:?}, and found are {found:?}");
    }
}
