//! On a terminal text is wrapped at its width and has a little colour; anywhere else it is as it is.

use std::process::{Command, Stdio};

use regraft_testkit::regraft_binary;

use crate::support::{Case, TARGET};

/// What a command prints on a terminal of this width, as the terminal gets it, without carriage returns.
fn on_terminal(case: &Case, columns: u32, arguments: &str, env: &[(&str, &str)]) -> String {
    let program = regraft_binary().display().to_string();
    let line = format!("stty cols {columns} rows 24; exec '{program}' {arguments}");
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(case.installation.path("."));
    command.env_remove("NO_COLOR").env("TERM", "xterm").envs(env.iter().copied());
    let output = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

/// What it prints into pipes: standard output, then standard error.
fn in_pipes(case: &Case, arguments: &str) -> String {
    let mut command = Command::new(regraft_binary());
    command.args(arguments.split(' ')).current_dir(case.installation.path("."));
    command.env_remove("NO_COLOR").env("TERM", "xterm");
    let output = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// The text without what gives it colour.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).expect(part);
        out.push_str(&part[end + 1..]);
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_wrapped_and_coloured_on_a_terminal_and_nowhere_else() {
    // One statement is refused, and one is warned of.
    let mapping = "INSERT INTO goods SELECT id, name, now()::text::int FROM items;\n";
    let case = Case::mapped(TARGET, mapping).await;
    let piped = in_pipes(&case, "check");
    assert!(piped.contains("\nerror[RG") && !piped.contains('\u{1b}'), "{piped:?}");
    let shown = on_terminal(&case, 44, "check", &[]);
    // The same words; only what is a table is not wrapped.
    let words = plain(&shown);
    assert!(words.split_whitespace().eq(piped.split_whitespace()), "{words}\n{piped}");
    let finding = words.split_once("\nerror[").unwrap().1;
    assert!(finding.lines().all(|line| line.chars().count() <= 44), "{finding}");
    assert!(piped.lines().any(|line| line.starts_with("error[") && line.len() > 44), "{piped}");
    assert!(shown.contains("\n\u{1b}[31m\u{1b}[1merror\u{1b}[0m[\u{1b}[1mRG"), "{shown:?}");
    // On a wide one nothing is.
    let wide = plain(&on_terminal(&case, 500, "check", &[]));
    assert_eq!(wide, piped);
    for (arguments, env) in [
        ("check", [("NO_COLOR", "1")]),
        ("check", [("TERM", "dumb")]),
        ("check --color never", [("TERM", "xterm")]),
        ("--color=never check", [("TERM", "xterm")]),
    ] {
        assert_eq!(on_terminal(&case, 44, arguments, &env), words, "{arguments} {env:?}");
    }
    let always = in_pipes(&case, "check --color always");
    assert!(always.contains("\u{1b}[31m\u{1b}[1merror"), "{always:?}");
    assert_eq!(plain(&always), piped);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_help_and_json_look_as_they_should() {
    let case = Case::usual().await;
    let shown = on_terminal(&case, 50, "status", &[]);
    assert!(shown.starts_with("\u{1b}[31m\u{1b}[1merror\u{1b}[0m: "), "{shown:?}");
    assert!(shown.contains("[\u{1b}[1mRG5003\u{1b}[0m]"), "{shown:?}");
    assert!(plain(&shown).lines().all(|line| line.chars().count() <= 50), "{shown}");
    for arguments in ["--help", "verify --help", "verify -h", "nonsense", "--color never nonsense"]
    {
        let (shown, piped) = (on_terminal(&case, 50, arguments, &[]), in_pipes(&case, arguments));
        let words = plain(&shown);
        assert!(words.split_whitespace().eq(piped.split_whitespace()), "{words}\n{piped}");
        assert!(words.lines().all(|line| line.chars().count() <= 50), "{words}");
        assert!(!piped.contains('\u{1b}'), "{piped:?}");
        assert_eq!(shown.contains('\u{1b}'), !arguments.contains("never"), "{shown:?}");
    }
    // A run says in green that all is well, and its log lines have colours.
    let run = "run --until-caught-up";
    let shown = on_terminal(&case, 50, run, &[]);
    assert!(shown.contains("\u{1b}[32m INFO"), "{shown:?}");
    assert!(shown.contains("\u{1b}[32mcaught up at "), "{shown:?}");
    let shown = on_terminal(&case, 50, run, &[("NO_COLOR", "1")]);
    assert!(shown.contains("caught up at ") && !shown.contains("\u{1b}[3"), "{shown:?}");
    // What a program reads is never touched.
    for arguments in ["status --json", "check --json --color always"] {
        let shown = on_terminal(&case, 30, arguments, &[]);
        let json: serde_json::Value = serde_json::from_str(&shown).expect(&shown);
        assert_eq!(format!("{json:#}\n"), shown);
    }
}
