INSERT INTO t SELECT id, email, v FROM s;
