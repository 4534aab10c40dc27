//! PostgreSQL's regression tests as an oracle: each SELECT that the compiler takes, whole or in
//! part, is evaluated by a live server and by the compiled mapper.
//!
//! The scripts are run as psql runs them, so that their tables exist. SELECTs are put over one keyed
//! table (`select.rs`): what stands first in FROM is copied into it, or it has a single row, and
//! constants can become columns of it. Both sides evaluate the same SELECT over the same rows, in
//! the settings of regraft's own sessions, whatever the script has set.

mod constants;
mod report;
mod script;
mod select;
mod session;

use std::path::{Path, PathBuf};

use regraft::resolve::overloads::Overloads;
use regraft::sample::{difference, mapped};
use regraft_mapping::{CompiledMapper, compile, parse};
use regraft_throwaway::{Cluster, ClusterOptions};

pub use report::{Difference, FileReport, Report};
use script::{Piece, Script, Variables};
use select::{Block, Form, KEY, selects};
use session::{Pool, Session, Source};

/// Database that the scripts run in; some name it.
const DATABASE: &str = "regression";
/// Differing rows of one SELECT that are told.
const SHOWN_MAX: usize = 3;

/// The scripts of a folder, in the order of the schedule beside it, the others behind them by name.
///
/// # Errors
/// When the folder cannot be read.
pub fn scripts(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            found.push(path);
        }
    }
    let schedule = folder.parent().map(|parent| parent.join("parallel_schedule"));
    let schedule = schedule.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let order: Vec<&str> = schedule
        .lines()
        .filter_map(|line| line.strip_prefix("test:"))
        .flat_map(str::split_whitespace)
        .collect();
    let place = |path: &PathBuf| {
        let name = path.file_stem().and_then(|stem| stem.to_str());
        order.iter().position(|own| Some(*own) == name).unwrap_or(order.len())
    };
    found.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.cmp(b)));
    Ok(found)
}

/// Runs the scripts of a folder, and compares in all of them, or in those that `only` names. `each`
/// is told of every script when it has run.
///
/// # Errors
/// When the folder cannot be read, or no server started.
pub async fn run(
    folder: &Path,
    only: &[String],
    each: impl Fn(&FileReport),
) -> Result<Report, Box<dyn std::error::Error>> {
    let unreadable = |error| format!("{}: {error}", folder.display());
    let folder = std::fs::canonicalize(folder).map_err(unreadable)?;
    let scripts = scripts(&folder).map_err(unreadable)?;
    let options = ClusterOptions { fsync: false, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).await?;
    cluster.create_database(DATABASE).await?;
    let mut report =
        Report { server: cluster.binaries().version()?.to_string(), files: Vec::new() };
    let mut pool = Pool::default();
    for path in scripts {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
        let stem = name.trim_end_matches(".sql");
        let compares = only.is_empty() || only.iter().any(|own| own == stem);
        let mut runner = Runner {
            pool: &mut pool,
            compares,
            session: Session::open(&cluster, DATABASE).await,
            variables: Variables::default(),
            report: FileReport { name, ..FileReport::default() },
            conditions: Vec::new(),
        };
        let parent = folder.parent().unwrap_or(&folder).to_string_lossy().into_owned();
        runner.script(&text, &parent).await;
        each(&runner.report);
        report.files.push(runner.report);
    }
    Ok(report)
}

struct Runner<'a> {
    session: Session<'a>,
    variables: Variables,
    report: FileReport,
    pool: &'a mut Pool,
    compares: bool,
    /// For each open `\if`: whether its branch is taken, and whether one was.
    conditions: Vec<(bool, bool)>,
}

impl Runner<'_> {
    async fn script(&mut self, text: &str, folder: &str) {
        for piece in Script::new(text) {
            let active = self.conditions.iter().all(|(taken, _)| *taken);
            match piece {
                Piece::Sql { line, text, data } if active => {
                    let sql = self.variables.replace(&text);
                    self.statement(line, &sql, data.as_deref()).await;
                }
                Piece::Sql { .. } => {}
                Piece::Meta { line, name, arguments, text } => {
                    let sql = self.variables.replace(&text);
                    if active && matches!(name.as_str(), "q" | "quit") {
                        return;
                    }
                    if active && name == "getenv" && arguments.ends_with("PG_ABS_SRCDIR") {
                        let own = arguments.split_whitespace().next().unwrap_or_default();
                        self.variables.0.insert(own.to_owned(), folder.to_owned());
                    }
                    self.meta(line, &name, &arguments, &sql, active).await;
                }
            }
        }
    }

    async fn meta(&mut self, line: usize, name: &str, arguments: &str, sql: &str, active: bool) {
        match name {
            "if" => {
                let holds = self.variables.holds(arguments);
                self.conditions.push((holds, holds));
            }
            "elif" | "else" => {
                let holds = name == "else" || self.variables.holds(arguments);
                if let Some((taken, before)) = self.conditions.last_mut() {
                    *taken = holds && !*before;
                    *before |= holds;
                }
            }
            "endif" => drop(self.conditions.pop()),
            _ if !active => {}
            "set" => self.variables.set(arguments),
            "unset" => drop(self.variables.0.remove(arguments)),
            "c" | "connect" => self.session.reopen().await,
            "gset" => {
                self.selects(line, sql).await;
                for (name, value) in self.session.texts(sql).await.into_iter().flatten() {
                    let name = format!("{arguments}{name}");
                    self.variables.0.insert(name, value.unwrap_or_default());
                }
            }
            "gexec" => {
                for (_, value) in self.session.texts(sql).await.into_iter().flatten() {
                    self.statement(line, &value.unwrap_or_default(), None).await;
                }
            }
            "g" | "gx" | "crosstabview" => self.statement(line, sql, None).await,
            _ => {}
        }
    }

    /// Compares the SELECTs of a statement, then runs it.
    async fn statement(&mut self, line: usize, sql: &str, data: Option<&str>) {
        self.selects(line, sql).await;
        self.session.run(sql, data).await;
    }

    async fn selects(&mut self, line: usize, sql: &str) {
        let selects = if self.compares { selects(sql) } else { Vec::new() };
        for ways in selects {
            self.report.selects += 1;
            let (mut whole, mut part) = (false, false);
            for block in ways {
                let (all, some) = self.block(line, &block).await;
                whole |= all;
                part |= some;
            }
            self.report.whole += usize::from(whole);
            self.report.part += usize::from(part && !whole);
        }
    }

    /// Each form of a SELECT, whole, or its items alone. Says whether some form was taken whole, and
    /// whether anything was.
    async fn block(&mut self, line: usize, block: &Block) -> (bool, bool) {
        let (mut whole, mut part) = (false, false);
        let Some(open) = self.session.enter().await else { return (false, false) };
        self.pool.take(&block.constants);
        if let Some(source) = self.session.source(block, self.pool).await {
            for form in &block.forms {
                if self.compare(line, block, form, &form.items, &source).await {
                    whole = true;
                    continue;
                }
                for item in &form.items {
                    let items = std::slice::from_ref(item);
                    let several = form.items.len() > 1;
                    if several && self.compare(line, block, form, items, &source).await {
                        part = true;
                    } else if let Some(form) = form.call(item) {
                        part |= self.compare(line, block, &form, &form.items, &source).await;
                    }
                }
            }
        }
        self.session.leave(open).await;
        (whole, whole || part)
    }

    /// The mapper of a SELECT; `None` where regraft leaves it to the server.
    async fn mapper(&self, select: &str, source: &Source) -> Option<CompiledMapper> {
        let statements = parse("script", &format!("INSERT INTO x {select}")).ok()?;
        let [statement] = statements.as_slice() else { return None };
        let mapper = compile(statement, &source.table, &self.session.settings).ok()?;
        let path = self.session.path().await?;
        let own = Overloads::of(&self.session.client, &path, &statements).await.ok()?;
        own.first(statement).is_none().then_some(mapper)
    }

    /// Compares some items over all rows; false when either side does not take them.
    async fn compare(
        &mut self,
        line: usize,
        block: &Block,
        form: &Form,
        items: &[String],
        source: &Source,
    ) -> bool {
        let list = items.join(", ");
        let select = form.select(&list, "");
        let Some(mapper) = self.mapper(&select, source).await else { return false };
        let key = format!("{}.{KEY}", block.alias);
        let keyed = format!("{key}, {list}");
        let Some(statement) = self.session.prepare(&form.select(&keyed, "")).await else {
            return false;
        };
        let alone = |row: i64| form.select(&keyed, &format!("{key} = {row}"));
        let keys: Vec<i64> = source.rows.iter().map(|(key, _)| *key).collect();
        let Some(mut outcomes) = self.session.outcomes(&statement, alone, &keys).await else {
            return false;
        };
        let mut differing = Vec::new();
        let wanted = statement.columns()[1..].iter().map(|c| (c.type_().oid(), c.type_modifier()));
        let own = mapper.output_types().into_iter().zip(mapper.output_modifiers());
        let (wanted, own): (Vec<_>, Vec<_>) = (wanted.collect(), own.collect());
        if wanted != own {
            differing.push(format!("types and modifiers: PostgreSQL {wanted:?}, regraft {own:?}"));
        }
        for (key, image) in &source.rows {
            let Some(wanted) = outcomes.remove(key) else { continue };
            let Some(own) = mapped(&mapper, image) else {
                self.report.left += 1;
                continue;
            };
            self.report.compared += 1;
            if let Some(what) = difference(own, wanted, &[], true) {
                differing.push(format!("row {key}: {what}"));
            }
        }
        self.report.evaluated += 1;
        if !differing.is_empty() {
            let more = differing.len().saturating_sub(SHOWN_MAX);
            differing.truncate(SHOWN_MAX);
            if more > 0 {
                differing.push(format!("{more} more"));
            }
            let constants = block.constants.iter().filter(|c| select.contains(&c.name));
            let constants = constants.map(|c| format!("{} = {}", c.name, c.sql)).collect();
            self.report.differences.push(Difference { line, select, constants, what: differing });
        }
        true
    }
}
