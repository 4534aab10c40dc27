INSERT INTO t SELECT id, tags, at FROM s;
