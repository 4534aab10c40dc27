//! Generated expressions over generated rows, evaluated by PostgreSQL and by regraft: not one may
//! differ, in value, type or error.
//!
//! The grammar is made of what the compiler says it covers, so functions added to it are tested
//! here without a change. For a longer run, or that of another seed:
//!
//!     REGRAFT_PAIRS=10000000 REGRAFT_SEED=7 cargo test -p regraft-tests --test differential
//!
//! With `REGRAFT_ONLY=regexp` all expressions are of rules that have this in their names.

mod formats;
mod grammar;
mod paths;
mod patterns;
mod server;
mod sets;
mod shrink;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use grammar::{Grammar, Oid, Tree};
use rand::SeedableRng;
use rand::rngs::StdRng;
use regraft_mapping::{CompiledMapper, Covered, covered};
use regraft_testkit::Binaries;
use regraft_tests::NEWEST;
use server::{Outcome, Server};

/// Pairs of an expression and a row.
const PAIRS: usize = 500_000;
/// Rows that all expressions of a round see.
const ROWS: usize = 40;
/// Expressions of a round.
const EXPRESSIONS: usize = 400;
/// Expressions in one query.
const BATCH: usize = 40;
/// Differences after which a run ends.
const ENOUGH: usize = 10;

pub(crate) fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |given| given.parse().unwrap())
}

/// An expression that compiled, with what regraft gives for each row.
pub(crate) struct Candidate {
    tree: Tree,
    sql: String,
    mapper: CompiledMapper,
    own: Vec<Outcome>,
}

impl Candidate {
    fn new(server: &Server, tree: Tree) -> Option<Self> {
        let sql = tree.to_string();
        let mapper = server.compile(&sql)?;
        let own = server.rows.iter().map(|row| server.mapped(&mapper, row)).collect();
        Some(Self { tree, sql, mapper, own })
    }

    fn kind(&self) -> (Oid, i32) {
        (self.mapper.output_types()[0], self.mapper.output_modifiers()[0])
    }

    /// Every row has a value, so that PostgreSQL can be asked for all at once.
    fn is_smooth(&self) -> bool {
        self.own.iter().all(|outcome| matches!(outcome, Outcome::Value(_) | Outcome::Null))
    }
}

/// One expression and row where they differ; row 0 for the type.
pub(crate) struct Difference {
    row: usize,
    wanted: String,
    found: String,
}

/// The first difference, if there is one.
pub(crate) fn difference(
    candidate: &Candidate,
    kind: (Oid, i32),
    wanted: &[Outcome],
) -> Option<Difference> {
    if candidate.kind() != kind {
        let (wanted, found) = (format!("type {kind:?}"), format!("type {:?}", candidate.kind()));
        return Some(Difference { row: 0, wanted, found });
    }
    for (i, (own, wanted)) in candidate.own.iter().zip(wanted).enumerate() {
        if own != wanted && *own != Outcome::Undecided && *wanted != Outcome::Undecided {
            let (wanted, found) = (shown(wanted), shown(own));
            return Some(Difference { row: i + 1, wanted, found });
        }
    }
    None
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Value(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{hex} ({})", String::from_utf8_lossy(bytes).escape_debug())
        }
        other => format!("{other:?}"),
    }
}

#[derive(Default)]
struct Tally {
    generated: usize,
    refused: usize,
    /// Taken by the compiler, refused by PostgreSQL, which describes every statement first.
    ill_typed: usize,
    pairs: usize,
    errors: usize,
    undecided: usize,
    differences: BTreeMap<String, String>,
}

impl Tally {
    /// Compares, and shrinks what differs.
    async fn note(
        &mut self,
        server: &Server,
        grammar: &Grammar,
        candidate: Candidate,
        kind: (Oid, i32),
        wanted: &[Outcome],
    ) {
        self.pairs += wanted.len();
        self.errors += wanted.iter().filter(|o| matches!(o, Outcome::Error(_))).count();
        let open = candidate.own.iter().filter(|o| **o == Outcome::Undecided).count();
        self.undecided += open;
        self.pairs -= open;
        if difference(&candidate, kind, wanted).is_some() {
            let (sql, message) = shrink::shrink(server, grammar, candidate).await;
            eprintln!("{message}");
            self.differences.insert(sql, message);
        }
    }

    async fn each(&mut self, server: &Server, grammar: &Grammar, candidate: Candidate) {
        match server.each(&candidate.sql).await {
            None => self.ill_typed += 1,
            Some((kind, wanted)) => self.note(server, grammar, candidate, kind, &wanted).await,
        }
    }

    /// All at once, one after the other when that fails.
    async fn batch(&mut self, server: &Server, grammar: &Grammar, batch: Vec<Candidate>) {
        let list: Vec<String> = batch.iter().map(|candidate| candidate.sql.clone()).collect();
        match server.batch(&list).await {
            Ok((kinds, wanted)) => {
                for ((candidate, kind), wanted) in batch.into_iter().zip(kinds).zip(wanted) {
                    self.note(server, grammar, candidate, kind, &wanted).await;
                }
            }
            Err(_) => {
                for candidate in batch {
                    self.each(server, grammar, candidate).await;
                }
            }
        }
    }

    async fn round(&mut self, server: &Server, grammar: &Grammar, trees: Vec<Tree>) {
        let mut smooth = Vec::new();
        for tree in trees {
            if self.differences.len() >= ENOUGH {
                return;
            }
            self.generated += 1;
            let Some(candidate) = Candidate::new(server, tree) else {
                self.refused += 1;
                continue;
            };
            if candidate.is_smooth() {
                smooth.push(candidate);
            } else {
                self.each(server, grammar, candidate).await;
            }
            if smooth.len() >= BATCH {
                self.batch(server, grammar, std::mem::take(&mut smooth)).await;
            }
        }
        self.batch(server, grammar, smooth).await;
    }
}

/// A grammar of what is covered now.
pub(crate) async fn grammar(server: &mut Server) -> Grammar {
    let mut covered = covered(&server.table.types, &server.settings);
    let types = covered.iter().flat_map(|one| one.arguments.iter().chain([&one.result]));
    let kinds: Vec<Oid> = types.copied().collect::<BTreeSet<_>>().into_iter().collect();
    server.create(&kinds).await;
    // Functions that the compiler takes without having them in a table.
    for function in server.functions().await {
        let known =
            |one: &Covered| (&one.name, &one.arguments) == (&function.name, &function.arguments);
        if !covered.iter().any(known) {
            covered.push(function);
        }
    }
    let accepts = |sql: &str| Some(server.compile(sql)?.output_types()[0]);
    Grammar::new(&covered, &server.columns, server.names.clone(), server.labels, &accepts)
}

#[tokio::test]
async fn generated_expressions_give_what_postgres_gives() {
    compare(Binaries::find(None).unwrap()).await;
}

#[tokio::test]
async fn generated_expressions_give_what_the_newest_postgres_gives() {
    compare(Binaries::of_major(NEWEST).unwrap()).await;
}

async fn compare(binaries: Binaries) {
    let seed = number("REGRAFT_SEED", 1) as u64;
    let pairs = number("REGRAFT_PAIRS", PAIRS);
    let only = std::env::var("REGRAFT_ONLY").ok();
    let start = Instant::now();
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::start(binaries).await;
    let grammar = grammar(&mut server).await;
    eprintln!("seed {seed}; {} names; ready after {:?}", grammar.size(), start.elapsed());
    let mut tally = Tally::default();
    while tally.pairs < pairs && tally.differences.len() < ENOUGH {
        server.fill(&mut random, &grammar, ROWS).await;
        // Each rule once, then all together.
        let trees = match tally.generated {
            0 => grammar.each(&mut random),
            _ => (0..EXPRESSIONS).map(|_| grammar.any(&mut random, only.as_deref())).collect(),
        };
        tally.round(&server, &grammar, trees).await;
    }
    let Tally { generated, refused, ill_typed, pairs, errors, undecided, differences } = tally;
    eprintln!(
        "seed {seed}: {pairs} pairs in {:?}, {errors} of them errors, {undecided} more left to PostgreSQL; \
         {generated} expressions, {refused} refused, {ill_typed} ill-typed",
        start.elapsed()
    );
    let list: Vec<_> = differences.into_values().collect();
    assert!(list.is_empty(), "seed {seed}: {} differ:\n\n{}", list.len(), list.join("\n\n"));
    assert!(only.is_some() || refused * 4 < generated, "too many expressions are refused");
    assert!(ill_typed * 10 < generated, "too many expressions are ill-typed");
    assert!(only.is_some() || undecided * 10 < pairs, "too many rows are left to PostgreSQL");
}
