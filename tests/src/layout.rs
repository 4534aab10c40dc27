//! The crates, and which of them may use which: what docs/architecture.md says, read from the manifests.

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    /// What each crate may use of the others, in the order in which they are built upon each other. Connectors
    /// know neither each other nor mappings nor the pipeline, and only the program names a connector.
    const MAY_USE: [(&str, &[&str]); 12] = [
        ("src/core", &[]),
        ("src/conformance", &["core"]),
        ("src/mapping", &["core"]),
        ("src/reconcile", &["core"]),
        ("src/settings", &["core"]),
        ("src/telemetry", &["core"]),
        ("src/throwaway", &["core"]),
        ("src/testkit", &["core", "throwaway"]),
        ("src/pipeline", &["core", "reconcile", "telemetry"]),
        ("connectors/memory", &["core"]),
        ("connectors/postgres", &["core", "telemetry"]),
        (
            "src/cli",
            &[
                "core",
                "mapping",
                "pipeline",
                "postgres",
                "reconcile",
                "settings",
                "telemetry",
                "throwaway",
            ],
        ),
    ];

    fn manifest(folder: &Path) -> toml::Table {
        let path = folder.join("Cargo.toml");
        std::fs::read_to_string(&path).unwrap().parse().unwrap()
    }

    #[test]
    fn crates_use_only_those_beneath_them() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let known: BTreeMap<_, _> = MAY_USE.into_iter().collect();
        let workspace = manifest(&root);
        let members = workspace["workspace"]["members"].as_array().unwrap();
        for member in members.iter().map(|member| member.as_str().unwrap()) {
            let uses = manifest(&root.join(member));
            let uses = uses.get("dependencies").and_then(toml::Value::as_table);
            let ours =
                uses.into_iter().flatten().filter_map(|(name, _)| name.strip_prefix("regraft-"));
            let Some(may) = known.get(member) else {
                let above =
                    ["tests", "benches"].contains(&member) || member.starts_with("examples/");
                assert!(above, "{member} is a new crate: say here what it may use");
                continue;
            };
            for used in ours {
                assert!(may.contains(&used), "{member} uses regraft-{used}");
            }
        }
    }

    /// What a text for a server begins with.
    const SQL: [&str; 12] = [
        "SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH ", "SET ", "CREATE ", "ALTER ", "DROP ",
        "BEGIN ", "COMMIT ", "COPY ",
    ];

    /// A string literal, and the code of its statement before it.
    struct Literal {
        line: usize,
        code: String,
        text: String,
    }

    /// The literals of a source file before its tests.
    fn literals(source: &str) -> Vec<Literal> {
        let lines = source.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        let source: String = lines.flat_map(|line| [line, "\n"]).collect();
        let (mut found, mut code, mut rest) = (Vec::new(), String::new(), source.as_str());
        while let Some(c) = rest.chars().next() {
            let line = || source[..source.len() - rest.len()].matches('\n').count() + 1;
            let raw = rest.strip_prefix('r').map(|raw| raw.trim_start_matches('#'));
            let raw = raw.filter(|raw| raw.starts_with('"') && !code.ends_with(is_word));
            let end = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if let Some(raw) = raw {
                let begin = rest.len() - raw.len() + 1;
                let close = format!("\"{}", "#".repeat(begin - 2));
                let text = rest[begin..].split(&close).next().unwrap_or_default();
                found.push(Literal { line: line(), code: code.clone(), text: text.to_owned() });
                begin + text.len() + close.len()
            } else if c == '"' {
                let mut escaped = false;
                let closes = |&(_, c): &(usize, char)| {
                    let closes = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    closes
                };
                let end = rest.char_indices().skip(1).find(closes).map_or(rest.len(), |(at, _)| at);
                let text = rest[1..end].to_owned();
                found.push(Literal { line: line(), code: code.clone(), text });
                end + 1
            } else if rest.starts_with("'\"'") {
                3
            } else {
                code.push(c);
                if matches!(c, ';' | '{' | '}') {
                    code.clear();
                }
                c.len_utf8()
            };
            rest = rest.get(end..).unwrap_or_default();
        }
        found
    }

    fn is_word(c: char) -> bool {
        c.is_alphanumeric() || c == '_'
    }

    /// The source files below a folder, with their path from the root.
    fn sources(folder: &str) -> Vec<(String, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(root.join(&folder)).unwrap() {
                let entry = entry.unwrap();
                let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
                if entry.file_type().unwrap().is_dir() {
                    if !["tests", "target"].contains(&entry.file_name().to_str().unwrap()) {
                        folders.push(path);
                    }
                } else if path.ends_with(".rs") {
                    found.push((path, std::fs::read_to_string(entry.path()).unwrap()));
                }
            }
        }
        found
    }

    #[test]
    fn literals_are_told_from_the_code_around_them() {
        let source =
            "a(); // \"no\"\nlet b = c('\"', \"d\\\"e\", r#\"f\"g\"#);\n#[cfg(test)]\n\"no\"";
        let found = literals(source);
        let texts: Vec<_> = found.iter().map(|found| found.text.as_str()).collect();
        assert_eq!(texts, ["d\\\"e", "f\"g"]);
        assert_eq!((found[0].line, found[0].code.trim()), (2, "let b = c(,"));
    }

    #[test]
    fn the_program_has_no_sql_of_its_own() {
        let files = sources("src/cli/src");
        // The demo plays the user of the tables that it makes.
        let files = files.iter().filter(|(path, _)| !path.ends_with("/demo.rs"));
        let (mut faults, mut known) = (Vec::new(), 0);
        for (path, source) in files {
            for Literal { line, code, text } in literals(source) {
                known += 1;
                let text = text.trim_start_matches(|c: char| c == '\\' || c.is_whitespace());
                // A command for people, as in a remedy.
                let told = code.contains("remedy") || code.contains("Code::");
                let begins = SQL.iter().any(|word| text.starts_with(word));
                if begins && !told {
                    faults.push(format!("{path}:{line}: {text}"));
                }
            }
            if source.contains("tokio_postgres") {
                faults.push(format!("{path}: servers are spoken to by connectors"));
            }
        }
        assert!(known > 500, "{known} literals");
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn only_the_connector_speaks_to_the_ledger() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut tables = Vec::new();
        for file in std::fs::read_dir(root.join("schemas/ledger")).unwrap() {
            let sql = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for made in sql.split("CREATE TABLE ").skip(1) {
                tables.push(made.split([' ', '(']).next().unwrap().to_owned());
            }
        }
        assert!(tables.len() > 9 && tables.contains(&"regraft.pipelines".to_owned()));
        // Sentences name a table to people who want to look at it.
        let before = ["FROM ", "JOIN ", "INTO ", "UPDATE ", "TABLE ", "'"];
        let mut faults = Vec::new();
        for (path, source) in ["src", "connectors/memory"].into_iter().flat_map(sources) {
            // The demo shows a query to people.
            if path.ends_with("/demo.rs") {
                continue;
            }
            for Literal { line, text, .. } in literals(&source) {
                let speaks = |table: &String| {
                    let mut places = text.match_indices(table.as_str());
                    places.any(|(at, _)| before.iter().any(|word| text[..at].ends_with(word)))
                };
                if tables.iter().any(speaks) {
                    faults.push(format!("{path}:{line}: {text}"));
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}
