//! Log lines on standard error. A line is a fixed message with fields, so that it can be searched:
//! `tracing::info!(lsn = %position, "position acknowledged")`. Whatever is in them, it stays one line.

use regraft_core::text::visible;
use regraft_core::{Code, Error, Result};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::util::SubscriberInitExt;

/// Environment variable that overrides the configured level, in the form of `EnvFilter`:
/// `debug`, or `info,regraft_postgres=trace`.
pub const LOG_VARIABLE: &str = "REGRAFT_LOG";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Sends log lines of this level (`error`, `warn`, `info`, `debug` or `trace`) and above to standard
/// error, from now on, with colour if text is to be `colored`. `REGRAFT_LOG` overrides the level. Lines of
/// `log`, which some dependencies use, are included.
///
/// # Errors
/// [`Code::UsageInvalid`] when the level cannot be understood, [`Code::Internal`] when logging is
/// already set up in this process.
pub fn init_logging(format: LogFormat, level: &str, colored: bool) -> Result<()> {
    let filter = filter(level, std::env::var(LOG_VARIABLE).ok().as_deref())?;
    subscriber(format, filter, colored, std::io::stderr)
        .try_init()
        .map_err(|error| Error::new(Code::Internal, "logging is already set up").because(error))
}

/// A level is about regraft: its dependencies warn only, and those of a database client would print
/// parameters, which are values of rows.
fn filter(level: &str, variable: Option<&str>) -> Result<EnvFilter> {
    let (text, place) = match variable.map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) => (text, LOG_VARIABLE),
        None => (level, "log.level"),
    };
    let directives = match text.to_ascii_lowercase().as_str() {
        "error" | "off" => text.to_owned(),
        level @ ("warn" | "info" | "debug" | "trace") => format!("warn,regraft={level}"),
        // Whoever names the client asks for what it prints: parameters, and notices of functions.
        _ if text.contains("tokio_postgres") => text.to_owned(),
        _ => format!("{text},tokio_postgres=warn"),
    };
    EnvFilter::builder().parse(directives).map_err(|error| {
        Error::new(Code::UsageInvalid, "the log level cannot be understood")
            .at(place)
            .because(error)
            .remedy(
                "write a level (error, warn, info, debug, trace), or info,regraft_postgres=debug",
            )
    })
}

fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    ansi: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // It would say so on standard error, and panic when that is what nobody reads.
    let builder = builder.log_internal_errors(false);
    match format {
        LogFormat::Text => {
            let fields = debug_fn(|line, field, value| {
                let value = format!("{value:?}");
                match (field.name(), visible(&value)) {
                    ("message", value) => write!(line, "{value}"),
                    (name, value) => write!(line, "{name}={value}"),
                }
            });
            Box::new(builder.with_ansi(ansi).fmt_fields(fields.delimited(" ")).finish())
        }
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written by three lines of regraft and one of a database client.
    fn lines(format: LogFormat, level: &str, variable: Option<&str>) -> Vec<String> {
        written(format, level, variable, || {
            tracing::info!(target: "regraft_pipeline", lsn = "0/16", "position acknowledged");
            tracing::debug!(target: "regraft_pipeline", rows = 3, "batch written");
            tracing::trace!(target: "regraft_postgres", "message received");
            tracing::debug!(target: "tokio_postgres::query", "executing with parameters: secret");
            tracing::info!(target: "tokio_postgres::connection", "NOTICE: secret");
        })
    }

    fn written(
        format: LogFormat,
        level: &str,
        variable: Option<&str>,
        write: impl FnOnce(),
    ) -> Vec<String> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let filter = filter(level, variable).unwrap();
        let subscriber = subscriber(format, filter, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, write);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn text_lines_have_message_and_fields_and_no_ansi() {
        let lines = lines(LogFormat::Text, "info", None);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].ends_with("INFO regraft_pipeline: position acknowledged lsn=\"0/16\""));
        assert!(!lines[0].contains('\u{1b}'));
    }

    #[test]
    fn nothing_in_a_line_begins_another_one() {
        let forged = "a\n2026-01-01T00:00:00Z  INFO regraft: all is well\u{1b}[2J";
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = written(format, "info", None, || {
                tracing::info!(target: "regraft_cli", table = %forged, name = forged, "{forged}");
            });
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
            assert_eq!(lines[0].matches(r"a\n2026").count(), 3, "{lines:?}");
        }
    }

    #[test]
    fn json_lines_are_objects_with_the_fields_at_the_top() {
        let lines = lines(LogFormat::Json, "debug", None);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let line: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
        assert_eq!(line["level"], "DEBUG");
        assert_eq!(line["message"], "batch written");
        assert_eq!(line["rows"], 3);
        assert_eq!(line["target"], "regraft_pipeline");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn the_variable_overrides_the_level() {
        assert_eq!(lines(LogFormat::Text, "info", Some("trace")).len(), 3);
        assert_eq!(lines(LogFormat::Text, "trace", Some("error")).len(), 0);
        assert_eq!(lines(LogFormat::Text, "trace", Some("")).len(), 3);
        assert_eq!(lines(LogFormat::Text, "info", Some("warn,regraft_postgres=trace")).len(), 1);
    }

    #[test]
    fn the_client_prints_parameters_only_when_it_is_named() {
        let quiet = lines(LogFormat::Text, "info", Some("debug,regraft_core=info"));
        assert!(!quiet.join("\n").contains("secret"), "{quiet:?}");
        let asked = lines(LogFormat::Text, "info", Some("info,tokio_postgres=debug"));
        assert!(asked.join("\n").contains("secret"), "{asked:?}");
    }

    #[test]
    fn a_level_that_cannot_be_understood_is_an_error_of_usage() {
        let error = filter("info", Some("regraft=loud")).unwrap_err();
        assert_eq!(error.code(), Code::UsageInvalid);
        assert_eq!(error.place(), Some(LOG_VARIABLE));
    }
}
