-- Source tables that are held while the others go on: something that their statements stand on is not the
-- same any more. Their statements have numbers below 0.
CREATE TABLE regraft.held (
    pipeline      text NOT NULL REFERENCES regraft.pipelines ON DELETE CASCADE,
    source_schema text NOT NULL,
    source_table  text NOT NULL,
    since         timestamptz NOT NULL DEFAULT now(),
    -- Of the target: the rows are as they were here.
    position      pg_lsn NOT NULL,
    -- As an error: code, what, remedy.
    error         jsonb NOT NULL,
    PRIMARY KEY (pipeline, source_schema, source_table)
);

-- How somebody has said that held tables go on, until the plan was made again.
ALTER TABLE regraft.pipelines ADD COLUMN resume jsonb;

-- The rows of a table that begins anew stay, and are compared.
ALTER TABLE regraft.tables ADD COLUMN keeps_rows boolean NOT NULL DEFAULT false;
