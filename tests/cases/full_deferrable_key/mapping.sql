INSERT INTO t SELECT alt, id, v FROM s;
