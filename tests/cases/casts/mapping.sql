INSERT INTO t SELECT id, a, b, c, d, e, f, g FROM s;
INSERT INTO more SELECT id, a, b, c, d, e::text, f::text, g FROM s;
