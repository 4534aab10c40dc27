//! Every code has its page in `docs/errors`, and no page is left over.

use std::collections::BTreeSet;
use std::path::PathBuf;

use regraft_core::{Code, Kind};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

fn codes() -> BTreeSet<String> {
    Code::ALL.iter().map(|code| code.as_str().to_owned()).collect()
}

#[test]
fn there_is_one_page_per_code_and_none_besides() {
    let entries = std::fs::read_dir(folder()).expect("docs/errors can be listed");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    let pages: BTreeSet<String> = names
        .map(|name| name.expect("file names are UTF-8"))
        .filter(|name| name != "README.md")
        .map(|name| name.strip_suffix(".md").map_or_else(|| name.clone(), str::to_owned))
        .collect();
    assert_eq!(pages, codes());
}

#[test]
fn each_page_starts_with_its_code() {
    for code in codes() {
        let page = std::fs::read_to_string(folder().join(format!("{code}.md"))).expect(&code);
        let title = page.lines().next().unwrap_or_default();
        let rest = title.strip_prefix(&format!("# {code}"));
        assert!(rest.is_some_and(|rest| rest.starts_with(": ") && rest.len() > 2), "{title:?}");
    }
}

#[test]
fn the_index_lists_each_code_once_with_its_kind() {
    let index = std::fs::read_to_string(folder().join("README.md")).expect("the index");
    for code in Code::ALL {
        let kind = match code.kind() {
            Kind::Usage => "usage",
            Kind::Unavailable => "unavailable",
            Kind::Refused => "refused",
            Kind::Unsafe => "unsafe",
            Kind::Internal => "internal",
        };
        let link = format!("| [{code}]({code}.md) |");
        let lines: Vec<_> = index.lines().filter(|line| line.starts_with(&link)).collect();
        assert_eq!(lines.len(), 1, "{code}: {lines:?}");
        assert!(lines[0].ends_with(&format!("| {kind} |")), "{}", lines[0]);
    }
}
