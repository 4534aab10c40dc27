INSERT INTO t SELECT id, t, c, b, j, jb, x, u, bits, n, net, mac, p, r, ts, v FROM s;
INSERT INTO texts SELECT id, c::text, jb::text, u::text FROM s;
INSERT INTO narrow SELECT id, c FROM s;
