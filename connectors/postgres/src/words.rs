//! Which words of a server may be repeated.
//!
//! A message may hold values of rows: what a function raises is its author's text, a cast quotes what
//! it cannot read, and dynamic SQL makes names of values. Its language may be any, so that the text itself
//! cannot tell. What can is the *source file* of the server that reports it: those of PostgreSQL are
//! known, and of each it is known what it quotes. Whatever is not known is not repeated.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::classify::ServerError;

/// What of a message may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// All of it, with detail and hint.
    All,
    /// The message, whose names are those of tables, columns and constraints; the detail holds values.
    Message,
    /// The message without what it quotes, and without numbers.
    Form,
    /// Nothing but the SQLSTATE: a procedural language, an extension, or a server of another make.
    Nothing,
}

/// These quote what is in the catalogue, never what is in a row or in a statement.
const OF_CATALOGUE: &str = "aclchk.c deadlock.c domains.c execExprInterp.c execIndexing.c execMain.c \
    execPartition.c execReplication.c nbtinsert.c nodeModifyTable.c rewriteHandler.c ri_triggers.c trigger.c varchar.c";

/// These quote the statement that they read: regraft's or the mapping's, unless a function made it.
const OF_STATEMENTS: &str = "analyze.c gram.y heap.c namespace.c parse_agg.c parse_clause.c parse_coerce.c \
    parse_collate.c parse_cte.c parse_expr.c parse_func.c parse_jsontable.c parse_merge.c parse_node.c \
    parse_oper.c parse_param.c parse_relation.c parse_target.c parse_type.c parse_utilcmd.c parser.c \
    scan.l scansup.c";

/// These speak of replication, in which no function of a user runs.
const OF_STREAM: &str = "\
    decode.c launcher.c logical.c logicalfuncs.c message.c origin.c pg_publication.c pgoutput.c \
    proto.c publicationcmds.c reorderbuffer.c repl_gram.y repl_scanner.l slot.c slotfuncs.c \
    snapbuild.c walsender.c xlogreader.c";

/// These speak of sessions and roles, and of what DDL names.
const OF_COMMANDS: &str = "\
    alter.c auth-oauth.c auth-sasl.c auth-scram.c auth.c autovacuum.c backend_startup.c \
    be-secure-openssl.c be-secure.c bgworker.c catalog.c clog.c cluster.c commit_ts.c copy.c \
    createas.c crypt.c dependency.c dropcmds.c event_trigger.c explain.c fastpath.c functioncmds.c \
    hba.c index.c indexcmds.c lmgr.c lock.c lockcmds.c matview.c miscinit.c multixact.c \
    objectaddress.c parallel.c partdesc.c pg_constraint.c pg_depend.c pg_enum.c pg_shdepend.c \
    pg_type.c plancache.c policy.c portalcmds.c postgres.c postinit.c postmaster.c pqcomm.c pquery.c \
    prepare.c proc.c procarray.c procsignal.c relcache.c relmapper.c rewriteDefine.c rls.c \
    schemacmds.c slru.c snapmgr.c standby.c subscriptioncmds.c syncrep.c tablecmds.c timeline.c \
    timeout.c toasting.c transam.c twophase.c typecmds.c user.c utility.c variable.c varsup.c view.c \
    xact.c xlog.c xlogfuncs.c xlogrecovery.c xlogutils.c";

/// These meet values, or texts that were made of values.
const OF_VALUES: &str = "\
    acl.c array_userfuncs.c arrayfuncs.c arraysubs.c arrayutils.c ascii.c async.c be-fsstubs.c \
    bool.c brin.c brin_pageops.c brin_revmap.c buffile.c bufmgr.c bufpage.c bytea.c cash.c \
    catcache.c char.c clauses.c copyfrom.c copyfromparse.c copyto.c createplan.c cryptohashfuncs.c \
    date.c datetime.c dbcommands.c dbsize.c detoast.c dfmgr.c dict_ispell.c dict_simple.c \
    dict_synonym.c dict_thesaurus.c dsm.c dynahash.c encode.c enum.c execAmi.c execExpr.c execSRF.c \
    execTuples.c execUtils.c expandedrecord.c extension.c fd.c float.c fmgr.c foreign.c \
    format_type.c formatting.c funcapi.c genam.c genfile.c geo_ops.c ginbtree.c gindatapage.c \
    ginentrypage.c ginutil.c gist.c guc.c hashinsert.c hashovfl.c hashpage.c hashutil.c heapam.c \
    heapam_handler.c heaptoast.c heaptuple.c hio.c indexam.c indextuple.c inet_net_pton.c int.c \
    int8.c inv_api.c json.c jsonapi.c jsonb.c jsonb_util.c jsonbsubs.c jsonfuncs.c jsonpath.c \
    jsonpath_exec.c jsonpath_gram.y jsonpath_scan.l like.c like_match.c localbuf.c lockfuncs.c \
    logtape.c lsyscache.c mac.c mac8.c mbutils.c mcxt.c md.c misc.c multirangetypes.c name.c \
    nbtpage.c nbtree.c nbtsearch.c nbtutils.c network.c nodeAgg.c nodeFunctionscan.c nodeHash.c \
    nodeIndexscan.c nodeLimit.c nodeLockRows.c nodeMergejoin.c nodeSetOp.c nodeSubplan.c \
    nodeTableFuncscan.c nodeWindowAgg.c numeric.c numutils.c oid.c oracle_compat.c orderedsetaggs.c \
    partbounds.c pg_collation.c pg_locale.c pg_lsn.c plancat.c planner.c portalmem.c pqformat.c \
    predicate.c preptlist.c prepunion.c proclang.c pruneheap.c pseudotypes.c quote.c rangetypes.c \
    regexp.c rowtypes.c ruleutils.c sequence.c smgr.c spgdoinsert.c spgutils.c spi.c stack_depth.c \
    stringinfo.c syscache.c table.c tableam.c tablespace.c tid.c timestamp.c to_tsany.c \
    toast_compression.c toast_internals.c trigfuncs.c ts_parse.c ts_utils.c tsquery.c \
    tsquery_rewrite.c tsquery_util.c tsvector.c tsvector_op.c tsvector_parser.c tupconvert.c \
    tupdesc.c tuplesort.c tuplestore.c typcache.c uuid.c varbit.c varlena.c visibilitymap.c \
    windowfuncs.c xid.c xid8funcs.c xml.c";

static ALL_SHOWN: AtomicBool = AtomicBool::new(false);

/// From now on, servers' messages are repeated as they are, in all that this process prints, serves and
/// records: for those who know that their rows and functions hold no secrets.
pub fn show_server_messages(shown: bool) {
    ALL_SHOWN.store(shown, Ordering::Relaxed);
}

/// Whether PostgreSQL itself reports it, so that its SQLSTATE and the names of objects mean what they say.
pub(crate) fn is_servers_own(error: &ServerError) -> bool {
    let lists = [OF_CATALOGUE, OF_STATEMENTS, OF_STREAM, OF_COMMANDS, OF_VALUES];
    error.file.as_deref().is_none_or(|file| lists.iter().any(|files| among(files, file)))
}

fn among(files: &str, file: &str) -> bool {
    files.split_whitespace().any(|known| known == file)
}

/// What of an error is repeated.
pub(crate) fn of(error: &ServerError) -> Words {
    if ALL_SHOWN.load(Ordering::Relaxed) { Words::All } else { known(error) }
}

/// What of an error may be repeated.
pub(crate) fn known(error: &ServerError) -> Words {
    let Some(file) = error.file.as_deref() else {
        // A pooler; or whoever else answers before the log-in.
        let class = error.sqlstate.get(..2).unwrap_or_default();
        return if matches!(class, "08" | "28" | "3D" | "53" | "57") {
            Words::All
        } else {
            Words::Form
        };
    };
    let among = |files| among(files, file);
    // A function was at work, or a cast that looks a name up.
    let inside = error.context.is_some();
    if among(OF_CATALOGUE) {
        Words::Message
    } else if among(OF_STATEMENTS) {
        // Whoever reads a statement says where in it.
        if inside || error.position.is_none() { Words::Nothing } else { Words::All }
    } else if among(OF_STREAM) {
        Words::All
    } else if among(OF_COMMANDS) {
        if inside { Words::Form } else { Words::All }
    } else if refuses_setting(error) {
        Words::Message
    } else if among(OF_VALUES) {
        Words::Form
    } else {
        Words::Nothing
    }
}

/// Whether the role may not set a setting, or nobody at that time. Such a message quotes nothing but its name, and
/// only that of one that the server knows: those of others, and values, are in messages with another state.
pub(crate) fn refuses_setting(error: &ServerError) -> bool {
    error.file.as_deref() == Some("guc.c") && matches!(error.sqlstate.as_str(), "42501" | "55P02")
}

/// Cuts out what a message quotes, in any language, and each word with a digit in it.
pub(crate) fn form(message: &str) -> String {
    const MARKS: &[char] = &['"', '«', '»', '„', '“', '”'];
    let mut marks = message.match_indices(MARKS);
    let cut = match (marks.next(), marks.next_back()) {
        (Some((first, _)), Some((last, mark))) => {
            format!("{}\"…\"{}", &message[..first], &message[last + mark.len()..])
        }
        (Some((first, _)), None) => format!("{}…", &message[..first]),
        _ => message.to_owned(),
    };
    let word = |word| if str::contains(word, |c: char| c.is_ascii_digit()) { "…" } else { word };
    cut.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The columns that a detail begins with, as in `Key (a, b)=(1, 2) already exists.` and `Partition key of
/// the failing row contains (a) = (1).`, in any language. Values come only after the first equals sign.
pub(crate) fn key_columns(detail: &str) -> Option<&str> {
    let (before, _) = detail.split_once(")=(").or_else(|| detail.split_once(") = ("))?;
    before.split_once('(').map(|(_, columns)| columns)
}

/// The function that raised an error, as in `PL/pgSQL function f(integer) line 3 at RAISE`. Only the
/// first line can be it; the others may hold SQL that was made of values.
pub(crate) fn raised_by(context: &str) -> Option<&str> {
    let line = context.lines().next()?;
    let (function, rest) = line.strip_prefix("PL/pgSQL function ")?.rsplit_once(" line ")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let known = rest.get(digits..)?.starts_with(" at ");
    (digits > 0 && known && !function.contains('\''))
        .then(|| &line[..line.len() - rest.len() + digits])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(file: &str, context: Option<&str>, position: Option<&str>) -> Words {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        of(&ServerError {
            sqlstate: "22P02".to_owned(),
            file: Some(file.to_owned()),
            context: owned(context),
            position: owned(position),
            ..ServerError::default()
        })
    }

    #[test]
    fn only_what_is_known_is_repeated() {
        let function = Some("PL/pgSQL function f() line 1 at EXECUTE");
        assert_eq!(told("pl_exec.c", function, None), Words::Nothing);
        assert_eq!(told("plpy_elog.c", None, None), Words::Nothing);
        assert_eq!(told("my_extension.c", None, None), Words::Nothing);
        assert_eq!(told("numutils.c", None, None), Words::Form);
        assert_eq!(told("nbtinsert.c", function, None), Words::Message);
        assert_eq!(told("parse_relation.c", None, Some("15")), Words::All);
        assert_eq!(told("parse_relation.c", function, Some("15")), Words::Nothing);
        assert_eq!(told("namespace.c", None, None), Words::Nothing, "a cast to regclass");
        assert_eq!(told("slot.c", Some("slot \"a\", output plugin"), None), Words::All);
        assert_eq!(told("utility.c", None, None), Words::All);
        assert_eq!(told("utility.c", function, None), Words::Form);
    }

    #[test]
    fn a_form_has_no_values() {
        let cases = [
            (
                "invalid input syntax for type integer: \"4711\"",
                "invalid input syntax for type integer: \"…\"",
            ),
            (
                "value \"4711\" is out of range for type integer",
                "value \"…\" is out of range for type integer",
            ),
            ("date: \"4711 \"quoted\" \"", "date: \"…\""),
            ("type date : « 4711 »", "type date : \"…\""),
            (
                "requested character too large for encoding: 4711",
                "requested character too large for encoding: …",
            ),
            (
                "character with byte sequence 0x4711 in encoding",
                "character with byte sequence … in encoding",
            ),
            ("smallint out of range", "smallint out of range"),
        ];
        for (message, want) in cases {
            assert_eq!(form(message), want);
        }
    }

    #[test]
    fn a_detail_names_its_columns() {
        assert_eq!(key_columns("Key (a, \"B c\")=(1, )=( 2) already exists."), Some("a, \"B c\""));
        assert_eq!(
            key_columns("Partition key of the failing row contains (id) = (5)."),
            Some("id")
        );
        assert_eq!(key_columns("Failing row contains (4711, x)."), None);
    }

    #[test]
    fn a_function_is_named_and_its_sql_is_not() {
        let context = "PL/pgSQL function object() line 2 at RAISE\nSQL statement \"SELECT 4711\"";
        assert_eq!(raised_by(context), Some("PL/pgSQL function object() line 2"));
        let dynamic = "SQL statement \"SELECT\nPL/pgSQL function secret() line 1 at RAISE\"";
        assert_eq!(raised_by(dynamic), None);
        assert_eq!(raised_by("PL/pgSQL function f() while casting"), None);
    }
}
