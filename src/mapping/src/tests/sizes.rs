//! Sizes and depths that nobody means: an error or a mapper, never a panic, and never the end of the stack.

use regraft_core::{Cell, Mapper, Rows, TupleBuilder};

use super::differential::C;
use super::mapping::workloads;
use crate::{compile, outline, parse};

/// That of a task's thread.
const STACK: usize = 2 << 20;
const LARGE: usize = 20_000;

/// Reads, compiles and runs a statement, on a stack as small as that of a task.
fn survives(name: &str, select: String) {
    let text =
        format!("INSERT INTO t\n{select};\n-- regraft: trace a.b -> c\nINSERT INTO t\n{select}");
    let work = move || {
        let _ = outline(&text);
        let statements = match parse("mapping.sql", &text) {
            Ok(statements) => statements,
            Err(errors) => return errors.iter().map(|error| error.to_string().len()).max(),
        };
        let table = workloads();
        statements
            .iter()
            .map(|statement| {
                drop(statement.keyed_select(&table.key, "true"));
                match compile(statement, &table, &C) {
                    Err(refusal) => refusal.message.len(),
                    Ok(mapper) => {
                        let mut image = TupleBuilder::with_capacity(6, 64);
                        let id = Cell::Binary(&[7; 16]);
                        for cell in [id, Cell::Null, Cell::Null, Cell::Binary(b"a"), Cell::Null] {
                            image.push(cell);
                        }
                        image.push(Cell::Binary(&[0, 0, 0, 0, 0, 0, 0, 9]));
                        drop(mapper.map(&image.finish(), &mut Rows::new()));
                        0
                    }
                }
            })
            .max()
    };
    // An overflow ends the program: its name is the thread's.
    let builder = std::thread::Builder::new().name(name.to_owned());
    let thread = builder.stack_size(STACK).spawn(work).unwrap();
    let longest = thread.join().unwrap_or_else(|_| panic!("{name} panics"));
    assert!(longest.unwrap_or(0) < 2_000, "{name}: the message has {longest:?} bytes");
}

/// `item` as a column of the SELECT.
fn column(name: &str, item: &str) {
    survives(name, format!("SELECT id, {item} FROM ai_workloads"));
}

/// `before`, many times, around `middle`.
fn nested(before: &str, middle: &str, after: &str, times: usize) -> String {
    format!("{}{middle}{}", before.repeat(times), after.repeat(times))
}

#[test]
fn nesting_of_any_depth_is_survived() {
    for times in [50, 99, 101, 1_000, 10_000, LARGE] {
        for (name, before, middle, after) in [
            ("parentheses", "(", "size", ")"),
            ("calls", "abs(", "size", ")"),
            ("concat", "concat(", "status", ")"),
            ("signs", "- ", "size", ""),
            ("not", "NOT ", "true", ""),
            ("tilde", "~ ", "size", ""),
            ("case", "CASE WHEN true THEN ", "size", " END"),
            ("case else", "CASE WHEN false THEN 1 ELSE ", "size", " END"),
            ("case condition", "CASE WHEN ", "true", " THEN true END"),
            ("casts", "CAST(", "size", " AS bigint)"),
            ("arrays", "ARRAY[", "size", "]"),
            ("in", "size IN (", "1", ")"),
            ("between", "size BETWEEN 1 AND (", "1", ")"),
            ("any", "size = ANY (ARRAY[", "size", "])"),
            ("extract", "extract(epoch from ", "updated_at", ")"),
            ("json", "jsonb_build_object('a', ", "size", ")"),
            ("row", "(1, ", "2", ")"),
            ("subqueries", "(SELECT ", "1", ")"),
            ("brackets", "big[", "1", "]"),
            ("left", "(1 + ", "size", ") + 1"),
            ("comments", "/* ", "", " */ size"),
        ] {
            column(&format!("{name} {times}"), &nested(before, middle, after, times));
        }
    }
}

#[test]
fn chains_of_any_length_are_survived() {
    for times in [50, 200, 1_000, 10_000, LARGE] {
        for (name, link) in [
            ("sums", " + 1"),
            ("powers", " ^ 1"),
            ("ands", " = 1 AND size"),
            ("ors", " IS NULL OR size"),
            ("casts", "::bigint"),
            ("texts", "::text || status"),
            ("arrows", " -> 'a'"),
            ("subscripts", "[1]"),
            ("zones", " AT TIME ZONE 'UTC'"),
            ("is null", " IS NULL"),
            ("comparisons", " < 1"),
            ("dots", ".size"),
            ("between", " BETWEEN 1 AND 2 OR size"),
        ] {
            let chain = format!("size{}", link.repeat(times));
            column(&format!("{name} {times}"), &chain);
            survives(
                &format!("{name} {times} in WHERE"),
                format!("SELECT id FROM ai_workloads WHERE {chain}"),
            );
        }
    }
    // Each level has a chain of its own: short ones, and yet deep together.
    for (levels, links) in [(30, 30), (90, 90), (99, 1_000)] {
        let chain = " + 1".repeat(links);
        column("chains in the left operand", &nested("(", "size", &format!("{chain})"), levels));
        column(
            "chains in the right operand",
            &nested(&format!("(1{chain} + "), "size", ")", levels),
        );
    }
}

#[test]
fn lists_of_any_length_are_survived() {
    let many = |item: &str, between: &str| vec![item; LARGE].join(between);
    column("IN", &format!("size IN ({})", many("1", ", ")));
    column("ARRAY", &format!("ARRAY[{}]", many("1", ", ")));
    column("concat", &format!("concat({})", many("status", ", ")));
    column("coalesce", &format!("coalesce({})", many("size", ", ")));
    column("CASE", &format!("CASE {} END", many("WHEN size = 1 THEN 2", " ")));
    column("columns", &many("size", ", "));
    column("sets", &format!("1 FROM {}", many("jsonb_each(training_metrics)", ", ")));
    survives("joins", format!("SELECT id FROM ai_workloads {}", many("JOIN b ON true", " ")));
    survives("unions", format!("SELECT id FROM ai_workloads {}", many("UNION SELECT 1", " ")));
    survives("with", format!("WITH {} SELECT id FROM ai_workloads", many("a AS (SELECT 1)", ", ")));
    survives("semicolons", ";".repeat(LARGE));
    survives("statements", vec!["SELECT 1 FROM a"; 1_000].join(";\nINSERT INTO t "));
}

#[test]
fn literals_and_names_of_any_length_are_survived() {
    for times in [200, 66_000] {
        let a = "a".repeat(times);
        let nines = "9".repeat(times);
        for item in [
            format!("to_char(size, '{nines}')"),
            format!("to_char(updated_at, 'YYYY{}')", " ".repeat(times)),
            format!("to_char(updated_at, '{a}')"),
            format!("to_char(updated_at, '{}')", "Q".repeat(times)),
            format!("to_char(updated_at, '\"{a}\"')"),
            format!("'{a}'"),
            format!("E'{}'", "\\n".repeat(times)),
            format!("$a${a}$a$"),
            format!("${a}$x${a}$"),
            format!("'{a}'::integer"),
            format!("'{a}'::jsonb"),
            format!("'{}'::jsonb", "[".repeat(times)),
            format!("'{}{}'::jsonb", "[".repeat(times), "]".repeat(times)),
            format!("'{}'::integer[]", "{".repeat(times)),
            format!("'{a}'::date"),
            format!("'{a}'::interval"),
            format!("interval '{}'", "1 s ".repeat(times)),
            format!("'{nines}'::numeric"),
            format!("'0.{nines}'::numeric"),
            format!("'1e{nines}'::numeric"),
            nines.clone(),
            format!("0.{nines}"),
            format!("1e{nines}"),
            format!("size + {nines}"),
            format!("status ~ '{a}'"),
            format!("status ~ '{}'", "(".repeat(times)),
            format!("status ~ '{}a{}'", "(".repeat(times), ")".repeat(times)),
            format!("status ~ '{}'", "a|".repeat(times)),
            format!("status ~ 'a{}'", "{1,200}".repeat(times)),
            format!("status ~ 'a{}'", "*".repeat(times)),
            format!("status ~ 'a{{{nines}}}'"),
            format!("regexp_replace(status, '{}', '{}')", "(a)".repeat(times), "\\1".repeat(times)),
            format!("status LIKE '{}'", "%_".repeat(times)),
            format!("status SIMILAR TO '{}'", "(a|".repeat(times)),
            format!("training_metrics @? '${}'", ".a".repeat(times)),
            format!("training_metrics @? '${}'", "[*]".repeat(times)),
            format!(
                "training_metrics @? '$ ? ({}@.a == 1{})'",
                "(".repeat(times),
                ")".repeat(times)
            ),
            format!("training_metrics @? '$ ? (@.a == 1{})'", " && @.a == 1".repeat(times)),
            format!("training_metrics @? '$ ? (@.a == 1{})'", " || @.a == 1".repeat(times)),
            format!("training_metrics @? '$[{nines}]'"),
            format!("jsonb_path_query_first(training_metrics, '$ ? (@.a == {nines})')"),
            format!("training_metrics #> '{{{a}}}'"),
            format!("training_metrics #> '{{{}}}'", "a,".repeat(times)),
            format!("format('%{nines}s', status)"),
            format!("format('{}', status)", "%1$s".repeat(times)),
            format!("lpad(status, {nines})"),
            "lpad(status, 2000000000)".to_owned(),
            "repeat(status, 2000000000)".to_owned(),
            format!("repeat('{a}', 2147483647)"),
            format!("round(size::numeric, {nines})"),
            "round(size::numeric, 2147483647)".to_owned(),
            "size::numeric(1000, 1000)".to_owned(),
            "10::numeric ^ 100000".to_owned(),
            "size::numeric / 3::numeric ^ 10000".to_owned(),
            format!("timestamptz '{nines}-01-01'"),
            format!("extract({a} from updated_at)"),
            format!("date_trunc('{a}', updated_at)"),
            format!("updated_at AT TIME ZONE '{a}'"),
            a.clone(),
            format!("\"{a}\""),
            format!("{a}(size)"),
            format!("{a}.{a}.{a}"),
            format!("size::{a}"),
            format!("size::numeric({nines})"),
            format!("size {} 1", "+".repeat(times)),
            format!("size {} 1", "@".repeat(times)),
            format!("size AS \"{a}\""),
            format!("split_part(status, '{a}', 2147483647)"),
            format!("translate(status, '{a}', '{a}')"),
            "substring(status from 1 for 2147483647)".to_owned(),
            format!("overlay(status placing '{a}' from 2147483647)"),
            format!("encode('\\x{}'::bytea, 'hex')", "00".repeat(times)),
            format!("/* {a} */ size"),
        ] {
            let name: String = item.chars().take(40).collect();
            column(&format!("{name} {times}"), &item);
        }
        survives("a table", format!("SELECT id FROM {a}"));
        survives("an alias", format!("SELECT \"{a}\".id FROM ai_workloads AS \"{a}\""));
        survives(
            "a trace",
            format!("SELECT id FROM ai_workloads -- regraft: trace {a}.{a} -> {a}"),
        );
        survives("a mapper", format!("SELECT id FROM ai_workloads -- regraft: mapper {a}"));
        survives("a quote", format!("SELECT '{a}"));
        survives("a dollar", format!("SELECT $a${a}"));
        survives("a word", a);
    }
}
