//! Regular expressions as PostgreSQL's engine (Henry Spencer's) matches them.
//!
//! Whether a text matches does not depend on the engine, and neither does where the first match
//! starts. Where it ends does: PostgreSQL takes the longest match from there, or the shortest, by a
//! rule of its own ([`captures::preference`]), and not the one that comes first. So the end is searched
//! by an automaton that knows all matches. What the groups hold is asked of a backtracking engine over
//! the text of the match, for patterns where that is certain ([`captures`]).

mod captures;
mod syntax;

use std::fmt;

use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::pool::Pool;
use regex_automata::{Anchored, Input, MatchKind, dfa::onepass, meta};
use regex_syntax::hir::{Capture, Class, Hir, Look, Repetition};

use crate::values::value::Fail;
use syntax::Node;
pub(crate) use syntax::Options;

/// Bytes that a compiled pattern may take, for each automaton of it.
const SIZE_MAX: usize = 1 << 20;
/// Characters of a pattern whose repetitions are written out. PostgreSQL refuses what gets too many states
/// and arcs (`REG_MAX_COMPILE_SPACE`), some thousands of these.
const ATOMS_MAX: usize = 500;

type Caches = Pool<
    Cache,
    Box<dyn Fn() -> Cache + Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>,
>;

/// Where a match is, in bytes.
pub(crate) type Span = (usize, usize);

/// How ends are found.
struct Ends {
    dfa: DFA,
    caches: Caches,
    /// The shortest match is taken.
    shortest: bool,
}

/// A compiled pattern.
pub(crate) struct Pattern {
    first: Regex,
    ends: Option<Ends>,
    /// Divides the text of a match.
    divide: Option<Regex>,
    pub(crate) groups: usize,
    /// Only texts of ASCII are certain.
    ascii: bool,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Pattern").field("groups", &self.groups).finish_non_exhaustive()
    }
}

/// What a function asks of its matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asks {
    /// Whether there is one.
    Whether,
    /// Where they are.
    Where,
    /// What their groups hold.
    Groups,
}

fn hir(node: &Node) -> Hir {
    match node {
        Node::Empty => Hir::empty(),
        Node::Set(set) => Hir::class(Class::Unicode(set.clone())),
        Node::Look(look) => Hir::look(*look),
        Node::Concat(list) => Hir::concat(list.iter().map(hir).collect()),
        Node::Alternate(list) => Hir::alternation(list.iter().map(hir).collect()),
        Node::Group(index, inner) => {
            Hir::capture(Capture { index: *index, name: None, sub: Box::new(hir(inner)) })
        }
        Node::Repeat { node, min, max, greedy, .. } => Hir::repetition(Repetition {
            min: *min,
            max: *max,
            greedy: *greedy,
            sub: Box::new(hir(node)),
        }),
    }
}

fn regex(hir: &Hir) -> Option<Regex> {
    let config = meta::Config::new().nfa_size_limit(Some(SIZE_MAX));
    meta::Builder::new().configure(config).build_from_hir(hir).ok()
}

fn automaton(node: &Node) -> Option<thompson::NFA> {
    let config = thompson::Config::new().nfa_size_limit(Some(SIZE_MAX));
    thompson::Compiler::new().configure(config).build_from_hir(&hir(node)).ok()
}

/// True when there is one way only to match any text.
fn has_one_way(node: &Node) -> bool {
    let config = onepass::Config::new().match_kind(MatchKind::All).size_limit(Some(SIZE_MAX));
    let nfa = automaton(node);
    nfa.is_some_and(|nfa| onepass::Builder::new().configure(config).build_from_nfa(nfa).is_ok())
}

impl Ends {
    fn new(node: &Node) -> Option<Self> {
        let config = thompson::Config::new()
            .nfa_size_limit(Some(SIZE_MAX))
            .which_captures(WhichCaptures::None);
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(&hir(node)).ok()?;
        let config = Config::new().match_kind(MatchKind::All);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        let own = dfa.clone();
        let caches = Pool::new(Box::new(move || own.create_cache()) as Box<_>);
        Some(Self { dfa, caches, shortest: captures::preference(node) == Some(false) })
    }

    fn end(&self, text: &str, start: usize) -> Result<usize, Fail> {
        let input = Input::new(text)
            .span(start..text.len())
            .anchored(Anchored::Yes)
            .earliest(self.shortest);
        let found = self.dfa.try_search_fwd(&mut self.caches.get(), &input);
        found.ok().flatten().map(|half| half.offset()).ok_or(Fail::Doubt)
    }
}

impl Pattern {
    /// Compiles a pattern for what is asked of its matches.
    ///
    /// # Errors
    /// What of it is not taken, as a part of a sentence.
    pub(crate) fn new(
        pattern: &str,
        flags: &str,
        mut options: Options,
        asks: Asks,
    ) -> Result<Self, &'static str> {
        const LARGE: &str = "a pattern as large as this";
        syntax::flags(&mut options, flags)?;
        if options.quoted && (options.stops || options.lines) {
            return Err("flags that exclude each other");
        }
        let read = syntax::read(pattern, options)?;
        if read.node.atoms() > ATOMS_MAX {
            return Err(LARGE);
        }
        let ascii = read.localized && !options.c_ctype;
        let plain = captures::ungrouped(&read.node);
        let first = regex(&hir(&plain)).ok_or(LARGE)?;
        let ends = match asks {
            Asks::Whether => None,
            _ => Some(Ends::new(&plain).ok_or(LARGE)?),
        };
        let mut divide = None;
        if asks == Asks::Groups && read.groups > 0 {
            let unclear = "groups that can divide a match in more than one way";
            let inner = captures::inner(&read.node).ok_or(unclear)?;
            if captures::repeats_group(&inner)
                || !(captures::certain(&inner) || has_one_way(&inner))
            {
                return Err(unclear);
            }
            let whole = [Hir::look(Look::Start), hir(&inner), Hir::look(Look::End)];
            divide = Some(regex(&Hir::concat(whole.into())).ok_or(LARGE)?);
        }
        Ok(Self { first, ends, divide, groups: read.groups as usize, ascii })
    }

    /// A text that classes of characters mean the same for in every locale.
    fn certain(&self, text: &str) -> Result<(), Fail> {
        // ICU counts these controls among the spaces.
        let known = |byte: u8| byte.is_ascii() && !(0x1c..0x20).contains(&byte);
        if self.ascii && !text.bytes().all(known) { Err(Fail::Doubt) } else { Ok(()) }
    }

    pub(crate) fn matches(&self, text: &str) -> Result<bool, Fail> {
        self.certain(text)?;
        Ok(self.first.is_match(text))
    }

    /// The first match that starts at `from` or after.
    pub(crate) fn find(&self, text: &str, from: usize) -> Result<Option<Span>, Fail> {
        self.certain(text)?;
        let input = Input::new(text).span(from..text.len());
        let (Some(found), Some(ends)) = (self.first.search(&input), &self.ends) else {
            return Ok(None);
        };
        Ok(Some((found.start(), ends.end(text, found.start())?)))
    }

    /// What the groups of a match hold.
    pub(crate) fn divide(&self, text: &str, (start, end): Span) -> Result<Vec<Option<Span>>, Fail> {
        let Some(divide) = &self.divide else { return Ok(Vec::new()) };
        let mut found = divide.create_captures();
        divide.captures(&text[start..end], &mut found);
        if !found.is_match() {
            return Err(Fail::Doubt);
        }
        let span = |i: usize| found.get_group(i).map(|span| (start + span.start, start + span.end));
        Ok((1..=self.groups).map(span).collect())
    }
}
