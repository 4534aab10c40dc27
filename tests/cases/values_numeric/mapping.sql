INSERT INTO t SELECT id, a, b, c, d, e, f, g, v FROM s;
INSERT INTO wider SELECT id, b, c, CASE WHEN d > -1e300 AND d < 1e300 THEN d END, e, f FROM s;
INSERT INTO texts SELECT id, a::text, b::text, c::text, d::text, f::text FROM s;
