//! What a server's refusal means: the one table from SQLSTATE and I/O errors to [`Code`].
//!
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>

use std::error::Error as StdError;
use std::io;

use regraft_core::{Code, Error};

use crate::words::{self, Words};

/// The fields of an ErrorResponse that regraft uses.
///
/// <https://www.postgresql.org/docs/current/protocol-error-fields.html>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// Five characters.
    pub sqlstate: String,
    /// Primary message.
    pub message: String,
    /// May hold row values.
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
    /// Where in the statement it is, if the server was reading one.
    pub position: Option<String>,
    /// What the server was doing: the functions that were running, and their statements.
    pub context: Option<String>,
    /// Source file of the server that reports it.
    pub file: Option<String>,
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
                b'P' | b'p' => error.position = Some(value),
                b'W' => error.context = Some(value),
                b'F' => error.file = Some(value),
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
            position: error.position().map(|position| format!("{position:?}")),
            context: owned(error.where_()),
            file: owned(error.file()),
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
    // The library does not expose the kind, only its text.
    let text = error.to_string();
    if let Some(io) = cause.and_then(|cause| cause.downcast_ref::<io::Error>()) {
        // Of a message that was understood, and is not what SCRAM demands.
        if text.starts_with("authentication error") {
            return unproven(io, place);
        }
        if !text.starts_with("error parsing") {
            return classify_io(io, place);
        }
    }
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

/// The server's side of SCRAM is wrong: whoever answers does not know the password.
pub(crate) fn unproven(error: &io::Error, place: &str) -> Error {
    let what = format!("the server does not prove that it knows the password: {error}");
    Error::new(Code::AuthenticationFailed, what).at(place).remedy(
        "look who answers at this address: it may be another server; sslmode=verify-full tells by its \
         certificate",
    )
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
    let own = words::is_servers_own(error);
    let words = words::of(error);
    let inside = error.context.is_some();
    let upsert = error.sqlstate == "21000" && error.file.as_deref() == Some("nodeModifyTable.c");
    let code = if upsert && !inside {
        Code::DuplicateTargetKey
    } else if own && !is_of_others_statement(error) {
        code_of(&error.sqlstate, &error.message)
    } else {
        code_of_others(&error.sqlstate, inside || own)
    };
    let mut what = match words {
        Words::All | Words::Message => error.message.clone(),
        Words::Form => words::form(&error.message),
        Words::Nothing => {
            let raised = error.context.as_deref().and_then(words::raised_by);
            let by = raised.map_or_else(String::new, |function| format!(" in {function}"));
            format!("refused{by}, in words that may hold values of rows and are not repeated")
        }
    };
    if let Some(detail) = &error.detail
        && (words == Words::All || is_of_types(error))
    {
        what.push_str(&format!(" ({detail})"));
    }
    if words == Words::All
        && let Some(context) = error.context.as_deref().and_then(|context| context.lines().next())
    {
        what.push_str(&format!(" ({context})"));
    }
    what.push_str(&format!(" (SQLSTATE {}", error.sqlstate));
    let columns = error.detail.as_deref().filter(|_| words == Words::Message);
    let names = [
        ("schema", error.schema.as_deref()),
        ("table", error.table.as_deref()),
        ("column", error.column.as_deref()),
        ("constraint", error.constraint.as_deref()),
        ("columns", columns.and_then(words::key_columns)),
    ];
    // A function may put anything into them.
    for (name, value) in names.iter().filter(|_| own || words == Words::All) {
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
    if code == Code::PrivilegeMissing && words::refuses_setting(error) {
        return refusal.remedy(
            "where the role or its database has it set to something else: ALTER ROLE … RESET …, ALTER DATABASE … RESET …; \
             from PostgreSQL 15 on: GRANT SET ON PARAMETER … TO the role; foreign_keys = \"checked\" needs neither",
        );
    }
    if error.sqlstate == "53300" && code == Code::Unreachable {
        return refusal.remedy(
            "all connections are taken: raise max_connections, or the CONNECTION LIMIT of the role or the database, or \
             end sessions that nobody needs; `regraft check` says how many a pipeline needs",
        );
    }
    match &error.hint {
        Some(hint) if words == Words::All => refusal.remedy(hint),
        _ if words == Words::Nothing => refusal.remedy(
            "see the server's log for the words, or have them shown by server_messages = true in [log]",
        ),
        _ => with_remedy(refusal),
    }
}

/// It is about a statement that is not regraft's: a function ran it, or a cast looked its value up.
fn is_of_others_statement(error: &ServerError) -> bool {
    let class = error.sqlstate.get(..2).unwrap_or_default();
    matches!(class, "28" | "3F" | "42")
        && error.sqlstate != "42501"
        && error.file.is_some()
        && matches!(words::known(error), Words::Form | Words::Nothing)
}

/// The detail says of which precision and scale a number has to be.
fn is_of_types(error: &ServerError) -> bool {
    error.sqlstate == "22003" && error.file.as_deref() == Some("numeric.c")
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

/// Whether a lock was not had in time: the state is part of what such an error says.
pub(crate) fn is_lock_timeout(error: &Error) -> bool {
    error.what().contains("SQLSTATE 55P03")
}

/// The same for functions and extensions, which choose the state as they like: it may say that trying
/// again helps, but nothing of servers, log-ins and slots.
fn code_of_others(sqlstate: &str, in_function: bool) -> Code {
    match sqlstate.get(..2).unwrap_or_default() {
        "40" => Code::TargetUnavailable,
        "21" | "22" | "23" | "27" | "44" | "54" | "P0" | "09" | "38" => Code::RowRefused,
        _ if in_function => Code::RowRefused,
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

    /// A server that takes any password and proves nothing, for two connections.
    fn impostor() -> u16 {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().take(2) {
                let mut stream = stream.unwrap();
                let request = |number: u32, data: &str| {
                    let length = 8 + u32::try_from(data.len()).unwrap();
                    [b"R", &length.to_be_bytes()[..], &number.to_be_bytes(), data.as_bytes()]
                        .concat()
                };
                let mut buffer = [0; 1024];
                let mut read = |stream: &mut std::net::TcpStream| {
                    let count = stream.read(&mut buffer).unwrap();
                    String::from_utf8_lossy(&buffer[..count]).into_owned()
                };
                read(&mut stream);
                stream.write_all(&request(10, "SCRAM-SHA-256\0\0")).unwrap();
                let first = read(&mut stream);
                let nonce = first.rsplit_once("r=").unwrap().1;
                stream.write_all(&request(11, &format!("r={nonce}more,s=AAAA,i=4096"))).unwrap();
                read(&mut stream);
                let proof = "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
                stream.write_all(&request(12, proof)).unwrap();
                // It ends with the client.
                drop(stream.read(&mut [0; 16]));
            }
        });
        port
    }

    #[tokio::test]
    async fn a_server_that_does_not_know_the_password_is_not_one_that_is_away() {
        let url = format!("postgres://me:secret@127.0.0.1:{}/d?sslmode=disable", impostor());
        let endpoint = crate::Endpoint::parse(&url).unwrap();
        let plain = endpoint.connect("test").await.err().unwrap();
        let stream = endpoint.connect_replication("test").await.err().unwrap();
        for error in [plain, stream] {
            assert_eq!(error.code(), Code::AuthenticationFailed, "{error}");
            let text = error.to_string();
            assert!(text.contains("does not prove that it knows the password"), "{text}");
            assert!(text.contains("127.0.0.1") && !text.contains("secret"), "{text}");
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

    fn of_file(sqlstate: &str, message: &str, file: &str) -> ServerError {
        ServerError { file: Some(file.to_owned()), ..refusal(sqlstate, message) }
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
    fn row_values_are_not_in_the_message_and_names_are() {
        let duplicate = "duplicate key value violates unique constraint \"t_pkey\"";
        let text = classify_server(&of_file("23505", duplicate, "nbtinsert.c"), "here").to_string();
        assert!(
            text.starts_with(&format!("here: {duplicate} (SQLSTATE 23505, columns id)")),
            "{text}"
        );
        let number = "invalid input syntax for type integer: \"4711\"";
        let text = classify_server(&of_file("22P02", number, "numutils.c"), "here").to_string();
        assert!(
            text.contains("integer: \"…\" (SQLSTATE 22P02)") && !text.contains("4711"),
            "{text}"
        );
    }

    #[test]
    fn a_setting_that_is_refused_is_named_and_its_value_is_not() {
        let denied = "permission denied to set parameter \"session_replication_role\"";
        let error = classify_server(&of_file("42501", denied, "guc.c"), "here");
        assert_eq!(error.code(), Code::PrivilegeMissing);
        let text = error.to_string();
        assert!(text.starts_with(&format!("here: {denied} (SQLSTATE 42501")), "{text}");
        assert!(text.contains("GRANT SET ON PARAMETER"), "{text}");
        for (state, message) in [
            ("22023", "invalid value for parameter \"work_mem\": \"4711\""),
            ("42704", "unrecognized configuration parameter \"4711\""),
        ] {
            let text = classify_server(&of_file(state, message, "guc.c"), "here").to_string();
            assert!(!text.contains("4711"), "{text}");
        }
    }

    #[test]
    fn a_function_is_named_and_neither_its_words_nor_its_state_are_believed() {
        for (state, code) in [
            ("P0001", Code::RowRefused),
            ("23505", Code::RowRefused),
            ("57P01", Code::RowRefused),
            ("40001", Code::TargetUnavailable),
            ("55000", Code::RowRefused),
        ] {
            let refusal = ServerError {
                table: Some("4711".to_owned()),
                hint: Some("4711".to_owned()),
                context: Some("PL/pgSQL function f() line 2 at RAISE".to_owned()),
                ..of_file(state, "4711 replication slot no longer", "pl_exec.c")
            };
            let error = classify_server(&refusal, "here");
            let text = error.to_string();
            assert_eq!(error.code(), code, "{state}");
            assert!(
                text.contains("in PL/pgSQL function f() line 2, ") && text.contains(state),
                "{text}"
            );
            assert!(!text.contains("4711"), "{text}");
        }
    }

    #[test]
    fn fields_are_read_and_a_cut_body_is_no_panic() {
        let body = b"SERROR\0C23505\0Mduplicate\0nt_pkey\0tt\0Dsecret\0Fnbtinsert.c\0\0";
        let error = ServerError::parse(body);
        let text = classify_server(&error, "db").to_string();
        assert!(text.starts_with("db: duplicate (SQLSTATE 23505, table t, constraint t_pkey)"));
        for end in 0..body.len() {
            ServerError::parse(&body[..end]);
        }
    }
}
