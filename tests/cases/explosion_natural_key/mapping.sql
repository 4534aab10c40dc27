INSERT INTO t SELECT d.key, d.value, id FROM s CROSS JOIN LATERAL jsonb_each_text(doc) AS d;
