//! Functions, operators and casts of the source's own that could be meant where the compiler takes the
//! built-in one: `concat(text, VARIADIC anyarray)` fits `concat('a', 1, 2)` better than `concat("any")`.

use std::collections::HashMap;

use regraft_core::{Code, Error};
use regraft_mapping::{KeyedRead, Statement};
use tokio_postgres::Client;

/// What is found in the schemas of the search path under a name of the statement. What takes a type that no compiled
/// expression has cannot be meant, as a text is made a `citext` only where this is written. A cast
/// without a function of its own does what the built-in one does, by the text of the value.
const OWN: &str = "
    WITH named AS (SELECT DISTINCT name, operator FROM unnest($1::text[], $2::bool[]) AS n(name, operator)),
    own AS (
        SELECT n.name, n.operator, 'the function ' || p.oid::regprocedure AS what, p.proargtypes::oid[] AS types
        FROM named n JOIN pg_proc p ON p.proname = n.name AND NOT n.operator
        JOIN pg_namespace s ON s.oid = p.pronamespace
        WHERE p.oid >= 16384 AND s.nspname = ANY ($3::text[])
        UNION ALL
        SELECT n.name, n.operator, 'the operator ' || o.oid::regoperator, ARRAY[o.oprleft, o.oprright]
        FROM named n JOIN pg_operator o ON o.oprname = n.name AND n.operator
        JOIN pg_namespace s ON s.oid = o.oprnamespace
        WHERE o.oid >= 16384 AND s.nspname = ANY ($3::text[])
        UNION ALL
        SELECT NULL, NULL, format('the cast from %s to %s', c.castsource::regtype, c.casttarget::regtype),
               ARRAY[c.castsource, c.casttarget]
        FROM pg_cast c WHERE c.oid >= 16384 AND c.castmethod <> 'i')
    SELECT name, operator, what FROM own
    WHERE NOT EXISTS (
        SELECT FROM unnest(types) AS a JOIN pg_type t ON t.oid = a LEFT JOIN pg_type e ON e.oid = t.typelem
        WHERE t.oid >= 10000 AND t.typtype NOT IN ('e', 'd')
        AND NOT (t.typcategory = 'A' AND (e.oid < 10000 OR e.typtype IN ('e', 'd'))))
    ORDER BY what";

/// What the source has of its own that statements could mean.
pub struct Overloads {
    /// For each name, and whether it is an operator, the first one.
    named: HashMap<(String, bool), String>,
    /// Of any statement.
    cast: Option<String>,
}

impl Overloads {
    /// Asks the source for the names of all statements.
    ///
    /// # Errors
    /// When the source cannot be asked.
    pub async fn of(
        client: &Client,
        path: &[String],
        statements: &[Statement],
    ) -> Result<Overloads, tokio_postgres::Error> {
        let named: Vec<_> = statements.iter().flat_map(names).collect();
        let names: Vec<&str> = named.iter().map(|named| named.name.as_str()).collect();
        let operators: Vec<bool> = named.iter().map(|named| named.operator).collect();
        let mut own = Overloads { named: HashMap::new(), cast: None };
        for row in client.query(OWN, &[&names, &operators, &path]).await? {
            let what: String = row.get("what");
            match (row.get("name"), row.get("operator")) {
                (Some(name), Some(operator)) => {
                    own.named.entry((name, operator)).or_insert(what);
                }
                _ => own.cast = own.cast.or(Some(what)),
            }
        }
        Ok(own)
    }

    /// Why the statement cannot be evaluated by regraft, if the source has something of its own that could
    /// be meant.
    pub fn first(&self, statement: &Statement) -> Option<Error> {
        let (what, place) = match &self.cast {
            Some(cast) => (cast, statement.place()),
            None => names(statement).find_map(|named| {
                let place = format!("{}:{}:{}", statement.file(), named.line, named.column);
                Some((self.named.get(&(named.name, named.operator))?, place))
            })?,
        };
        let message = format!("{what} could be meant, which is not built in");
        let error = Error::new(Code::NotStreamable, message).at(place).remedy(
            "if the built-in one is meant, write pg_catalog before the function, or take the schema of \
             the other one out of the search_path of the role that reads the source",
        );
        Some(error)
    }
}

/// The names that are written without a schema, in their order.
fn names(statement: &Statement) -> impl Iterator<Item = regraft_mapping::Named> {
    KeyedRead::named(statement).into_iter().filter(|named| !named.qualified)
}
