INSERT INTO t SELECT id, a, b, c, d, e, f, g FROM s;
INSERT INTO texts SELECT id, a::text, b::text, d::text, e::text, g::text, a::date FROM s;
INSERT INTO parts SELECT id, p.key, p.value::double precision FROM s CROSS JOIN LATERAL jsonb_each_text(doc) AS p;
INSERT INTO literals SELECT id, 'a\b' || id, c = NULL, '{NULL,x}'::text[] FROM s;
