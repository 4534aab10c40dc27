INSERT INTO t (id, a, v) SELECT id, a, v FROM s;
INSERT INTO numbered (id, v) SELECT id, v FROM s;
INSERT INTO ids (id, v) SELECT id, v FROM s;
