//! What is not the same any more, and what follows.

use std::collections::BTreeSet;

use regraft_core::{Code, Drifted, Error, Oid, Subject, TableName};

use super::retyped::{Retyped, retyped};
use super::{Asked, AskedTable, ColumnIs, NameIs, PartIs, Standing, TableIs};
use crate::slot::START_OVER;

/// How the pipeline answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is held at its position: what to do is for a person to say.
    Hold,
    /// It goes on, and rows of the table are compared and mended.
    Compare,
    /// The plan is made again, which fits what is there now; rows of `targets` are compared and mended then.
    Replan,
}

/// Something that is not the same any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// What it is about.
    pub subject: Subject,
    /// The source tables that are copied anew to accept it; none when everything is.
    pub copies: Vec<TableName>,
    /// The targets whose rows may be wrong.
    pub targets: Vec<TableName>,
    /// What happened, as a sentence without a full stop.
    pub what: String,
    /// What to do next.
    pub remedy: String,
    /// Rows of all `targets` can be told by their source row.
    pub by_key: bool,
    /// How it is answered.
    pub reply: Reply,
    /// As what it is told.
    pub code: Code,
}

impl Drift {
    /// As an error at the source.
    pub fn error(&self, place: &str) -> Error {
        Error::new(self.code, self.what.clone())
            .at(place)
            .remedy(self.remedy.clone())
            .drifted(Drifted::of(self.subject, self.copies.clone()))
    }
}

/// When two moments are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before the mapping is used: nothing else would notice.
    Start,
    /// While the stream is followed, which tells changes of columns at their own position.
    Running,
}

impl Standing {
    /// Columns of source tables that were accepted and are not there now. The stream tells of them only where
    /// something is changed after them.
    pub(super) fn gone(&self, now: &Standing, asked: &Asked) -> Vec<Drift> {
        let mut found = Vec::new();
        for before in &self.sources {
            let table = asked.sources.iter().find(|asked| asked.table == before.table);
            let is = now.sources.iter().find(|is| is.table == before.table && is.oid == before.oid);
            let (Some(table), Some(is)) = (table, is) else { continue };
            let columns = before.columns.iter().map(|column| &column.name);
            let columns = columns.filter(|name| table.columns.contains(name));
            for name in columns.filter(|&name| !is.columns.iter().any(|is| is.name == *name)) {
                let what = format!("the column {name} of {} does not exist any more", before.table);
                let drift =
                    hold(table, Subject::Columns, what, "because the target's rows fit already");
                found.push(Drift { code: Code::ShapeChanged, ..drift });
            }
        }
        found
    }

    /// What was accepted, and is not the same now.
    pub fn drift(&self, now: &Standing, asked: &Asked, when: When) -> Vec<Drift> {
        let mut found = Vec::new();
        for before in &self.sources {
            let Some(table) = asked.sources.iter().find(|asked| asked.table == before.table) else {
                continue;
            };
            source(before, now, table, when, &mut found);
            self.publication(now, asked, (table, before.oid), &mut found);
        }
        for before in &self.targets {
            if let Some(table) = asked.targets.iter().find(|asked| asked.table == before.table) {
                target(before, now, table, &mut found);
            }
        }
        found.extend(self.names(now, asked, when));
        for drift in &mut found {
            if asked.policy.holds.contains(&drift.subject) {
                drift.reply = Reply::Hold;
            }
        }
        found
    }

    /// Changes between the publication that was and the one that is are missing.
    fn publication(
        &self,
        now: &Standing,
        asked: &Asked,
        (table, table_oid): (&AskedTable, Oid),
        found: &mut Vec<Drift>,
    ) {
        let of = |standing: &Standing| match table.appended {
            true => standing.appended.clone(),
            false => standing.publication.clone(),
        };
        let name = asked.appended.as_ref().filter(|_| table.appended);
        let name = name.unwrap_or(&asked.publication);
        let Some(before) = of(self) else { return };
        let Some(after) = of(now) else {
            let what = format!("the publication {name} is gone");
            let gone = everything(table, what, Code::PublicationUnfit);
            if !found.contains(&gone) {
                found.push(gone);
            }
            return;
        };
        let member = |publication: &super::PublicationIs| {
            publication
                .members
                .iter()
                .find(|(name, _)| *name == table.table)
                .map(|(_, member)| *member)
        };
        let (was, is) = (member(&before), member(&after));
        let oid = |publication: &super::PublicationIs| {
            publication.id.split(':').next().unwrap_or_default().to_owned()
        };
        let what = match (was, is) {
            // A table that is new in the mapping.
            (None, _) => return,
            _ if oid(&before) != oid(&after) => {
                let what = format!("the publication {name} was dropped and made anew");
                let anew = everything(table, what, Code::PublicationGap);
                if !found.contains(&anew) {
                    found.push(anew);
                }
                return;
            }
            // A table that is no more, or another one, is told as that.
            _ if !now.sources.iter().any(|is| is.table == table.table && is.oid == table_oid) => {
                return;
            }
            (Some(_), None) => "was taken out of the publication",
            (was, is) if was != is => "was taken out of the publication, and added to it again",
            // It carries what it carried, and has another owner: that alone is most likely what was altered.
            _ if before.id != after.id
                && before.carries == after.carries
                && before.owner != after.owner =>
            {
                let what = format!("the publication of {} has another owner", table.table);
                found.push(compare(table, Subject::Publication, what));
                return;
            }
            _ if before.id != after.id => "is in a publication that was altered",
            _ => return,
        };
        let name = &table.table;
        found.push(Drift {
            code: Code::PublicationGap,
            ..hold(
                table,
                Subject::Publication,
                format!("{name} {what}: changes of it may be missing in the stream"),
                "because nothing was written meanwhile",
            )
        });
    }

    fn names(&self, now: &Standing, asked: &Asked, when: When) -> Vec<Drift> {
        // While the daemon runs, its sessions search fixed schemas only.
        let fixed = self.source_schemas(&asked.path);
        let matters = |name: &&NameIs| {
            // What was not looked at when the mapping was accepted is taken for what it was.
            name.form <= self.form
                && (when == When::Start
                    || name.form > 0
                    || name.schema.is_empty()
                    || fixed.contains(&name.schema))
        };
        let same = |name: &NameIs, others: &[NameIs]| others.iter().any(|o| o.is_same(name));
        let is = |name: &NameIs, others: &[NameIs]| {
            others.iter().any(|other| other.kind == name.kind && other.what == name.what)
        };
        let added =
            now.names.iter().filter(|name| !same(name, &self.names)).filter(matters).map(|name| {
                let what = if is(name, &self.names) {
                    "is not what it was when the mapping was accepted"
                } else {
                    "was made since the mapping was accepted, and a name in it may mean it now"
                };
                (name, what)
            });
        let gone = self.names.iter().filter(|name| !is(name, &now.names)).filter(matters);
        let gone = gone.map(|name| (name, "is gone, and the mapping may mean it"));
        added
            .chain(gone)
            .map(|(name, what)| Drift {
                subject: Subject::Names,
                copies: Vec::new(),
                targets: Vec::new(),
                what: format!("the {} {} {what}", name.kind, name.what),
                remedy: "if the mapping does not mean it, write the schema of what it does mean before the \
                         name; `regraft resume --accept all` has all rows compared, and those mended that differ; \
                         `regraft run --accept-mapping` goes on because the target's rows fit already; \
                         `regraft run --recopy all` makes them again"
                    .to_owned(),
                by_key: true,
                reply: Reply::Hold,
                code: Code::StandsOnOther,
            })
            .collect()
    }
}

fn source(
    before: &TableIs,
    now: &Standing,
    asked: &AskedTable,
    when: When,
    found: &mut Vec<Drift>,
) {
    let name = &before.table;
    let mut hold = |subject: Subject, what: String| {
        found.push(hold(asked, subject, what, "because the target's rows fit already"));
    };
    let Some(after) = now.sources.iter().find(|table| table.table == *name) else {
        return hold(Subject::Tables, format!("the source table {name} does not exist any more"));
    };
    if before.oid != after.oid {
        return hold(
            Subject::Tables,
            format!(
                "{name} is another table than the one that was copied: that one was renamed, moved or dropped"
            ),
        );
    }
    if after.inherited && !before.inherited {
        return hold(
            Subject::Tables,
            format!(
                "other tables inherit from {name} now: a SELECT gives their rows, and the stream tells them \
                 apart"
            ),
        );
    }
    let unlogged = |part: &&PartIs| {
        part.unlogged && !before.parts.iter().any(|was| was.oid == part.oid && was.unlogged)
    };
    if let Some(part) = after.parts.iter().find(unlogged) {
        return hold(
            Subject::Tables,
            format!(
                "{} is UNLOGGED, or a foreign table: its changes are not in the log",
                part.table
            ),
        );
    }
    let mut maybe_rewritten = Vec::new();
    for column in &before.columns {
        // The stream tells of one that is gone, or has another type, where that happened.
        let Some(is) = after.columns.iter().find(|other| other.name == column.name) else {
            continue;
        };
        if let Some(what) = column_drift(column, is, when) {
            hold(Subject::Columns, format!("the column {} of {name} {what}", column.name));
        } else if column.altered != is.altered {
            match rewritten(before, after, (column, is)) {
                Rewritten::Yes => hold(
                    Subject::Columns,
                    format!(
                        "ALTER TABLE has rewritten values of the column {} of {name}, which no stream carries",
                        column.name
                    ),
                ),
                Rewritten::Perhaps => maybe_rewritten.push(column.name.as_str()),
                Rewritten::No => {}
            }
        }
    }
    if !maybe_rewritten.is_empty() {
        let what = format!(
            "{name} was altered and rewritten, which may have changed values of {}",
            maybe_rewritten.join(", ")
        );
        found.push(compare(asked, Subject::Columns, what));
    }
    parts(before, after, asked, found);
}

fn column_drift(before: &ColumnIs, now: &ColumnIs, when: When) -> Option<String> {
    if before.number != now.number {
        return Some("is another column than the one that was copied, by the same name".to_owned());
    }
    if when == When::Start && before.full_type != now.full_type {
        return Some(format!(
            "has another type: it was {}, and is {}",
            before.full_type, now.full_type
        ));
    }
    if before.collation != now.collation {
        return Some("has another collation".to_owned());
    }
    if let (Some(before), Some(now)) = (&before.attributes, &now.attributes)
        && before != now
    {
        return Some(
            "has a composite type whose attributes are others, which changes all values that have it"
                .to_owned(),
        );
    }
    // One that is stored stays as it is when it is generated no longer.
    if let (Some(before), Some(now)) = (&before.expression, &now.expression)
        && before != now
        && !now.is_empty()
    {
        return Some(
            "is generated by another expression, which changes values without a change in the stream"
                .to_owned(),
        );
    }
    let renamed = |(oid, label): &&(u32, String)| {
        now.labels.iter().any(|(other, is)| other == oid && is != label)
    };
    before.labels.iter().any(|label| renamed(&label)).then(|| {
        "has an enum type with a label that was renamed, which changes all values that have it"
            .to_owned()
    })
}

/// Whether the transaction that altered a column gave its values another file.
enum Rewritten {
    Yes,
    /// Something else altered the table after it: VACUUM FULL, say.
    Perhaps,
    No,
}

fn rewritten(before: &TableIs, now: &TableIs, (was, is): (&ColumnIs, &ColumnIs)) -> Rewritten {
    let moved = |part: &&PartIs| {
        before.parts.iter().any(|was| was.oid == part.oid && was.file != part.file)
    };
    let moved: Vec<_> = now.parts.iter().filter(moved).collect();
    if moved.is_empty() {
        Rewritten::No
    } else if was.also == is.also && moved.iter().any(|part| part.altered == is.altered) {
        Rewritten::Yes
    } else {
        Rewritten::Perhaps
    }
}

/// Partitions come and go with rows of which the stream says nothing.
fn parts(before: &TableIs, now: &TableIs, asked: &AskedTable, found: &mut Vec<Drift>) {
    let partitioned = |table: &TableIs| table.parts.iter().any(|part| part.oid != table.oid);
    if !partitioned(before) && !partitioned(now) {
        return;
    }
    let oids =
        |table: &TableIs| -> BTreeSet<_> { table.parts.iter().map(|part| part.oid).collect() };
    let (were, are) = (oids(before), oids(now));
    let mut told = Vec::new();
    let again = |part: &PartIs| {
        before.parts.iter().any(|was| was.oid == part.oid && was.attached != part.attached)
    };
    let attached = |part: &&PartIs| again(part) || !were.contains(&part.oid) && !part.born;
    let attached = now.parts.iter().filter(attached);
    told.extend(attached.map(|part| format!("{} was attached", part.table)));
    // Of a log rows that go are not followed, in whatever way.
    let stays = |_: &&PartIs| !asked.appended;
    let gone = before.parts.iter().filter(stays).filter(|part| !are.contains(&part.oid));
    told.extend(gone.map(|part| format!("{} was detached or dropped", part.table)));
    let altered = before.columns.iter().any(|column| {
        now.columns.iter().any(|is| is.name == column.name && is.altered != column.altered)
    });
    for part in before.parts.iter().filter(stays).filter(|_| !altered) {
        if now.parts.iter().any(|is| is.oid == part.oid && is.file != part.file) {
            told.push(format!("{} was truncated or rewritten", part.table));
        }
    }
    if told.is_empty() {
        return;
    }
    let name = &before.table;
    let what = format!("partitions of {name} changed: {}", told.join(", "));
    found.push(compare(asked, Subject::Partitions, what));
}

/// A drift whose rows are compared and mended, where they can be told by key.
fn compare(asked: &AskedTable, subject: Subject, what: String) -> Drift {
    let reply = if asked.mended_by_key { Reply::Compare } else { Reply::Hold };
    Drift { reply, ..hold(asked, subject, what, "because the target's rows fit already") }
}

fn target(before: &TableIs, now: &Standing, asked: &AskedTable, found: &mut Vec<Drift>) {
    let name = &before.table;
    let mut hold = |subject: Subject, code: Code, what: String| {
        let drift = hold(asked, subject, what, "because it holds the same rows");
        found.push(Drift { code, ..drift });
    };
    let Some(after) = now.targets.iter().find(|table| table.table == *name) else {
        let what = format!("the target table {name} does not exist any more");
        return hold(Subject::Tables, Code::StandsOnOther, what);
    };
    if before.oid != after.oid {
        return hold(
            Subject::Tables,
            Code::StandsOnOther,
            format!(
                "the target {name} is another table than the one that was filled: that one was renamed, moved \
                 or dropped"
            ),
        );
    }
    let mut replanned = Vec::new();
    for column in &before.columns {
        let is = after.columns.iter().find(|other| other.name == column.name);
        if let Some(is) = is.filter(|is| is.number == column.number) {
            match retyped(column, is) {
                Retyped::No => {}
                Retyped::Folds => hold(
                    Subject::Columns,
                    Code::StandsOnOther,
                    format!(
                        "the column {} of the target {name} takes texts for equal now that are not: rows of other \
                         source rows would be taken for one",
                        column.name
                    ),
                ),
                Retyped::Narrower => hold(
                    Subject::Columns,
                    Code::StandsOnOther,
                    format!(
                        "the column {} of the target {name} has another type, which may not keep values as they \
                         are: it was {}, and is {}",
                        column.name, column.full_type, is.full_type
                    ),
                ),
                fits => replanned.push((column, is, fits)),
            }
        }
        if is.is_none() && asked.columns.contains(&column.name) {
            let what = format!("the target {name} has no column {} any more", column.name);
            hold(Subject::Columns, Code::TargetColumn, what);
        } else if is.is_some_and(|is| is.number != column.number) {
            hold(
                Subject::Columns,
                Code::StandsOnOther,
                format!(
                    "the column {} of the target {name} is another column than the one that was filled, by \
                     the same name",
                    column.name
                ),
            );
        }
    }
    let Some((column, is, fits)) = replanned.into_iter().max_by_key(|(.., fits)| *fits) else {
        return;
    };
    let (column, was, is) = (&column.name, &column.full_type, &is.full_type);
    let what =
        format!("the column {column} of the target {name} was altered: it was {was}, and is {is}");
    let drift = compare(asked, Subject::Columns, what);
    found.push(match (fits, drift.reply) {
        // Values that were rounded are told by comparing only.
        (Retyped::Wider, Reply::Hold) => drift,
        (_, Reply::Hold) | (Retyped::Collated, _) => {
            Drift { reply: Reply::Replan, targets: Vec::new(), ..drift }
        }
        _ => Drift { reply: Reply::Replan, ..drift },
    });
}

/// A drift after which nothing of the stream can be had.
fn everything(asked: &AskedTable, what: String, code: Code) -> Drift {
    let remedy = format!("what was written meanwhile cannot be decoded: {START_OVER}");
    let (copies, targets) = (Vec::new(), Vec::new());
    Drift { copies, targets, remedy, code, ..hold(asked, Subject::Publication, what, "") }
}

/// A drift that a person has to answer.
fn hold(asked: &AskedTable, subject: Subject, what: String, because: &str) -> Drift {
    Drift {
        subject,
        copies: asked.copies.clone(),
        targets: asked.targets.clone(),
        what,
        remedy: ways_on(&asked.copies, asked.mended_by_key, because),
        by_key: asked.mended_by_key,
        reply: Reply::Hold,
        code: Code::StandsOnOther,
    }
}

/// How these source tables may go on.
pub(super) fn ways_on(tables: &[TableName], by_key: bool, because: &str) -> String {
    let options = |option: &str| {
        let tables = tables.iter().map(|table| format!("{option} {table}"));
        tables.collect::<Vec<_>>().join(" ")
    };
    // Where no daemon has noted that it is held, it takes names.
    let names: Vec<_> = tables.iter().map(ToString::to_string).collect();
    let resume = format!("`regraft resume --accept {}` has the rows", names.join(" "));
    let mut ways = Vec::new();
    if by_key {
        ways.push(format!("{resume} compared, and those mended that differ"));
        ways.push(format!("`regraft run {}` does so where no daemon runs", options("--resync")));
    } else {
        ways.push(format!("{resume} copied anew"));
    }
    ways.push(format!(
        "`regraft run {}` clears the rows in the target and copies them anew",
        options("--recopy")
    ));
    ways.push(format!("`regraft run --accept-mapping` goes on {because}"));
    ways.join("; ")
}
