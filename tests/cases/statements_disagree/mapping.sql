INSERT INTO heads SELECT id, name, qty FROM s;
INSERT INTO bodies SELECT id, big FROM s WHERE qty >= 0;
INSERT INTO tags SELECT id, t.tag, qty FROM s CROSS JOIN LATERAL unnest(tags) AS t(tag);
INSERT INTO docs SELECT id, d.key, d.value::numeric, length(big) FROM s CROSS JOIN LATERAL jsonb_each_text(doc) AS d;
