//! `mapping.sql`: INSERT … SELECT statements, their places and their anatomy.

use std::sync::Arc;

use regraft_core::sql::quote;
use regraft_core::{Code, Error, Keyless, Result, TableName};

use crate::front::named::{NamedMapper, plain_columns};
use crate::front::read::takes_whole_rows;
use crate::front::syntax::lexer::{Kind, Token, lex};
use crate::front::syntax::{Stop, line_and_column};
use crate::front::trace::{Orders, TraceComment, orders};

/// How restrictions of a [wrapped SELECT](Statement::wrapped_select) refer to it.
pub const WRAPPED: &str = "\"regraft source\"";

/// A target's name has a schema, and before it the name of a database in the configuration.
const NAME_PARTS: usize = 3;

const SHAPE: &str = "write INSERT INTO target [(columns)] SELECT … FROM source;";

/// A table as it was written; names without quotes are in lower case, as PostgreSQL folds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRef {
    /// Schema, if it was written.
    pub schema: Option<String>,
    /// Table.
    pub name: String,
    /// Alias, if it has one.
    pub alias: Option<String>,
}

/// One INSERT … SELECT of the mapping.
#[derive(Clone, Debug)]
pub struct Statement {
    file: Arc<str>,
    text: Arc<str>,
    /// Parts of the target's name, one to three.
    target: Vec<String>,
    columns: Option<Vec<String>>,
    /// Offset of INSERT.
    start: usize,
    tokens: Vec<Token>,
    /// Index in `tokens` of the first token of the SELECT.
    select: usize,
    source_tables: Vec<TableRef>,
    traces: Vec<TraceComment>,
    mapper: Option<NamedMapper>,
    keyless: Option<Keyless>,
}

/// Splits a mapping file into its statements. `file` is its name in messages.
///
/// # Errors
/// One [`Code::MappingInvalid`] for each place where the text is no INSERT … SELECT.
pub fn parse(file: &str, text: &str) -> Result<Vec<Statement>, Vec<Error>> {
    let (statements, errors) = parse_each(file, text);
    if errors.is_empty() { Ok(statements) } else { Err(errors) }
}

/// The same, for whoever wants to look at the rest, too: the statements that are right, and one error for each
/// that is not.
pub fn parse_each(file: &str, text: &str) -> (Vec<Statement>, Vec<Error>) {
    let file: Arc<str> = file.into();
    let text: Arc<str> = text.into();
    let invalid = |stop: Stop| {
        let (line, column) = line_and_column(&text, stop.at);
        Error::new(Code::MappingInvalid, stop.message)
            .at(format!("{file}:{line}:{column}"))
            .remedy(stop.remedy.unwrap_or_else(|| SHAPE.to_owned()))
    };
    let mut statements = Vec::new();
    let mut errors = Vec::new();
    let tokens = lex(&text).unwrap_or_else(|stop| {
        // What a quote that is open swallows cannot be told; what stands before that statement can.
        let before = text.get(..stop.at).and_then(|before| before.rfind(';'));
        let tokens = before.and_then(|end| lex(text.get(..=end)?).ok());
        errors.push(invalid(stop));
        tokens.unwrap_or_default()
    });
    // Comments belong to the statement that they precede or stand in.
    let mut comments_from = 0;
    for part in tokens.split(|token| token.is_mark(";")).filter(|part| !part.is_empty()) {
        let end = part.last().map_or(comments_from, |token| token.end);
        let found = orders(text.get(comments_from..end).unwrap_or_default(), comments_from);
        comments_from = end;
        let statement = found.and_then(|orders| statement(&file, &text, part, orders));
        match statement {
            Ok(statement) => statements.push(statement),
            Err(stop) => errors.push(invalid(stop)),
        }
    }
    if statements.is_empty() && errors.is_empty() {
        errors.push(invalid(Stop::new(0, "the mapping holds no statement")));
    }
    (statements, errors)
}

fn statement(
    file: &Arc<str>,
    text: &Arc<str>,
    tokens: &[Token],
    Orders { traces, mapper, keyless }: Orders,
) -> Result<Statement, Stop> {
    let end = tokens.last().map_or(0, |token| token.end);
    let start = tokens.first().map_or(0, |token| token.start);
    let offset = |i: usize| tokens.get(i).map_or(end, |token| token.start);
    let is = |i: usize, word: &str| tokens.get(i).is_some_and(|token| token.is_word(word));
    if !is(0, "insert") {
        let found = tokens.first().map_or("", |token| token.text.as_str());
        let message = format!("a statement starts with \"{found}\" instead of INSERT INTO");
        return Err(Stop::new(start, message));
    }
    if !is(1, "into") {
        return Err(Stop::new(offset(1), "INTO is missing after INSERT"));
    }
    let (target, mut at) = table_name(tokens, 2, end)?;
    if is(at, "as") {
        at += 2;
    }
    let mut columns = None;
    let list = tokens.get(at).is_some_and(|token| token.is_mark("("))
        && !is(at + 1, "select")
        && !is(at + 1, "with")
        && !tokens.get(at + 1).is_some_and(|token| token.is_mark("("));
    if list {
        let (names, next) = column_list(tokens, at + 1, end)?;
        columns = Some(names);
        at = next;
    }
    if is(at, "overriding") {
        return Err(Stop::new(offset(at), "OVERRIDING is not needed")
            .remedy("leave it out: values for identity columns are always written as they are"));
    }
    if is(at, "values") || is(at, "default") {
        return Err(Stop::new(offset(at), "VALUES reads no source table"));
    }
    let opens = tokens.get(at).is_some_and(|token| token.is_mark("("));
    if !(is(at, "select") || is(at, "with") || opens) {
        return Err(Stop::new(offset(at), "SELECT is missing after the target"));
    }
    refuse_insert_clauses(&tokens[at..])?;
    let mapper = match mapper {
        Some((name, order)) => {
            if let Some(trace) = traces.first() {
                let message = "a mapper reads one table, and a trace is about a second one";
                return Err(Stop::new(trace.at, message).remedy("leave the trace out"));
            }
            Some(NamedMapper { name, at: order, columns: plain_columns(&tokens[at..])? })
        }
        None => None,
    };
    Ok(Statement {
        file: Arc::clone(file),
        text: Arc::clone(text),
        target,
        columns,
        start,
        source_tables: source_tables(&tokens[at..]),
        tokens: tokens.to_vec(),
        traces,
        mapper,
        keyless,
        select: at,
    })
}

/// A name of up to three parts from token `at`, and the token after it.
fn table_name(tokens: &[Token], at: usize, end: usize) -> Result<(Vec<String>, usize), Stop> {
    let (mut parts, mut next) = (Vec::new(), at);
    loop {
        match tokens.get(next) {
            Some(token) if token.is_identifier() => parts.push(token.text.clone()),
            other => {
                let at = other.map_or(end, |token| token.start);
                return Err(Stop::new(at, "the name of the target table is missing"));
            }
        }
        next += 1;
        if !tokens.get(next).is_some_and(|token| token.is_mark(".")) {
            return Ok((parts, next));
        }
        if parts.len() == NAME_PARTS {
            return Err(Stop::new(tokens[at].start, "a target has at most a schema and a name"));
        }
        next += 1;
    }
}

fn column_list(tokens: &[Token], mut at: usize, end: usize) -> Result<(Vec<String>, usize), Stop> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let Some(token) = tokens.get(at) else {
            return Err(Stop::new(end, "the list of target columns has no end"));
        };
        if !token.is_identifier() {
            return Err(Stop::new(token.start, "a target column is missing here"));
        }
        if names.contains(&token.text) {
            let message = format!("the target column {} is named twice", quote(&token.text));
            return Err(Stop::new(token.start, message));
        }
        names.push(token.text.clone());
        match tokens.get(at + 1) {
            Some(next) if next.is_mark(",") => at += 2,
            Some(next) if next.is_mark(")") => return Ok((names, at + 2)),
            other => {
                let at = other.map_or(end, |token| token.start);
                return Err(Stop::new(at, "\",\" or \")\" is missing in the list of columns"));
            }
        }
    }
}

/// Clauses of INSERT that regraft itself decides, and a table that is read without FROM.
fn refuse_insert_clauses(tokens: &[Token]) -> Result<(), Stop> {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate() {
        let read = tokens.get(i + 1).is_some_and(Token::is_identifier) && !is_label(tokens, i);
        if token.is_word("table") && read {
            let message = "TABLE reads a table without FROM";
            return Err(Stop::new(token.start, message).remedy("write SELECT * FROM instead"));
        }
        if token.is_mark("(") {
            depth += 1;
        } else if token.is_mark(")") {
            let Some(less) = depth.checked_sub(1) else {
                return Err(Stop::new(token.start, "a parenthesis closes that was not opened"));
            };
            depth = less;
        } else if depth == 0 && !is_label(tokens, i) {
            let conflict = token.is_word("on")
                && tokens.get(i + 1).is_some_and(|next| next.is_word("conflict"));
            if conflict || token.is_word("returning") {
                let message = "ON CONFLICT and RETURNING have no place in a mapping";
                return Err(Stop::new(token.start, message).remedy(
                    "leave it out: regraft writes each row by the target's key, so that it may run again",
                ));
            }
        }
    }
    if depth > 0 {
        let end = tokens.last().map_or(0, |token| token.end);
        return Err(Stop::new(end, "a parenthesis is not closed"));
    }
    Ok(())
}

/// True when token `i` follows AS or a dot, where every word is a plain name.
fn is_label(tokens: &[Token], i: usize) -> bool {
    i.checked_sub(1)
        .and_then(|before| tokens.get(before))
        .is_some_and(|before| before.is_word("as") || before.is_mark("."))
}

/// Words that can follow a table in FROM without being its alias.
const AFTER_TABLE: &[&str] = &[
    "where",
    "group",
    "having",
    "order",
    "limit",
    "offset",
    "fetch",
    "for",
    "union",
    "intersect",
    "except",
    "window",
    "join",
    "cross",
    "left",
    "right",
    "full",
    "inner",
    "natural",
    "on",
    "using",
    "tablesample",
    "with",
    "returning",
];

/// Every table that stands in a FROM at any depth, without names that WITH defines.
pub(crate) fn source_tables(tokens: &[Token]) -> Vec<TableRef> {
    placed_tables(tokens).into_iter().map(|(table, _)| table).collect()
}

/// The same, with the index of the first token of each.
fn placed_tables(tokens: &[Token]) -> Vec<(TableRef, usize)> {
    let defined = defined_by_with(tokens);
    let mut found: Vec<(TableRef, usize)> = Vec::new();
    // For each open parenthesis: whether the tokens inside stand in a FROM clause.
    let mut stack = vec![false];
    let mut i = 0;
    let mut expects = false;
    while let Some(token) = tokens.get(i) {
        let in_from = stack.last().copied().unwrap_or(false);
        if token.is_mark("(") {
            stack.push(expects && in_from);
            i += 1;
            continue;
        }
        if token.is_mark(")") {
            stack.pop();
            expects = false;
        } else if token.kind == Kind::Word && !is_label(tokens, i) {
            match token.text.as_str() {
                "from" if starts_from(tokens, i) => {
                    if let Some(top) = stack.last_mut() {
                        *top = true;
                    }
                    expects = true;
                    i += 1;
                    continue;
                }
                "join" if in_from => {
                    expects = true;
                    i += 1;
                    continue;
                }
                "select" | "values" | "where" | "group" | "having" | "order" | "limit"
                | "union" | "window" | "intersect" | "except" => {
                    if let Some(top) = stack.last_mut() {
                        *top = false;
                    }
                    expects = false;
                }
                "only" | "lateral" if expects => {
                    i += 1;
                    continue;
                }
                _ => {}
            }
        } else if token.is_mark(",") && in_from {
            expects = true;
            i += 1;
            continue;
        }
        if expects && token.is_identifier() {
            let (table, next) = from_item(tokens, i);
            if let Some(table) = table {
                let is_defined = table.schema.is_none() && defined.contains(&table.name.as_str());
                if !is_defined {
                    found.push((table, i));
                }
            }
            i = next;
            expects = false;
            continue;
        }
        i += 1;
    }
    found
}

/// Names that WITH defines: `name [(columns)] AS [[NOT] MATERIALIZED] (`.
fn defined_by_with(tokens: &[Token]) -> Vec<&str> {
    let word = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is_word(word));
    let mark = |at: usize, mark: &str| tokens.get(at).is_some_and(|token| token.is_mark(mark));
    let defines = |at: usize| {
        let mut next = at + 1;
        if mark(next, "(") {
            // Names of columns, and nothing else.
            let end = (next + 1..tokens.len()).find(|&i| mark(i, ")") || mark(i, "("));
            let Some(end) = end.filter(|&end| mark(end, ")")) else { return false };
            next = end + 1;
        }
        if !word(next, "as") {
            return false;
        }
        next += 1;
        next += usize::from(word(next, "not") && word(next + 1, "materialized"));
        next += usize::from(word(next, "materialized"));
        mark(next, "(")
    };
    let names = tokens.iter().enumerate().filter(|(at, t)| t.is_identifier() && defines(*at));
    names.map(|(_, token)| token.text.as_str()).collect()
}

/// True when the FROM at `i` starts a clause: not IS DISTINCT FROM, and not that of a function.
fn starts_from(tokens: &[Token], i: usize) -> bool {
    let before = |n: usize| i.checked_sub(n).and_then(|j| tokens.get(j));
    if before(1).is_some_and(|token| token.is_word("distinct"))
        && before(2).is_some_and(|token| token.is_word("is") || token.is_word("not"))
    {
        return false;
    }
    // Walk back to the parenthesis that encloses it: after a SELECT it is a clause, after the name of
    // a function (substring, trim, extract, overlay) it is not.
    let mut depth = 0_usize;
    for j in (0..i).rev() {
        let token = &tokens[j];
        if token.is_mark(")") {
            depth += 1;
        } else if token.is_mark("(") {
            if depth == 0 {
                return false;
            }
            depth -= 1;
        } else if depth == 0 && token.is_word("select") && !is_label(tokens, j) {
            return true;
        }
    }
    false
}

/// A table with its alias from token `at`, or `None` for a function; and the token after it.
pub(crate) fn from_item(tokens: &[Token], at: usize) -> (Option<TableRef>, usize) {
    let name = |i: usize| tokens.get(i).filter(|token| token.is_identifier());
    let mark = |i: usize, mark: &str| tokens.get(i).is_some_and(|token| token.is_mark(mark));
    let Some(first) = name(at) else { return (None, at + 1) };
    let (schema, table, mut next) = match (mark(at + 1, "."), name(at + 2)) {
        (true, Some(second)) => (Some(first.text.clone()), second.text.clone(), at + 3),
        _ => (None, first.text.clone(), at + 1),
    };
    if mark(next, "(") {
        return (None, next);
    }
    let mut alias = None;
    if tokens.get(next).is_some_and(|token| token.is_word("as")) {
        next += 1;
    }
    if let Some(token) = name(next)
        && (token.kind == Kind::Quoted || !AFTER_TABLE.contains(&token.text.as_str()))
    {
        alias = Some(token.text.clone());
        next += 1;
    }
    (Some(TableRef { schema, name: table, alias }), next)
}

/// Token indexes of the clauses of a plain SELECT over one table.
struct Anatomy {
    from: usize,
    filter: Option<usize>,
}

impl Statement {
    /// Schema, if it was written, and name of the target.
    pub fn target(&self) -> (Option<&str>, &str) {
        match self.target.as_slice() {
            [.., schema, name] => (Some(schema), name),
            [name] => (None, name),
            [] => (None, ""),
        }
    }

    /// Takes the name of a database off the target's name: of one of several that rows go to. `None` when it
    /// names none of them.
    ///
    /// # Errors
    /// [`Code::MappingInvalid`] when a name of three parts begins with another one.
    pub fn take_database(&mut self, databases: &[&str]) -> Result<Option<String>> {
        let first = self.target.first().filter(|_| self.target.len() > 1);
        if first.is_some_and(|first| databases.contains(&first.as_str())) {
            return Ok(Some(self.target.remove(0)));
        }
        let Some(first) = first.filter(|_| self.target.len() == NAME_PARTS) else {
            return Ok(None);
        };
        let (what, remedy) = match databases {
            [] => ("a target has at most a schema and a name".to_owned(), SHAPE.to_owned()),
            _ => (
                format!("{} is no target of the configuration", quote(first)),
                format!("name one of {}, or leave it out for [target]", databases.join(", ")),
            ),
        };
        // After INSERT INTO.
        let start = self.tokens.get(2).map_or(self.start, |token| token.start);
        let (line, column) = line_and_column(&self.text, start);
        let place = format!("{}:{line}:{column}", self.file);
        Err(Error::new(Code::MappingInvalid, what).at(place).remedy(remedy))
    }

    /// The listed target columns; `None` when there is no list.
    pub fn columns(&self) -> Option<&[String]> {
        self.columns.as_deref()
    }

    /// Name of the file as given to [`parse`].
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Line of INSERT, from 1.
    pub fn line(&self) -> u32 {
        line_and_column(&self.text, self.start).0
    }

    /// Column of INSERT in characters, from 1.
    pub fn column(&self) -> u32 {
        line_and_column(&self.text, self.start).1
    }

    /// Where the statement starts: `mapping.sql:3:1`.
    pub fn place(&self) -> String {
        format!("{}:{}:{}", self.file, self.line(), self.column())
    }

    /// The user's text of the SELECT, exactly, without what follows its last token.
    pub fn select_sql(&self) -> &str {
        self.slice(self.select, self.tokens.len())
    }

    /// Line and column in the file, both from 1, of a 1-based character position in
    /// [`Statement::select_sql`], as a server reports it.
    pub fn place_in_select(&self, position: u32) -> (u32, u32) {
        let skip = usize::try_from(position).unwrap_or(1).saturating_sub(1);
        let sql = self.select_sql();
        let inside = sql.char_indices().nth(skip).map_or(sql.len(), |(i, _)| i);
        let start = self.tokens.get(self.select).map_or(0, |token| token.start);
        line_and_column(&self.text, start + inside)
    }

    /// Tables that the SELECT reads, in the order in which they are written; functions are not
    /// among them.
    pub fn source_tables(&self) -> &[TableRef] {
        &self.source_tables
    }

    /// How changes of other tables lead to the source table, as comments of the statement say.
    pub fn traces(&self) -> &[TraceComment] {
        &self.traces
    }

    /// The mapper of the program that makes the rows, if a comment names one.
    pub fn mapper(&self) -> Option<&NamedMapper> {
        self.mapper.as_ref()
    }

    /// How rows without a key are followed, if a comment says it.
    pub fn keyless(&self) -> Option<Keyless> {
        self.keyless
    }

    /// Where a mapper is named: `mapping.sql:3:1`.
    pub fn place_of_mapper(&self, mapper: &NamedMapper) -> String {
        let (line, column) = line_and_column(&self.text, mapper.at);
        format!("{}:{line}:{column}", self.file)
    }

    /// Where a trace stands: `mapping.sql:3:1`.
    pub fn place_of_trace(&self, trace: &TraceComment) -> String {
        let (line, column) = line_and_column(&self.text, trace.at);
        format!("{}:{line}:{column}", self.file)
    }

    /// The SELECT is recursive: rows lead to rows of the same table, again and again.
    pub fn is_recursive(&self) -> bool {
        self.select_tokens().iter().any(|token| token.is_word("recursive"))
    }

    /// A word by which the SELECT takes or leaves rows for the sake of others, and where it stands.
    pub fn picks_among_rows(&self) -> Option<(String, String)> {
        let mut depth = 0_usize;
        for (i, token) in self.tokens.iter().enumerate().skip(self.select) {
            if token.is_mark("(") {
                depth += 1;
            } else if token.is_mark(")") {
                depth = depth.saturating_sub(1);
            } else if token.kind == Kind::Word && !is_label(&self.tokens, i) {
                let call = self.tokens.get(i + 1).is_some_and(|next| next.is_mark("("));
                let word = token.text.as_str();
                let outer = depth == 0 && matches!(word, "limit" | "offset" | "fetch");
                let joins = matches!(word, "right" | "full") && !call;
                if outer || joins {
                    return Some((word.to_ascii_uppercase(), self.place_of(token)));
                }
            }
        }
        None
    }

    /// The user's SELECT as a subquery named `source`, with its columns `owner` named as the key
    /// columns are, these columns before all of its own, and `restriction` as its WHERE.
    pub fn wrapped_select(
        &self,
        keys: &[String],
        owner: &[usize],
        width: usize,
        restriction: &str,
    ) -> String {
        let name = |at: usize| match owner.iter().position(|&o| o == at) {
            Some(key) => quote(&keys[key]),
            None => quote(&format!("regraft column {at}")),
        };
        let names: Vec<_> = (0..width).map(name).collect();
        let keys: Vec<_> = keys.iter().map(|key| format!("{WRAPPED}.{}", quote(key))).collect();
        format!(
            "SELECT {}, {WRAPPED}.* FROM (\n{}\n) AS {WRAPPED}({}) WHERE {restriction}",
            keys.join(", "),
            self.select_sql(),
            names.join(", "),
        )
    }

    /// A digest of the tokens of the whole statement: the same for texts that differ only in
    /// comments and white space.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for token in &self.tokens {
            let kind = match token.kind {
                Kind::Word => "w",
                Kind::Quoted => "q",
                Kind::String => "s",
                Kind::Number => "n",
                Kind::Operator | Kind::Punctuation => "o",
                // Foreign literals keep no content, so the text as written counts.
                Kind::Foreign => &self.text[token.start..token.end],
            };
            hasher.update(kind.as_bytes());
            hasher.update(&(token.text.len() as u64).to_le_bytes());
            hasher.update(token.text.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The same SELECT with a schema before each table that was written without: it reads these tables
    /// wherever it is evaluated. Its places are no more those of the file.
    pub fn qualified(&self, name: impl Fn(&TableRef) -> Option<TableName>) -> Statement {
        let tokens = self.select_tokens();
        let end = tokens.last().map_or(0, |token| token.end);
        let mut from = tokens.first().map_or(0, |token| token.start);
        let mut text = String::new();
        for (table, at) in placed_tables(tokens) {
            if table.schema.is_none()
                && let Some(name) = name(&table)
            {
                text.push_str(&self.text[from..tokens[at].start]);
                text.push_str(&name.quoted());
                from = tokens[at].end;
            }
        }
        text.push_str(&self.text[from..end]);
        // It was read before, and names are names.
        let Ok(tokens) = lex(&text) else { return self.clone() };
        Statement {
            text: text.into(),
            start: 0,
            select: 0,
            source_tables: source_tables(&tokens),
            tokens,
            ..self.clone()
        }
    }

    /// Names that stand where a type or a collation does: after `::`, COLLATE or the AS of a CAST, or before
    /// a string.
    pub fn named_types(&self) -> Vec<&str> {
        let tokens = self.select_tokens();
        let before = |at: usize| at.checked_sub(1).and_then(|at| tokens.get(at));
        let casts = |at: usize| {
            // The parenthesis that is open there.
            let mut depth = 0_usize;
            let opens = (0..at).rev().find(|&i| {
                if tokens[i].is_mark(")") {
                    depth += 1;
                } else if tokens[i].is_mark("(") {
                    if depth == 0 {
                        return true;
                    }
                    depth -= 1;
                }
                false
            });
            opens.and_then(before).is_some_and(|token| token.is_word("cast"))
        };
        let direct = |at: usize| {
            before(at).is_some_and(|token| {
                token.is_operator("::")
                    || token.is_word("collate")
                    || token.is_word("as") && casts(at)
            })
        };
        let is_type = |at: usize| {
            let qualified = before(at).is_some_and(|token| token.is_mark("."))
                && at.checked_sub(2).is_some_and(direct);
            let literal = tokens.get(at + 1).is_some_and(|next| next.kind == Kind::String);
            direct(at) || qualified || literal
        };
        let names = tokens.iter().enumerate().filter(|(at, t)| t.is_identifier() && is_type(*at));
        names.map(|(_, token)| token.text.as_str()).collect()
    }

    /// Names that stand before a dot: schemas among them.
    pub fn named_schemas(&self) -> Vec<&str> {
        let pairs = self.select_tokens().windows(2);
        let named = pairs.filter(|pair| pair[0].is_identifier() && pair[1].is_mark("."));
        named.map(|pair| pair[0].text.as_str()).collect()
    }

    /// The SELECT may read a column of this name of a table that it calls `table`.
    pub fn mentions(&self, table: &TableRef, column: &str) -> bool {
        let tokens = self.select_tokens();
        takes_whole_rows(tokens, table)
            || tokens.iter().any(|token| token.is_identifier() && token.text == column)
    }

    /// The quoted name by which a restriction refers to the source table: its alias, or its name.
    /// Empty when the SELECT reads no table.
    pub fn source_ref(&self) -> String {
        self.source_tables
            .first()
            .map(|table| quote(table.alias.as_deref().unwrap_or(&table.name)))
            .unwrap_or_default()
    }

    /// The user's SELECT with the source table's `key_columns` before its own columns, and
    /// `restriction`, a condition over [`Statement::source_ref`], added to its WHERE. All else is
    /// the user's text.
    ///
    /// # Errors
    /// [`Code::NotStreamable`] when rows of the SELECT do not belong to single source rows, or when
    /// it reads more than one table.
    pub fn keyed_select(&self, key_columns: &[String], restriction: &str) -> Result<String> {
        let anatomy = self.anatomy()?;
        let reference = self.source_ref();
        let keys: String =
            key_columns.iter().map(|key| format!("{reference}.{}, ", quote(key))).collect();
        let mut head = self.select + 1;
        head += usize::from(self.tokens.get(head).is_some_and(|token| token.is_word("all")));
        let list = self.slice(head, anatomy.from);
        let from_end = anatomy.filter.unwrap_or(self.tokens.len());
        let from = self.slice(anatomy.from, from_end);
        // Slices start and end with tokens, never inside a comment.
        Ok(match anatomy.filter {
            None => format!("SELECT {keys}{list}\n{from}\nWHERE ({restriction})"),
            Some(filter) => {
                let condition = self.slice(filter + 1, self.tokens.len());
                format!("SELECT {keys}{list}\n{from}\nWHERE (\n{condition}\n) AND ({restriction})")
            }
        })
    }

    /// Where a token stands: line and column, both from 1.
    pub(crate) fn line_and_column_of(&self, token: &Token) -> (u32, u32) {
        line_and_column(&self.text, token.start)
    }

    /// Where a token stands: `mapping.sql:3:12`.
    pub(crate) fn place_of(&self, token: &Token) -> String {
        let (line, column) = self.line_and_column_of(token);
        format!("{}:{line}:{column}", self.file)
    }

    pub(crate) fn select_tokens(&self) -> &[Token] {
        &self.tokens[self.select..]
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text from token `start` up to, not including, token `end`.
    fn slice(&self, start: usize, end: usize) -> &str {
        match (self.tokens.get(start), end.checked_sub(1).and_then(|last| self.tokens.get(last))) {
            (Some(first), Some(last)) if start < end => &self.text[first.start..last.end],
            _ => "",
        }
    }

    fn not_keyed(&self, at: usize, what: &str) -> Error {
        let (line, column) = line_and_column(&self.text, at);
        let message =
            format!("{what}: the rows cannot be told apart by the key of one source table");
        Error::new(Code::NotStreamable, message)
            .at(format!("{}:{line}:{column}", self.file))
            .remedy("write a SELECT over one table, with WHERE and lateral functions only")
    }

    fn anatomy(&self) -> Result<Anatomy> {
        let select_at = self.tokens.get(self.select).map_or(self.start, |token| token.start);
        let word = |i: usize, word: &str| self.tokens.get(i).is_some_and(|t| t.is_word(word));
        if !word(self.select, "select") {
            return Err(self.not_keyed(select_at, "the SELECT starts with WITH or a parenthesis"));
        }
        if word(self.select + 1, "distinct") {
            return Err(self.not_keyed(select_at, "DISTINCT merges rows"));
        }
        if self.source_tables.len() != 1 {
            return Err(self.not_keyed(select_at, "the SELECT does not read exactly one table"));
        }
        let (mut from, mut filter) = (None, None);
        let mut depth = 0_usize;
        for i in self.select + 1..self.tokens.len() {
            let token = &self.tokens[i];
            if token.is_mark("(") || token.is_mark("[") {
                depth += 1;
            } else if token.is_mark(")") || token.is_mark("]") {
                depth = depth.saturating_sub(1);
            } else if depth == 0 && token.kind == Kind::Word && !is_label(&self.tokens, i) {
                match token.text.as_str() {
                    "from" if from.is_none() && starts_from(&self.tokens, i) => from = Some(i),
                    "where" if filter.is_none() => filter = Some(i),
                    "group" | "having" | "order" | "limit" | "offset" | "fetch" | "for"
                    | "union" | "intersect" | "except" | "window" | "into"
                        if from.is_some() =>
                    {
                        let what = format!("{} is not row by row", token.text.to_ascii_uppercase());
                        return Err(self.not_keyed(token.start, &what));
                    }
                    _ => {}
                }
            }
        }
        match from {
            Some(from) if from > self.select + 1 => Ok(Anatomy { from, filter }),
            _ => Err(self.not_keyed(select_at, "the SELECT has no columns or no FROM")),
        }
    }
}

#[cfg(test)]
#[path = "../tests/statement.rs"]
mod tests;
