INSERT INTO heads SELECT id, v, note FROM s;
INSERT INTO parts SELECT id, d.key, d.value FROM s CROSS JOIN LATERAL jsonb_each_text(doc) AS d;
