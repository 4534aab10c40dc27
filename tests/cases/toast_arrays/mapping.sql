INSERT INTO t SELECT id, small, tags, numbers, big FROM s;
