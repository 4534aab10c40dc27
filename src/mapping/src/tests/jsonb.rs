use proptest::prelude::*;

use super::*;

#[test]
fn the_canonical_form_is_that_of_postgres() {
    for (text, want) in [
        (" {\"b\":1,\"aa\":2,\"a\":3,\"b\":4} ", r#"{"a": 3, "b": 4, "aa": 2}"#),
        ("[1e2,-0.0,1.10,[],{}]", "[100, 0.0, 1.10, [], {}]"),
        (r#""\u00e9\/\u001f\ud83d\ude00""#, "\"é/\\u001f😀\""),
    ] {
        assert_eq!(canonical(text).unwrap(), want);
    }
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\"}",
        "01",
        "1.",
        "-",
        "nul",
        "truex",
        "\"\n\"",
        "\"\\x\"",
        "[1] 2",
        "'a'",
        "\"\\ud800\"",
        "{1:2}",
        "\"\\u00\"",
    ] {
        assert!(matches!(canonical(text), Err(Fail::Error { state: "22P02", .. })), "{text}");
    }
    assert!(matches!(canonical("\"\\u0000\""), Err(Fail::Error { state: "22P05", .. })));
    assert!(matches!(canonical(&"[".repeat(100_000)), Err(Fail::Doubt)));
}

#[test]
fn numbers_are_equal_by_value() {
    assert!(equality("{\"a\": [1.0, 2]}", "{\"a\": [1, 2.00]}").is_eq());
    for (a, b) in
        [("1", "\"1\""), ("[1]", "[1, 1]"), ("{\"a\": 1}", "{\"b\": 1}"), ("true", "false")]
    {
        assert!(equality(a, b).is_ne());
    }
}

fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?(e-?[0-9]{1,2})?",
        any::<String>().prop_map(|text| quoted(&text)),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|list| format!("[{}]", list.join(" ,"))),
            prop::collection::vec((any::<String>(), inner), 0..6).prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(key, value)| format!("{}:{value}", quoted(key))).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    write_string(&text.replace('\0', ""), &mut out);
    out
}

/// Rebuilds a document from its parts as the scanner sees them.
fn rebuilt(text: &str) -> String {
    let (open, close) = match kind(text) {
        Kind::Object => ('{', '}'),
        Kind::Array => ('[', ']'),
        _ => return text.to_owned(),
    };
    let part = |(key, value): Part<'_>| match kind(text) {
        Kind::Object => {
            let mut out = String::new();
            write_string(&unescape(key), &mut out);
            out + ": " + &rebuilt(value)
        }
        _ => rebuilt(value),
    };
    format!("{open}{}{close}", parts(text).map(part).collect::<Vec<_>>().join(", "))
}

proptest! {
    #[test]
    fn the_scanner_finds_every_part(text in document()) {
        let text = canonical(&text).unwrap();
        prop_assert_eq!(canonical(&text).unwrap(), text.clone());
        prop_assert_eq!(rebuilt(&text), text.clone());
        prop_assert!(equality(&text, &text).is_eq());
    }

    #[test]
    fn arbitrary_text_never_panics(text in "[\\[\\]{}\",:\\\\a1 u]{0,30}") {
        let valid = canonical(&text).is_ok();
        prop_assert_eq!(validate(&text).is_ok(), valid);
        prop_assert!(parts(&text).count() <= text.len());
        prop_assert!(unescape(&text).len() <= text.len());
    }
}
