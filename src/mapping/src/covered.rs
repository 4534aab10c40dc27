//! What is covered, found by asking the compiler itself: each function of its tables, each operator
//! between each two types, each cast.

use regraft_core::{Column, Oid, TableName};

use crate::evaluation::functions;
use crate::front::resolve::compile;
use crate::front::statement::parse;
use crate::values::types::{PLAIN, Settings, SourceTable, Type, TypeKind, TypeNames, UserType};

/// How an expression is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// `name(a, b)`
    Function,
    /// `a name b`
    Infix,
    /// `name a`
    Prefix,
    /// `CAST(a AS …)`
    Cast,
}

/// One function, operator or cast that is evaluated on the change stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// How it is written.
    pub form: Form,
    /// Name of the function or operator; that of the result in `pg_type` for a cast.
    pub name: String,
    /// Types of the arguments.
    pub arguments: Vec<Oid>,
    /// Type of the result.
    pub result: Oid,
}

/// PostgreSQL's infix operators, whether they are covered or not.
const INFIX: &[&str] = &[
    "=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "^", "||", "->", "->>", "#>", "#>>",
    "?", "?|", "?&", "@>", "<@", "&&", "#-", "@?", "@@", "&", "|", "#", "<<", ">>", "~", "~*",
    "!~", "!~*", "^@", "~<~", "~<=~", "~>~", "~>=~",
];

/// Its prefix operators.
const PREFIX: &[&str] = &["-", "+", "~", "@", "|/", "||/"];

/// Built-in arrays among the operands: boolean, integer, bigint, numeric, text, uuid, jsonb.
const ARRAYS: &[Oid] = &[1000, 1007, 1016, 1231, 1009, 2951, 3807];

/// A table with a column of each type; the column of the type with OID 25 is called `c25`.
struct Probe<'a> {
    table: SourceTable,
    settings: &'a Settings,
}

impl Probe<'_> {
    /// Type of an expression over the table, `None` when it is refused.
    fn accepts(&self, sql: &str) -> Option<Oid> {
        self.accepts_select(&format!("{sql} FROM s"))
    }

    /// Type of the first column of a SELECT.
    fn accepts_select(&self, sql: &str) -> Option<Oid> {
        let statements = parse("", &format!("INSERT INTO x SELECT {sql}")).ok()?;
        let mapper = compile(statements.first()?, &self.table, self.settings).ok()?;
        mapper.output_types().first().copied()
    }
}

/// Everything that compiles with these settings: functions, operators between each two of the
/// built-in types and the enums among `types`, and casts. Expressions with a syntax of their own are
/// listed by [`forms`].
pub fn covered(types: &TypeNames, settings: &Settings) -> Vec<Covered> {
    let probe = Probe { table: table(types), settings };
    let kinds: Vec<Oid> = probe.table.columns.iter().map(|column| column.type_oid).collect();
    let mut found = Vec::new();
    let mut note = |form, name: &str, arguments: &[Oid], sql: &str| {
        if let Some(result) = probe.accepts(sql) {
            found.push(Covered {
                form,
                name: name.to_owned(),
                arguments: arguments.to_vec(),
                result,
            });
        }
    };
    for entry in functions::entries() {
        let arguments: Vec<Oid> = entry.arguments.iter().map(|kind| kind.oid()).collect();
        let list: Vec<_> = arguments.iter().map(|oid| format!("c{oid}")).collect();
        let name = entry.name;
        note(Form::Function, name, &arguments, &format!("pg_catalog.{name}({})", list.join(", ")));
    }
    for name in PREFIX {
        for operand in &kinds {
            note(Form::Prefix, name, &[*operand], &format!("{name} c{operand}"));
        }
    }
    for name in INFIX {
        for left in &kinds {
            for right in &kinds {
                note(Form::Infix, name, &[*left, *right], &format!("c{left} {name} c{right}"));
            }
        }
    }
    for to in &kinds {
        let name = match types.0.get(to) {
            Some(user) => user.name.clone(),
            None => Type::of(*to, types).plain_name().unwrap_or_default().to_owned(),
        };
        let quoted = regraft_core::sql::quote(&name);
        for from in kinds.iter().filter(|from| *from != to && !name.is_empty()) {
            note(Form::Cast, &name, &[*from], &format!("CAST(c{from} AS {quoted})"));
        }
    }
    found
}

/// Expressions with a syntax of their own, as SQL writes them; each with an example over the columns
/// of [`table`].
const FORMS: &[(&str, &str)] = &[
    ("a AND b, a OR b, NOT a", "c16 AND NOT c16 OR c16"),
    ("a IS [NOT] NULL, a ISNULL, a NOTNULL", "c25 IS NOT NULL"),
    ("a IS [NOT] TRUE | FALSE | UNKNOWN", "c16 IS NOT TRUE"),
    ("a IS [NOT] DISTINCT FROM b", "c23 IS DISTINCT FROM c20"),
    ("a [NOT] BETWEEN b AND c", "c23 BETWEEN 1 AND 2"),
    ("a [NOT] BETWEEN SYMMETRIC b AND c", "c23 BETWEEN SYMMETRIC 1 AND 2"),
    ("a [NOT] IN (b, …)", "c23 IN (1, c20)"),
    ("a = ANY (array)", "c25 = ANY (c1009)"),
    ("a [NOT] LIKE pattern [ESCAPE e]", "c25 LIKE 'a!%%' ESCAPE '!'"),
    ("a [NOT] ILIKE pattern", "c25 ILIKE 'a%'"),
    ("a [NOT] SIMILAR TO 'pattern' [ESCAPE 'e']", "c25 SIMILAR TO 'a'"),
    ("a ~ 'pattern', a ~* 'pattern', a !~ 'pattern', a !~* 'pattern'", "c25 ~ 'a'"),
    ("regexp_replace(a, 'pattern', b [, 'flags'])", "regexp_replace(c25, '(a)', c25, 'gi')"),
    ("regexp_match(a, 'pattern' [, 'flags'])", "regexp_match(c25, '(a)', 'i')"),
    ("regexp_split_to_array(a, 'pattern' [, 'flags'])", "regexp_split_to_array(c25, 'a')"),
    ("substring(a FROM 'pattern')", "substring(c25 FROM 'a(.)')"),
    (
        "regexp_like(a, 'pattern' [, 'flags']), regexp_count(a, 'pattern'), \
         regexp_substr(a, 'pattern'), regexp_instr(a, 'pattern'); from PostgreSQL 15",
        "regexp_count(c25, 'a')",
    ),
    ("CASE WHEN a THEN b … [ELSE c] END", "CASE WHEN c16 THEN 1 ELSE c23 END"),
    ("CASE a WHEN b THEN c … [ELSE d] END", "CASE c23 WHEN 1 THEN 2 END"),
    ("COALESCE(a, …)", "coalesce(c23, 0)"),
    ("NULLIF(a, b)", "nullif(c23, 0)"),
    ("GREATEST(a, …), LEAST(a, …)", "greatest(c23, least(c20, 0))"),
    ("CAST(a AS type), a::type, type 'literal'", "CAST(c25 AS date)"),
    ("concat(a, …), concat_ws(separator, a, …)", "concat_ws(',', concat(c23, c16), c1700)"),
    ("SUBSTRING(a FROM b [FOR c])", "substring(c25 FROM 1 FOR 2)"),
    ("SUBSTRING(a SIMILAR b ESCAPE c)", "substring(c25 SIMILAR 'a' ESCAPE '#')"),
    ("POSITION(a IN b)", "position('a' IN c25)"),
    ("TRIM([LEADING | TRAILING | BOTH] [a] FROM b)", "trim(LEADING 'a' FROM c25)"),
    ("OVERLAY(a PLACING b FROM c)", "overlay(c25 PLACING 'a' FROM 1)"),
    ("EXTRACT(field FROM a)", "extract(year FROM c1114)"),
    ("a AT TIME ZONE 'UTC'", "c1114 AT TIME ZONE 'UTC'"),
    ("INTERVAL 'literal'", "c1114 + interval '1 day'"),
    ("ARRAY[a, …]", "ARRAY[c23, 1]"),
    ("array[index]", "c1009[1]"),
    ("a @? 'jsonpath', a @@ 'jsonpath'", "c3802 @? '$.a'"),
    (
        "jsonb_path_exists(a, 'jsonpath'), jsonb_path_match(a, 'jsonpath')",
        "jsonb_path_exists(c3802, '$.a')",
    ),
    (
        "jsonb_path_query_first(a, 'jsonpath'), jsonb_path_query_array(a, 'jsonpath')",
        "jsonb_path_query_array(c3802, '$.a')",
    ),
    ("jsonb_build_object(key, value, …)", "jsonb_build_object('a', c23)"),
    ("jsonb_build_array(value, …)", "jsonb_build_array(c23, c25)"),
];

/// The expressions with a syntax of their own that compile.
pub fn forms(settings: &Settings) -> Vec<&'static str> {
    let types = TypeNames::default();
    let probe = Probe { table: table(&types), settings };
    FORMS.iter().filter(|(_, sql)| probe.accepts(sql).is_some()).map(|(name, _)| *name).collect()
}

/// The set-returning functions that compile in FROM, with the types of their arguments.
pub fn set_functions(settings: &Settings) -> Vec<(&'static str, Vec<Oid>)> {
    let types = TypeNames::default();
    let probe = Probe { table: table(&types), settings };
    let mut found = Vec::new();
    let mut note = |name: &'static str, arguments: Vec<Oid>| {
        let list: Vec<_> = arguments.iter().map(|oid| format!("c{oid}")).collect();
        let sql = format!("1 FROM s, {name}({}) AS x", list.join(", "));
        if probe.accepts_select(&sql).is_some() {
            found.push((name, arguments));
        }
    };
    for name in functions::SETS {
        match *name {
            "generate_series" => {
                for kinds in functions::series::SIGNATURES {
                    note(name, kinds.iter().map(|kind| kind.oid()).collect());
                }
            }
            "string_to_table" => {
                note(name, vec![25, 25]);
                note(name, vec![25, 25, 25]);
            }
            _ => probe.table.columns.iter().for_each(|column| note(name, vec![column.type_oid])),
        }
    }
    found
}

/// What may stand in FROM and has a syntax or literals of its own, as SQL writes it.
const FROM_FORMS: &[(&str, &str)] = &[
    ("regexp_matches(a, 'pattern' [, 'flags'])", "regexp_matches(c25, '(a)', 'g')"),
    ("regexp_split_to_table(a, 'pattern' [, 'flags'])", "regexp_split_to_table(c25, 'a')"),
    ("jsonb_path_query(a, 'jsonpath')", "jsonb_path_query(c3802, '$.a')"),
    ("[LATERAL] (VALUES (a, …), …) AS alias", "LATERAL (VALUES (c23, 1), (2, 3))"),
];

/// The items of FROM with a syntax of their own that compile.
pub fn from_forms(settings: &Settings) -> Vec<&'static str> {
    let types = TypeNames::default();
    let probe = Probe { table: table(&types), settings };
    let accepts = |sql: &str| probe.accepts_select(&format!("1 FROM s, {sql} AS x")).is_some();
    FROM_FORMS.iter().filter(|(_, sql)| accepts(sql)).map(|(name, _)| *name).collect()
}

/// A table with a column of each built-in type and of each enum.
fn table(types: &TypeNames) -> SourceTable {
    let enums = types.0.iter().filter(|(_, user)| matches!(user.kind, TypeKind::Enum(_)));
    let mut users: Vec<Oid> = enums.map(|(oid, _): (&Oid, &UserType)| *oid).collect();
    users.sort_unstable();
    let plain = PLAIN.iter().map(|known| known.1);
    let column =
        |oid: Oid| Column { name: format!("c{oid}"), type_oid: oid, type_modifier: -1, key: false };
    SourceTable {
        name: TableName::new("public", "s"),
        columns: plain.chain(ARRAYS.iter().copied()).chain(users).map(column).collect(),
        key: Vec::new(),
        types: types.clone(),
        collated: Vec::new(),
        meant: Default::default(),
    }
}

/// A type as SQL names it.
pub fn sql_name(oid: Oid, types: &TypeNames) -> String {
    crate::values::types::type_name(oid, types)
}
