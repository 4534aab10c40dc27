//! A SELECT as it was written.

/// An expression and the byte offset in the file where it starts (for binary operators: where the
/// operator stands, as PostgreSQL reports it).
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: usize,
    pub(crate) kind: Ast,
}

/// A type as it was written.
#[derive(Clone, Debug)]
pub(crate) struct TypeRef {
    pub(crate) at: usize,
    pub(crate) schema: Option<String>,
    /// As in `pg_type.typname` for the types that have a spelling of their own.
    pub(crate) name: String,
    pub(crate) modifiers: Vec<i32>,
    pub(crate) array: bool,
}

/// What `IS` asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Null,
    True,
    False,
    Unknown,
}

/// A subscript: `[low]`, or the slice `[low:high]`, either of whose bounds may be left out.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) slice: bool,
    pub(crate) low: Option<Node>,
    pub(crate) high: Option<Node>,
}

#[derive(Clone, Debug)]
pub(crate) enum Ast {
    /// A name of one to three parts.
    Column(Vec<String>),
    /// A string literal, its type still unknown.
    Text(String),
    /// A number without sign.
    Number(String),
    Bool(bool),
    Null,
    Unary(&'static str, Box<Node>),
    Binary(String, Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Is {
        operand: Box<Node>,
        test: Test,
        negated: bool,
    },
    Distinct {
        left: Box<Node>,
        right: Box<Node>,
        negated: bool,
    },
    In {
        operand: Box<Node>,
        list: Vec<Node>,
        negated: bool,
    },
    Between {
        operand: Box<Node>,
        low: Box<Node>,
        high: Box<Node>,
        /// The bounds may stand either way round.
        symmetric: bool,
    },
    Like {
        operand: Box<Node>,
        pattern: Box<Node>,
        escape: Option<Box<Node>>,
        /// ILIKE.
        insensitive: bool,
    },
    Similar {
        operand: Box<Node>,
        pattern: Box<Node>,
        escape: Option<Box<Node>>,
    },
    Cast(Box<Node>, TypeRef),
    Case {
        operand: Option<Box<Node>>,
        arms: Vec<(Node, Node)>,
        otherwise: Option<Box<Node>>,
    },
    /// `ARRAY[…]`, or `[…]` inside one.
    Array(Vec<Node>),
    /// `base[index]…`
    Subscript(Box<Node>, Vec<Index>),
    /// `left operator ANY (right)`, or ALL.
    Quantified {
        left: Box<Node>,
        operator: String,
        right: Box<Node>,
        all: bool,
    },
    /// A function by its name without `pg_catalog`. COALESCE, NULLIF, GREATEST and LEAST too.
    Call(String, Vec<Node>),
}

/// One item of the select list.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// An expression.
    Expression(Node),
    /// `*` or `alias.*`.
    Star { at: usize, of: Option<String> },
}

/// A set-returning function in FROM, or VALUES.
#[derive(Clone, Debug)]
pub(crate) struct Lateral {
    pub(crate) at: usize,
    pub(crate) function: String,
    pub(crate) arguments: Vec<Node>,
    /// Of VALUES, in place of the function.
    pub(crate) values: Option<Vec<Vec<Node>>>,
    /// LATERAL is written.
    pub(crate) explicit: bool,
    pub(crate) ordinality: bool,
    pub(crate) alias: Option<String>,
    pub(crate) columns: Vec<String>,
    /// LEFT JOIN: a row without any result stays, with NULLs.
    pub(crate) left: bool,
    pub(crate) condition: Option<Node>,
}

/// A SELECT over one table.
#[derive(Clone, Debug)]
pub(crate) struct Select {
    pub(crate) items: Vec<Item>,
    pub(crate) table: (Option<String>, String),
    /// Offset of the table's name.
    pub(crate) table_at: usize,
    pub(crate) alias: Option<String>,
    pub(crate) laterals: Vec<Lateral>,
    pub(crate) filter: Option<Node>,
}
