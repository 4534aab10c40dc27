INSERT INTO t SELECT id, m, ms, p, h, c, z, big FROM s;
INSERT INTO t_read SELECT id, m, format('%s %s', c, id) FROM s;
INSERT INTO t_keys SELECT c, m, v FROM k;
