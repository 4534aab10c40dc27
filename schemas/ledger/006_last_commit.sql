-- The last transaction of the source that is in the target: where its commit is in the log, and its id. With
-- commit_time, no other past of the source has the same.
ALTER TABLE regraft.pipelines ADD COLUMN commit_lsn pg_lsn, ADD COLUMN commit_xid bigint;
