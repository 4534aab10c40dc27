INSERT INTO t SELECT id, d.key, d.value, n FROM s CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(doc) = 'object' THEN doc END) AS d;
INSERT INTO texts SELECT s.id, d.key, d.value FROM s, jsonb_each_text(CASE jsonb_typeof(s.doc) WHEN 'object' THEN s.doc ELSE '{}' END) AS d WHERE d.value IS NOT NULL;
INSERT INTO keys (key, id) SELECT k, id FROM s CROSS JOIN LATERAL jsonb_object_keys(CASE WHEN jsonb_typeof(doc) = 'object' THEN doc END) AS k;
