INSERT INTO t SELECT id, a, b, c, d, e, f, g, v FROM s;
INSERT INTO texts SELECT id, a::text, b::text, c::text FROM s;
