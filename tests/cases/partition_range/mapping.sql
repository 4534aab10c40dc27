INSERT INTO t SELECT id, at, v, big FROM s;
