//! What it means that a column of a target has another type or collation.

use super::ColumnIs;

/// How a column of a target is another one than it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Retyped {
    /// In nothing.
    No,
    /// In its collation, by which no values are equal that are not the same.
    Collated,
    /// In its type, which takes a value as it is, or refuses it.
    Refusing,
    /// In its type, which keeps more of a value: those that are there may have been rounded.
    Wider,
    /// In its type, which may keep less of a value, or something else.
    Narrower,
    /// It takes texts for equal that it told apart before.
    Folds,
}

/// Compares what was accepted with what is there now.
pub(super) fn retyped(before: &ColumnIs, now: &ColumnIs) -> Retyped {
    let same_type = before.full_type == now.full_type || renamed(before, now);
    let same = same_type && before.collation == now.collation;
    let folds = now.folds.unwrap_or_default();
    // An earlier regraft has not noted it: then only another type or collation can have brought it.
    if folds && !before.folds.unwrap_or(same) {
        return Retyped::Folds;
    }
    if same_type {
        return if same { Retyped::No } else { Retyped::Collated };
    }
    between(&Type::of(&before.full_type), &Type::of(&now.full_type))
}

/// The type is the same, by another name.
fn renamed(before: &ColumnIs, now: &ColumnIs) -> bool {
    let modifier = |full_type: &str| full_type.rsplit_once(" (").map(|(_, rest)| rest.to_owned());
    let (was, is) = (modifier(&before.full_type), modifier(&now.full_type));
    before.type_oid != 0 && before.type_oid == now.type_oid && was.is_some() && was == is
}

/// A name of a type, taken apart.
struct Type {
    name: String,
    modifiers: Vec<i64>,
}

impl Type {
    /// Of `timestamp(3) without time zone`, say.
    fn of(full_type: &str) -> Self {
        let parts = full_type.split_once('(').and_then(|(name, rest)| {
            let (inside, after) = rest.split_once(')')?;
            let modifiers =
                inside.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>();
            Some((format!("{} {}", name.trim(), after.trim()), modifiers.ok()?))
        });
        let (name, modifiers) = parts.unwrap_or_else(|| (full_type.to_owned(), Vec::new()));
        Self { name: name.trim().to_owned(), modifiers }
    }
}

const INTEGERS: &[&str] = &["smallint", "integer", "bigint"];
const TIMES: &[&str] = &[
    "time without time zone",
    "time with time zone",
    "timestamp without time zone",
    "timestamp with time zone",
    "interval",
];

fn between(was: &Type, is: &Type) -> Retyped {
    let (from, to) = (was.name.as_str(), is.name.as_str());
    let text = |name: &str| {
        matches!(name, "text" | "character varying" | "character") || name.ends_with(".citext")
    };
    let integer = |name: &str| INTEGERS.contains(&name);
    // Without one it keeps whatever there is.
    let keeps = |at: usize| match (was.modifiers.get(at), is.modifiers.get(at)) {
        (_, None) => true,
        (Some(was), Some(is)) => is >= was,
        (None, Some(_)) => false,
    };
    let wider = match (from, to) {
        _ if text(from) && text(to) || integer(from) && integer(to) => return Retyped::Refusing,
        ("bit varying", "bit varying") => return Retyped::Refusing,
        // Of digits before the point it refuses what it cannot keep.
        ("numeric", "numeric") => is.modifiers.is_empty() || !was.modifiers.is_empty() && keeps(1),
        (_, "numeric") if integer(from) => is.modifiers.get(1).is_none_or(|&scale| scale >= 0),
        ("real", "double precision") => true,
        _ => from == to && TIMES.contains(&to) && keeps(0),
    };
    if wider { Retyped::Wider } else { Retyped::Narrower }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(was: &str, is: &str) -> Retyped {
        between(&Type::of(was), &Type::of(is))
    }

    #[test]
    fn types_that_refuse_what_they_cannot_keep() {
        for (was, now) in [
            ("character varying(5)", "text"),
            ("text", "character varying(3)"),
            ("public.citext (-1)", "text"),
            ("integer", "bigint"),
            ("bigint", "smallint"),
        ] {
            assert_eq!(is(was, now), Retyped::Refusing, "{was} {now}");
        }
    }

    #[test]
    fn types_that_keep_more_and_types_that_keep_less() {
        for (narrow, wide) in [
            ("numeric(10,1)", "numeric"),
            ("numeric(10,1)", "numeric(9,2)"),
            ("real", "double precision"),
            ("timestamp(0) without time zone", "timestamp without time zone"),
            ("timestamp(0) with time zone", "timestamp(3) with time zone"),
            ("time(2) without time zone", "time without time zone"),
            ("integer", "numeric"),
            ("interval(0)", "interval"),
        ] {
            assert_eq!(is(narrow, wide), Retyped::Wider, "{narrow} {wide}");
            assert_eq!(is(wide, narrow), Retyped::Narrower, "{wide} {narrow}");
        }
        for (was, now) in [
            ("integer", "boolean"),
            ("text", "jsonb"),
            ("timestamp with time zone", "timestamp without time zone"),
            ("public.mood (-1)", "public.other (-1)"),
            ("integer", "numeric(5,-2)"),
            ("interval", "interval day to second(3)"),
        ] {
            assert_eq!(is(was, now), Retyped::Narrower, "{was} {now}");
        }
    }

    #[test]
    fn what_an_earlier_version_noted_holds_nobody_that_has_not_changed() {
        let column = |full_type: &str, collation, folds, type_oid| ColumnIs {
            name: "a".into(),
            number: 1,
            full_type: full_type.into(),
            type_oid,
            folds,
            schemas: Vec::new(),
            collation,
            altered: String::new(),
            also: String::new(),
            labels: Vec::new(),
            attributes: None,
            expression: None,
        };
        let before = column("text", 100, None, 0);
        assert_eq!(retyped(&before, &column("text", 100, Some(true), 25)), Retyped::No);
        assert_eq!(retyped(&before, &column("text", 16500, Some(true), 25)), Retyped::Folds);
        assert_eq!(retyped(&before, &column("text", 950, Some(false), 25)), Retyped::Collated);
        let noted = column("text", 100, Some(false), 25);
        assert_eq!(retyped(&noted, &column("text", 100, Some(true), 25)), Retyped::Folds);
        let (mood, other) = ("public.mood (-1)", "public.other (-1)");
        let mood = column(mood, 0, Some(false), 16400);
        assert_eq!(retyped(&mood, &column(other, 0, Some(false), 16400)), Retyped::No);
        assert_eq!(retyped(&mood, &column(other, 0, Some(false), 16401)), Retyped::Narrower);
    }
}
