//! Well-typed expressions: one rule for everything that the compiler covers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use regraft_mapping::{Covered, Form};

use crate::{formats, paths, patterns, values};

pub(crate) type Oid = u32;

/// An expression and its type.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) kind: Oid,
    pub(crate) parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    Text(String),
    Tree(Tree),
}

impl Tree {
    pub(crate) fn leaf(kind: Oid, text: String) -> Self {
        Self { kind, parts: vec![Part::Text(text)] }
    }

    pub(crate) fn is_leaf(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part, Part::Tree(_)))
    }

    /// All expressions in it, itself first.
    pub(crate) fn all<'t>(&'t self, found: &mut Vec<&'t Tree>) {
        found.push(self);
        for part in &self.parts {
            if let Part::Tree(tree) = part {
                tree.all(found);
            }
        }
    }

    /// Number `at` of [`Tree::all`].
    pub(crate) fn at_mut(&mut self, at: &mut usize) -> Option<&mut Tree> {
        if *at == 0 {
            return Some(self);
        }
        *at -= 1;
        self.parts.iter_mut().find_map(|part| match part {
            Part::Tree(tree) => tree.at_mut(at),
            Part::Text(_) => None,
        })
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.write_str(text)?,
                Part::Tree(tree) => write!(out, "{tree}")?,
            }
        }
        Ok(())
    }
}

/// What stands in a rule beside its words.
#[derive(Clone, Copy, Debug)]
enum Hole {
    Of(Oid),
    Any,
    /// A literal that the compiler has to know.
    Literal(Literal),
}

/// Literals of a grammar of their own: how a template names them, how they are made, and one that
/// compiles.
type Literal = (&'static str, fn(&mut StdRng) -> String, &'static str);

const LITERALS: &[Literal] = &[
    ("pattern", patterns::pattern, "a"),
    ("flags", |random| patterns::flags(random).to_owned(), ""),
    ("replacement", |random| patterns::replacement(random).to_owned(), "x"),
    ("similar", patterns::similar, "a"),
    ("path", paths::path, "$"),
    ("format", formats::stamp, "YYYY"),
    ("number_format", formats::number, "9"),
    ("full_format", |random| formats::full(random).to_owned(), "YYYYMMDD"),
];

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Hole(Hole),
}

/// Forms with a syntax of their own. `{=}` is the type of the result, `{*}` any one type, `{?}` any
/// type each time, a name one of [`LITERALS`]; `->` begins a result that is not `{=}`. Those that do
/// not compile are left out.
const TEMPLATES: &[&str] = &[
    "coalesce({=}, {=})",
    "coalesce({=}, {=}, {=})",
    "nullif({=}, {=})",
    "nullif({=}, {*})",
    "greatest({=}, {=})",
    "least({=}, {=}, {=})",
    "CASE WHEN {16} THEN {=} ELSE {=} END",
    "CASE WHEN {16} THEN {=} WHEN {16} THEN {=} END",
    "CASE {*} WHEN {*} THEN {=} WHEN {*} THEN {=} ELSE {=} END",
    "16->{16} AND {16}",
    "16->{16} OR {16}",
    "16->NOT {16}",
    "16->{16} OR {16} AND NOT {16}",
    "16->{*} IS NULL",
    "16->{*} IS NOT NULL",
    "16->{16} IS TRUE",
    "16->{16} IS NOT FALSE",
    "16->{16} IS UNKNOWN",
    "16->{*} IS DISTINCT FROM {*}",
    "16->{*} IS NOT DISTINCT FROM {*}",
    "16->{*} IN ({*}, {*})",
    "16->{*} NOT IN ({*}, {*}, {*})",
    "16->{*} BETWEEN {*} AND {*}",
    "16->{*} NOT BETWEEN {*} AND {*}",
    "16->{*} BETWEEN SYMMETRIC {*} AND {*}",
    "16->{25} LIKE {25}",
    "16->{1043} NOT LIKE {25}",
    "16->{1042} LIKE {25}",
    "16->{25} LIKE {25} ESCAPE 'a'",
    "16->{25} LIKE {25} ESCAPE ''",
    "16->{25} ILIKE {25}",
    "16->{25} NOT ILIKE {25}",
    "16->{25} SIMILAR TO {similar}",
    "16->{1042} NOT SIMILAR TO {similar} ESCAPE '#'",
    "25->to_char({1114}, {format})",
    "25->to_char({1184}, {format})",
    "25->to_char({1082}, {format})",
    "1082->to_date(to_char({1114}, {full_format}), {full_format})",
    "1082->to_date(to_char({1082}, 'YYYY-MM-DD'), 'YYYY-MM-DD')",
    "1082->to_date({25}, 'YYYY-MM-DD')",
    "1184->to_timestamp(to_char({1184}, {full_format}), {full_format})",
    "1184->to_timestamp(to_char({1114}, 'YYYY-MM-DD HH24:MI:SS.US'), 'YYYY-MM-DD HH24:MI:SS.US')",
    "25->to_char({23}, {number_format})",
    "25->to_char({21}, {number_format})",
    "25->to_char({20}, {number_format})",
    "25->to_char({1700}, {number_format})",
    "25->to_char({1700}::numeric(9,3), {number_format})",
    "16->{3802} @? {path}",
    "16->{3802} @@ {path}",
    "16->jsonb_path_exists({3802}, {path})",
    "16->jsonb_path_match({3802}, {path})",
    "3802->jsonb_path_query_first({3802}, {path})",
    "3802->jsonb_path_query_array({3802}, {path})",
    "16->{25} ~ {pattern}",
    "16->{1042} ~* {pattern}",
    "16->{1043} !~ {pattern}",
    "16->{25} !~* {pattern}",
    "25->regexp_replace({25}, {pattern}, {replacement})",
    "25->regexp_replace({25}, {pattern}, {replacement}, {flags})",
    "25->regexp_replace({25}, {pattern}, {25}, 'g')",
    "1009->regexp_match({25}, {pattern})",
    "1009->regexp_match({25}, {pattern}, {flags})",
    "1009->regexp_split_to_array({25}, {pattern})",
    "1009->regexp_split_to_array({25}, {pattern}, {flags})",
    "25->substring({25}, {pattern})",
    "25->substring({25} FROM {pattern})",
    "16->regexp_like({25}, {pattern}, {flags})",
    "16->regexp_like({25}, {pattern})",
    "23->regexp_count({25}, {pattern})",
    "25->regexp_substr({25}, {pattern})",
    "23->regexp_instr({25}, {pattern})",
    "16->{25} = ANY ({1009})",
    "16->{23} = ANY ({1007})",
    "16->{25} <> ALL ({1009})",
    "25->substring({25} FROM {23})",
    "25->substring({25} FROM {23} FOR {23})",
    "25->substring({25} FOR {23})",
    "25->trim({25})",
    "25->trim(LEADING {25} FROM {25})",
    "25->trim(TRAILING FROM {25})",
    "25->overlay({25} PLACING {25} FROM {23})",
    "25->overlay({25} PLACING {25} FROM {23} FOR {23})",
    "23->position({25} IN {25})",
    "25->concat({?}, {?})",
    "25->concat({?}, {?}, {?})",
    "25->concat_ws({25}, {?}, {?}, {?})",
    "3802->jsonb_build_array({?}, {?})",
    "3802->jsonb_build_object({25}, {?}, {25}, {?})",
    "114->json_build_array({?}, {?})",
    "114->json_build_object({25}, {?})",
    "3802->to_jsonb({?})",
    "114->to_json({?})",
    "1700->extract(year FROM {1114})",
    "1700->extract(epoch FROM {1184})",
    "1700->extract(dow FROM {1082})",
    "1700->extract(second FROM {1114})",
    "25->date_trunc('month', {1114})::text",
    "1114->date_trunc('month', {1114})",
    "1114->date_trunc('week', {1114})",
    "1114->{1184} AT TIME ZONE 'UTC'",
    "1184->{1114} AT TIME ZONE 'UTC'",
    "1114->{1114} + interval '1 mon 3 days 00:00:01.5'",
    "25->{25}::varchar(3)::text",
    "1043->{25}::varchar(3)",
    "1042->{25}::char(4)",
    "1042->{1043}::bpchar(3)",
    "1700->{1700}::numeric(12,3)",
    "1700->{1700}::numeric(5)",
    "1700->{1700}::numeric(1000,500)",
    "1114->{1114}::timestamp(3)",
    "1184->{1184}::timestamp(0)",
    "25->({1009})[{23}]",
    "23->({1007})[{23}]",
    "1009->ARRAY[{25}, {25}]",
    "3802->{3802} -> 'a'",
    "25->{3802} ->> 'a'",
    "3802->{3802} -> 0",
    "3802->{3802} -> 'a' -> -1",
    "25->{3802} #>> '{{a,0}}'",
    "3802->{3802} #> '{{a,b}}'",
    "16->{3802} ? 'a'",
    "1700->({3802} ->> 'a')::numeric",
    "23->({3802} -> 'a')::int",
];

/// Functions whose result grows with a number: those take small ones.
const GROWING: &[&str] = &["repeat", "lpad", "rpad"];
const SMALL: &[&str] = &["0", "1", "2", "3", "7", "20", "(-1)", "'-2147483648'::int"];

/// Implicit casts, from and to.
const IMPLICIT: &[(Oid, Oid)] = &[
    (1043, 25),
    (1042, 25),
    (25, 1043),
    (25, 1042),
    (21, 23),
    (21, 20),
    (23, 20),
    (23, 1700),
    (20, 1700),
    (21, 1700),
    (700, 701),
    (23, 701),
    (1700, 701),
    (21, 700),
    (1082, 1114),
    (1082, 1184),
    (1114, 1184),
];

/// Levels of an expression.
const DEPTH: u32 = 5;

/// A name with all rules that are called so.
type Group = (String, Vec<Vec<Piece>>);

pub(crate) struct Grammar {
    /// By the type of the result.
    rules: HashMap<Oid, Vec<Group>>,
    columns: HashMap<Oid, Vec<String>>,
    /// Types as SQL names them.
    names: HashMap<Oid, String>,
    pub(crate) kinds: Vec<Oid>,
    labels: Oid,
}

fn pieces(template: &str, result: Oid, any: Oid) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        if rest[start + 1..].starts_with('{') {
            // Braces of SQL, doubled.
            let end = rest.find("}}").unwrap();
            found.push(Piece::Text(rest[..start].to_owned() + &rest[start + 1..end + 1]));
            rest = &rest[end + 2..];
            continue;
        }
        let end = start + rest[start..].find('}').unwrap();
        found.push(Piece::Text(rest[..start].to_owned()));
        found.push(Piece::Hole(match &rest[start + 1..end] {
            "=" => Hole::Of(result),
            "*" => Hole::Of(any),
            "?" => Hole::Any,
            name if name.starts_with(|c: char| c.is_ascii_lowercase()) => {
                Hole::Literal(*LITERALS.iter().find(|known| known.0 == name).unwrap())
            }
            oid => Hole::Of(oid.parse().unwrap()),
        }));
        rest = &rest[end + 1..];
    }
    found.push(Piece::Text(rest.to_owned()));
    found
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Grammar {
    /// `accepts` says which type an expression over the table has, if it compiles.
    pub(crate) fn new(
        covered: &[Covered],
        columns: &[(String, Oid)],
        names: HashMap<Oid, String>,
        labels: Oid,
        accepts: &dyn Fn(&str) -> Option<Oid>,
    ) -> Self {
        let mut by_kind: HashMap<Oid, Vec<String>> = HashMap::new();
        for (name, oid) in columns {
            by_kind.entry(*oid).or_default().push(name.clone());
        }
        let mut kinds: Vec<Oid> = by_kind.keys().copied().collect();
        kinds.sort_unstable();
        let mut grammar = Self { rules: HashMap::new(), columns: by_kind, names, kinds, labels };
        let mut rules: BTreeMap<(Oid, String), Vec<Vec<Piece>>> = BTreeMap::new();
        for one in covered {
            let holes: Vec<_> = one.arguments.iter().map(|oid| format!("{{{oid}}}")).collect();
            let template = match one.form {
                Form::Function => format!("{}({})", one.name, holes.join(", ")),
                Form::Infix => format!("{} {} {}", holes[0], one.name, holes[1]),
                Form::Prefix => format!("{} {}", one.name, holes[0]),
                Form::Cast => format!("CAST({} AS {})", holes[0], grammar.names[&one.result]),
            };
            let group = if one.form == Form::Cast { "cast".to_owned() } else { one.name.clone() };
            rules.entry((one.result, group)).or_default().push(pieces(&template, one.result, 0));
        }
        for template in TEMPLATES {
            let (results, text) = match template.split_once("->") {
                Some((oid, text)) if oid.bytes().all(|b| b.is_ascii_digit()) => {
                    (vec![oid.parse().unwrap()], text)
                }
                _ => (grammar.kinds.clone(), *template),
            };
            let any = if text.contains("{*}") { grammar.kinds.clone() } else { vec![0] };
            for result in &results {
                for any in &any {
                    let rule = pieces(text, *result, *any);
                    if accepts(&grammar.sample(&rule)) == Some(*result) {
                        rules.entry((*result, text.to_owned())).or_default().push(rule);
                    }
                }
            }
        }
        for ((result, name), list) in rules {
            grammar.rules.entry(result).or_default().push((name, list));
        }
        grammar
    }

    /// The rule with a column in each hole.
    fn sample(&self, rule: &[Piece]) -> String {
        let column = |oid: &Oid| self.columns.get(oid).map_or("none", |list| list[0].as_str());
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Hole(Hole::Of(oid)) => column(oid).to_owned(),
            Piece::Hole(Hole::Any) => column(&25).to_owned(),
            Piece::Hole(Hole::Literal((_, _, usual))) => quoted(usual),
        };
        rule.iter().map(piece).collect()
    }

    /// How many different names there are, for the record.
    pub(crate) fn size(&self) -> usize {
        let names = self.rules.values().flatten().map(|(name, _)| name);
        names.collect::<HashSet<_>>().len()
    }

    /// A value of a type in its text form.
    pub(crate) fn value(&self, random: &mut StdRng, kind: Oid) -> String {
        if kind == self.labels {
            return (*values::LABELS.choose(random).unwrap()).to_owned();
        }
        let found = values::value(random, kind);
        found.unwrap_or_else(|| panic!("values.rs has no values of the type with OID {kind}"))
    }

    pub(crate) fn literal(&self, random: &mut StdRng, kind: Oid) -> Tree {
        let text = self.value(random, kind);
        let number =
            matches!(kind, 23 | 1700) && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let name = &self.names[&kind];
        Tree::leaf(
            kind,
            match random.random_range(0..20) {
                0 => format!("NULL::{name}"),
                1 => "NULL".to_owned(),
                2..4 => quoted(&text),
                4..12 if number => text,
                4..12 if matches!(kind, 25) => quoted(&text),
                4..12 if kind == 16 => if text == "t" { "true" } else { "FALSE" }.to_owned(),
                _ => format!("{}::{name}", quoted(&text)),
            },
        )
    }

    pub(crate) fn columns(&self, kind: Oid) -> &[String] {
        self.columns.get(&kind).map_or(&[], Vec::as_slice)
    }

    fn leaf(&self, random: &mut StdRng, kind: Oid) -> Tree {
        match self.columns(kind).choose(random) {
            Some(column) if random.random_range(0..100) < 78 => Tree::leaf(kind, column.clone()),
            _ => self.literal(random, kind),
        }
    }

    /// An expression of some type; with `only`, by a rule whose name has that in it.
    pub(crate) fn any(&self, random: &mut StdRng, only: Option<&str>) -> Tree {
        if let Some(only) = only {
            let rules = self.rules.iter().flat_map(|(kind, groups)| {
                groups.iter().filter(|group| group.0.contains(only)).map(|group| (*kind, group))
            });
            let mut rules: Vec<_> = rules.collect();
            rules.sort_by_key(|(kind, group)| (*kind, &group.0));
            let (kind, (name, rules)) = rules.choose(random).expect("REGRAFT_ONLY names no rule");
            let depth = random.random_range(1..=2);
            let rule = rules.choose(random).unwrap();
            return self.instance(random, (*kind, name), rule, depth);
        }
        let depth = random.random_range(1..=DEPTH);
        let kind = *self.kinds.choose(random).unwrap();
        self.expression(random, kind, depth)
    }

    /// An expression of a type.
    pub(crate) fn expression(&self, random: &mut StdRng, kind: Oid, depth: u32) -> Tree {
        let groups = self.rules.get(&kind);
        let Some(groups) = groups.filter(|_| depth > 0) else { return self.leaf(random, kind) };
        let (name, rules) = groups.choose(random).unwrap();
        let rule = rules.choose(random).unwrap();
        self.instance(random, (kind, name), rule, depth)
    }

    /// An expression of each rule, its operands columns and literals.
    pub(crate) fn each(&self, random: &mut StdRng) -> Vec<Tree> {
        let mut found = Vec::new();
        for kind in &self.kinds {
            for (name, rules) in self.rules.get(kind).into_iter().flatten() {
                found
                    .extend(rules.iter().map(|rule| self.instance(random, (*kind, name), rule, 1)));
            }
        }
        found
    }

    fn instance(
        &self,
        random: &mut StdRng,
        (kind, name): (Oid, &str),
        rule: &[Piece],
        depth: u32,
    ) -> Tree {
        let growing = GROWING.contains(&name);
        let mut parts = Vec::with_capacity(rule.len());
        for piece in rule {
            parts.push(match piece {
                Piece::Text(text) => Part::Text(text.clone()),
                Piece::Hole(Hole::Of(23)) if growing => {
                    Part::Tree(Tree::leaf(23, (*SMALL.choose(random).unwrap()).to_owned()))
                }
                Piece::Hole(hole) => Part::Tree(self.hole(random, *hole, depth)),
            });
        }
        Tree { kind, parts }
    }

    /// The type, or now and then one that PostgreSQL converts to it by itself.
    fn implicit(&self, random: &mut StdRng, kind: Oid) -> Oid {
        if random.random_range(0..100) >= 12 {
            return kind;
        }
        let from: Vec<_> = IMPLICIT.iter().filter(|(_, to)| *to == kind).collect();
        from.choose(random).map_or(kind, |(from, _)| *from)
    }

    fn hole(&self, random: &mut StdRng, hole: Hole, depth: u32) -> Tree {
        let kind = match hole {
            Hole::Of(kind) => self.implicit(random, kind),
            Hole::Any => *self.kinds.choose(random).unwrap(),
            Hole::Literal((_, make, _)) => return Tree::leaf(25, quoted(&make(random))),
        };
        let deeper = if random.random_range(0..100) < 45 { depth - 1 } else { 0 };
        let inner = self.expression(random, kind, deeper);
        // Parentheses are left out now and then: precedence has to be PostgreSQL's.
        if inner.is_leaf() || random.random_range(0..100) < 4 {
            return inner;
        }
        let parts = vec![Part::Text("(".into()), Part::Tree(inner), Part::Text(")".into())];
        Tree { kind, parts }
    }
}
