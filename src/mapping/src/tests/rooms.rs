//! The parts of the crate stand in one order: each may use those before it. What would make a circle is
//! found here, not by the reader who runs in it.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the rooms; those in one line are about the same thing, and may use each other.
const ORDER: &[&[&str]] = &[
    &["values::types"],
    &["values::numeric"],
    &["values::interval"],
    &["values::value"],
    &["values::datetime"],
    &["values::array"],
    &["values::jsonb"],
    &["evaluation::order"],
    &["evaluation::regex"],
    &["evaluation::jsonpath"],
    &["evaluation::functions"],
    &["evaluation::expr"],
    &["evaluation::plan"],
    &["evaluation::partial"],
    &["evaluation::mapper"],
    &["front::syntax"],
    &["front::trace"],
    &["front::named", "front::read", "front::statement"],
    &["front::equalities"],
    &["front::window"],
    &["front::resolve"],
];

fn place(module: &str) -> Option<usize> {
    ORDER.iter().position(|modules| modules.contains(&module))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// `evaluation::expr`, of a file in the room or below it; `None` for the room's own `mod.rs`.
fn module(file: &Path) -> Option<String> {
    let mut parts = file.iter().map(|part| part.to_str().unwrap().trim_end_matches(".rs"));
    let (room, module) = (parts.next()?, parts.next()?);
    (module != "mod").then(|| format!("{room}::{module}"))
}

/// What stands behind each `crate::` of a line, as far as two names.
fn used(line: &str) -> impl Iterator<Item = String> {
    line.split("crate::").skip(1).map(|path| {
        let name = |c: char| c.is_alphanumeric() || c == '_';
        let names = path.split("::").take(2).map(|part| part.split(|c| !name(c)).next().unwrap());
        names.collect::<Vec<_>>().join("::")
    })
}

/// What is wrong with one line of a module.
fn fault(own: &str, line: &str) -> Option<String> {
    let here = place(own)?;
    used(line).find_map(|used| match place(&used) {
        Some(there) if there <= here => None,
        Some(_) => Some(format!("uses {used}, which comes after {own}")),
        None => Some(format!("uses {used}, which is in none of the rooms")),
    })
}

#[test]
fn no_module_uses_one_that_comes_after_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    for room in ["values", "evaluation", "front"] {
        files(&root.join(room), &mut all);
    }
    assert!(all.len() > 60, "only {} files are found", all.len());
    let mut faults = Vec::new();
    for path in all {
        let file = path.strip_prefix(&root).unwrap();
        let Some(own) = module(file) else { continue };
        if place(&own).is_none() {
            faults.push(format!("{}: {own} has no place in ORDER", file.display()));
        }
        let text = fs::read_to_string(&path).unwrap();
        // What leads out of the module.
        let is_root = file.iter().count() == 2 || file.ends_with("mod.rs");
        let up = if is_root { "super::" } else { "super::super::" };
        // Tests of a file may use the whole crate.
        let code = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        for (number, line) in code.enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            let what = if line.contains(up) {
                Some(
                    "names a neighbour by super; name it from crate, so that it is seen here"
                        .to_owned(),
                )
            } else {
                fault(&own, line)
            };
            faults
                .extend(what.map(|what| format!("src/{}:{}: {what}", file.display(), number + 1)));
        }
    }
    assert!(
        faults.is_empty(),
        "{}\nmove what both need into the earlier of the two, or a module before them",
        faults.join("\n")
    );
}

#[test]
fn a_use_against_the_order_is_a_fault() {
    assert_eq!(fault("front::resolve", "use crate::evaluation::expr::Expr;"), None);
    assert_eq!(fault("front::read", "use crate::front::statement::Statement;"), None);
    let against = fault("evaluation::functions", "    run: crate::evaluation::expr::Run,");
    assert_eq!(against.unwrap(), "uses evaluation::expr, which comes after evaluation::functions");
    assert!(fault("values::value", "use crate::front::syntax::Stop;").is_some());
    assert!(
        fault("evaluation::mapper", "use crate::compile;").unwrap().contains("none of the rooms")
    );
}
