//! From the configuration and both servers to a plan, or to findings that say why not.
//!
//! Each statement passes through the same steps: the source type-checks it, the compiler compiles
//! it, the target type-checks the assignment. `check` prints all that was found; `run` goes on when
//! nothing of it is an error.

mod ddl;
mod foreign_keys;
mod keyless;
mod names;
mod one_key;
pub mod overloads;
mod own;
mod read;
mod source;
pub(crate) mod standing;
mod stream;
mod target;
mod traces;
mod types;
mod verify;
mod writes;

use std::sync::Arc;

use futures_util::future::join_all;
use regraft_core::mapper::Count;
use regraft_core::segment::{Route, RouteColumn};
use regraft_core::{Code, Column, Declaration, Error, Mapper, Oid, Result, TableName};
use regraft_mapping::{CompiledMapper, KeyedRead, Statement, TableRef};
use regraft_pipeline::{Plan, PlannedTable, Trace};
use regraft_postgres::address::{application, place as place_of};
use regraft_postgres::apply::PgSink;
use regraft_postgres::catalog::{Catalog, Table};
use regraft_postgres::chunks::{KeyColumn, ReadStatement, ReadTable, ReadTrace};
use regraft_postgres::known::{Known, Named};
use regraft_postgres::ledger::Shape;
use regraft_postgres::planning::{Described, Refusal, describe_all, selecting};
use regraft_postgres::slot::Server;
use regraft_postgres::source::PgSource;
use regraft_postgres::standing::{Asked, Held, Standing};
use regraft_postgres::verify::VerifyStatement;
use regraft_postgres::{Client, Endpoint};
use regraft_settings::{ForeignKeys, Settings, UrlSource};
use serde::Serialize;

use crate::finding::{Finding, Severity};
use crate::mappers::Mappers;
use names::Names;
pub(crate) use names::is_text_of;
use overloads::Overloads;
use own::Own;
pub use regraft_postgres::planning::MissingTarget;
pub use source::source_table;
pub use target::occupied;
use verify::Target;

/// How a statement is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By regraft, from the change stream.
    Streamed,
    /// By the source, for the keys of changed rows.
    Read,
    /// Not at all.
    Refused,
}

/// What became of one statement.
#[derive(Clone, Debug, Serialize)]
pub struct StatementReport {
    /// Target table, as found or as written.
    pub target: String,
    /// Source table, as found or as written.
    pub source: String,
    /// The mapping file.
    pub file: String,
    /// Line of the statement.
    pub line: u32,
    /// How it is evaluated.
    pub mode: Mode,
    /// Why it is refused, or what it does.
    pub message: String,
}

/// A connection with its place in messages.
pub struct Side {
    /// The connection.
    pub client: Client,
    /// The address.
    pub endpoint: Endpoint,
    /// `source (host:port/database as user)`.
    pub place: String,
    /// What the server says of itself.
    pub server: Server,
    /// What its catalog has told.
    known: Arc<Known>,
}

impl Side {
    /// Connects.
    ///
    /// # Errors
    /// When the address cannot be read, or the server cannot be reached or refuses.
    pub async fn connect(role: &str, url: &UrlSource, name: &str) -> Result<Side> {
        Self::at(role, endpoint(url)?, name).await
    }

    /// Connects to an address that is known.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn at(role: &str, endpoint: Endpoint, name: &str) -> Result<Side> {
        let connecting = endpoint.connect(&application(name)).await;
        let client = connecting.map_err(|error| {
            // Which of the two it is about, beside the address.
            let place = error.place().map(|place| format!("{role} ({place})"));
            error.at(place.unwrap_or_else(|| place_of(role, &endpoint)))
        })?;
        let place = place_of(role, &endpoint);
        let server = Server::ask(&client, &place).await?;
        Ok(Side { client, endpoint, place, server, known: Arc::default() })
    }
}

impl Side {
    /// Refuses a connection pooler in place of the server.
    async fn pooled(&self, name: &str) -> Result<Option<Error>> {
        let pooled = self.endpoint.is_pooled(&application(name)).await?;
        Ok(pooled.then(|| {
            let what = "a connection pooler (pgbouncer) answers there in place of the server";
            Error::new(Code::ServerRefused, what).at(&self.place).remedy(
                "give the address of the server itself: regraft keeps settings and locks in its sessions, \
                 which a pooler shares with others, and the source streams to it",
            )
        }))
    }

    /// The catalog, with the schemas in which the role finds names.
    fn catalog(&self) -> Catalog<'_> {
        Catalog::new(&self.client, &self.place, &self.server.path.named).knowing(&self.known)
    }

    /// Has the server describe the SELECTs of all statements.
    ///
    /// # Errors
    /// When the server cannot be asked; what it says of each SELECT is its own.
    async fn describe_all(&self, statements: &[Statement]) -> Result<Vec<Prepared>> {
        let texts: Vec<_> = statements.iter().map(Statement::select_sql).collect();
        describe_all(&self.client, &self.place, &texts).await
    }
}

/// What the server says of a SELECT.
type Prepared = Result<Described, Refusal>;

/// Reads an address anew.
///
/// # Errors
/// When its file cannot be read, or it is no address.
pub fn endpoint(url: &UrlSource) -> Result<Endpoint> {
    Endpoint::parse(url.read()?.expose())
}

/// A mapping that both servers accept.
pub struct Resolved {
    /// For the pipeline.
    pub plan: Plan,
    /// For the chunk readers.
    pub read: Arc<Vec<ReadTable>>,
    /// The same.
    pub traces: Arc<Vec<ReadTrace>>,
    /// The statements, as they are verified.
    pub verify: Arc<Vec<VerifyStatement>>,
    /// Of each statement.
    pub fingerprints: Vec<String>,
    /// Of each source table, the columns of its row images.
    pub images: Vec<Vec<Column>>,
    /// Of each source table, the columns that the mapping reads.
    pub shapes: Vec<(TableName, Shape)>,
    /// What is to be looked up of what the mapping stands on.
    pub asked: Arc<Asked>,
    /// What it stood on when it was resolved.
    pub standing: Standing,
    /// Source tables that statements of other targets read.
    pub elsewhere: Vec<TableName>,
}

/// What came of resolving.
#[derive(Default)]
pub struct Resolution {
    /// One entry per statement.
    pub statements: Vec<StatementReport>,
    /// All that was found.
    pub findings: Vec<Finding>,
    /// Statements whose target does not exist, with what a table for them needs.
    pub missing_targets: Vec<MissingTarget>,
    /// Statements that are not in order.
    pub refused: Vec<Refused>,
    /// Present when nothing found is an error.
    pub resolved: Option<Resolved>,
}

/// A statement that is not in order.
pub struct Refused {
    /// Of its text.
    pub fingerprint: String,
    names: Names,
    /// Why.
    pub error: Error,
}

impl Refused {
    /// It is over a table that is held, or fills what its statements fill.
    pub(crate) fn is_of(&self, held: &Held) -> bool {
        self.names.is_of(held, &self.fingerprint)
    }
}

impl Resolution {
    /// True when some finding keeps the pipeline from running.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// With that of another target; what is true of both is told once.
    pub(crate) fn add(&mut self, more: Resolution) {
        self.statements.extend(more.statements);
        for finding in more.findings {
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
        self.refused.extend(more.refused);
    }
}

/// A statement on its way.
struct Compiled {
    statement: Statement,
    source: Table,
    /// The tables that it reads, as it writes them.
    tables: Vec<(TableRef, TableName)>,
    key: Vec<String>,
    evaluation: Evaluation,
    /// Names of the columns that the SELECT gives, from the server.
    names: Vec<String>,
    /// SQL names of their types on the source.
    types: Vec<String>,
    /// The same types as OIDs, with modifiers.
    full_types: Vec<(Oid, i32)>,
    /// Which of them travel as texts.
    texts: Vec<bool>,
    /// Of the mapper.
    declaration: Declaration,
    /// Output columns that are the source's key.
    owner: Option<Vec<usize>>,
}

impl Compiled {
    /// A source row gives at most one row, for certain.
    fn single(&self) -> bool {
        self.declaration.rows != Count::Any
    }

    /// Another one means that the rows in the target may not be those that would come now.
    fn fingerprint(&self) -> String {
        let mut statement = self.statement.fingerprint();
        if let Some(keyless) = self.statement.keyless() {
            statement = format!("{statement} {}", keyless.as_str());
        }
        match &self.evaluation {
            Evaluation::Own(mapper) => format!("{statement} by {}", mapper.title()),
            _ => statement,
        }
    }
}

/// How changes of one table lead to the source table of a statement.
#[derive(Clone)]
struct FoundTrace {
    plan: Trace,
    read: ReadTrace,
    /// The table whose changes are traced.
    from: Table,
}

/// Who evaluates a statement.
enum Evaluation {
    /// regraft, from the stream.
    Streamed(CompiledMapper),
    /// The source, by key.
    Read {
        mapper: KeyedRead,
        /// Why it cannot be streamed.
        refusal: Error,
        /// It is restricted from outside, by its owner columns.
        wrapped: bool,
        /// How changes of the other tables that it reads lead to the source table.
        traces: Vec<FoundTrace>,
    },
    /// A mapper of the program, from the stream and from source rows.
    Own(Own),
}

impl Evaluation {
    fn declaration(&self) -> Declaration {
        match self {
            Self::Streamed(mapper) => mapper.declaration(),
            Self::Read { mapper, .. } => mapper.declaration(),
            Self::Own(mapper) => mapper.declaration(),
        }
    }

    fn constants(&self) -> Vec<(usize, String)> {
        match self {
            Self::Streamed(mapper) => mapper.constants(),
            Self::Read { .. } | Self::Own(_) => Vec::new(),
        }
    }

    fn is_wrapped(&self) -> bool {
        matches!(self, Self::Read { wrapped: true, .. })
    }

    fn traces(&self) -> &[FoundTrace] {
        match self {
            Self::Streamed(_) | Self::Own(_) => &[],
            Self::Read { traces, .. } => traces,
        }
    }

    fn into_mapper(self) -> Box<dyn Mapper> {
        match self {
            Self::Streamed(mapper) => Box::new(mapper),
            Self::Read { mapper, .. } => Box::new(mapper),
            Self::Own(mapper) => Box::new(mapper),
        }
    }

    fn describe(&self) -> (Mode, String) {
        let rows = match self.declaration().rows {
            Count::Any => "several rows for each source row",
            Count::One | Count::AtMostOne => "one row for each source row",
        };
        match self {
            Self::Streamed(_) => (Mode::Streamed, rows.to_owned()),
            Self::Own(mapper) => (Mode::Streamed, format!("{}: {rows}", mapper.title())),
            Self::Read { refusal, traces, .. } => {
                let place = refusal.place().unwrap_or_default();
                let what = refusal.what();
                let mut message =
                    format!("the source evaluates it for changed keys: {place}: {what}");
                for trace in traces {
                    message.push_str("; changes lead to it by ");
                    message.push_str(&trace.plan.name);
                }
                (Mode::Read, message)
            }
        }
    }
}

/// Resolves a mapping, without the statements over tables that are held.
///
/// # Errors
/// When a server cannot be asked; everything else is a finding.
pub async fn resolve(
    settings: &Settings,
    mappers: &Mappers,
    (source, target): (&Side, &Side),
    held: &[Held],
) -> Result<Resolution> {
    let mut findings = Vec::new();
    let fit =
        [source.server.fit_as_source(&source.place), target.server.fit_as_target(&target.place)];
    findings.extend(fit.iter().filter_map(|fit| fit.as_ref().err()).map(Finding::from));
    for side in [source, target] {
        findings.extend(side.pooled(&settings.name).await?.as_ref().map(Finding::from));
    }
    findings.extend(source::shadowed(source));
    let urls = [&settings.source.url, &settings.target.url].into_iter();
    findings.extend(urls.filter_map(UrlSource::readable_by_all).map(|file| {
        Finding::warning(
            "everybody on this machine may read the file of the connection URL",
            file.display().to_string(),
            format!("it may hold a password: chmod 600 {}", file.display()),
        )
    }));
    let mut resolution = Resolution { findings, ..Resolution::default() };
    let text = settings.read_mapping()?;
    let file = settings.mapping.file.display().to_string();
    let (statements, mut errors) = regraft_mapping::parse_each(&file, &text);
    let (statements, others) = of_target(settings, statements, &mut errors);
    resolution.findings.extend(errors.iter().map(Finding::from));
    let elsewhere = names::read(source, &others).await?;
    let names = names::meant(source, target, &statements).await?;
    let statements = statements.into_iter().zip(names);
    let is_of = |(statement, names): &(Statement, Names)| {
        let fingerprint = statement.fingerprint();
        held.iter().any(|held| names.is_of(held, &fingerprint))
    };
    let statements = statements.filter(|statement| !is_of(statement));
    let (statements, names): (Vec<_>, Vec<_>) = statements.unzip();
    let trusted = settings.target.foreign_keys == ForeignKeys::Trusted;
    learn(source, target, &statements).await?;
    let own = Overloads::of(&source.client, &source.server.path.all, &statements).await;
    let own = own.map_err(|error| error.at(&source.place))?;
    // Side by side: what has to be asked for each of them goes out at once.
    let prepared = source.describe_all(&statements).await?;
    let fingerprints: Vec<_> = statements.iter().map(Statement::fingerprint).collect();
    let all = statements.into_iter().zip(prepared);
    let known = (mappers, &own, settings.target.name.as_deref());
    let all = all.map(|statement| one((source, target, trusted), known, statement));
    let (mut routes, mut compiled) = (Vec::new(), Vec::new());
    let all = join_all(all).await.into_iter().zip(fingerprints).zip(names);
    for ((One { mut report, findings, missing, found }, fingerprint), names) in all {
        resolution.findings.extend(findings);
        resolution.missing_targets.extend(missing);
        match found {
            Ok((statement, route)) => {
                (report.mode, report.message) = statement.evaluation.describe();
                compiled.push(statement);
                routes.push(route);
            }
            Err(error) if error.kind() == regraft_core::Kind::Unavailable => return Err(error),
            Err(error) => {
                report.message = error.what().to_owned();
                resolution.findings.push(Finding::from(&error));
                resolution.refused.push(Refused { fingerprint, names, error });
            }
        }
        resolution.statements.push(report);
    }
    keyless::judge(settings, &compiled, &elsewhere, &mut resolution.findings);
    target::tell_apart(&mut routes, &compiled, &mut resolution.findings);
    let findings = &mut resolution.findings;
    writes::judge(source, &compiled, findings).await?;
    foreign_keys::while_copying(settings, source, target, &routes, findings).await?;
    if !resolution.has_errors() {
        let targets = verify::targets(target, &routes).await?;
        if target::overlap(&routes, &targets, &mut resolution.findings) {
            return Ok(resolution);
        }
        let asked = standing::asked(settings, (source, target), &compiled, &routes, &targets);
        let sides = (&source.server, &target.server);
        let related = foreign_keys::related(settings, target, &routes).await?;
        let mut resolved = assemble(&settings.name, compiled, routes, &targets, sides, &related);
        resolved.standing = standing::take(source, target, &asked).await?;
        resolved.elsewhere = elsewhere.into_iter().map(|read| read.table).collect();
        resolved.asked = Arc::new(asked);
        let refused = standing::fixed(source, &resolved, &mut resolution.findings).await?;
        if !refused {
            resolution.resolved = Some(resolved);
        }
    }
    Ok(resolution)
}

/// The statements that fill tables of the target, and those of others. What the name of a target is taken for is
/// the same for all of them.
fn of_target(
    settings: &Settings,
    statements: Vec<Statement>,
    errors: &mut Vec<Error>,
) -> (Vec<Statement>, Vec<Statement>) {
    let names: Vec<_> =
        settings.targets.iter().filter_map(|target| target.name.as_deref()).collect();
    let is_whole = errors.is_empty();
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for mut statement in statements {
        match statement.take_database(&names) {
            Ok(database) if database == settings.target.name => own.push(statement),
            Ok(None) if settings.targets.iter().all(|target| target.name.is_some()) => {
                let what = "the statement does not say which target it is about";
                errors.push(Error::new(Code::MappingInvalid, what).at(statement.place()).remedy(
                    format!(
                        "write the name of a target before that of the table: INSERT INTO {}.{}",
                        names.first().unwrap_or(&""),
                        written(statement.target())
                    ),
                ));
            }
            Ok(_) => others.push(statement),
            Err(error) => errors.push(error),
        }
    }
    if own.is_empty() && is_whole && errors.is_empty() {
        let table = settings.target.table();
        let what = format!("the mapping has no statement about [{table}]");
        errors.push(
            Error::new(Code::MappingInvalid, what)
                .at(settings.mapping.file.display().to_string())
                .remedy(format!("write one, or leave [{table}] out")),
        );
    }
    (own, others)
}

fn written((schema, name): (Option<&str>, &str)) -> String {
    schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"))
}

/// Asks for the tables of all statements at once.
async fn learn(source: &Side, target: &Side, statements: &[Statement]) -> Result<()> {
    let read = statements.iter().flat_map(Statement::source_tables);
    let read: Vec<Named> = read.map(|table| (table.schema.clone(), table.name.clone())).collect();
    let written = statements.iter().map(|statement| {
        let (schema, name) = statement.target();
        (schema.map(str::to_owned), name.to_owned())
    });
    let written: Vec<Named> = written.collect();
    let (source, target) = (source.catalog(), target.catalog());
    tokio::try_join!(source.learn(&read), target.learn(&written)).map(drop)
}

/// What came of one statement.
struct One {
    report: StatementReport,
    findings: Vec<Finding>,
    missing: Option<MissingTarget>,
    found: Result<(Compiled, Route)>,
}

async fn one(
    (source, target, trusted): (&Side, &Side, bool),
    (mappers, own, database): (&Mappers, &Overloads, Option<&str>),
    (statement, prepared): (Statement, Prepared),
) -> One {
    let of_target = |table: String| match database {
        Some(database) => format!("{database}.{table}"),
        None => table,
    };
    let mut report = StatementReport {
        target: of_target(written(statement.target())),
        source: source::written_sources(&statement),
        file: statement.file().to_owned(),
        line: statement.line(),
        mode: Mode::Refused,
        message: String::new(),
    };
    let (mut findings, mut missing) = (Vec::new(), None);
    let found = async {
        let prepared = source::prepared(&statement, prepared)?;
        let known = (mappers, own);
        let statement = (statement, prepared);
        let compiled = source::compile(source, known, statement, &mut findings).await?;
        report.source = compiled.source.name.to_string();
        match target::route((source, target), &compiled, trusted, &mut findings).await {
            Ok(route) => {
                report.target = of_target(route.target.to_string());
                PgSink::TAKES.fits(&route)?;
                let streamed = !matches!(compiled.evaluation, Evaluation::Read { .. });
                PgSource::GIVES.fits(&route, streamed)?;
                Ok((compiled, route))
            }
            Err(error) => {
                if error.code() == Code::TargetMissing {
                    missing = Some(ddl::missing(source, target, &compiled).await?);
                }
                Err(error)
            }
        }
    };
    let found = found.await;
    One { report, findings, missing, found }
}

fn assemble(
    name: &str,
    compiled: Vec<Compiled>,
    routes: Vec<Route>,
    targets: &[Target],
    sides: (&Server, &Server),
    related: &[Vec<usize>],
) -> Resolved {
    let mut tables: Vec<PlannedTable> = Vec::new();
    let mut read: Vec<ReadTable> = Vec::new();
    let mut shapes: Vec<(TableName, Shape)> = Vec::new();
    let mut images: Vec<Vec<Column>> = Vec::new();
    let mut mappers: Vec<Box<dyn Mapper>> = Vec::new();
    let mut traces: Vec<FoundTrace> = Vec::new();
    let mut verified = Vec::new();
    let fingerprints: Vec<_> = compiled.iter().map(Compiled::fingerprint).collect();
    for (at, statement) in compiled.into_iter().enumerate() {
        let Compiled {
            statement,
            source,
            tables: named,
            key,
            evaluation,
            full_types,
            texts,
            owner,
            ..
        } = statement;
        let declaration = evaluation.declaration();
        let table = source.name.clone();
        let index = tables.iter().position(|planned| planned.table == table);
        let index = index.unwrap_or_else(|| {
            let columns = key.iter().map(|name| key_column(&source, name)).collect();
            let texts = source.columns.iter().filter(|column| column.binary.missing);
            let texts = texts.map(|column| column.name.clone()).collect();
            tables.push(PlannedTable {
                table: table.clone(),
                oid: source.oid,
                key: key.clone(),
                keyless: statement.keyless(),
                identity: source.identity,
                statements: vec![],
                together: vec![],
            });
            read.push(ReadTable { table: table.clone(), key: columns, statements: vec![], texts });
            shapes.push((table.clone(), Shape::default()));
            images.push(source.stream_columns());
            tables.len() - 1
        });
        tables[index].statements.push(at);
        for name in declaration.reads.into_iter().map(|read| read.name) {
            let full_type = source.column(&name).map_or("", |column| &column.full_type);
            let entry = (name, full_type.to_owned());
            let columns = &mut shapes[index].1.columns;
            if let Err(place) = columns.binary_search(&entry) {
                columns.insert(place, entry);
            }
        }
        for trace in evaluation.traces() {
            if !traces.iter().any(|known: &FoundTrace| known.plan.name == trace.plan.name) {
                traces.push(trace.clone());
            }
        }
        let read_statement = match &evaluation {
            Evaluation::Own(mapper) => mapper.read(&source, &read[index].key),
            _ => {
                let owner = owner.filter(|_| evaluation.is_wrapped());
                let statement = statement.qualified(|written| {
                    let found = named.iter().find(|(table, _)| {
                        (&table.schema, &table.name) == (&written.schema, &written.name)
                    });
                    found.map(|(_, name)| name.clone())
                });
                selected(statement, &read[index].key, owner, texts)
            }
        };
        verified.push(verify::statement(
            (&routes, at),
            &targets[at],
            &source,
            &read[index],
            (&read_statement, &full_types),
            sides,
        ));
        read[index].statements.push(read_statement);
        mappers.push(evaluation.into_mapper());
    }
    for group in related {
        let table =
            tables.iter_mut().find(|table| group.iter().any(|at| table.statements.contains(at)));
        if let Some(table) = table {
            table.together.push(group.clone());
        }
    }
    let (traces, read_traces) = traces.into_iter().map(|found| (found.plan, found.read)).unzip();
    let plan = Plan { name: name.to_owned(), routes, mappers, tables, traces };
    Resolved {
        plan,
        read: Arc::new(read),
        traces: Arc::new(read_traces),
        verify: Arc::new(verify::named(verified, &fingerprints)),
        fingerprints,
        images,
        shapes,
        asked: Arc::default(),
        standing: Standing::default(),
        elsewhere: Vec::new(),
    }
}

fn key_column(table: &Table, name: &str) -> KeyColumn {
    let column = table.column(name);
    KeyColumn {
        name: name.to_owned(),
        sql_type: column.map_or_else(String::new, |column| column.sql_type.clone()),
        text: column.is_some_and(|column| column.binary.missing),
    }
}

/// How the source evaluates a statement; `wrapped` are the owner columns of one that is restricted from
/// outside, and `texts` says which of its columns travel as texts.
fn selected(
    statement: Statement,
    key: &[KeyColumn],
    wrapped: Option<Vec<usize>>,
    texts: Vec<bool>,
) -> ReadStatement {
    let names: Vec<_> = key.iter().map(|column| column.name.clone()).collect();
    let width = texts.len();
    let source_ref = match wrapped {
        Some(_) => regraft_mapping::WRAPPED.to_owned(),
        None => statement.source_ref(),
    };
    let select = move |restriction: &str| match &wrapped {
        Some(owner) => Ok(statement.wrapped_select(&names, owner, width, restriction)),
        None => statement.keyed_select(&names, restriction),
    };
    selecting(source_ref, Arc::new(select), key, &texts)
}

/// An error at a place in the mapping.
fn at(statement: &Statement, line: u32, column: u32, error: Error) -> Error {
    error.at(format!("{}:{line}:{column}", statement.file()))
}

/// Columns of a route.
fn route_columns(names: &[String], compiled: &Compiled) -> Vec<RouteColumn> {
    let column = |((name, sql_type), &text): ((&String, &String), &bool)| RouteColumn {
        name: name.clone(),
        sql_type: sql_type.clone(),
        text,
    };
    names.iter().zip(&compiled.types).zip(&compiled.texts).map(column).collect()
}
