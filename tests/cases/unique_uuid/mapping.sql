INSERT INTO t SELECT id, token, slug FROM s;
