//! Set-returning functions and VALUES in FROM, with the rows that they give.

use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use regraft_core::{Mapped, Mapper, Rows};
use regraft_mapping::{compile, parse};

use crate::grammar::Grammar;
use crate::server::Server;
use crate::{paths, patterns};

/// Pairs of an item of FROM and a row.
const PAIRS: usize = 20_000;
const ROWS: usize = 40;
const ITEMS: usize = 60;

/// What stands after LATERAL, with how many columns.
const ITEMS_OF_FROM: &[(&str, usize)] = &[
    ("generate_series({small}, {small})", 1),
    ("generate_series({small}, {small}, {small})", 1),
    ("generate_series({small}, {small}::bigint)", 1),
    ("generate_series(2147483640 + {small}, 2147483647, {small})", 1),
    ("generate_series(-9223372036854775800, -9223372036854775808, {small})", 1),
    ("generate_series({small}, {few}, {few})", 1),
    ("generate_series({few}, {few})", 1),
    ("generate_series({stamp}, {stamp}, {step})", 1),
    ("generate_series({stamp}::date, {stamp}::date, {step})", 1),
    ("generate_series({stamp}::timestamptz, {stamp}, {step})", 1),
    ("generate_series({stamp}, {stamp}, '1 day')", 1),
    ("string_to_table({25}, {25})", 1),
    ("string_to_table({25}, {25}, {25})", 1),
    ("string_to_table({25}, ',')", 1),
    ("string_to_table({25}, NULL)", 1),
    ("jsonb_each({3802})", 2),
    ("jsonb_each_text({3802})", 2),
    ("jsonb_array_elements({3802})", 1),
    ("jsonb_array_elements_text({3802})", 1),
    ("jsonb_object_keys({3802})", 1),
    ("json_each({114})", 2),
    ("json_each_text({114})", 2),
    ("json_array_elements({114})", 1),
    ("json_array_elements_text({114})", 1),
    ("json_object_keys({114})", 1),
    ("jsonb_path_query({3802}, {path})", 1),
    ("unnest({1009})", 1),
    ("unnest({1007})", 1),
    ("unnest({3807})", 1),
    ("regexp_matches({25}, {pattern})", 1),
    ("regexp_matches({25}, {pattern}, {flags})", 1),
    ("regexp_split_to_table({25}, {pattern})", 1),
    ("regexp_split_to_table({25}, {pattern}, {flags})", 1),
    ("(VALUES (1, 'a'), (2, 'b'), (3, NULL))", 2),
    ("(VALUES ({25}, {1700}), ('x', 2), ({25}, NULL))", 2),
    ("(VALUES ({23}, {3802}), ({20}, '1'))", 2),
    ("(VALUES (1 / {23}))", 1),
];

const OUTCOMES: &str = "
    CREATE FUNCTION set_outcomes(item text, shown text)
    RETURNS TABLE (row_id int, value text, state text) LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE format('PREPARE items (int) AS SELECT coalesce(string_agg(%s, '';''), '''')
            FROM s CROSS JOIN LATERAL %s WHERE s.id = $1', shown, item);
        FOR row_id IN SELECT s.id FROM s ORDER BY s.id LOOP
            value := NULL;
            state := NULL;
            BEGIN
                EXECUTE format('EXECUTE items (%s)', row_id) INTO value;
            EXCEPTION WHEN OTHERS THEN
                state := SQLSTATE;
            END;
            RETURN NEXT;
        END LOOP;
        DEALLOCATE items;
    END $$";

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn filled(template: &str, random: &mut StdRng, grammar: &Grammar) -> String {
    const SMALL: &[&str] = &["s.id", "(s.id % 5)", "-3", "0", "1", "7", "-1", "s.dom", "NULL::int"];
    const FEW: &[&str] =
        &["0.5", "(s.id / 3.0)", "-2.00", "s.n12_3::numeric(3,1) % 5", "7", "'1.0'::numeric"];
    const STAMPS: &[&str] = &[
        "'2024-01-31 10:00'::timestamp",
        "'2024-03-01'::timestamp",
        "('2024-01-30'::date + s.id)",
        "'2024-02-29 23:59:59.5'::timestamp",
    ];
    const STEPS: &[&str] = &[
        "'1 mon'::interval",
        "'1 day'",
        "'-1 day'::interval",
        "'10 days 12:00'::interval",
        "'0'::interval",
        "'1 mon -30 days'::interval",
    ];
    let mut text = String::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let end = start + rest[start..].find('}').unwrap();
        text.push_str(&rest[..start]);
        let hole = &rest[start + 1..end];
        let pick = |random: &mut StdRng, list: &[&str]| (*list.choose(random).unwrap()).to_owned();
        text.push_str(&match hole {
            "small" => pick(random, SMALL),
            "few" => pick(random, FEW),
            "stamp" => pick(random, STAMPS),
            "step" => pick(random, STEPS),
            "pattern" => quoted(&patterns::pattern(random)),
            "path" => quoted(&paths::path(random)),
            "flags" => quoted(patterns::flags(random)),
            oid => {
                let depth = random.random_range(0..2);
                format!("({})", grammar.expression(random, oid.parse().unwrap(), depth))
            }
        });
        rest = &rest[end + 1..];
    }
    text + rest
}

#[tokio::test]
async fn generated_items_of_from_give_what_postgres_gives() {
    let seed = crate::number("REGRAFT_SEED", 1) as u64;
    let wanted = crate::number("REGRAFT_PAIRS", PAIRS * 25) / 25;
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::start(regraft_testkit::Binaries::find(None).unwrap()).await;
    let grammar = crate::grammar(&mut server).await;
    server.client.batch_execute(OUTCOMES).await.unwrap();
    let (mut pairs, mut errors, mut undecided, mut refused) = (0, 0, 0, 0);
    let mut differences = Vec::new();
    while pairs < wanted && differences.len() < 10 {
        server.fill(&mut random, &grammar, ROWS).await;
        for number in 0..ITEMS {
            let (template, width) = ITEMS_OF_FROM[number % ITEMS_OF_FROM.len()];
            let names: Vec<_> = (0..width).map(|i| format!("c{i}")).collect();
            let item = filled(template, &mut random, &grammar);
            let item = format!("{item} AS x({})", names.join(", "));
            let sql = format!("SELECT x.* FROM s CROSS JOIN LATERAL {item}");
            let statements = parse("e.sql", &format!("INSERT INTO x {sql}")).unwrap();
            let Ok(mapper) = compile(&statements[0], &server.table, &server.settings) else {
                refused += 1;
                continue;
            };
            let statement = match server.client.prepare(&sql).await {
                Ok(statement) => statement,
                Err(_) => continue,
            };
            let kinds: Vec<_> = statement.columns().iter().map(|c| c.type_().oid()).collect();
            assert_eq!(mapper.output_types(), kinds, "{sql}");
            let cells = names.iter().zip(&kinds).map(|(name, kind)| {
                format!("coalesce(encode({}(x.{name}), 'hex'), 'N')", server.sends[kind])
            });
            let shown = cells.collect::<Vec<_>>().join(" || ',' || ");
            let sql_of_rows = "SELECT value, state FROM set_outcomes($1, $2) ORDER BY row_id";
            let found = server.client.query(sql_of_rows, &[&item, &shown]).await.unwrap();
            for (row, answer) in server.rows.iter().zip(&found) {
                let mut out = Rows::new();
                let own = match mapper.map(row, &mut out) {
                    Ok(Mapped::Rows(_)) => printed(&out),
                    Ok(_) => {
                        undecided += 1;
                        continue;
                    }
                    Err(error) => {
                        let what = error.what();
                        format!("!{}", &what[what.len() - 6..what.len() - 1])
                    }
                };
                let value = answer.get::<_, Option<String>>(0);
                let state = answer.get::<_, Option<String>>(1);
                errors += usize::from(state.is_some());
                pairs += 1;
                let wanted = state.map_or(value.unwrap_or_default(), |state| format!("!{state}"));
                if own != wanted {
                    differences.push(format!("{sql}\n  {own}\n  instead of {wanted}"));
                    break;
                }
            }
        }
    }
    eprintln!(
        "seed {seed}: {pairs} pairs, {errors} errors, {undecided} left to PostgreSQL, {refused} refused"
    );
    assert!(differences.is_empty(), "seed {seed}:\n{}", differences.join("\n\n"));
    assert!(undecided * 5 < pairs, "too many rows are left to PostgreSQL");
}

fn printed(rows: &Rows) -> String {
    let cell = |cell: Option<&[u8]>| match cell {
        None => "N".to_owned(),
        Some(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let row = |row: regraft_core::Row<'_>| row.cells().map(cell).collect::<Vec<_>>().join(",");
    rows.iter().map(row).collect::<Vec<_>>().join(";")
}
