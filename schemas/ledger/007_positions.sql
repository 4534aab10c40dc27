-- Positions as text with their kind: a source need not be a PostgreSQL log. An LSN is `lsn:16/B374D848`.
ALTER TABLE regraft.pipelines ALTER COLUMN position TYPE text USING 'lsn:' || position;
ALTER TABLE regraft.tables ALTER COLUMN anew_from TYPE text USING 'lsn:' || anew_from;
ALTER TABLE regraft.chunks ALTER COLUMN position TYPE text USING 'lsn:' || position;
ALTER TABLE regraft.verified ALTER COLUMN position TYPE text USING 'lsn:' || position;
ALTER TABLE regraft.findings ALTER COLUMN position TYPE text USING 'lsn:' || position;
ALTER TABLE regraft.standing ALTER COLUMN position TYPE text USING 'lsn:' || position;
ALTER TABLE regraft.held ALTER COLUMN position TYPE text USING 'lsn:' || position;

-- Where the last transaction is, and the history of positions in the source's words (of PostgreSQL the timeline),
-- of any kind of source.
ALTER TABLE regraft.pipelines ALTER COLUMN commit_lsn TYPE text USING 'lsn:' || commit_lsn;
ALTER TABLE regraft.pipelines RENAME COLUMN commit_lsn TO commit_at;
ALTER TABLE regraft.pipelines ALTER COLUMN source_timeline TYPE text;
ALTER TABLE regraft.pipelines RENAME COLUMN source_timeline TO source_history;
