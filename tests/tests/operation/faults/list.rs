//! The faults that are played.

use regraft_testkit::Way;

use super::{Fault, Side, Strike};

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "processes of the target hang",
        strike: Strike::Freeze(Side::Target),
        says: &["target (", "process"],
    },
    Fault {
        name: "processes of the source hang",
        strike: Strike::Freeze(Side::Source),
        says: &["source (", "process"],
    },
    Fault {
        name: "the source's walsender hangs",
        strike: Strike::FreezeStream,
        says: &["source (", "for a sign of life of the stream"],
    },
    Fault {
        name: "packets to the target are swallowed",
        strike: Strike::Swallow(Side::Target, Way::ToServer),
        says: &["target (", "nor does it answer a new connection"],
    },
    Fault {
        name: "packets from the target are swallowed",
        strike: Strike::Swallow(Side::Target, Way::ToClient),
        says: &["target (", "nor does it answer a new connection"],
    },
    Fault {
        name: "packets to the source are swallowed",
        strike: Strike::Swallow(Side::Source, Way::ToServer),
        says: &["source (", "nor does it answer a new connection"],
    },
    Fault {
        name: "packets from the source are swallowed",
        strike: Strike::Swallow(Side::Source, Way::ToClient),
        says: &["source (", "nor does it answer a new connection"],
    },
    Fault { name: "the target stops", strike: Strike::Stop(Side::Target), says: &["RG2001"] },
    Fault { name: "the source stops", strike: Strike::Stop(Side::Source), says: &["RG2001"] },
    Fault {
        name: "a target table is locked",
        strike: Strike::Sql(Side::Target, "BEGIN; LOCK TABLE goods"),
        says: &["target (", "goods", "held by process"],
    },
    Fault {
        name: "a row of the target is locked",
        strike: Strike::Sql(Side::Target, "BEGIN; SELECT FROM goods WHERE id = 1 FOR UPDATE"),
        says: &["target (", "goods", "held by process"],
    },
    Fault {
        name: "the ledger is locked",
        strike: Strike::Sql(Side::Target, "BEGIN; LOCK TABLE regraft.pipelines"),
        says: &["target (", "regraft.pipelines", "held by process"],
    },
    Fault {
        name: "a privilege is lost",
        strike: Strike::Sql(Side::Target, "REVOKE ALL ON goods FROM ROLE"),
        says: &["RG2004", "goods"],
    },
    Fault {
        name: "a target table is dropped",
        strike: Strike::Sql(Side::Target, "DROP TABLE goods"),
        says: &["RG3004", "goods"],
    },
    Fault {
        name: "a target column is dropped",
        strike: Strike::Sql(Side::Target, "ALTER TABLE goods DROP COLUMN amount"),
        says: &["RG3010", "amount"],
    },
    Fault {
        name: "the target refuses a row",
        strike: Strike::Sql(Side::Target, "ALTER TABLE goods ADD CHECK (amount < 0) NOT VALID"),
        says: &["RG4001", "goods"],
    },
    Fault {
        name: "a function of the target raises",
        strike: Strike::Sql(
            Side::Target,
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'could not extend file';
             END $$;
             CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON goods EXECUTE FUNCTION full_disk()",
        ),
        says: &["RG4001", "SQLSTATE 53100"],
    },
    Fault {
        name: "no connection to the target is free",
        strike: Strike::SqlAndReconnect(Side::Target, "ALTER ROLE ROLE CONNECTION LIMIT 1"),
        says: &["RG2001", "too many connections"],
    },
    Fault {
        name: "the role may not log in at the source",
        strike: Strike::SqlAndReconnect(Side::Source, "ALTER ROLE ROLE NOLOGIN"),
        says: &["RG2002", "not permitted to log in"],
    },
    Fault { name: "a password was changed", strike: Strike::Password, says: &["RG2002"] },
    Fault { name: "the slot is dropped", strike: Strike::DropSlot, says: &["RG2008"] },
    Fault {
        name: "the publication is dropped",
        strike: Strike::Sql(Side::Source, "DROP PUBLICATION PUBLICATION"),
        says: &["RG2010"],
    },
    Fault {
        name: "connections to the source are refused",
        strike: Strike::Refuse(Side::Source),
        says: &["RG2001", "source ("],
    },
    Fault {
        name: "connections to the target are refused",
        strike: Strike::Refuse(Side::Target),
        says: &["RG2001", "target ("],
    },
    Fault {
        name: "sessions with the source end again and again",
        strike: Strike::EndAgain(Side::Source),
        says: &["administrator command"],
    },
    Fault {
        name: "sessions with the target end again and again",
        strike: Strike::EndAgain(Side::Target),
        says: &["administrator command"],
    },
    Fault {
        name: "the source is a standby now",
        strike: Strike::Standby(Side::Source),
        says: &["source (", "standby"],
    },
    Fault {
        name: "the target is a standby now",
        strike: Strike::Standby(Side::Target),
        says: &["target (", "read-only"],
    },
    Fault {
        name: "pg_hba.conf of the source rejects the role",
        strike: Strike::Rules("host all ROLE all reject\nhost all all all trust"),
        says: &["RG2002", "pg_hba.conf rejects"],
    },
    Fault {
        name: "the source wants TLS, which it does not have",
        strike: Strike::Rules("hostssl all ROLE all trust\nhost all postgres all trust"),
        says: &["RG2002", "no encryption"],
    },
    Fault {
        name: "the role may not log in at the target",
        strike: Strike::SqlAndReconnect(Side::Target, "ALTER ROLE ROLE NOLOGIN"),
        says: &["RG2002", "not permitted to log in"],
    },
    Fault {
        name: "the role loses REPLICATION",
        strike: Strike::SqlAndReconnect(Side::Source, "ALTER ROLE ROLE NOREPLICATION"),
        // Each version has other words for it.
        says: &["RG2004", "source ("],
    },
    Fault {
        name: "CONNECT is revoked at the source",
        strike: Strike::SqlAndReconnect(
            Side::Source,
            "REVOKE CONNECT ON DATABASE DATABASE FROM PUBLIC",
        ),
        says: &["RG2004", "permission denied for database"],
    },
    Fault {
        name: "CONNECT is revoked at the target",
        strike: Strike::SqlAndReconnect(
            Side::Target,
            "REVOKE CONNECT ON DATABASE DATABASE FROM PUBLIC",
        ),
        says: &["RG2004", "permission denied for database"],
    },
    Fault {
        name: "no connection to the source is free",
        strike: Strike::SqlAndReconnect(Side::Source, "ALTER ROLE ROLE CONNECTION LIMIT 1"),
        says: &["RG2001", "needs 9 sessions at the source"],
    },
    Fault {
        name: "no connection to the target's database is free",
        strike: Strike::SqlAndReconnect(
            Side::Target,
            "ALTER DATABASE DATABASE CONNECTION LIMIT 0",
        ),
        says: &["RG2001", "needs 7 sessions at the target"],
    },
    Fault {
        name: "USAGE of the target's schema is revoked",
        strike: Strike::Sql(Side::Target, "REVOKE USAGE ON SCHEMA public FROM PUBLIC"),
        says: &["RG2004", "schema public"],
    },
    Fault {
        name: "row-level security comes to a target table",
        strike: Strike::Sql(Side::Target, "ALTER TABLE goods ENABLE ROW LEVEL SECURITY"),
        says: &["RG2004", "row-level security"],
    },
    Fault {
        name: "a target table is renamed",
        strike: Strike::Sql(Side::Target, "ALTER TABLE goods RENAME TO wares"),
        says: &["RG3004", "goods"],
    },
    Fault {
        name: "a target column has another type",
        strike: Strike::Sql(
            Side::Target,
            "ALTER TABLE goods ALTER COLUMN amount TYPE boolean USING amount > 0",
        ),
        // The write is refused, or a look at the catalogs before it tells of the type.
        says: &["amount"],
    },
    Fault {
        name: "a target column is too narrow",
        strike: Strike::Sql(
            Side::Target,
            "ALTER TABLE goods ALTER COLUMN name TYPE varchar(3) USING left(name, 3)",
        ),
        says: &["RG4001", "character varying(3)"],
    },
    Fault {
        name: "a target column that is NOT NULL comes",
        strike: Strike::Sql(
            Side::Target,
            "ALTER TABLE goods ADD COLUMN must text NOT NULL DEFAULT 'x'; ALTER TABLE goods ALTER must DROP DEFAULT",
        ),
        says: &["RG4001", "must"],
    },
    Fault {
        name: "the key of a target table is dropped",
        strike: Strike::Sql(Side::Target, "ALTER TABLE goods DROP CONSTRAINT goods_pkey"),
        says: &["RG3005", "goods"],
    },
    Fault {
        name: "a unique index of the target refuses",
        strike: Strike::Sql(
            Side::Target,
            "DO $$ BEGIN EXECUTE format('CREATE UNIQUE INDEX few ON goods ((true)) WHERE amount > %s',
                 (SELECT max(amount) + 3 FROM goods)); END $$",
        ),
        says: &["few"],
    },
    Fault {
        name: "commits at the target wait for a standby that is not there",
        strike: Strike::NoStandby,
        says: &["target (", "synchronous_standby_names"],
    },
    Fault { name: "the target's disk is full", strike: Strike::FullDisk, says: &["RG4005", "53100"] },
    Fault {
        name: "another session has the pipeline's lock",
        strike: Strike::TakeLock,
        says: &["RG5002"],
    },
    Fault {
        name: "the ledger's row is deleted",
        strike: Strike::Sql(Side::Target, "DELETE FROM regraft.pipelines"),
        says: &["RG50"],
    },
    Fault {
        name: "a column of the ledger is dropped",
        strike: Strike::Sql(Side::Target, "ALTER TABLE regraft.pipelines DROP COLUMN commit_time"),
        says: &["commit_time"],
    },
    Fault {
        name: "the ledger has another owner",
        strike: Strike::Sql(Side::Target, "ALTER TABLE regraft.pipelines OWNER TO postgres"),
        says: &["RG2004", "pipelines"],
    },
    Fault { name: "the slot is moved on", strike: Strike::MoveSlot, says: &["RG2011"] },
    Fault {
        name: "a table is taken out of the publication",
        strike: Strike::Sql(Side::Source, "ALTER PUBLICATION PUBLICATION DROP TABLE items"),
        says: &["RG2017", "items"],
    },
    Fault {
        name: "the publication leaves out updates",
        strike: Strike::Sql(
            Side::Source,
            "ALTER PUBLICATION PUBLICATION SET (publish = 'insert, delete, truncate')",
        ),
        says: &["RG2017"],
    },
    Fault {
        name: "a source table is renamed",
        strike: Strike::Sql(Side::Source, "ALTER TABLE items RENAME TO things"),
        says: &["RG3018", "items"],
    },
    Fault {
        name: "a source table is dropped",
        strike: Strike::Sql(Side::Source, "DROP TABLE items"),
        says: &["RG3018", "items"],
    },
    Fault {
        name: "a source column is dropped",
        strike: Strike::Sql(Side::Source, "ALTER TABLE items DROP COLUMN name"),
        says: &["RG3008", "name"],
    },
    Fault {
        name: "a source column has another type",
        strike: Strike::Sql(Side::Source, "ALTER TABLE items ALTER COLUMN amount TYPE bigint"),
        // The stream tells of the type, or a look at the catalogs before it that all rows were rewritten.
        says: &["amount", "of public.items"],
    },
    Fault {
        name: "a source table loses its identity",
        strike: Strike::Sql(Side::Source, "ALTER TABLE items REPLICA IDENTITY NOTHING"),
        says: &["RG2016", "items"],
    },
    Fault {
        name: "the ledger is dropped",
        strike: Strike::Sql(Side::Target, "DROP SCHEMA regraft CASCADE"),
        says: &["regraft.", "does not exist"],
    },
];
