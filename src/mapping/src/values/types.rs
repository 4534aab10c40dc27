//! Types by their OIDs. Those below 10000 mean the same on every server; the others are described
//! by [`TypeNames`].

use std::collections::HashMap;

use regraft_core::{Column, Oid, TableName};

/// What a type with an OID from 10000 on is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// An enum with its labels in sort order.
    Enum(Vec<String>),
    /// A domain over another type.
    Domain {
        /// `pg_type.typbasetype`; may be a domain itself.
        base: Oid,
        /// `pg_type.typtypmod`.
        modifier: i32,
    },
    /// An array.
    Array {
        /// `pg_type.typelem`.
        element: Oid,
    },
    /// A row type.
    Composite,
    /// Anything else: base types of extensions, ranges.
    Other,
}

/// Name and kind of a user-defined type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserType {
    /// As in `pg_namespace.nspname`.
    pub schema: String,
    /// As in `pg_type.typname`.
    pub name: String,
    /// What it is.
    pub kind: TypeKind,
}

/// The user-defined types and those of information_schema (OID from 10000 on) of the source's columns, and those that they refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeNames(pub HashMap<Oid, UserType>);

/// The shape of a source table when the mapping is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTable {
    /// Schema and name in the catalog.
    pub name: TableName,
    /// Columns in their order, dropped ones left out.
    pub columns: Vec<Column>,
    /// Key columns in key order: primary key, or the replica identity's index.
    pub key: Vec<String>,
    /// User-defined types.
    pub types: TypeNames,
    /// Columns with a collation of their own (`pg_attribute.attcollation` is neither 0 nor 100, the
    /// database's default): they can be copied, but not computed with.
    pub collated: Vec<String>,
    /// User types that names without a schema mean in the statement.
    pub meant: HashMap<String, Oid>,
}

/// What expressions depend on besides the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The database's default collation orders text by bytes (`C` or `POSIX`).
    pub c_collation: bool,
    /// The database's character classes are those of `C` (`pg_database.datctype`).
    pub c_ctype: bool,
    /// The database's encoding is UTF8.
    pub utf8: bool,
    /// Sessions that read the source have `TimeZone` UTC, `DateStyle` ISO and `IntervalStyle`
    /// postgres.
    pub utc_iso: bool,
    /// `server_version_num` of the source, e.g. 150018.
    pub server_version: u32,
}

impl Default for Settings {
    /// The most careful ones, for PostgreSQL 15.
    fn default() -> Self {
        Self {
            c_collation: false,
            c_ctype: false,
            utf8: true,
            utc_iso: true,
            server_version: 150_000,
        }
    }
}

/// A type as the compiler knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Varchar,
    Bpchar,
    Uuid,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Bytea,
    Json,
    Jsonb,
    Enum(Oid),
    /// Copied, compared with NULL, and nothing else.
    Other(Oid),
}

pub(crate) const PLAIN: &[(Type, Oid, &str, &str)] = &[
    (Type::Bool, 16, "bool", "boolean"),
    (Type::Int2, 21, "int2", "smallint"),
    (Type::Int4, 23, "int4", "integer"),
    (Type::Int8, 20, "int8", "bigint"),
    (Type::Float4, 700, "float4", "real"),
    (Type::Float8, 701, "float8", "double precision"),
    (Type::Numeric, 1700, "numeric", "numeric"),
    (Type::Text, 25, "text", "text"),
    (Type::Varchar, 1043, "varchar", "character varying"),
    (Type::Bpchar, 1042, "bpchar", "character"),
    (Type::Uuid, 2950, "uuid", "uuid"),
    (Type::Date, 1082, "date", "date"),
    (Type::Time, 1083, "time", "time without time zone"),
    (Type::Timestamp, 1114, "timestamp", "timestamp without time zone"),
    (Type::Timestamptz, 1184, "timestamptz", "timestamp with time zone"),
    (Type::Interval, 1186, "interval", "interval"),
    (Type::Bytea, 17, "bytea", "bytea"),
    (Type::Json, 114, "json", "json"),
    (Type::Jsonb, 3802, "jsonb", "jsonb"),
];

/// Built-in arrays: the array's OID and its element's.
const ARRAYS: &[(Oid, Oid)] = &[
    (1000, 16),
    (1001, 17),
    (1005, 21),
    (1007, 23),
    (1016, 20),
    (1021, 700),
    (1022, 701),
    (1231, 1700),
    (1009, 25),
    (1015, 1043),
    (1014, 1042),
    (2951, 2950),
    (1182, 1082),
    (1183, 1083),
    (1115, 1114),
    (1185, 1184),
    (199, 114),
    (3807, 3802),
    (1187, 1186),
    (1270, 1266),
    (1041, 869),
    (651, 650),
    (1040, 829),
    (1003, 19),
    (1028, 26),
    (791, 790),
    (1561, 1560),
    (1563, 1562),
];

/// Further built-in types whose values are no rows, so that IS NULL asks for the value itself.
const SCALARS: &[Oid] = &[
    18, 19, 26, 142, 600, 601, 602, 603, 604, 628, 718, 650, 774, 790, 829, 869, 1186, 1266, 1560,
    1562, 3220, 3614, 3615, 3904, 3906, 3908, 3910, 3912, 3926, 4072, 4451, 4532, 4533, 4534, 4535,
    4536,
];

/// Domains over domains deeper than this are taken as unknown types.
const DOMAIN_DEPTH: usize = 16;

impl Type {
    /// The type of a column; domains are what they are based on.
    pub(crate) fn of(oid: Oid, names: &TypeNames) -> Type {
        let mut oid = oid;
        for _ in 0..DOMAIN_DEPTH {
            match names.0.get(&oid).map(|found| &found.kind) {
                Some(TypeKind::Domain { base, .. }) => oid = *base,
                Some(TypeKind::Enum(_)) => return Type::Enum(oid),
                _ => break,
            }
        }
        PLAIN.iter().find(|known| known.1 == oid).map_or(Type::Other(oid), |known| known.0)
    }

    pub(crate) fn oid(self) -> Oid {
        match self {
            Type::Enum(oid) | Type::Other(oid) => oid,
            plain => PLAIN.iter().find(|known| known.0 == plain).map_or(0, |known| known.1),
        }
    }

    /// By the name in `pg_type`.
    pub(crate) fn named(name: &str) -> Option<Type> {
        PLAIN.iter().find(|known| known.2 == name).map(|known| known.0)
    }

    /// The name in `pg_type` of a type that is the same on every server.
    pub(crate) fn plain_name(self) -> Option<&'static str> {
        PLAIN.iter().find(|known| known.0 == self).map(|known| known.2)
    }

    pub(crate) fn name(self, names: &TypeNames) -> String {
        if let Some(known) = PLAIN.iter().find(|known| known.0 == self) {
            return known.3.to_owned();
        }
        let oid = self.oid();
        match names.0.get(&oid) {
            Some(user) => format!("{}.{}", user.schema, user.name),
            None => match Self::element_of(oid, names) {
                Some(element) => format!("{}[]", Type::of(element, names).name(names)),
                None => format!("the type with OID {oid}"),
            },
        }
    }

    fn element_of(oid: Oid, names: &TypeNames) -> Option<Oid> {
        if let Some(found) = ARRAYS.iter().find(|known| known.0 == oid) {
            return Some(found.1);
        }
        match names.0.get(&oid).map(|found| &found.kind) {
            Some(TypeKind::Array { element }) => Some(*element),
            _ => None,
        }
    }

    /// Type of the elements, for an array.
    pub(crate) fn element(self, names: &TypeNames) -> Option<Type> {
        Self::element_of(self.oid(), names).map(|oid| Type::of(oid, names))
    }

    /// The array type over this one.
    pub(crate) fn array(self, names: &TypeNames) -> Option<Type> {
        let element = self.oid();
        let built_in = ARRAYS.iter().find(|known| known.1 == element).map(|known| known.0);
        let user = || {
            let arrays = |kind: &TypeKind| *kind == TypeKind::Array { element };
            names.0.iter().find(|(_, user)| arrays(&user.kind)).map(|(oid, _)| *oid)
        };
        built_in.or_else(user).map(Type::Other)
    }

    /// True when a value is no row, so that `IS NULL` asks for the value itself and an unchanged
    /// value is certainly not NULL.
    pub(crate) fn is_scalar(self, names: &TypeNames) -> bool {
        match self {
            Type::Other(oid) => {
                SCALARS.contains(&oid)
                    || Self::element_of(oid, names).is_some()
                    || names.0.get(&oid).is_some_and(|user| user.kind == TypeKind::Other)
            }
            _ => true,
        }
    }

    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Type::Int2 | Type::Int4 | Type::Int8)
    }

    /// Values are carried as their text, in the binary format too.
    pub(crate) fn is_textual(self) -> bool {
        matches!(self, Type::Text | Type::Varchar | Type::Bpchar | Type::Json | Type::Enum(_))
    }
}

impl Type {
    /// A value may come as its text: it is one in binary format too, or the type has no such format, and the
    /// value is but copied.
    pub(crate) fn comes_as_text(self) -> bool {
        self.is_textual() || matches!(self, Type::Other(_))
    }
}

/// Types as errors name them; OIDs that nobody described are given as numbers.
pub(crate) fn type_name(oid: Oid, names: &TypeNames) -> String {
    match names.0.get(&oid) {
        Some(user) => format!("{}.{}", user.schema, user.name),
        None => Type::of(oid, names).name(names),
    }
}
