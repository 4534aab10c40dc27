INSERT INTO t SELECT id, parent, v FROM s;
