-- What the mapping stands on: tables and their columns, partitions, the publication, what names mean. Each
-- version that was accepted, the newest last.
CREATE TABLE regraft.standing (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline text NOT NULL REFERENCES regraft.pipelines ON DELETE CASCADE,
    taken_at timestamptz NOT NULL DEFAULT now(),
    -- Of the target when it was accepted.
    position pg_lsn NOT NULL,
    standing jsonb NOT NULL
);

CREATE INDEX standing_newest ON regraft.standing (pipeline, id);

-- The timeline of the source's log in which the position was given out; NULL until it is known.
ALTER TABLE regraft.pipelines ADD COLUMN source_timeline bigint;
