//! How text looks on a terminal: wrapped at its width, and with a little colour. What is not a terminal gets
//! the text as it is.

use std::io::IsTerminal;
use std::sync::{LazyLock, OnceLock};

use console::{Style, Term, measure_text_width};

use crate::args::Color;

/// Below this, wrapped text is worse to read than what the terminal makes of long lines.
const WIDTH_MIN: usize = 20;
/// What follows a label further to the right than this is not kept in its column.
const LABEL_MAX: usize = 30;

/// What was asked for on the command line.
static ASKED: OnceLock<Color> = OnceLock::new();

/// Of standard output.
pub(crate) static STDOUT: LazyLock<Look> =
    LazyLock::new(|| Look::of(&Term::stdout(), std::io::stdout().is_terminal()));
/// Of standard error.
pub(crate) static STDERR: LazyLock<Look> =
    LazyLock::new(|| Look::of(&Term::stderr(), std::io::stderr().is_terminal()));

/// Sets what the command line asks for; before anything is printed.
pub(crate) fn ask(color: Color) {
    // A program that embeds regraft may run several commands: the first one decides.
    ASKED.get_or_init(|| color);
}

/// How one of the two outputs looks.
pub(crate) struct Look {
    color: bool,
    width: Option<usize>,
}

impl Look {
    fn of(term: &Term, is_terminal: bool) -> Self {
        let width = || term.size_checked().map(|(_, columns)| usize::from(columns));
        Self {
            color: has_color(ASKED.get().copied().unwrap_or_default(), is_terminal, |name| {
                std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
            }),
            // Many a terminal in a program says that it has no width at all.
            width: is_terminal.then(width).flatten().filter(|width| *width >= WIDTH_MIN),
        }
    }

    /// Whether there is colour.
    pub(crate) fn has_color(&self) -> bool {
        self.color
    }

    /// The text is printed as it is.
    pub(crate) fn is_plain(&self) -> bool {
        !self.color && self.width.is_none()
    }

    /// The text, with colour if there is any: all green where what it says is `good`.
    pub(crate) fn dress(&self, text: &str, good: bool) -> String {
        let colored = |line: &str| match (self.color, good) {
            (false, _) => line.to_owned(),
            (true, true) => green(line),
            (true, false) => paint(line),
        };
        self.wrapped(text, 2, colored)
    }

    /// A help text, which may have colours of its own.
    pub(crate) fn wrap(&self, text: &str) -> String {
        self.wrapped(text, 0, str::to_owned)
    }

    fn wrapped(&self, text: &str, deeper: usize, line: impl Fn(&str) -> String) -> String {
        let mut out = String::with_capacity(text.len() + 64);
        for part in text.split_inclusive('\n') {
            let (content, end) = match part.strip_suffix('\n') {
                Some(content) => (content, "\n"),
                None => (part, ""),
            };
            let colored = line(content);
            match self.width {
                Some(width) => wrap_line(&colored, width, deeper, &mut out),
                None => out.push_str(&colored),
            }
            out.push_str(end);
        }
        out
    }
}

/// Whether an output has colour.
fn has_color(asked: Color, is_terminal: bool, env: impl Fn(&str) -> Option<String>) -> bool {
    match asked {
        Color::Always => true,
        Color::Never => false,
        // https://no-color.org
        Color::Auto => {
            is_terminal
                && env("NO_COLOR").is_none_or(|value| value.is_empty())
                && env("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

fn style() -> Style {
    // Whether there is colour is decided here, not by the crate.
    Style::new().force_styling(true)
}

fn green(line: &str) -> String {
    if line.is_empty() { String::new() } else { style().green().apply_to(line).to_string() }
}

/// The word that a line begins with says how serious it is; codes are what one looks up.
fn paint(line: &str) -> String {
    let red = || style().red().bold();
    let headings = [
        ("error:", red()),
        ("error[", red()),
        ("warning[", style().yellow().bold()),
        ("last error ", red()),
        ("held  ", red()),
        ("not compared:", style().yellow()),
        ("not repaired:", style().yellow()),
    ];
    let heading = headings.into_iter().find(|(heading, _)| line.starts_with(heading));
    let Some((heading, style)) = heading else { return paint_codes(line) };
    let word = heading.trim_end_matches([':', '[', ' ']);
    let rest = line.get(word.len()..).unwrap_or_default();
    format!("{}{}", style.apply_to(word), paint_codes(rest))
}

/// `[RG2001]`, with the code in bold.
fn paint_codes(mut line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    while let Some((before, rest)) = line.split_once("[RG") {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        out.push_str(before);
        match rest.get(digits..).filter(|after| digits > 0 && after.starts_with(']')) {
            Some(after) => {
                let code = format!("RG{}", rest.get(..digits).unwrap_or_default());
                out.push_str(&format!("[{}", style().bold().apply_to(code)));
                line = after;
            }
            None => {
                out.push_str("[RG");
                line = rest;
            }
        }
    }
    out.push_str(line);
    out
}

/// Breaks a line between words. What follows stands below what the line began with: behind a label and a
/// gap, as of a status or of an option, else so much deeper than the line.
fn wrap_line(line: &str, width: usize, deeper: usize, out: &mut String) {
    if measure_text_width(line) <= width {
        out.push_str(line);
        return;
    }
    let indent = hanging(line, deeper).min(width / 2);
    let (mut column, mut empty) = (0, true);
    let mut rest = line;
    while !rest.is_empty() {
        let blanks = rest.len() - rest.trim_start_matches(' ').len();
        let (gap, after) = rest.split_at(blanks);
        let end = after.find(' ').unwrap_or(after.len());
        let (word, next) = after.split_at(end);
        let size = measure_text_width(word);
        // A word that fits in no line is left to the terminal, so that it can be copied whole.
        if !empty && column + gap.len() + size > width {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            out.push_str(gap);
            column += gap.len();
        }
        out.push_str(word);
        column += size;
        empty &= word.is_empty();
        rest = next;
    }
}

/// Where the lines after the first begin.
fn hanging(line: &str, deeper: usize) -> usize {
    let plain = console::strip_ansi_codes(line);
    let begins = plain.len() - plain.trim_start_matches(' ').len();
    let text = plain.get(begins..).unwrap_or_default();
    let gap = text.find("  ").map(|at| {
        let after = text.get(at..).unwrap_or_default();
        let blanks = after.len() - after.trim_start_matches(' ').len();
        begins + measure_text_width(text.get(..at).unwrap_or_default()) + blanks
    });
    match gap {
        Some(column) if column <= LABEL_MAX => column,
        _ => begins + deeper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(color: bool, width: usize) -> Look {
        Look { color, width: Some(width) }
    }

    #[test]
    fn lines_are_broken_between_words_and_hang() {
        let look = look(false, 30);
        let wrapped =
            look.dress("error: the slot regraft_shop is gone [RG2008]\n  to do: start\n", false);
        assert_eq!(wrapped, "error: the slot regraft_shop\n  is gone [RG2008]\n  to do: start\n");
        let wrapped = look.dress("waiting      for the source for 3 s: a lock", false);
        assert_eq!(wrapped, "waiting      for the source\n             for 3 s: a lock");
        // Nothing is broken that has no blank, and nothing is lost.
        let url = "  psql postgres://localhost:5432/a_long_name_of_a_database";
        assert_eq!(look.dress(url, false).split_whitespace().count(), 2);
        for text in ["", "\n", "   ", "a  b", "ä ö ü\n\nx"] {
            assert_eq!(look.dress(text, false), text);
        }
    }

    #[test]
    fn every_width_keeps_the_words() {
        let text = "held         public.orders at 0/1A: [RG3018] the column naïve 表 has another type\n  to do      x y z";
        for width in 30..100 {
            let wrapped = look(true, width).dress(text, false);
            let plain = console::strip_ansi_codes(&wrapped);
            assert!(plain.split_whitespace().eq(text.split_whitespace()), "{wrapped}");
            for line in plain.lines() {
                assert!(measure_text_width(line) <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn headings_and_codes_have_colour_and_the_text_stays() {
        let text = "error[RG2001] source: gone [RG] [RG12 [RG2001]";
        let painted = paint(text);
        assert_eq!(console::strip_ansi_codes(&painted), text);
        assert!(painted.starts_with("\u{1b}[31m\u{1b}[1merror\u{1b}[0m["), "{painted:?}");
        assert_eq!(painted.matches("\u{1b}[1mRG2001\u{1b}[0m").count(), 2, "{painted:?}");
        assert!(paint("warning[RG9002] x").starts_with("\u{1b}[33m"));
        assert_eq!(paint("errors are told"), "errors are told");
    }

    #[test]
    fn colour_is_for_terminals_that_want_it() {
        let none = |_: &str| None;
        assert!(has_color(Color::Auto, true, none));
        assert!(!has_color(Color::Auto, false, none));
        assert!(has_color(Color::Always, false, |_| Some("1".to_owned())));
        assert!(!has_color(Color::Never, true, none));
        let with = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| value.to_owned())
        };
        assert!(!has_color(Color::Auto, true, with("NO_COLOR", "1")));
        assert!(has_color(Color::Auto, true, with("NO_COLOR", "")));
        assert!(!has_color(Color::Auto, true, with("TERM", "dumb")));
        assert!(has_color(Color::Auto, true, with("TERM", "xterm")));
    }
}
