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
}
