//! Errors: what happened, where, and what to do next.
//!
//! Every error has a [`Code`]. The table in [`codes!`] is the one place that says what a code is
//! called, whether trying again can help, and what the exit status of the command is. Each code has a
//! page `docs/errors/<code>.md`.
//!
//! Messages hold names, positions and key *columns*, never values of rows and never secrets. Each part of
//! one is a single line: what others wrote cannot look like a line of regraft's.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use crate::drift::Drifted;
use crate::text::visible;

/// The result of anything that can fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How an error is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What the user wrote is wrong; exit status 2.
    Usage,
    /// A server cannot be reached or refused for a reason that may pass: tried again with back-off;
    /// exit status 3 where nothing is tried again.
    Unavailable,
    /// A server refused for a reason that a person has to remove; exit status 3.
    Refused,
    /// Going on could lose or damage data; exit status 4.
    Unsafe,
    /// A defect of regraft; exit status 70.
    Internal,
}

impl Kind {
    /// Exit status of a command that ends with such an error.
    pub fn exit_status(self) -> u8 {
        match self {
            Kind::Usage => 2,
            Kind::Unavailable | Kind::Refused => 3,
            Kind::Unsafe => 4,
            Kind::Internal => 70,
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $kind:ident;)*) => {
        /// A stable name of what went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &[Code] = &[$(Code::$name,)*];

            /// The code as it is printed: `RG` and four digits.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// How it is answered.
            pub fn kind(self) -> Kind {
                match self { $(Code::$name => Kind::$kind,)* }
            }
        }
    };
}

codes! {
    /// A file named on the command line or in the configuration cannot be read.
    FileUnreadable = "RG1001", Usage;
    /// `regraft.toml` is not valid.
    ConfigInvalid = "RG1002", Usage;
    /// `mapping.sql` cannot be parsed, or holds something other than INSERT … SELECT.
    MappingInvalid = "RG1003", Usage;
    /// The command line does not make sense.
    UsageInvalid = "RG1004", Usage;
    /// The daemon cannot listen for HTTP.
    ListenFailed = "RG1005", Usage;
    /// A throwaway PostgreSQL cannot be started: its programs are missing, or it does not come up.
    ThrowawayFailed = "RG1006", Refused;

    /// A server does not answer, or the connection broke.
    Unreachable = "RG2001", Unavailable;
    /// A server refused the user or password.
    AuthenticationFailed = "RG2002", Refused;
    /// The TLS handshake failed, or the certificate is not trusted.
    TlsFailed = "RG2003", Refused;
    /// A privilege is missing.
    PrivilegeMissing = "RG2004", Refused;
    /// The source's `wal_level` is not `logical`.
    WalLevel = "RG2005", Refused;
    /// The server's version is not supported.
    VersionUnsupported = "RG2006", Refused;
    /// The replication slot is used by another connection.
    SlotInUse = "RG2007", Unavailable;
    /// The replication slot is gone or was never made.
    SlotMissing = "RG2008", Unsafe;
    /// The server has invalidated the replication slot.
    SlotLost = "RG2009", Unsafe;
    /// The publication is missing, or does not publish what the mapping needs.
    PublicationUnfit = "RG2010", Refused;
    /// The slot was confirmed beyond what the target holds: changes are missing.
    PositionGap = "RG2011", Unsafe;
    /// No replication slot or WAL sender is free.
    SlotsExhausted = "RG2012", Refused;
    /// The source is not the server, or not the history, that the ledger knows.
    SourceReplaced = "RG2013", Unsafe;
    /// The slot belongs to another database or output plugin.
    SlotUnfit = "RG2014", Refused;
    /// A server refused for a reason that has no code of its own.
    ServerRefused = "RG2015", Refused;
    /// Publishing a table makes the server refuse writes of the application.
    WritesRefused = "RG2016", Refused;
    /// The publication did not hold all the time what the mapping needs: changes are missing.
    PublicationGap = "RG2017", Refused;
    /// The source's log is not the one in which the position was given out.
    SourceRewound = "RG2018", Unsafe;

    /// A source table has no usable replica identity or key.
    SourceKeyMissing = "RG3001", Refused;
    /// The source refused a SELECT.
    SelectRefused = "RG3002", Usage;
    /// A SELECT cannot be streamed.
    NotStreamable = "RG3003", Usage;
    /// A target table is missing.
    TargetMissing = "RG3004", Refused;
    /// A target table has no key that the SELECT fills.
    TargetKeyMissing = "RG3005", Refused;
    /// Contributions cannot be found again in the target.
    OwnerMissing = "RG3006", Refused;
    /// A value cannot be assigned to its target column.
    TypeMismatch = "RG3007", Usage;
    /// A source table changed its shape.
    ShapeChanged = "RG3008", Unsafe;
    /// The mapping is not the one that filled the target.
    MappingChanged = "RG3009", Unsafe;
    /// A target column does not exist, is generated, or must have a value.
    TargetColumn = "RG3010", Usage;
    /// A source table does not exist.
    SourceMissing = "RG3011", Usage;
    /// Something that works and yet deserves a look.
    Advice = "RG3012", Usage;
    /// The target of a new pipeline holds rows already.
    TargetNotEmpty = "RG3013", Unsafe;
    /// A foreign key of the target cannot hold while rows are being copied.
    ForeignKeyWhileCopying = "RG3014", Refused;
    /// The mapper and the source give different results for a sampled row.
    SampleDiffers = "RG3015", Unsafe;
    /// A statement names a mapper that the program does not have.
    MapperUnknown = "RG3016", Usage;
    /// A mapper does not fit its statement or its source table.
    MapperUnfit = "RG3017", Usage;
    /// Something that the mapping stands on is not what it was.
    StandsOnOther = "RG3018", Refused;
    /// A statement needs what its target does not take.
    TargetCannotTake = "RG3019", Usage;
    /// A statement needs what its source does not give.
    SourceCannotGive = "RG3020", Usage;

    /// The target refused a row.
    RowRefused = "RG4001", Refused;
    /// An expression failed for a row.
    ExpressionFailed = "RG4002", Refused;
    /// A row that the stream could carry only in part is missing in the target.
    RowMissing = "RG4003", Unsafe;
    /// A unique value moves between rows in a way that the target's constraints do not allow.
    UniqueExchange = "RG4004", Refused;
    /// The target cannot work now (deadlock, lock, space, read-only).
    TargetUnavailable = "RG4005", Unavailable;
    /// Two source rows give the same target key.
    DuplicateTargetKey = "RG4006", Refused;
    /// A chunk is larger than its limit; it is split and read again.
    ChunkTooLarge = "RG4007", Internal;
    /// A mapper of the program does not give what it declares.
    MapperBroken = "RG4008", Refused;

    /// The ledger was written by a newer regraft.
    LedgerNewer = "RG5001", Unsafe;
    /// Another daemon runs this pipeline.
    PipelineRunning = "RG5002", Unavailable;
    /// The ledger knows no pipeline of this name.
    PipelineUnknown = "RG5003", Refused;

    /// More rows differ than may be repaired without a person.
    RepairsExceeded = "RG6001", Unsafe;
    /// A verification that was asked for cannot be carried out.
    VerificationRefused = "RG6002", Usage;

    /// A server sent something that the protocol does not allow.
    Protocol = "RG9001", Unavailable;
    /// A defect of regraft.
    Internal = "RG9002", Internal;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error that a person can act on.
pub struct Error(Box<Parts>);

struct Parts {
    code: Code,
    what: String,
    place: Option<String>,
    remedy: Option<String>,
    drifted: Option<Drifted>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    chunk: Option<i64>,
}

impl Error {
    /// An error of this code; `what` is one sentence without a full stop.
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        let what = one_line(what.into());
        let (place, remedy, drifted, source, chunk) = (None, None, None, None, None);
        Self(Box::new(Parts { code, what, place, remedy, drifted, source, chunk }))
    }

    /// Where: `file:line:column`, a table, a slot, a position.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.0.place = Some(one_line(place.into()));
        self
    }

    /// What to do next.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = Some(one_line(remedy.into()));
        self
    }

    /// Something that the mapping stands on is not the same any more.
    #[must_use]
    pub fn drifted(mut self, drifted: Drifted) -> Self {
        self.0.drifted = Some(drifted);
        self
    }

    /// The error below this one. Only its kind and message are shown; it must hold no row values.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// A row of the chunk with this id in the ledger is at fault.
    #[must_use]
    pub fn in_chunk(mut self, id: i64) -> Self {
        self.0.chunk = Some(id);
        self
    }

    /// The chunk, rather than the stream, whose row is at fault.
    pub fn chunk(&self) -> Option<i64> {
        self.0.chunk
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// How it is answered.
    pub fn kind(&self) -> Kind {
        self.0.code.kind()
    }

    /// What happened.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// Where, if it has a place.
    pub fn place(&self) -> Option<&str> {
        self.0.place.as_deref()
    }

    /// What is not the same any more, if that is what is wrong.
    pub fn drift(&self) -> Option<&Drifted> {
        self.0.drifted.as_ref()
    }

    /// What to do next, if there is something beyond the code's page.
    pub fn remedy_text(&self) -> Option<&str> {
        self.0.remedy.as_deref()
    }
}

fn one_line(text: String) -> String {
    match visible(&text) {
        Cow::Owned(escaped) => escaped,
        Cow::Borrowed(_) => text,
    }
}

/// In two lines; the alternate form `{:#}` is one line, for logs.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &self.0;
        if let Some(place) = &parts.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{} [{}]", parts.what, parts.code)?;
        let mut below = parts.source.as_deref().map(|source| source as &dyn StdError);
        while let Some(source) = below {
            let text = source.to_string();
            if !parts.what.contains(&text) {
                write!(f, ": {}", visible(&text))?;
            }
            below = source.source();
        }
        if let Some(remedy) = &parts.remedy {
            let between = if f.alternate() { "; " } else { "\n  " };
            write!(f, "{between}to do: {remedy}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_what_why_and_what_to_do() {
        let error = Error::new(Code::SlotMissing, "the slot \"a\" is gone")
            .at("source")
            .because(std::io::Error::other("server said no"))
            .remedy("make it again");
        let want =
            "source: the slot \"a\" is gone [RG2008]: server said no\n  to do: make it again";
        assert_eq!(error.to_string(), want);
        assert_eq!(format!("{error:#}"), want.replace("\n  ", "; "));
        assert_eq!(error.kind().exit_status(), 4);
    }

    #[test]
    fn what_others_wrote_cannot_look_like_a_line() {
        let error = Error::new(Code::Internal, "a\nb")
            .at("table \"\r\"")
            .because(std::io::Error::other("c\nd"))
            .remedy("e\u{1b}f");
        let want = "table \"\\r\": a\\nb [RG9002]: c\\nd\n  to do: e\\u{1b}f";
        assert_eq!(error.to_string(), want);
    }

    #[test]
    fn codes_are_unique() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
    }
}
