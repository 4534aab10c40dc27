//! The parts of the applier stand in one order: each uses those before it, by name or by the methods of
//! [`crate::apply`]'s `Lane` that it has.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const ORDER: [&str; 16] = [
    "target",
    "shape",
    "apart",
    "statements",
    "owed",
    "lane",
    "give",
    "freed",
    "identity",
    "put",
    "guard",
    "leaving",
    "park",
    "write",
    "recover",
    "transaction",
];

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

#[test]
fn no_part_of_the_applier_uses_one_that_comes_after_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/apply");
    let code = |module: &str| {
        let text = fs::read_to_string(folder.join(format!("{module}.rs"))).unwrap();
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let modules = ORDER.map(code);
    // Methods that one module alone has.
    let mut methods: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, code) in modules.iter().enumerate() {
        for method in code.split("fn ").skip(1) {
            let head = method.split(')').next().unwrap_or_default();
            if head.contains("self") {
                methods.entry(words(head).next().unwrap_or_default()).or_default().push(at);
            }
        }
    }
    let mut faults = Vec::new();
    for (at, code) in modules.iter().enumerate() {
        let named = code.split("super::").skip(1).flat_map(|rest| {
            let group = rest.strip_prefix('{').and_then(|group| group.split('}').next());
            words(group.unwrap_or_else(|| rest.split(';').next().unwrap_or_default()))
        });
        let named = named.filter_map(|name| ORDER.iter().position(|module| *module == name));
        let called = code.split("self.").skip(1).filter_map(|rest| {
            let name = words(rest).next()?;
            let is_call = rest[name.len()..].starts_with('(');
            methods.get(name).filter(|of| is_call && of.len() == 1).map(|of| of[0])
        });
        let later = named.chain(called).filter(|used| *used > at);
        faults.extend(later.map(|used| format!("{} uses {}", ORDER[at], ORDER[used])));
    }
    assert!(modules.iter().all(|code| code.len() > 100) && methods.len() > 30);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let files = fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, ORDER.len() + 1, "a file of src/apply has no place in the order");
}
