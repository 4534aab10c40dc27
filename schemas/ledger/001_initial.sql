-- The ledger: what regraft knows of its pipelines. Lives in the target, so that rows and the
-- position that they correspond to are committed together. Migrated by the daemon itself.

CREATE TABLE regraft.versions (
    version     integer PRIMARY KEY,
    migrated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE regraft.pipelines (
    name          text PRIMARY KEY,
    -- The source's system identifier and database: a position means nothing anywhere else.
    source_system text NOT NULL,
    source_db     text NOT NULL,
    slot          text NOT NULL,
    publication   text NOT NULL,
    -- Everything up to here is in the target.
    position      pg_lsn NOT NULL,
    -- When, on the source's clock, the last applied transaction was committed.
    commit_time   timestamptz,
    phase         text NOT NULL DEFAULT 'starting',
    last_error    jsonb,
    -- Raised by each daemon that takes over: a commit of an earlier one fails.
    epoch         bigint NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE regraft.statements (
    pipeline    text NOT NULL REFERENCES regraft.pipelines ON DELETE CASCADE,
    statement   integer NOT NULL,
    source      text NOT NULL,
    target      text NOT NULL,
    -- Of the statement's text: rows in the target were made by exactly this.
    fingerprint text NOT NULL,
    -- Rows written since the pipeline was made.
    upserted    bigint NOT NULL DEFAULT 0,
    deleted     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (pipeline, statement)
);

CREATE TABLE regraft.tables (
    pipeline      text NOT NULL REFERENCES regraft.pipelines ON DELETE CASCADE,
    source_schema text NOT NULL,
    source_table  text NOT NULL,
    -- Columns that the mapping reads, with their types, as they were accepted.
    shape         jsonb NOT NULL,
    planned_upto  text[],
    fully_planned boolean NOT NULL DEFAULT false,
    -- The table is copied anew: its changes before this position are ignored.
    anew_from     pg_lsn,
    PRIMARY KEY (pipeline, source_schema, source_table)
);

CREATE TABLE regraft.chunks (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline      text NOT NULL REFERENCES regraft.pipelines ON DELETE CASCADE,
    source_schema text NOT NULL,
    source_table  text NOT NULL,
    -- after < key <= upto, in text form; absent bounds are open.
    after         text[],
    upto          text[],
    -- Instead of a range: these keys, in binary form.
    keys          bytea[],
    planned_at    timestamptz NOT NULL DEFAULT now(),
    -- When, where and with how many rows it joined the stream.
    done_at       timestamptz,
    position      pg_lsn,
    rows          bigint
);

CREATE INDEX chunks_open ON regraft.chunks (pipeline, id) WHERE done_at IS NULL;
CREATE INDEX chunks_table ON regraft.chunks (pipeline, source_schema, source_table);

CREATE TABLE regraft.events (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline text NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    -- What an operator or the daemon did: created, error, recopy, ...
    kind     text NOT NULL,
    detail   jsonb NOT NULL DEFAULT '{}'
);
