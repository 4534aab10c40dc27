//! In which form a value is compared, and how each side is asked for it.

use std::collections::BTreeSet;

use regraft_core::Oid;
use regraft_core::sql::quote;

use super::VerifyStatement;
use crate::chunks::KeyColumn;

/// Values of more bytes are compared by their SHA-256, which the servers compute.
const LARGE: usize = 1 << 20;
/// Types above are not built in: their OIDs differ between servers.
const FIRST_USER_OID: Oid = 16_384;
/// Names of objects, whose binary form is an OID, and what has no binary form, or one that is not always read.
const AS_TEXT: &[Oid] =
    &[24, 1033, 2202, 2203, 2204, 2205, 2206, 3615, 3734, 3769, 4089, 4096, 4191];

/// An output column, as it is compared.
#[derive(Clone, Debug)]
pub struct VerifyColumn {
    /// Target column.
    pub name: String,
    /// SQL name, with modifier, of the type to which the source converts the value first.
    cast: Option<String>,
    /// It is compared as text.
    text: bool,
    /// Values may be so large that their digest is compared.
    large: Option<Large>,
    /// SQL name of the type in which it is compared.
    pub form: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Large {
    Bytes,
    Text,
}

/// A type as a catalog has it.
#[derive(Clone, Copy, Debug)]
pub struct TypeOf<'a> {
    /// `pg_type.oid`; here and below that of the base type, for a domain.
    pub oid: Oid,
    /// Modifier, -1 without.
    pub modifier: i32,
    /// SQL name without modifier.
    pub sql_type: &'a str,
    /// SQL name with modifier.
    pub full_type: &'a str,
    /// It is an array.
    pub array: bool,
}

impl VerifyColumn {
    /// Decides how an expression of the type `source` is compared with the column `name` of the type
    /// `target`.
    pub fn new(name: &str, source: (Oid, i32), target: TypeOf<'_>) -> Self {
        let text = target.oid >= FIRST_USER_OID || target.array || AS_TEXT.contains(&target.oid);
        let built_in = target.oid < FIRST_USER_OID;
        let differs = source != (target.oid, target.modifier);
        let large = match target.oid {
            17 => Some(Large::Bytes),
            25 | 114 | 142 | 1043 => Some(Large::Text),
            _ if text => Some(Large::Text),
            _ => None,
        };
        Self {
            name: name.to_owned(),
            cast: (built_in && differs).then(|| target.full_type.to_owned()),
            text,
            large,
            form: if text { "text".to_owned() } else { target.sql_type.to_owned() },
        }
    }

    /// The expression `value` of the source in the form.
    pub(super) fn of_source(&self, value: &str, large: bool) -> String {
        match &self.cast {
            Some(cast) => self.guarded(&format!("{value}::{cast}"), large),
            None => self.guarded(value, large),
        }
    }

    /// Whether a value of the source is in the form as it is.
    pub(super) fn is_form(&self, value: Option<&[u8]>, large: bool) -> bool {
        let digest = large && self.large.is_some();
        let short = |value: &[u8]| !digest || value.len() <= LARGE;
        value.is_none_or(|value| self.cast.is_none() && !self.text && short(value))
    }

    /// The column `value` of the target in the form.
    pub(super) fn of_target(&self, value: &str, large: bool) -> String {
        self.guarded(value, large)
    }

    fn guarded(&self, value: &str, large: bool) -> String {
        let value = if self.text { format!("{value}::text") } else { value.to_owned() };
        match self.large.filter(|_| large) {
            None => value,
            Some(Large::Bytes) => format!(
                "CASE WHEN octet_length({value}) > {LARGE} THEN sha256({value}) ELSE {value} END"
            ),
            Some(Large::Text) => format!(
                "CASE WHEN octet_length({value}::text) > {LARGE} THEN \
                 encode(sha256(convert_to({value}::text, 'UTF8')), 'hex') ELSE {value}::text END"
            ),
        }
    }
}

/// An output column that copies a column of the source's key.
#[derive(Clone, Debug)]
pub struct OwnerColumn {
    /// Which output column.
    pub output: usize,
    /// The column of the source's key.
    pub key: KeyColumn,
    /// Target column.
    pub name: String,
    /// SQL name of its type, with modifier.
    pub column_type: String,
    /// SQL name of the type in which it is compared.
    pub form: String,
    /// How the source gives it.
    cast: VerifyColumn,
    /// The key in binary form is the value in the form.
    pub same: bool,
    /// The source can compare its key with values of the form.
    comparable: bool,
    /// Both sides have the values in the same order.
    pub ordered: bool,
    /// At the source, and at the target, texts that are not the same are equal to one another.
    pub folded: [bool; 2],
    /// SQL names of the types in which bounds of ranges are given, at the source and at the target: they
    /// hold the values of either side.
    pub(super) bound: [String; 2],
}

/// Types that PostgreSQL compares with each other, by an index on either, and the widest of them.
const FAMILIES: &[(&[Oid], &str)] = &[(&[20, 21, 23], "bigint"), (&[25, 1043], "text")];

impl OwnerColumn {
    /// Decides how owners are told apart. `column_type` is the SQL name of the type of the column itself,
    /// with modifier. With `plain_order`, texts are ordered by their bytes on both
    /// sides.
    pub fn new(
        output: usize,
        key: KeyColumn,
        source: (Oid, i32),
        column: &VerifyColumn,
        (target, column_type): (TypeOf<'_>, &str),
        plain_order: bool,
    ) -> Self {
        let family = |oid: Oid| FAMILIES.iter().find(|(family, _)| family.contains(&oid));
        let alike = source.0 == target.oid
            || (family(source.0).is_some() && family(source.0) == family(target.oid));
        let widest = family(source.0).filter(|_| source.0 != target.oid);
        let bound = [&key.sql_type, &column.form];
        let bound = bound.map(|own| widest.map_or(own.clone(), |(_, name)| (*name).to_owned()));
        let collatable = [18, 19, 25, 1042, 1043].contains(&target.oid);
        Self {
            output,
            key,
            name: column.name.clone(),
            column_type: column_type.to_owned(),
            form: column.form.clone(),
            cast: column.clone(),
            same: !column.text && source == (target.oid, target.modifier),
            comparable: !column.text && alike,
            ordered: !column.text && alike && (plain_order || !collatable),
            folded: [false; 2],
            bound,
        }
    }

    /// The key column of `table` in the form.
    pub(super) fn of_key(&self, table: &str) -> String {
        self.cast.of_source(&format!("{table}.{}", quote(&self.key.name)), false)
    }

    /// The key column of `table` as values of the form are compared with it.
    pub(super) fn found_at(&self, table: &str) -> String {
        if self.comparable {
            return format!("{table}.{}", quote(&self.key.name));
        }
        self.of_key(table)
    }

    /// What tells apart what is equal at the source (0) or at the target (1), beside the column `name` itself.
    pub(super) fn bytes_of(&self, side: usize, name: &str) -> Option<String> {
        self.folded[side].then(|| format!("{name}::text COLLATE \"C\""))
    }

    /// The target's column in the form.
    pub(super) fn of_column(&self) -> String {
        self.cast.of_target(&format!("t.{}", quote(&self.name)), false)
    }
}

impl VerifyStatement {
    /// Named by the fingerprint of its text and by the forms in which keys of its rows are kept: in another form
    /// their bytes mean something else, or nothing.
    #[must_use]
    pub fn known_by(self, text: &str) -> Self {
        let owner = self.owner.iter().flatten().map(|column| column.output);
        let keys: BTreeSet<_> = owner.chain(self.target_key.iter().copied()).collect();
        let forms = keys.iter().map(|&at| format!(" {at}:{}", self.columns[at].form));
        Self { fingerprint: std::iter::once(text.to_owned()).chain(forms).collect(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(oid: Oid, sql_type: &'static str) -> TypeOf<'static> {
        TypeOf { oid, modifier: -1, sql_type, full_type: sql_type, array: sql_type.ends_with("[]") }
    }

    #[test]
    fn values_of_one_type_are_compared_as_they_are() {
        let column = VerifyColumn::new("n", (20, -1), target(20, "bigint"));
        assert_eq!(column.of_source("q.c0", true), "q.c0");
        assert_eq!(
            (column.of_target("t.n", true).as_str(), column.form.as_str()),
            ("t.n", "bigint")
        );
    }

    #[test]
    fn the_source_converts_what_is_of_another_type() {
        let numeric =
            TypeOf { full_type: "numeric(10,2)", modifier: 655_366, ..target(1700, "numeric") };
        let column = VerifyColumn::new("n", (1700, -1), numeric);
        assert_eq!(column.of_source("q.c0", true), "q.c0::numeric(10,2)");
        assert!(!column.is_form(Some(b"1"), false));
        assert_eq!(column.of_target("t.n", true), "t.n");
    }

    #[test]
    fn what_has_oids_in_its_binary_form_is_compared_as_text() {
        for (oid, name) in [(20_000, "mood"), (1007, "integer[]"), (2205, "regclass")] {
            let column = VerifyColumn::new("n", (oid, -1), target(oid, name));
            assert_eq!(
                (column.of_source("v", false).as_str(), column.form.as_str()),
                ("v::text", "text")
            );
        }
    }

    #[test]
    fn large_values_are_compared_by_digest() {
        let column = VerifyColumn::new("b", (17, -1), target(17, "bytea"));
        let expected = "CASE WHEN octet_length(v) > 1048576 THEN sha256(v) ELSE v END";
        assert_eq!(column.of_target("v", true), expected);
        let (small, large) = (vec![0; LARGE], vec![0; LARGE + 1]);
        assert!(column.is_form(Some(&small), true) && column.is_form(Some(&large), false));
        assert!(!column.is_form(Some(&large), true) && column.is_form(None, true));
        assert_eq!(column.of_target("v", false), "v");
    }

    #[test]
    fn the_order_of_texts_is_that_of_their_collation() {
        let key = || KeyColumn { name: "k".into(), sql_type: "text".into(), text: false };
        let column = VerifyColumn::new("k", (25, -1), target(25, "text"));
        let owner = |plain| {
            OwnerColumn::new(0, key(), (25, -1), &column, (target(25, "text"), "text"), plain)
        };
        assert!(owner(true).ordered && !owner(false).ordered && owner(false).same);
        assert_eq!(owner(true).bound, ["text", "text"]);
        let column = VerifyColumn::new("k", (23, -1), target(20, "bigint"));
        let owner =
            OwnerColumn::new(0, key(), (23, -1), &column, (target(20, "bigint"), "bigint"), false);
        assert!(owner.ordered && !owner.same);
        assert_eq!(
            owner.bound,
            ["bigint", "bigint"],
            "a key of the target may be none of the source"
        );
        assert_eq!(
            (owner.of_key("s").as_str(), owner.found_at("s").as_str()),
            ("s.\"k\"::bigint", "s.\"k\"")
        );
    }
}
