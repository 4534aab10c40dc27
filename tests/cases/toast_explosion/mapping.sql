INSERT INTO t SELECT s.id, d.key, d.value, s.status, s.at FROM s CROSS JOIN LATERAL jsonb_each_text(s.doc) AS d;
