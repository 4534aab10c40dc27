-- Changes of tables that a statement reads beside its source table.

-- Instead of keys of the source table: `keys` holds values of the trace's columns (none: all of them), and the
-- source tells which of its rows they lead to.
ALTER TABLE regraft.chunks ADD COLUMN trace text;
