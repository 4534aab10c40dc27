//! What a server's refusal means: the one table from SQLSTATE and I/O errors to [`Code`].
//!
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>

use std::error::Error as StdError;
use std::io;

use regraft_core::{Code, Error};

/// The fields of an ErrorResponse that regraft uses.
///
/// <https://www.postgresql.org/docs/current/protocol-error-fields.html>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// Five characters.
    pub sqlstate: String,
    /// Primary message.
    pub message: String,
    /// May hold row values in classes 22 and 23.
    pub detail: Option<String>,
    /// What the server suggests.
    pub hint: Option<String>,
    /// Schema of the object.
    pub schema: Option<String>,
    /// Table that the error is about.
    pub table: Option<String>,
    /// Column that the error is about.
    pub column: Option<String>,
    /// Constraint that was violated.
    pub constraint: Option<String>,
    /// Function of the server that reports it.
    pub routine: Option<String>,
}

impl ServerError {
    /// Reads the body of an ErrorResponse. Unknown fields and a missing end are ignored.
    pub(crate) fn parse(body: &[u8]) -> Self {
        let mut error = Self::default();
        for field in body.split(|byte| *byte == 0) {
            let Some((kind, value)) = field.split_first() else { break };
            let value = String::from_utf8_lossy(value).into_owned();
            match kind {
                b'C' => error.sqlstate = value,
                b'M' => error.message = value,
                b'D' => error.detail = Some(value),
                b'H' => error.hint = Some(value),
                b's' => error.schema = Some(value),
                b't' => error.table = Some(value),
                b'c' => error.column = Some(value),
                b'n' => error.constraint = Some(value),
                b'R' => error.routine = Some(value),
                _ => {}
            }
        }
        error
    }
}

impl From<&tokio_postgres::error::DbError> for ServerError {
    fn from(error: &tokio_postgres::error::DbError) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            sqlstate: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: owned(error.detail()),
            hint: owned(error.hint()),
            schema: owned(error.schema()),
            table: owned(error.table()),
            column: owned(error.column()),
            constraint: owned(error.constraint()),
            routine: owned(error.routine()),
        }
    }
}

/// What a `tokio_postgres` error means. `place` is where it happened: an endpoint, a table.
pub fn classify(error: &tokio_postgres::Error, place: &str) -> Error {
    if let Some(refusal) = error.as_db_error() {
        return classify_server(&refusal.into(), place);
    }
    let cause = error.source();
    if let Some(io) = cause.and_then(|cause| cause.downcast_ref::<io::Error>())
        && !error.to_string().starts_with("error parsing")
    {
        return classify_io(io, place);
    }
    // The library does not expose the kind, only its text.
    let text = error.to_string();
    let code = match text.as_str() {
        "error performing TLS handshake" => Code::TlsFailed,
        "authentication error" => Code::AuthenticationFailed,
        "invalid configuration" => match cause.map(ToString::to_string) {
            Some(why) if why.contains("password") => Code::AuthenticationFailed,
            _ => Code::ConfigInvalid,
        },
        "invalid connection string" => Code::ConfigInvalid,
        "error parsing response from server" | "unexpected message from server" => Code::Protocol,
        "connection closed"
        | "error communicating with the server"
        | "error connecting to server"
        | "timeout waiting for server" => Code::Unreachable,
        // The rest are calls that do not fit their statement: "error serializing parameter 1".
        _ => Code::Internal,
    };
    let what = match cause {
        Some(cause) if code != Code::Internal => format!("{text}: {}", chain(cause)),
        _ => text,
    };
    with_remedy(Error::new(code, what).at(place))
}

/// What an I/O error of a connection means.
pub(crate) fn classify_io(error: &io::Error, place: &str) -> Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (code, what) = match tls {
        Some(tls) => (Code::TlsFailed, format!("the TLS handshake failed: {tls}")),
        None => (Code::Unreachable, format!("the connection failed: {error}")),
    };
    with_remedy(Error::new(code, what).at(place))
}

/// What an ErrorResponse means.
pub fn classify_server(error: &ServerError, place: &str) -> Error {
    let code = code_of(&error.sqlstate, &error.message);
    let mut what = if may_hold_values(&error.sqlstate) {
        without_values(&error.message)
    } else {
        error.message.clone()
    };
    let class = error.sqlstate.get(..2).unwrap_or_default();
    if matches!(class, "28" | "42" | "53" | "55" | "57")
        && let Some(detail) = &error.detail
    {
        what.push_str(&format!(" ({detail})"));
    }
    what.push_str(&format!(" (SQLSTATE {}", error.sqlstate));
    for (name, value) in [
        ("schema", &error.schema),
        ("table", &error.table),
        ("column", &error.column),
        ("constraint", &error.constraint),
    ] {
        if let Some(value) = value {
            what.push_str(&format!(", {name} {value}"));
        }
    }
    what.push(')');
    let refusal = Error::new(code, what).at(place);
    if speaks_of_pooler(error) {
        return refusal.remedy(
            "a connection pooler answers there (pgbouncer), which has no replication, or gives every transaction \
             another session: name the server itself in the address",
        );
    }
    match &error.hint {
        Some(hint) if !may_hold_values(&error.sqlstate) => refusal.remedy(hint),
        _ => with_remedy(refusal),
    }
}

/// What a NoticeResponse in a stream means: that of a missing publication is an error up to version
/// 17; from then on the server only warns, and leaves the changes out.
pub(crate) fn classify_notice(body: &[u8], place: &str) -> Result<(), Error> {
    let notice = ServerError::parse(body);
    // The message may be in any language.
    if notice.routine.as_deref() != Some("LoadPublications") {
        return Ok(());
    }
    Err(Error::new(Code::PublicationUnfit, notice.message).at(place).remedy(
        "the server leaves out what was written while the publication was missing: copy anew by \
         `regraft run --recopy all`, which makes it again",
    ))
}

/// What only a pooler refuses, and what a session says that is not the one it was before: a prepared statement is
/// gone, or there already.
fn speaks_of_pooler(error: &ServerError) -> bool {
    let startup = error.sqlstate == "08P01" && error.message.contains("startup parameter");
    startup || matches!(error.sqlstate.as_str(), "26000" | "42P05")
}

/// The table. Longer prefixes of the SQLSTATE come before shorter ones; a few states need the text
/// of the message, which is compared in the server's default language.
fn code_of(sqlstate: &str, message: &str) -> Code {
    let has = |part: &str| message.contains(part);
    match sqlstate {
        "28000" | "28P01" => return Code::AuthenticationFailed,
        "42501" => return Code::PrivilegeMissing,
        "42704" if has("publication") => return Code::PublicationUnfit,
        "42704" if has("replication slot") => return Code::SlotMissing,
        "42P01" | "3F000" => return Code::TargetMissing,
        "42703" | "428C9" => return Code::TargetColumn,
        "42804" | "42846" | "42883" => return Code::TypeMismatch,
        "55006" if has("replication slot") => return Code::SlotInUse,
        "55000" if has("replication slot") && has("no longer") => return Code::SlotLost,
        "55000" if has("invalidated") => return Code::SlotLost,
        "55000" if has("wal_level") => return Code::WalLevel,
        "55000" if has("was not created in this database") || has("physical replication") => {
            return Code::SlotUnfit;
        }
        // A WAL segment that the slot should have kept.
        "58P01" if has("requested WAL segment") => return Code::SlotLost,
        "53400" if has("replication") => return Code::SlotsExhausted,
        "53300" if has("max_wal_senders") => return Code::SlotsExhausted,
        "53300" => return Code::Unreachable,
        "57014" => return Code::TargetUnavailable,
        "21000" if has("a second time") => return Code::DuplicateTargetKey,
        "25006" | "55006" | "55P03" | "25P03" => return Code::TargetUnavailable,
        // A plan that the session had cached; a new session makes a new one.
        "0A000" if has("cached plan") => return Code::TargetUnavailable,
        // Of poolers.
        "08P01" if has("startup parameter") => return Code::ServerRefused,
        "08P01" => return Code::Protocol,
        _ => {}
    }
    match sqlstate.get(..2).unwrap_or_default() {
        // Connection exception, operator intervention.
        "08" | "57" => Code::Unreachable,
        // Rollback (deadlock, serialization), resources, system errors of the server.
        "40" | "53" | "58" => Code::TargetUnavailable,
        // Cardinality, data, constraints, triggers, check options, limits, raised by PL/pgSQL.
        "21" | "22" | "23" | "27" | "44" | "54" | "P0" | "09" | "38" => Code::RowRefused,
        "28" => Code::AuthenticationFailed,
        _ => Code::ServerRefused,
    }
}

fn with_remedy(error: Error) -> Error {
    let remedy = match error.code() {
        Code::Unreachable => "check that the server runs and that host and port are right",
        Code::AuthenticationFailed => "check user and password, and the server's pg_hba.conf",
        Code::TlsFailed => {
            "check sslmode and sslrootcert; verify-full needs the host name among the \
             certificate's subject alternative names"
        }
        Code::SlotsExhausted => "raise max_replication_slots or max_wal_senders, or drop a slot",
        Code::SlotInUse => "stop the other consumer of the slot; regraft goes on by itself",
        Code::PrivilegeMissing => {
            "grant the privilege to regraft's role; see docs/errors/RG2004.md"
        }
        Code::ServerRefused => {
            "see the server's message and its log; the name of a database is that in the \
             connection string"
        }
        Code::TargetUnavailable => "nothing: it is tried again",
        Code::TargetMissing | Code::TargetColumn | Code::TypeMismatch => {
            "compare the table with mapping.sql by `regraft check`"
        }
        Code::WalLevel => "set wal_level = logical on the source and restart it",
        _ => return error,
    };
    error.remedy(remedy)
}

/// Messages of data exceptions quote the value, those of raised exceptions say what they like.
/// Messages of class 23 name constraints only; the values are in their detail.
fn may_hold_values(sqlstate: &str) -> bool {
    matches!(sqlstate.get(..2), Some("22" | "P0" | "38" | "09"))
}

/// Cuts what stands between the first and the last quotation mark, of any language, and the bytes
/// of "invalid byte sequence".
fn without_values(message: &str) -> String {
    const MARKS: &[char] = &['"', '«', '»', '„', '“', '”'];
    let message = message.split(": 0x").next().unwrap_or_default();
    let mut marks = message.match_indices(MARKS);
    match (marks.next(), marks.next_back()) {
        (Some((first, _)), Some((last, mark))) => {
            format!("{}\"…\"{}", &message[..first], &message[last + mark.len()..])
        }
        (Some((first, _)), None) => format!("{}…", &message[..first]),
        _ => message.to_owned(),
    }
}

/// An error and all below it.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(&format!(": {next}"));
        }
        below = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(sqlstate: &str, message: &str) -> ServerError {
        ServerError {
            sqlstate: sqlstate.to_owned(),
            message: message.to_owned(),
            detail: Some("Key (id)=(4711) exists.".to_owned()),
            ..ServerError::default()
        }
    }

    #[test]
    fn states_have_their_codes() {
        let cases = [
            ("57P01", "terminating connection", Code::Unreachable),
            ("57P03", "the database system is starting up", Code::Unreachable),
            ("57014", "canceling statement due to user request", Code::TargetUnavailable),
            ("53300", "sorry, too many clients already", Code::Unreachable),
            (
                "53300",
                "number of requested standby connections exceeds max_wal_senders (currently 1)",
                Code::SlotsExhausted,
            ),
            ("53400", "all replication slots are in use", Code::SlotsExhausted),
            ("53100", "could not extend file", Code::TargetUnavailable),
            ("28P01", "password authentication failed", Code::AuthenticationFailed),
            ("42501", "permission denied", Code::PrivilegeMissing),
            ("42704", "replication slot \"a\" does not exist", Code::SlotMissing),
            ("42704", "publication \"a\" does not exist", Code::PublicationUnfit),
            ("55006", "replication slot \"a\" is active for PID 1", Code::SlotInUse),
            ("55000", "can no longer get changes from replication slot \"a\"", Code::SlotLost),
            ("55000", "logical decoding requires wal_level >= logical", Code::WalLevel),
            ("40P01", "deadlock detected", Code::TargetUnavailable),
            ("25006", "cannot execute INSERT in a read-only transaction", Code::TargetUnavailable),
            ("22003", "integer out of range", Code::RowRefused),
            ("23505", "duplicate key", Code::RowRefused),
            ("3D000", "database \"x\" does not exist", Code::ServerRefused),
            ("XX000", "cache lookup failed", Code::ServerRefused),
            ("", "", Code::ServerRefused),
        ];
        for (state, message, code) in cases {
            assert_eq!(classify_server(&refusal(state, message), "here").code(), code, "{state}");
        }
    }

    #[test]
    fn what_a_pooler_says_is_told_as_such() {
        for (state, message) in [
            ("08P01", "unsupported startup parameter: replication"),
            ("08P01", "unsupported startup parameter in options: jit"),
            ("26000", "prepared statement \"s1\" does not exist"),
            ("42P05", "prepared statement \"s1\" already exists"),
        ] {
            let error = classify_server(&refusal(state, message), "here");
            assert_eq!(error.code(), Code::ServerRefused, "{message}");
            assert!(error.to_string().contains("pgbouncer"), "{error}");
        }
    }

    #[test]
    fn row_values_are_not_in_the_message() {
        let cases = [
            ("22P02", "invalid input syntax for type integer: \"4711\""),
            ("22003", "value \"4711\" is out of range for type integer"),
            ("22007", "invalid input syntax for type date: \"4711 \"quoted\" \""),
            ("22007", "syntaxe en entrée invalide pour le type date : « 4711 »"),
            ("22021", "invalid byte sequence for encoding \"UTF8\": 0x4711"),
            ("23505", "duplicate key value violates unique constraint \"t_pkey\""),
        ];
        for (state, message) in cases {
            let text = classify_server(&refusal(state, message), "here").to_string();
            assert!(!text.contains("4711"), "{text}");
            assert!(text.contains(state), "{text}");
        }
    }

    #[test]
    fn fields_are_read_and_a_cut_body_is_no_panic() {
        let body = b"SERROR\0C23505\0Mduplicate\0nt_pkey\0tt\0Dsecret\0\0";
        let error = ServerError::parse(body);
        let text = classify_server(&error, "db").to_string();
        assert!(text.starts_with("db: duplicate (SQLSTATE 23505, table t, constraint t_pkey)"));
        for end in 0..body.len() {
            ServerError::parse(&body[..end]);
        }
    }
}
