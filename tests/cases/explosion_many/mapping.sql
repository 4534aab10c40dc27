INSERT INTO t SELECT id, d.key, d.value::numeric, at FROM s CROSS JOIN LATERAL jsonb_each_text(doc) AS d;
