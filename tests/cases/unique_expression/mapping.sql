INSERT INTO t SELECT id, email, live FROM s;
