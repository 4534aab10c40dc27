-- What was compared, and what differed.

-- Where the sweeps are, and the evidence that they leave: rows of a range of source keys that were equal.
CREATE TABLE regraft.verified (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline    text NOT NULL REFERENCES regraft.pipelines ON DELETE CASCADE,
    -- Of the statement whose rows they are.
    fingerprint text NOT NULL,
    target      text NOT NULL,
    sweep       bigint NOT NULL,
    -- after < key <= upto, in text form; absent bounds are open.
    after       text[],
    upto        text[],
    rows        bigint NOT NULL,
    -- Sum, modulo 2^256, of the BLAKE3 digests of the rows.
    digest      bytea NOT NULL,
    -- Of the target when it was read.
    position    pg_lsn NOT NULL,
    verified_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX verified_sweep ON regraft.verified (pipeline, fingerprint, sweep, id);

-- Source rows, by their owner values, that were not equal in a range and are still to be looked at.
CREATE TABLE regraft.unsettled (
    pipeline    text NOT NULL REFERENCES regraft.pipelines ON DELETE CASCADE,
    fingerprint text NOT NULL,
    owner       bytea NOT NULL,
    since       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, fingerprint, owner)
);

CREATE TABLE regraft.findings (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline      text NOT NULL REFERENCES regraft.pipelines ON DELETE CASCADE,
    fingerprint   text NOT NULL,
    source        text NOT NULL,
    target        text NOT NULL,
    -- missing, surplus or different.
    difference    text NOT NULL,
    -- The target's key, as an object of texts.
    key           jsonb NOT NULL,
    -- Columns that differ.
    columns       text[] NOT NULL,
    -- open, repaired, or gone by itself.
    state         text NOT NULL DEFAULT 'open',
    first_seen    timestamptz NOT NULL DEFAULT now(),
    last_seen     timestamptz NOT NULL DEFAULT now(),
    closed_at     timestamptz,
    -- Of the target when the row was seen last.
    position      pg_lsn NOT NULL,
    -- BLAKE3 of the row that the SELECT gives, of the row in the target, and of both after it was closed.
    source_digest bytea,
    target_digest bytea,
    after_digest  bytea,
    -- When a repair of it was asked for; infinity when the row was the same after it: the target itself changes
    -- what is written.
    repair_at     timestamptz,
    -- Only where they are asked for: the two rows, as objects of texts.
    source_row    jsonb,
    target_row    jsonb,
    -- The same keys in binary form, to find the row again.
    owner         bytea NOT NULL,
    row_key       bytea NOT NULL
);

CREATE UNIQUE INDEX findings_open ON regraft.findings (pipeline, fingerprint, row_key) WHERE state = 'open';
CREATE INDEX findings_owner ON regraft.findings (pipeline, fingerprint, owner) WHERE state = 'open';

-- Verifications that somebody asked for.
CREATE TABLE regraft.verifications (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline     text NOT NULL REFERENCES regraft.pipelines ON DELETE CASCADE,
    request      jsonb NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    finished_at  timestamptz,
    -- One object per statement.
    outcomes     jsonb NOT NULL DEFAULT '[]',
    error        text
);

CREATE INDEX verifications_open ON regraft.verifications (pipeline, id) WHERE finished_at IS NULL;
