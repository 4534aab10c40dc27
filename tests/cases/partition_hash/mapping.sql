INSERT INTO t SELECT id, user_id, v FROM s;
