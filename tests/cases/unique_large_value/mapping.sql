INSERT INTO t SELECT id, email, big FROM s;
