INSERT INTO t SELECT a, b, c, v FROM s;
