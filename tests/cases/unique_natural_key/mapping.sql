INSERT INTO t SELECT name, id, v FROM s;
INSERT INTO loose SELECT name, id, v FROM s;
