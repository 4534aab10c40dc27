INSERT INTO t SELECT id, coalesce(d.key, '(none)'), d.value, v FROM s LEFT JOIN LATERAL jsonb_each_text(doc) AS d ON true;
